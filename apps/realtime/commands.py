"""The registry of commands: closed, and in one place.

``@command("chat", needs="message.post", …)`` on a payload class and its handler under ``handlers/``: validation,
routing, documents, TypeScript types and metrics follow from the row. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from apps.core.events import Struct


class Rate(enum.StrEnum):
    """Which bucket a command takes from."""

    COMMAND = "command"
    FEEDBACK = "feedback"
    PING = "ping"


Handler = Callable[[Any, Any], Awaitable[Any]]
"""``handler(context, payload)``; what it returns is the reply's data, None is no reply."""


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the registry.

    ``needs`` is the action of ``projects.permissions`` (None: no project). ``joined``: the room must be joined on
    this socket.
    ``reply`` is the type of the answer (None: none). ``over_http``: also a POST to the project's ``commands/``.
    """

    name: str
    payload: type[Struct]
    handler: Handler
    needs: str | None
    joined: bool
    reply: str | None
    over_http: bool
    rate: Rate
    anonymous: bool


COMMANDS: dict[str, Command] = {}


def command(
    name: str,
    payload: type[Struct],
    *,
    needs: str | None = None,
    joined: bool = True,
    reply: str | None = "ack",
    over_http: bool = True,
    rate: Rate = Rate.COMMAND,
    anonymous: bool = False,
) -> Callable[[Handler], Handler]:
    """Declare the command ``name`` with the decorated function as its handler.

    Raises ``ValueError`` when the name is declared twice.
    """

    def declare(handler: Handler) -> Handler:
        if name in COMMANDS:
            raise ValueError(f"command {name!r} is declared twice")
        COMMANDS[name] = Command(name, payload, handler, needs, joined, reply, over_http, rate, anonymous)
        return handler

    return declare
