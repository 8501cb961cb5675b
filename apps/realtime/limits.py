"""Token buckets and strike counters. Pure: the caller brings the time, in seconds of a clock that never goes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class TokenBucket:
    """Lets ``burst`` through at once and ``rate`` a second in the long run."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> int:
        """Take one token; return 0, or after how many milliseconds there will be one."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0
        return max(1, round((1.0 - self._tokens) / self._rate * 1000))

    def is_full(self, now: float) -> bool:
        """Tell whether nothing was taken lately; such a bucket may be forgotten."""
        return self._tokens + max(0.0, now - self._at) * self._rate >= self._burst


class Strikes:
    """Counts what happened within the last ``window`` seconds; more than ``allowed`` is too many."""

    __slots__ = ("_allowed", "_times", "_window")

    def __init__(self, allowed: int, window: float) -> None:
        self._allowed = allowed
        self._window = window
        self._times: deque[float] | None = None  # hardly any connection gets one

    def add(self, now: float) -> bool:
        """Note one more; return True when there are too many."""
        times = self._times
        if times is None:
            times = self._times = deque()
        times.append(now)
        while now - times[0] > self._window:
            times.popleft()
        return len(times) > self._allowed


class Buckets:
    """Token buckets by key, forgotten when full: the memory of this process."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float], forget_above: int = 10_000) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._forget_above = forget_above
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, key: str) -> int:
        """Take one token of ``key``; return 0, or after how many milliseconds there will be one."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._forget_above:
                self._buckets = {name: kept for name, kept in self._buckets.items() if not kept.is_full(now)}
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
        return bucket.take(now)
