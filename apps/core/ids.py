"""Identifiers: UUIDv7 for rows and messages (sortable by time, safe to make anywhere)."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
import time
import uuid

KEY_PATTERN = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""What an id on the wire may look like (protocol page, section 1)."""

_lock = threading.Lock()
_last_ms = 0
_counter = 0
_random = b""
_used = 0

_POOL = 4_096
"""Bytes of randomness that are asked for at once: asking costs more than making an id."""


def _take(count: int) -> int:
    """Return ``count`` random bytes as a number. Each byte is given once; ``_lock`` is held."""
    global _random, _used  # noqa: PLW0603 - one pool a process
    if _used + count > len(_random):
        _random, _used = os.urandom(_POOL), 0
    _used += count
    return int.from_bytes(_random[_used - count : _used], "big")


def _forget() -> None:
    """Leave the pool to the parent: a child would make the same ids."""
    global _random  # noqa: PLW0603
    _random = b""


os.register_at_fork(after_in_child=_forget)


def uuid7() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7), strictly increasing within this process.

    The 12 bits of ``rand_a`` are a counter within the millisecond (method 1 of section 6.2), so that two
    ids made one after the other sort in that order; when it is used up the clock is moved on by 1 ms.
    """
    global _last_ms, _counter  # noqa: PLW0603 - one counter a process is what the method asks for
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _counter = now_ms, _take(1)
        else:
            _counter += 1
            if _counter > 0xFFF:
                _last_ms, _counter = _last_ms + 1, 0
        stamp, counter = _last_ms, _counter
        tail = _take(8) & ((1 << 62) - 1)
    return uuid.UUID(int=(stamp << 80) | (0x7 << 76) | (counter << 64) | (0b10 << 62) | tail)


def first_at(moment: dt.datetime) -> uuid.UUID:
    """Return the lowest UUIDv7 of ``moment``'s millisecond: ids that are less were made before it."""
    return uuid.UUID(int=(int(moment.timestamp() * 1000) << 80) | (0x7 << 76) | (0b10 << 62))


def new_id() -> str:
    """Return a fresh UUIDv7 as text, for ids on the wire."""
    return str(uuid7())


def is_key(value: str) -> bool:
    """Tell whether ``value`` may be an id on the wire: 1-64 of ``[A-Za-z0-9._:-]``."""
    return KEY_PATTERN.fullmatch(value) is not None
