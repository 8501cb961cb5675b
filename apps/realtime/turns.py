"""Commands of one project take turns, so that a project whose row is locked does not take every thread with it.

They could not write at the same time anyway: the row is the lock. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from apps.core.errors import Unavailable
from apps.projects.aio import not_now

R = TypeVar("R")

AT_ONCE: Final = 2
"""One that has the row, and the next one that waits for it: the lock goes from hand to hand without a pause."""


class Turns:
    """At most ``AT_ONCE`` pieces of work under one key; the others wait in their order."""

    def __init__(self) -> None:
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, key: str, work: Callable[[], Awaitable[R]]) -> R:
        """Await ``work()`` when it is its turn; return what it returns, or raise what it raises.

        When the database refuses one for the moment, those who wait behind it are refused with it (``Unavailable``):
        they would meet the same, and have waited as long.
        """
        under_way = self._under_way.get(key, 0)
        if under_way < AT_ONCE:
            self._under_way[key] = under_way + 1
        else:
            await self._wait(key)
        try:
            return await work()
        except Exception as error:
            if not_now(error):
                self._refuse(key)
            raise
        finally:
            self._pass_on(key)

    async def _wait(self, key: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on(key)  # it was given the turn and cannot use it
            raise

    def _refuse(self, key: str) -> None:
        for turn in self._waiting.pop(key, ()):
            if not turn.done():
                turn.set_exception(Unavailable(retry_after_ms=1_000))

    def _pass_on(self, key: str) -> None:
        """Give the turn to the next one, or back."""
        waiting = self._waiting.get(key)
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(key, None)
        left = self._under_way[key] - 1
        if left:
            self._under_way[key] = left
        else:
            del self._under_way[key]
