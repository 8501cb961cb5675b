"""The clock that tests can move. Everything that stores or compares a moment asks here."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)  # noqa: E731 - replaced as a value in tests
_monotonic: Callable[[], float] = time.monotonic
_shift = dt.timedelta()


def now() -> dt.datetime:
    """Return the present moment, aware, in UTC."""
    return _now()


def monotonic() -> float:
    """Return seconds of a clock that never goes back; for durations and limits."""
    return _monotonic()


def shift() -> dt.timedelta:
    """Return by how much ``moved`` has moved the clocks: for moments that come from elsewhere."""
    return _shift


def to_wire(moment: dt.datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with milliseconds and ``Z``: the form of every time on the wire."""
    if moment.tzinfo is not dt.UTC:
        moment = moment.astimezone(dt.UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


@contextmanager
def moved(seconds: float) -> Iterator[None]:
    """Move both clocks by ``seconds`` for the length of the block. For tests."""
    global _now, _monotonic, _shift  # noqa: PLW0603 - the clock is one a process
    before_now, before_monotonic, before_shift = _now, _monotonic, _shift
    _shift = before_shift + dt.timedelta(seconds=seconds)
    _now = lambda: before_now() + dt.timedelta(seconds=seconds)  # noqa: E731
    _monotonic = lambda: before_monotonic() + seconds  # noqa: E731
    try:
        yield
    finally:
        _now, _monotonic, _shift = before_now, before_monotonic, before_shift
