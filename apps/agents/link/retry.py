"""How long to wait before the next try. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Full jitter: a random time below a bound that doubles with each failure, from ``first`` to ``longest`` seconds.

    Each pause is at least a tenth of its bound, so that a server that accepts and closes is not hammered.
    """

    def __init__(self, first: float, longest: float, draw: Callable[[], float] = random.random) -> None:
        self._first, self._longest, self._draw = first, longest, draw
        self.failures = 0

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        bound = min(self._longest, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        drawn: float = self._draw()
        return bound * (0.1 + 0.9 * drawn)

    def reset(self) -> None:
        """It worked."""
        self.failures = 0
