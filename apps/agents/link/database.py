"""From the link's loop into the database: nothing half known, and patience while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError

from apps.agents.link.retry import Backoff
from apps.projects.aio import in_thread

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

PAUSE_S = (0.1, 5.0)
"""The first and the longest pause between two tries."""


async def finish(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run ``function`` in the database pool; a cancellation waits for its end, so that nothing is half known."""
    work = asyncio.ensure_future(in_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # seen: it belongs to a session that is over
        raise


async def patiently(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Like ``finish``, and again for as long as the database is away. Raises what is no database error."""
    pause = Backoff(*PAUSE_S)
    while True:
        try:
            return await finish(function, *args, **kwargs)
        except (DatabaseError, InterfaceError) as error:
            if pause.failures % 10 == 0:
                logger.warning("the agents link waits for the database: %s", error)
        await asyncio.sleep(pause.next())
