"""Keeping one's place in the agents-server's numbered messages. Pure."""

from __future__ import annotations


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

    def received(self, offset: int) -> str | None:
        """Note that ``offset`` came; return what is missing before it, in words, or None."""
        gap = None
        if offset > self._newest:
            expected = max(self._newest, self._highest) + 1
            if offset > expected:
                gap = f"messages {expected}-{offset - 1} of the agents-server never came"
            self._newest = offset
        if offset > self.resume:
            self._open.add(offset)
        return gap

    def kept(self, offset: int) -> None:
        """Note that ``offset`` was committed (or refused for good)."""
        self._open.discard(offset)
        self.resume = max(self.resume, min(self._open) - 1 if self._open else self._newest)
