"""How fast the small pauses pass, so that a room is lively to watch and tests are quick. Knows only time."""

from __future__ import annotations

import asyncio
import re

WORD_S = 0.085
"""Seconds between two pieces of streamed text at speed 1: about the rate of a model that a person can still follow."""

_PIECES = re.compile(r"\s*\S+\s{0,2}|\s+")


class Pace:
    """The scale of all pauses: ``speed`` 2 halves them."""

    def __init__(self, speed: float) -> None:
        self._scale = 1 / max(speed, 0.01)

    async def pause(self, seconds: float) -> None:
        """Wait ``seconds`` of story time."""
        await asyncio.sleep(seconds * self._scale)

    def scaled(self, seconds: float) -> float:
        """Return how long ``seconds`` of story time really last, for timeouts; at least 50 ms."""
        return max(seconds * self._scale, 0.05)


def pieces(text: str) -> list[str]:
    """Cut ``text`` into pieces of about a word; joined they are ``text`` again."""
    return _PIECES.findall(text)
