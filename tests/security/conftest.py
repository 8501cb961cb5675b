"""Real server processes, people with a room, and the audit trail's guards."""

from tests.serve.conftest import ada, browsers, room, serve

__all__ = ["ada", "browsers", "room", "serve"]
