"""``manage.py serve --workers N``: a parent that opens the sockets once and keeps N server processes on them.

The parent serves nothing. Each worker is a whole ``manage.py serve`` on the inherited sockets, tied to the parent by a
socket pair: a byte says that it is up, the end of one side tells the other that it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

logger = logging.getLogger(__name__)

SOON_S: Final = 10.0  # a worker that ends earlier is a failure to start
PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # before the next try, by failures in a row
ATTEMPTS: Final = 3  # in a row, of a worker, while none has ever been up
WELL: Final = (0, -int(signal.SIGTERM))  # the second: it was told to end before it had begun

Command = Callable[[int, Sequence[int]], list[str]]
"""Returns a worker's command line from the descriptors of its end of the socket pair and of its listening sockets."""


class Worker:
    """One server process."""

    def __init__(self, number: int, command: Command, sockets: Sequence[socket.socket]) -> None:
        self.number = number
        self.retired = False
        """It may end: nobody takes its place."""
        self.began = time.monotonic()
        self._ours, theirs = socket.socketpair()
        with theirs:
            shared = [listening.fileno() for listening in sockets]
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                command(theirs.fileno(), shared),
                pass_fds=[theirs.fileno(), *shared],
                start_new_session=True,  # Ctrl-C is for the parent, which tells the workers once
            )
        self.up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether it came up, once that is known."""
        self.gone = asyncio.Event()

    async def ended(self) -> int:
        """Follow its life; return its exit code, once there is one."""
        reader, writer = await asyncio.open_connection(sock=self._ours)
        with contextlib.suppress(ConnectionError):
            self.up.set_result(await reader.read(1) != b"")
            await reader.read()
        if not self.up.done():
            self.up.set_result(False)
        writer.close()
        code = await asyncio.to_thread(self.process.wait)
        self.gone.set()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still lives."""
        self.process.send_signal(number)


class Workers:
    """See the module."""

    def __init__(
        self, command: Command, sockets: Sequence[socket.socket], own: Sequence[Sequence[socket.socket]]
    ) -> None:
        """Keep a worker for each item of ``own``: on the sockets that all share, and on those that are its own."""
        self._command, self._sockets, self._own = command, sockets, own
        self._current: dict[int, Worker] = {}
        self._alive: set[Worker] = set()
        self._failures: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._ever_up = False
        self._rolling = False
        self._code = 0

    async def run(self) -> int:
        """Serve until a signal comes; return the exit code.

        SIGTERM and SIGINT drain all workers, a second one kills them; SIGHUP replaces them one after the other.
        """
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._roll()))
        for number in range(len(self._own)):
            self._begin(number)
        while self._tasks:
            await asyncio.wait(self._tasks)
        return self._code

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin(self, number: int) -> Worker:
        worker = self._current[number] = Worker(number, self._command, [*self._sockets, *self._own[number]])
        self._alive.add(worker)
        self._spawn(self._watch(worker))
        self._spawn(self._greet(worker))
        return worker

    async def _greet(self, worker: Worker) -> None:
        if await asyncio.shield(worker.up):
            self._ever_up = True
            logger.info("worker %d is up (process %d)", worker.number, worker.process.pid)

    async def _watch(self, worker: Worker) -> None:
        """Wait for a worker's end, and see to what follows."""
        code = await worker.ended()
        self._alive.discard(worker)
        if self._stopping.is_set() or worker.retired:
            self._code = self._code or int(code not in WELL)
            return
        soon = time.monotonic() - worker.began < SOON_S
        failures = self._failures[worker.number] = self._failures.get(worker.number, 0) + 1 if soon else 0
        if not self._ever_up and failures >= ATTEMPTS:
            logger.critical("no worker comes up; the last exit code was %d", code)
            self._code = 1
            self._stop()
            return
        pause = PAUSES_S[min(failures, len(PAUSES_S)) - 1] if soon else 0.0
        logger.error("worker %d ended (exit code %d); another one begins in %g s", worker.number, code, pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause)
        if not self._stopping.is_set() and self._current[worker.number] is worker:  # else it was replaced meanwhile
            self._begin(worker.number)

    def _stop(self) -> None:
        if self._stopping.is_set():
            logger.warning("told twice to end: the workers are killed")
            for worker in self._alive:
                worker.send(signal.SIGKILL)
            return
        logger.info("the workers drain")
        self._stopping.set()
        for listening in (*self._sockets, *itertools.chain(*self._own)):
            listening.close()  # the last open end of it is a worker's, which closes it as it drains
        for worker in self._alive:
            worker.send(signal.SIGTERM)

    async def _roll(self) -> None:
        """Replace the workers one after the other: the next is up before one drains. The first failure ends it."""
        if self._rolling:
            return
        self._rolling = True
        try:
            for number in range(len(self._own)):
                # Looked up when its turn comes: one that died meanwhile has a successor, which is the one to replace.
                if self._stopping.is_set() or not await self._replace(number, self._current[number]):
                    return
        finally:
            self._rolling = False

    async def _replace(self, number: int, old: Worker) -> bool:
        old.retired = True
        new = self._begin(number)
        new.retired = True  # until it is up, the old one is the one that counts
        if not await asyncio.shield(new.up):
            logger.error("worker %d could not be replaced; the old ones go on", number)
            old.retired, self._current[number] = False, old
            if old.gone.is_set() and not self._stopping.is_set():
                self._begin(number)
            return False
        new.retired = False
        old.send(signal.SIGTERM)
        await old.gone.wait()
        return True


def tell_parent(descriptor: int) -> None:
    """Say, in a worker, that it is up, and end it well when the parent is gone."""
    link = socket.socket(fileno=descriptor)
    link.setblocking(False)
    link.send(b"1")

    def heard() -> None:
        loop.remove_reader(link)
        link.close()
        os.kill(os.getpid(), signal.SIGTERM)

    loop = asyncio.get_running_loop()
    loop.add_reader(link, heard)
