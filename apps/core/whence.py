"""Where a deed comes from: the address and the program at the other end, for the audit trail. Pure."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from apps.core.actor import Actor


def _nobody() -> Actor | None:
    return None


@dataclass(frozen=True, slots=True)
class Whence:
    """``address`` of the peer; ``client``: what it calls itself, perhaps a lie; ``actor`` tells who is logged in."""

    address: str = ""
    client: str = ""
    actor: Callable[[], Actor | None] = _nobody


NOWHERE: Final = Whence()

_whence: contextvars.ContextVar[Whence] = contextvars.ContextVar("whence", default=NOWHERE)


def whence() -> Whence:
    """Return where the deed in progress comes from; all empty for the system's own."""
    return _whence.get()


@contextmanager
def coming_from(place: Whence) -> Iterator[None]:
    """Run the block as a deed from ``place``."""
    token = _whence.set(place)
    try:
        yield
    finally:
        _whence.reset(token)
