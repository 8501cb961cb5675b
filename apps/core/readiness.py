"""Whether this process should get new work: what is registered here must answer, and nobody may have said "draining".

Each part that a process needs registers a check; ``/readyz`` asks them all. Knows asyncio; knows neither what is
checked nor HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[None]]
"""Returns when the part answers and raises when it does not. Its exception is logged, never shown."""

PATIENCE_S = 3.0
"""Seconds that a part has for its answer: below the usual timeout of a load balancer's probe (5 s)."""

logger = logging.getLogger(__name__)
_checks: dict[str, Check] = {}
_draining = False


def register(name: str, check: Check) -> None:
    """Make ``check`` part of readiness under ``name`` (as shown in the answer); the same name again replaces it."""
    _checks[name] = check


def set_draining(draining: bool = True) -> None:  # noqa: FBT001, FBT002 - reads as what it says
    """Say that this process takes nobody new (or, in tests, that it does again)."""
    global _draining  # noqa: PLW0603 - one state a process
    _draining = draining


def is_draining() -> bool:
    """Tell whether this process is on its way out."""
    return _draining


async def report(*, patience: float = PATIENCE_S) -> dict[str, str]:
    """Ask every registered part at once; return ``ok``, ``failed`` or (after ``patience`` s) ``slow`` for each."""
    names = list(_checks)
    return dict(zip(names, await asyncio.gather(*(_ask(name, patience) for name in names)), strict=True))


async def _ask(name: str, patience: float) -> str:
    try:
        await asyncio.wait_for(_checks[name](), timeout=patience)
    except TimeoutError:
        logger.warning("readiness: %s did not answer within %s s", name, patience)
        return "slow"
    except Exception as error:  # noqa: BLE001 - whatever it is, the part is not ready
        logger.warning("readiness: %s failed: %s: %s", name, type(error).__name__, error)
        return "failed"
    return "ok"
