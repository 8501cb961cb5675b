"""The wire: sockets, rooms, and what their clients see. Has no tables of its own."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """The realtime app."""

    name = "apps.realtime"
    label = "realtime"

    def ready(self) -> None:
        """Connect the domain's signals to the broadcaster."""
        from apps.agents import events as _agents  # noqa: F401 - fills the catalogue
        from apps.realtime import collected as _checks  # noqa: F401 - registers its check
        from apps.realtime import events as _own  # noqa: F401
        from apps.realtime import receivers

        receivers.connect()
