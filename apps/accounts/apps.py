"""Accounts: who people, agents and the system are, and how they prove it."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts app."""

    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Connect the receivers."""
        from apps.accounts import receivers  # noqa: F401 - connects itself
