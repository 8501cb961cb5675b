"""Where a room stands in its log: next is delivered, seen is dropped, a hole waits. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 1_000
"""Events kept while an earlier one is missing; more than that come from the log anyway."""


class Cursor(Generic[T]):
    """Brings items into the order of their ``seq``, each once.

    ``seq`` is the last one delivered, ``top`` the highest that is known to exist.
    """

    __slots__ = ("_ahead", "seq", "top")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.top = seq
        self._ahead: dict[int, T] = {}

    @property
    def behind(self) -> bool:
        """Whether something is known to exist that was not delivered."""
        return self.top > self.seq

    def offer(self, items: Iterable[tuple[int, T]]) -> list[tuple[int, T]]:
        """Take what arrived, in any order; return what can be delivered now, in order."""
        for seq, item in items:
            self.top = max(self.top, seq)
            if seq > self.seq and (len(self._ahead) < AHEAD or seq == self.seq + 1):
                self._ahead[seq] = item
        ready = []
        while (following := self._ahead.pop(self.seq + 1, None)) is not None:
            self.seq += 1
            ready.append((self.seq, following))
        return ready

    def notice(self, top: int) -> None:
        """Learn that the log goes up to ``top``."""
        self.top = max(self.top, top)

    def reset(self, seq: int) -> None:
        """Start anew at ``seq``: the log before it is gone or another one."""
        self.seq = self.top = seq
        self._ahead.clear()
