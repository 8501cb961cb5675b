"""What is published: text of an exact length that carries its number and the moment it was sent.

The stamp is letters and digits only, so it survives JSON, Markdown and HTML as it is, and can be found in a frame with
one search, whatever envelope a server puts around it.
"""

from __future__ import annotations

MARK = b"zQz"
TIME_DIGITS = 19
NUMBER_DIGITS = 8
STAMP = len(MARK) + TIME_DIGITS + NUMBER_DIGITS
"""Bytes of a stamp; no payload can be shorter."""


def make(number: int, at: int, size: int) -> str:
    """Return ``size`` bytes that carry ``number`` (below 10^8) and ``at`` (nanoseconds of the monotonic clock)."""
    stamp = f"{MARK.decode()}{at:019d}{number:08d}"
    return stamp + "x" * (size - len(stamp))


def read(data: bytes) -> list[tuple[int, int]]:
    """Return (number, at) of each stamp in ``data``, in order."""
    found = []
    at = data.find(MARK)
    while at >= 0:
        time_end = at + len(MARK) + TIME_DIGITS
        found.append((int(data[time_end : time_end + NUMBER_DIGITS]), int(data[at + len(MARK) : time_end])))
        at = data.find(MARK, at + STAMP)
    return found
