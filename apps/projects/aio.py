"""From async code into services: one bounded pool of threads of our own for all database work.

Why not ``database_sync_to_async``: it runs everything on one shared thread, so that one slow query stalls every socket
(measured: an echo waited 1.4 s behind another consumer's query).
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, Generic, ParamSpec, TypeVar

from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError, close_old_connections, connections

from apps.projects.threads import Threads

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

TOGETHER: Final = 200
"""Keys of one gathered read: large enough for a crowd, small enough that the first of them does not wait long."""

_NOT_NOW: Final = {"25006", "25P03", "25P04"}
"""What PostgreSQL files under internal errors though it passes: read-only just now, too long a transaction."""

_threads: Threads | None = None
_afterwards: contextvars.ContextVar[list[Callable[[], None]] | None] = contextvars.ContextVar(
    "afterwards", default=None
)


def _database_threads() -> Threads:
    """Return this process's (``AUTOCODE_DB_THREADS`` at most), made at the first call."""
    global _threads  # noqa: PLW0603 - one pool a process
    if _threads is None:
        _threads = Threads(settings.AUTOCODE_DB_THREADS, name="db", farewell=connections.close_all)
        atexit.register(_threads.close)
    return _threads


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run ``function`` in the database pool and return what it returns, or raise what it raises.

    Context variables are carried over. Connections that became unusable or too old are closed afterwards, so a
    restarted database costs one failed call at most; pooled connections go back to their pool.
    """
    context = contextvars.copy_context()
    waiting: list[Callable[[], None]] = []
    context.run(_afterwards.set, waiting)
    call = functools.partial(context.run, _guarded, functools.partial(function, *args, **kwargs))
    try:
        return await _database_threads().run(call)
    finally:
        for work in waiting:
            work()


def afterwards(work: Callable[[], None]) -> bool:
    """Within ``in_thread``: do ``work`` in the event loop when the thread has done its own; elsewhere return False.

    Waking the loop costs two system calls, and the end of the thread's work wakes it anyway. For hints alone: when the
    caller of ``in_thread`` is cancelled, ``work`` may be lost.
    """
    waiting = _afterwards.get()
    if waiting is None:
        return False
    waiting.append(work)
    return True


def not_now(error: BaseException) -> bool:
    """Tell whether the database could not do what it was asked, whatever it was: away, full, locked, read-only.

    Nothing was committed that was not acknowledged, and the same may work in a moment.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return isinstance(error, InternalError) and getattr(error.__cause__, "sqlstate", None) in _NOT_NOW


def log_failure(logger: logging.Logger, error: BaseException, what: str, *args: object) -> None:
    """Log that ``what`` (a message with its arguments) failed: with a traceback, unless the database is the reason."""
    if not_now(error):
        logger.warning(f"{what}: %s", *args, str(error).strip())  # noqa: G004 - a message is put together, no value
    else:
        logger.error(what, *args, exc_info=error)


def _guarded(call: Callable[[], R]) -> R:
    try:
        return call()
    finally:
        close_old_connections()


class Gathered(Generic[K, V]):
    """A read that callers share: those who ask while one is on its way are answered together by the next.

    So each read begins after everybody whom it answers has asked, and a crowd costs a few queries and thread hops.
    ``load`` runs in the database pool; it returns a value or an exception for each key. For one event loop.
    """

    def __init__(self, load: Callable[[Sequence[K]], Mapping[K, V | Exception] | Mapping[K, V]]) -> None:
        self._load = load
        self._asked: dict[K, asyncio.Future[V]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V:
        """Return the value of ``key``, or raise what ``load`` has for it or raises."""
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read(), name="gathered")
        # Shielded: one who gives up must not take the others down.
        return await asyncio.shield(answer)

    async def _read(self) -> None:
        while self._asked:
            keys = list(self._asked)[:TOGETHER]
            asked = {key: self._asked.pop(key) for key in keys}
            try:
                found: Mapping[K, V | Exception] | Mapping[K, V] = await in_thread(self._load, keys)
            except Exception as error:  # noqa: BLE001 - the callers' to handle, each of them
                found = dict.fromkeys(keys, error)
            for key, answer in asked.items():
                value = found[key]
                if isinstance(value, Exception):
                    answer.set_exception(value)
                    answer.exception()  # looked at: its caller may be gone
                else:
                    answer.set_result(value)
        self._reading = None


def shut_down() -> None:
    """Let the running calls finish and close the pool's connections. Called once, when the process ends."""
    global _threads
    threads, _threads = _threads, None
    if threads is not None:
        atexit.unregister(threads.close)
        threads.close()
