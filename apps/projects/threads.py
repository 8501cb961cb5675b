"""Threads for work that blocks, the last one used first: its connection to the database and its memory are warm.

Why not ``ThreadPoolExecutor``: its threads wait in one queue, so that they take turns however little there is to do,
and each job wakes a second one for nothing.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")

_Job = Callable[[], Callable[[], None]]
"""Work that is carried out by the call; what it returns tells whoever asked."""


class Threads:
    """At most ``most`` threads, made as they are needed. ``farewell`` runs in each of them before it ends."""

    def __init__(self, most: int, *, name: str, farewell: Callable[[], Any]) -> None:
        self._most, self._name, self._farewell = most, name, farewell
        self._lock = threading.Lock()
        self._all: list[_Thread] = []
        self._idle: list[_Thread] = []
        self._waiting: deque[_Job] = deque()
        self._closed = False

    def run(self, call: Callable[[], R]) -> asyncio.Future[R]:
        """Run ``call`` in a thread. Return, at once, what ends with its outcome in the loop that asks.

        Work whose future is cancelled before a thread takes it is not begun. Raises ``RuntimeError`` after ``close``.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._give(functools.partial(_carry_out, call, future, loop))
        return future

    def _give(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("these threads are closed")
            if self._idle:
                self._idle.pop().go_on(job)
            elif len(self._all) < self._most:
                thread = _Thread(self, job, f"{self._name}_{len(self._all)}")
                self._all.append(thread)
                thread.start()
            else:
                self._waiting.append(job)

    def next_for(self, thread: _Thread) -> _Job | None:
        """Return the job that has waited longest; without one count the thread as idle."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._closed:
                thread.go_on(None)
            else:
                self._idle.append(thread)
            return None

    def close(self) -> None:
        """Carry out what was asked for, then end every thread. Blocks until they have ended. May be called again."""
        with self._lock:
            self._closed = True
            for thread in self._idle:
                thread.go_on(None)
            self._idle.clear()
        for thread in self._all:
            thread.join()

    def bid_farewell(self) -> None:
        """Do what ends a thread."""
        self._farewell()


class _Thread(threading.Thread):
    """One of them. A daemon: the interpreter must not wait for it before those are asked who would close it."""

    def __init__(self, owner: Threads, job: _Job, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._owner = owner
        self._job: _Job | None = job
        self._gate = threading.Lock()
        self._gate.acquire()

    def go_on(self, job: _Job | None) -> None:
        """Wake it, for a job or for its end. Only while it is idle."""
        self._job = job
        self._gate.release()

    def run(self) -> None:
        job, self._job = self._job, None
        while job is not None:
            tell = job()
            job = self._owner.next_for(self)
            tell()  # when it is idle already: the answer may be followed by a question at once
            del tell
            if job is None:
                self._gate.acquire()
                job, self._job = self._job, None
        self._owner.bid_farewell()


def _carry_out(call: Callable[[], R], future: asyncio.Future[R], loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    if future.cancelled():
        return _nothing
    try:
        return functools.partial(_tell, loop, _end, future, call())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
        return functools.partial(_tell, loop, _fail, future, error)
    finally:
        del future  # else an error would hold, by its traceback, the future that holds the error


def _nothing() -> None:
    """Tell nobody."""


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(how, *args)
    except RuntimeError:  # the loop was closed: nobody waits any more
        if not loop.is_closed():
            raise


def _end(future: asyncio.Future[R], result: R) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # a future does not take it
        problem = RuntimeError("the work raised StopIteration")
        problem.__cause__ = error
        error = problem
    future.set_exception(error)
