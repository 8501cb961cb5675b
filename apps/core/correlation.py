"""The id that follows one action through logs, log rows, outbox and agents."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager

_correlation: contextvars.ContextVar[str] = contextvars.ContextVar("correlation_id", default="")


def current_correlation_id() -> str:
    """Return the id of the action in progress, or ``""`` outside one."""
    return _correlation.get()


@contextmanager
def correlated(correlation_id: str) -> Iterator[None]:
    """Run the block as part of the action ``correlation_id``."""
    token = _correlation.set(correlation_id)
    try:
        yield
    finally:
        _correlation.reset(token)
