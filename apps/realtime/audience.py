"""Whether anybody but this process listens to a room: what nobody else hears need not travel.

Redis says how many heard a message. Where that was this process alone, the next ones stay here for a second, or until
somebody asks for the room's texts, as every process does that opens it. Whoever came in between is told how far the
log has grown. So a mistake costs a second at most, of news that is never stored: the log is read by position anyway.
"""

from __future__ import annotations

from typing import Final

from apps.core import clock

PROBE_S: Final = 1.0
"""How long an answer holds."""
MOST: Final = 1_000
"""Rooms that are remembered before those of which nothing is known any more are forgotten."""


class _Look:
    __slots__ = ("at", "count", "echoed", "listening", "number", "top", "until")

    def __init__(self) -> None:
        self.number = 0
        """Of the message whose hearers are being counted; 0: of none."""
        self.at = self.until = 0.0
        self.listening = self.echoed = False
        self.count: int | None = None
        self.top = 0


class Audience:
    """See the module. For one event loop."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}
        self._number = 0

    def alone(self, guid: str) -> bool:
        """Tell whether nobody else hears what is said in this room now."""
        look = self._looks.get(guid)
        return look is not None and clock.monotonic() < look.until

    def kept(self, guid: str, seq: int) -> None:
        """Remember that the event ``seq`` was not told, because nobody else was there."""
        self._looks[guid].top = seq

    def said(self, guid: str, *, listening: bool) -> int:
        """Return a number for a message on its way; 0 when another one's hearers are being counted.

        ``listening``: whether this process hears the room itself, and will be counted.
        """
        look = self._looks.get(guid)
        if look is None:
            self._forget_old()
            look = self._looks[guid] = _Look()
        now = clock.monotonic()
        if look.number and now - look.at < PROBE_S:
            return 0
        self._number += 1
        look.number, look.at, look.listening = self._number, now, listening
        look.count, look.echoed = None, False
        return look.number

    def counted(self, guid: str, number: int, count: int) -> None:
        """Learn how many heard the message ``number``."""
        look = self._looks.get(guid)
        if look is not None and look.number == number:
            look.count = count
            self._conclude(look)

    def echoed(self, guid: str, number: int) -> None:
        """Learn that this process heard it: that it is the one which was counted."""
        look = self._looks.get(guid)
        if look is not None and look.number == number:
            look.echoed = True
            self._conclude(look)

    def came(self, guid: str) -> int:
        """Somebody else is there. Return the last event that was not told, or 0."""
        look = self._looks.pop(guid, None)
        return look.top if look is not None else 0

    def _conclude(self, look: _Look) -> None:
        if look.count is None:
            return
        if look.count != int(look.listening):
            look.number = 0
        elif look.echoed or not look.listening:
            look.number, look.until = 0, look.at + PROBE_S

    def _forget_old(self) -> None:
        if len(self._looks) >= MOST:
            now = clock.monotonic()
            self._looks = {guid: look for guid, look in self._looks.items() if now < look.until}
