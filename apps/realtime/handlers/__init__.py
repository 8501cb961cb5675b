"""What each command does, in three to eight lines: the rest is the router's and the services'."""

from __future__ import annotations

from importlib import import_module

MODULES = ("session", "rooms", "chat", "feedback", "approvals", "tasks", "presence")


def load() -> None:
    """Import every handler, which fills the registry."""
    for name in MODULES:
        import_module(f"apps.realtime.handlers.{name}")
