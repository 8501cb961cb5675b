"""What rooms need from the one sender on the channel layer, without knowing it.

The broadcaster plugs itself in when the app starts; until then nothing is published (unit tests of rooms).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from apps.realtime.coalescing import Piece


class Publisher(Protocol):
    """How news of this process reaches all processes. All methods return at once, in any thread.

    ``fallback`` takes the messages that the layer does not: whoever serves rooms in the attached loop sets it.
    """

    fallback: Callable[[dict[str, Any]], None] | None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on send from ``loop``: the server's, which lives as long as the process."""

    def pieces(self, guid: str, pieces: list[Piece]) -> None:
        """Send pieces to a room as they are, without a window."""

    def wanted(self, guid: str) -> None:
        """Ask whoever publishes streams of this room for the text so far and the latest values."""

    def answer(self, guid: str) -> None:
        """Answer such a question with what this process publishes."""


class _Nobody:
    fallback: Callable[[dict[str, Any]], None] | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do nothing."""

    def pieces(self, guid: str, pieces: list[Piece]) -> None:
        """Do nothing."""

    def wanted(self, guid: str) -> None:
        """Do nothing."""

    def answer(self, guid: str) -> None:
        """Do nothing."""


publisher: Publisher = _Nobody()


def plug(sender: Publisher) -> None:
    """Make ``sender`` the publisher of this process."""
    global publisher  # noqa: PLW0603 - one sender a process
    publisher = sender
