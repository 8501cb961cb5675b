"""Makes the k-th call to the database, the channel layer or the agents link fail, wherever in the process it is."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from channels.layers import InMemoryChannelLayer
from django.db import InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from websockets.asyncio.client import ClientConnection

from apps.agents.link.handler import AgentCommunicationHandler

ERRORS: Final[dict[str, tuple[Callable[[], BaseException], ...]]] = {
    "database": (lambda: OperationalError("the server closed the connection"), lambda: InterfaceError("closed")),
    # It is done, and nobody will ever know from the answer.
    "commit": (lambda: OperationalError("the connection was lost while waiting for COMMIT"),),
    "layer": (
        lambda: ConnectionError("the layer is away"),
        lambda: TimeoutError("the layer is slow"),
        asyncio.CancelledError,
    ),
    "link": (
        lambda: ConnectionResetError("the line is cut"),
        lambda: TimeoutError("the line is slow"),
        asyncio.CancelledError,
    ),
}
"""What breaks, and with what."""

_LAYER = ("group_add", "group_discard", "group_send", "new_channel", "receive")
_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("a test's own call", default=False)


@contextmanager
def ours() -> Iterator[None]:
    """What the block calls, also in threads, belongs to the test: it counts nothing and fails never."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


class Breaker:
    """``arm`` it; ``fired`` says afterwards what broke. One call breaks, or ``width`` of them in a row."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seam, self._first, self._width = "", 0, 1
        self._error: Callable[[], BaseException | None] = AssertionError
        self.calls = 0
        self.fired = ""

    def arm(self, seam: str, first: int, error: Callable[[], BaseException | None], *, width: int = 1) -> None:
        """Let the ``first``-th call through ``seam`` from now on fail (0: none, they are only counted).

        ``error`` makes what is raised, in the thread of the call; where it makes nothing the call goes on.
        """
        with self._lock:
            self._seam, self._first, self._width, self._error = seam, first, width, error
            self.calls, self.fired = 0, ""

    def disarm(self) -> None:
        """The fault is over."""
        with self._lock:
            self._seam = ""

    def hit(self, seam: str, what: str) -> None:
        """A call goes through here. Raises what was armed."""
        if _ours.get() or seam != self._seam:
            return
        with self._lock:
            self.calls += 1
            breaks = self._first and self._first <= self.calls < self._first + self._width
            if not breaks:
                return
            self.fired = what
        problem = self._error()
        if problem is not None:
            raise problem

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        """Put it where the calls go through: on classes, because each thread has a connection of its own."""
        cursors: Any = CursorWrapper
        databases: Any = BaseDatabaseWrapper
        execute, commit = cursors._execute_with_wrappers, databases._commit

        def executed(cursor: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
            self.hit("database", str(sql)[:120])
            return execute(cursor, sql, *args, **kwargs)

        def committed(database: Any) -> None:
            try:
                self.hit("database", "COMMIT")
            except InterfaceError as error:  # no driver raises it there, and Django would not roll back after it
                raise OperationalError(*error.args) from None
            commit(database)
            self.hit("commit", "COMMIT")

        patch.setattr(CursorWrapper, "_execute_with_wrappers", executed)
        patch.setattr(BaseDatabaseWrapper, "_commit", committed)
        for name in _LAYER:
            patch.setattr(InMemoryChannelLayer, name, self._through("layer", getattr(InMemoryChannelLayer, name)))
        for name in ("send", "recv"):
            patch.setattr(ClientConnection, name, self._through("link", getattr(ClientConnection, name)))
        patch.setattr(AgentCommunicationHandler, "_open", self._through("link", AgentCommunicationHandler._open))

    def _through(self, seam: str, method: Any) -> Any:
        @functools.wraps(method)
        async def called(*args: Any, **kwargs: Any) -> Any:
            self.hit(seam, method.__qualname__)
            return await method(*args, **kwargs)

        return called
