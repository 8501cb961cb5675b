"""Keeping one's place in the agents-server's numbered messages. Pure."""

from __future__ import annotations

HOLES = 1_000
"""Holes that are watched at once; of more the oldest are given up."""


class Offsets:
    """What was received and what was kept, in one connection.

    ``resume`` is the offset up to which everything is kept: what the next ``hello`` asks to go on after. ``highest``
    is the server's own newest one at the ``welcome``: up to there holes are messages that were acknowledged before.
    """

    def __init__(self, resume: int, highest: int) -> None:
        self.resume = resume
        self._newest = max(resume, 0)
        self._highest = highest
        self._open: set[int] = set()
        self._holes: list[tuple[int, int]] = []
        """First and last of what never came, ascending."""

    @property
    def gap(self) -> str:
        """What is missing, in words; empty when nothing is."""
        if not self._holes:
            return ""
        holes = ", ".join(f"{first}-{last}" for first, last in self._holes[:5])
        return f"messages {holes}{' …' if len(self._holes) > 5 else ''} of the agents-server never came"

    def received(self, offset: int) -> int:
        """Note that ``offset`` came; return how many more are missing now, negative when it was a missing one."""
        more = 0
        if offset > self._newest:
            expected = max(self._newest, self._highest) + 1
            if offset > expected:
                self._holes = [*self._holes, (expected, offset - 1)][-HOLES:]
                more = offset - expected
            self._newest = offset
        elif self._fills(offset):
            more = -1
        if offset > self.resume:
            self._open.add(offset)
        return more

    def kept(self, offset: int) -> None:
        """Note that ``offset`` was committed (or refused for good)."""
        self._open.discard(offset)
        top = min(self._open) - 1 if self._open else self._newest
        if self._holes:
            top = min(top, self._holes[0][0] - 1)
        self.resume = max(self.resume, top)

    def _fills(self, offset: int) -> bool:
        for place, (first, last) in enumerate(self._holes):
            if first <= offset <= last:
                rest = [(first, offset - 1), (offset + 1, last)]
                self._holes[place : place + 1] = [(low, high) for low, high in rest if low <= high]
                return True
        return False
