"""The way out of one connection: bounded, ordered, batched, and never waited for by who puts something in.

Knows how to send text through a function; knows neither rooms nor Django. Another outlet (one that writes straight to
the server's transport) only has to keep the same promises.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from apps.realtime import metrics
from apps.realtime.frames import Frame
from apps.realtime.protocol import batch

logger = logging.getLogger(__name__)

BATCH_FRAMES: Final = 64  # envelopes in one outgoing frame
BATCH_BYTES: Final = 262_144
CLOSE_PATIENCE: Final = 2.0  # seconds until a close overtakes what a stuck reader has not taken


class Outlet(abc.ABC):
    """Where frames for one connection go.

    Promises: frames leave in the order in which they were put; durable ones are never dropped; pending pieces of one
    key merge; ``waiting`` never exceeds the limit except by frames put as ``exempt``; ``put`` never blocks and never
    raises.
    """

    @property
    @abc.abstractmethod
    def waiting(self) -> int:
        """Bytes that were put and not yet handed to the server, without exempt ones."""

    @abc.abstractmethod
    def put(self, frame: Frame) -> None:
        """Send ``frame`` after everything before it; over the limit the connection is given up as too slow."""

    def put_all(self, frames: list[Frame]) -> None:
        """Send frames that came together; an outlet that can writes them at once."""
        for frame in frames:
            self.put(frame)

    @abc.abstractmethod
    def put_exempt(self, frames: Iterable[Frame]) -> None:
        """Send frames that do not count: the answer to a join, which its own bounds limit."""

    @abc.abstractmethod
    async def drained(self) -> None:
        """Return when nothing waits: before the next exempt load is put."""

    @abc.abstractmethod
    async def close(self, code: int, last: Frame | None = None) -> None:
        """Send what waits, then ``last``, then the close; a stuck reader gets the close alone."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Forget everything: the connection is gone."""


Send = Callable[[Any], Awaitable[None]]


class QueueOutlet(Outlet):
    """An outlet in front of an ASGI ``send``: a queue and one task that empties it.

    Several waiting envelopes leave as one JSON array. ``on_overflow`` is called once, from ``put``.
    """

    def __init__(self, send: Send, *, limit: int, on_overflow: Callable[[], None]) -> None:
        self._send = send
        self._limit = limit
        self._on_overflow = on_overflow
        self._queue: deque[list[Frame]] = deque()  # cells, so that a pending frame can be replaced in its place
        self._pending: dict[tuple[str, str], list[Frame]] = {}
        self._exempt: set[int] = set()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._task = asyncio.create_task(self._write(), name="outlet")

    @property
    def waiting(self) -> int:
        """Bytes that wait, without exempt ones."""
        return self._waiting

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, nothing is being handed over, and no close has begun."""
        return not self._queue and not self._closed and self._idle.is_set()

    def put(self, frame: Frame) -> None:
        """See ``Outlet``."""
        if self._closed or self._merged(frame):
            return
        if self._waiting + frame.size > self._limit:
            self._overflow()
            return
        self._waiting += frame.size
        self._append(frame)

    def put_exempt(self, frames: Iterable[Frame]) -> None:
        """See ``Outlet``."""
        if self._closed:
            return
        for frame in frames:
            self._append(frame, exempt=True)

    def _append(self, frame: Frame, *, exempt: bool = False) -> None:
        cell = [frame]
        if exempt:
            self._exempt.add(id(cell))
        elif frame.piece is not None:
            self._pending[frame.guid, frame.piece.key] = cell
        if frame.piece is None and self._pending:
            # What merges must not move across a durable event.
            self._pending.clear()
        self._queue.append(cell)
        self._idle.clear()
        self._wake.set()

    def _merged(self, frame: Frame) -> bool:
        if frame.piece is None:
            return False
        cell = self._pending.get((frame.guid, frame.piece.key))
        one = cell[0].merged(frame) if cell else None
        if cell is None or one is None:
            return False
        grown = one.size - cell[0].size
        if self._waiting + grown > self._limit:
            self._overflow()
            return True
        self._waiting += grown
        cell[0] = one
        metrics.COALESCED.inc()
        return True

    def _overflow(self) -> None:
        self._closed = True
        self._queue.clear()
        self._pending.clear()
        self._idle.set()
        self._on_overflow()

    async def drained(self) -> None:
        """See ``Outlet``."""
        await self._idle.wait()

    async def _write(self) -> None:
        while True:
            if not self._queue:
                self._idle.set()
                if self._closed:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            text, size = self._next()
            try:
                await self._send({"type": "websocket.send", "text": text})
            except Exception as error:  # noqa: BLE001 - whatever a server raises for a peer that is gone
                logger.debug("a connection does not take frames any more: %s", error)
                self._closed = True
                self._queue.clear()
                self._idle.set()
            self._waiting = max(0, self._waiting - size)

    def _next(self) -> tuple[str, int]:
        """Take the next frame or batch; return it and how many counted bytes it holds."""
        texts: list[str] = []
        total = counted = 0
        while self._queue and len(texts) < BATCH_FRAMES:
            cell = self._queue[0]
            frame = cell[0]
            if texts and total + frame.size > BATCH_BYTES:
                break
            self._queue.popleft()
            if self._exempt and id(cell) in self._exempt:
                self._exempt.discard(id(cell))
            else:
                counted += frame.size
                if frame.piece is not None and self._pending.get((frame.guid, frame.piece.key)) is cell:
                    del self._pending[frame.guid, frame.piece.key]
            total += frame.size
            texts.append(frame.text)
        metrics.note_out(1, len(texts), total)
        return (texts[0] if len(texts) == 1 else batch(texts)), counted

    async def close(self, code: int, last: Frame | None = None) -> None:
        """See ``Outlet``."""
        if not self._closed:
            if last is not None:
                self._append(last, exempt=True)
            self._closed = True
            self._wake.set()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(asyncio.shield(self._task), CLOSE_PATIENCE)
        self.stop()
        with contextlib.suppress(Exception):
            # A plain int: Autobahn refuses subclasses.
            await self._send({"type": "websocket.close", "code": int(code)})

    def stop(self) -> None:
        """See ``Outlet``."""
        self._closed = True
        self._queue.clear()
        self._pending.clear()
        self._exempt.clear()
        self._waiting = 0
        self._idle.set()
        self._task.cancel()
