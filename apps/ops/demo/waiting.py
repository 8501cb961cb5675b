"""Waiting for a person's answer. Knows only ids; the answers themselves are in the project's document."""

from __future__ import annotations

import asyncio


class Waiting:
    """Who waits for which approval or question."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    async def until(self, key: str) -> None:
        """Wait until ``answered(key)`` is called."""
        event = self._events.setdefault(key, asyncio.Event())
        try:
            await event.wait()
        finally:
            self._events.pop(key, None)

    def answered(self, key: str) -> None:
        """Wake the one that waits for ``key``, if there is one."""
        if key in self._events:
            self._events[key].set()
