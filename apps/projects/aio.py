"""From async code into services: one bounded pool of threads of our own for all database work.

Why not ``database_sync_to_async``: it runs everything on one shared thread, so that one slow query stalls every socket
(measured: an echo waited 1.4 s behind another consumer's query).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

P = ParamSpec("P")
R = TypeVar("R")

_pool: ThreadPoolExecutor | None = None


def database_pool() -> ThreadPoolExecutor:
    """Return this process's pool (``AUTOCODE_DB_THREADS`` threads), made at the first call."""
    global _pool  # noqa: PLW0603 - one pool a process
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=settings.AUTOCODE_DB_THREADS, thread_name_prefix="db")
    return _pool


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run ``function`` in the database pool and return what it returns, or raise what it raises.

    Context variables are carried over. Connections that became unusable or too old are closed before and after, so a
    restarted database costs one failed call at most; pooled connections go back to their pool.
    """
    context = contextvars.copy_context()
    call = functools.partial(context.run, _guarded, functools.partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(database_pool(), call)


def _guarded(call: Callable[[], R]) -> R:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()


def shut_down() -> None:
    """Let the running calls finish and close the pool's connections. Called once, when the process ends."""
    global _pool
    pool, _pool = _pool, None
    if pool is not None:
        for _ in range(settings.AUTOCODE_DB_THREADS):
            pool.submit(connections.close_all)
        pool.shutdown(wait=True)
