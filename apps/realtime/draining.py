"""Whether this process is about to end. The state itself is the process's readiness, which /readyz shows."""

from __future__ import annotations

from apps.core import readiness


def is_draining() -> bool:
    """Tell whether the process refuses new connections."""
    return readiness.is_draining()


def begin() -> None:
    """From now on refuse new connections."""
    readiness.set_draining(True)


def end() -> None:
    """Take new ones again. For tests: a process drains once."""
    readiness.set_draining(False)
