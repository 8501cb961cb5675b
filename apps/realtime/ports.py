"""What rooms need from the one sender on the channel layer, without knowing it.

The broadcaster plugs itself in when the app starts; until then nothing is published (unit tests of rooms).
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from apps.realtime.coalescing import Piece


class Near(Protocol):
    """Whoever serves rooms in the loop that publishes. ``id`` is unlike all others', of whichever process."""

    id: str

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message at once, without the layer. Raises nothing."""

    def listens(self, guid: str) -> bool:
        """Tell whether the layer brings the messages of this room here."""


class Publisher(Protocol):
    """How news of this process reaches all processes. All methods return at once, in any thread."""

    def attach(self, loop: asyncio.AbstractEventLoop, near: Near) -> None:
        """From now on send from ``loop``: the server's, which lives as long as the process."""

    def pieces(self, guid: str, pieces: list[Piece]) -> None:
        """Send pieces to a room as they are, without a window."""

    def wanted(self, guid: str) -> None:
        """Ask whoever publishes streams of this room for the text so far and the latest values."""

    def answer(self, guid: str) -> None:
        """Answer such a question with what this process publishes."""

    def echoed(self, guid: str, number: int) -> None:
        """Learn that the layer brought back a message of this process, by the number that it carries."""


class _Nobody:
    def attach(self, loop: asyncio.AbstractEventLoop, near: Near) -> None:
        """Do nothing."""

    def pieces(self, guid: str, pieces: list[Piece]) -> None:
        """Do nothing."""

    def wanted(self, guid: str) -> None:
        """Do nothing."""

    def answer(self, guid: str) -> None:
        """Do nothing."""

    def echoed(self, guid: str, number: int) -> None:
        """Do nothing."""


publisher: Publisher = _Nobody()


class Hold:
    """News of one command, kept back until its reply is on its way: the reply goes first, then the event.

    Filled by the command's thread, released by the connection's task; after the release everything passes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Callable[[], None]] | None = []

    def keep(self, news: Callable[[], None]) -> bool:
        """Keep ``news`` back; False when that is over and it should go at once."""
        with self._lock:
            if self._kept is None:
                return False
            self._kept.append(news)
            return True

    def release(self) -> None:
        """Let everything go, in its order."""
        with self._lock:
            kept, self._kept = self._kept or [], None
        for news in kept:
            news()


_hold: contextvars.ContextVar[Hold | None] = contextvars.ContextVar("realtime_hold", default=None)


def held(news: Callable[[], None]) -> bool:
    """Keep ``news`` back if the running command asks for it."""
    hold = _hold.get()
    return hold is not None and hold.keep(news)


def holding() -> bool:
    """Tell whether the running command keeps its news back."""
    return _hold.get() is not None


@contextmanager
def reply_first() -> Iterator[None]:
    """What is published within the block, also by its threads, goes out at its end."""
    hold = Hold()
    token = _hold.set(hold)
    try:
        yield
    finally:
        _hold.reset(token)
        hold.release()


def plug(sender: Publisher) -> None:
    """Make ``sender`` the publisher of this process."""
    global publisher  # noqa: PLW0603 - one sender a process
    publisher = sender
