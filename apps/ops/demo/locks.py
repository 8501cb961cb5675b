"""File locks among the agents of one project: who holds what, who waits. Knows no messages; tells its listener.

An agent takes all that a task needs at once while it holds nothing, and single further files for a moment, so that two
agents never wait for each other as long as no task's own files are another's further files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class Held:
    """A lock: ``path`` is relative to the workspace."""

    path: str
    agent_id: str
    task_id: str | None
    reason: str
    waiting: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Wish:
    agent_id: str
    paths: list[str]


class Locks:
    """The table; ``changed`` is called after each change of holders or waiters."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._held: dict[str, Held] = {}
        self._wishes: list[_Wish] = []
        self._released = asyncio.Event()

    async def acquire(self, agent_id: str, task_id: str | None, paths: Iterable[str], reason: str) -> None:
        """Hold all ``paths``, waiting until nobody else holds any of them. Those held already stay held."""
        wanted = [path for path in paths if not self.holds(agent_id, path)]
        if not wanted:
            return
        wish = _Wish(agent_id, wanted)
        try:
            while not self._free(wish):
                if wish not in self._wishes:
                    self._wishes.append(wish)
                    self._changed()
                await self._released.wait()
        finally:
            if wish in self._wishes:
                self._wishes.remove(wish)
        self._held.update({path: Held(path, agent_id, task_id, reason) for path in wanted})
        self._changed()

    def release(self, agent_id: str, paths: Iterable[str] | None = None) -> None:
        """Give back ``paths``, or all that the agent holds."""
        mine = [path for path, held in self._held.items() if held.agent_id == agent_id]
        gone = mine if paths is None else [path for path in paths if path in mine]
        if not gone:
            return
        for path in gone:
            del self._held[path]
        self._changed()
        self._released.set()
        self._released = asyncio.Event()

    def holds(self, agent_id: str, path: str) -> bool:
        """Tell whether the agent holds this path."""
        held = self._held.get(path)
        return held is not None and held.agent_id == agent_id

    def waits(self, agent_id: str) -> bool:
        """Tell whether the agent waits for a file that somebody else holds."""
        return any(wish.agent_id == agent_id for wish in self._wishes)

    def all(self) -> list[Held]:
        """Return every lock with those who wait for it."""
        for held in self._held.values():
            held.waiting = sorted({wish.agent_id for wish in self._wishes if held.path in wish.paths})
        return list(self._held.values())

    def _free(self, wish: _Wish) -> bool:
        """First come, first served: an earlier wish for the same path goes first."""
        if any(path in self._held for path in wish.paths):
            return False
        earlier = self._wishes[: self._wishes.index(wish)] if wish in self._wishes else self._wishes
        return not any(set(wish.paths) & set(other.paths) for other in earlier)
