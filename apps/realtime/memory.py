"""Memory that a crowd or a slow reader needed goes back to the machine when they have gone.

The C library keeps what lies between blocks that are still in use: a process would stay as large as it ever was.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Final

CROWD: Final = 100
"""Connections whose end is worth it at all."""


class Thrift:
    """Says when memory should be given back: seldom, because the heap is locked for some milliseconds."""

    def __init__(self) -> None:
        self._ended = 0
        self._slow = False

    def ended(self) -> None:
        """A connection ended."""
        self._ended += 1

    def cut(self) -> None:
        """A connection that read too slowly is gone: what waited for it is free."""
        self._slow = True

    def due(self, left: int) -> bool:
        """Tell, once, whether somebody slow was cut or as many connections have ended as are ``left``."""
        due = self._slow or self._ended >= max(CROWD, left)
        if due:
            self._slow, self._ended = False, 0
        return due


def give_back() -> bool:
    """Return free memory to the system; tell whether there was any. Takes milliseconds, without the interpreter's lock.

    Does nothing where the C library has no ``malloc_trim`` (glibc's manual, "malloc_trim": whole free pages anywhere in
    the heap, since 2.8).
    """
    trim = _trim()
    return trim is not None and bool(trim(0))


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    return found
