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
from apps.realtime.frames import Frame, Frames
from apps.realtime.protocol import batch

logger = logging.getLogger(__name__)

BATCH_FRAMES: Final = 64  # envelopes in one outgoing frame
BATCH_BYTES: Final = 65_536  # handed over at a time; what waits longer can still merge
CLOSE_PATIENCE: Final = 2.0  # seconds until a close overtakes what a stuck reader has not taken


class Outlet(abc.ABC):
    """Where frames for one connection go.

    Promises: frames leave in the order in which they were put; durable ones are never dropped; pending pieces of one
    key merge; ``waiting`` never exceeds the limit except by frames put as ``exempt``; ``put`` never blocks and never
    raises.
    """

    __slots__ = ()

    @property
    @abc.abstractmethod
    def waiting(self) -> int:
        """Bytes that were put and have not left, as far as the outlet can know it; without exempt ones."""

    @abc.abstractmethod
    def put(self, frame: Frame) -> None:
        """Send ``frame`` after everything before it; over the limit the connection is given up as too slow."""

    def put_all(self, frames: Frames) -> None:
        """Send frames that came together; an outlet that can writes them at once."""
        for frame in frames:
            self.put(frame)

    @abc.abstractmethod
    def put_exempt(self, frames: Iterable[Frame]) -> None:
        """Send frames that do not count: the answer to a join, which its own bounds limit."""

    @property
    @abc.abstractmethod
    def empty(self) -> bool:
        """Whether nothing waits, exempt or not."""

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


class Backlog:
    """What waits for one reader. Cells, so that a pending frame can be replaced in its place."""

    __slots__ = ("cells", "empty", "exempt", "pending", "waiting")

    def __init__(self) -> None:
        self.cells: deque[list[Frame]] = deque()
        self.pending: dict[tuple[str, str], list[Frame]] = {}
        self.exempt: set[int] = set()
        self.waiting = 0
        self.empty = asyncio.Event()

    def append(self, frame: Frame, *, exempt: bool = False) -> None:
        """Add a frame at the end."""
        cell = [frame]
        if exempt:
            self.exempt.add(id(cell))
        else:
            self.waiting += frame.size
            if frame.piece is not None:
                self.pending[frame.guid, frame.piece.key] = cell
        if frame.piece is None and self.pending:
            # What merges must not move across a durable event.
            self.pending.clear()
        self.cells.append(cell)

    def next(self) -> tuple[list[Frame], int]:
        """Take the frames that leave together next; return them and how many counted bytes they hold."""
        frames: list[Frame] = []
        total = counted = 0
        while self.cells and len(frames) < BATCH_FRAMES:
            cell = self.cells[0]
            frame = cell[0]
            if frames and total + frame.size > BATCH_BYTES:
                break
            self.cells.popleft()
            if self.exempt and id(cell) in self.exempt:
                self.exempt.discard(id(cell))
            else:
                counted += frame.size
                if frame.piece is not None and self.pending.get((frame.guid, frame.piece.key)) is cell:
                    del self.pending[frame.guid, frame.piece.key]
            total += frame.size
            frames.append(frame)
        return frames, counted

    def clear(self) -> None:
        """Forget everything, and let go who waits for the end."""
        self.cells.clear()
        self.pending.clear()
        self.exempt.clear()
        self.waiting = 0
        self.empty.set()


class ClosedOutlet(Outlet):
    """The outlet of connections that are gone: takes everything, keeps nothing. One for all of them."""

    __slots__ = ()

    waiting = 0
    empty = True

    def put(self, frame: Frame) -> None:
        """See ``Outlet``."""

    def put_exempt(self, frames: Iterable[Frame]) -> None:
        """See ``Outlet``."""

    async def drained(self) -> None:
        """See ``Outlet``."""

    async def close(self, code: int, last: Frame | None = None) -> None:
        """See ``Outlet``."""

    def stop(self) -> None:
        """See ``Outlet``."""


CLOSED: Final = ClosedOutlet()


class BoundedOutlet(Outlet):
    """What outlets have in common: a backlog that is there only while something waits.

    A subclass says how the backlog is emptied. ``on_overflow`` is called once, from ``put``.
    """

    __slots__ = ("_backlog", "_closed", "_limit", "_on_overflow", "_send")

    def __init__(self, send: Send, *, limit: int, on_overflow: Callable[[], None]) -> None:
        self._send = send
        self._limit = limit
        self._on_overflow = on_overflow
        self._backlog: Backlog | None = None
        self._closed = False

    @abc.abstractmethod
    def _begin(self, backlog: Backlog) -> None:
        """Begin to empty this backlog: the first frames are in it."""

    @property
    def waiting(self) -> int:
        """See ``Outlet``."""
        return self._backlog.waiting if self._backlog is not None else 0

    def put(self, frame: Frame) -> None:
        """See ``Outlet``."""
        if self._closed or self._merged(frame):
            return
        if self.waiting + frame.size > self._limit:
            self._overflow()
        elif self._backlog is not None:
            self._backlog.append(frame)
        else:
            self._start(frame)

    def put_exempt(self, frames: Iterable[Frame]) -> None:
        """See ``Outlet``."""
        if self._closed:
            return
        if self._backlog is None:
            self._start(*frames, exempt=True)
            return
        for frame in frames:
            self._backlog.append(frame, exempt=True)

    def _start(self, *frames: Frame, exempt: bool = False) -> None:
        backlog = self._backlog = Backlog()
        for frame in frames:
            backlog.append(frame, exempt=exempt)
        self._begin(backlog)

    def _merged(self, frame: Frame) -> bool:
        backlog = self._backlog
        if frame.piece is None or backlog is None:
            return False
        cell = backlog.pending.get((frame.guid, frame.piece.key))
        one = cell[0].merged(frame) if cell else None
        if cell is None or one is None:
            return False
        grown = one.size - cell[0].size
        if backlog.waiting + grown > self._limit:
            self._overflow()
            return True
        backlog.waiting += grown
        cell[0] = one
        metrics.COALESCED.inc()
        return True

    def _overflow(self) -> None:
        self._closed = True
        if self._backlog is not None:
            self._backlog.clear()
        self._on_overflow()

    @property
    def empty(self) -> bool:
        """See ``Outlet``."""
        return self._backlog is None

    async def drained(self) -> None:
        """See ``Outlet``."""
        if self._backlog is not None:
            await self._backlog.empty.wait()

    async def close(self, code: int, last: Frame | None = None) -> None:
        """See ``Outlet``."""
        if not self._closed:
            if last is not None:
                self.put_exempt([last])
            self._closed = True
            if self._backlog is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._backlog.empty.wait(), CLOSE_PATIENCE)
        self.stop()
        with contextlib.suppress(Exception):
            # A plain int: Autobahn refuses subclasses.
            await self._send({"type": "websocket.close", "code": int(code)})

    def stop(self) -> None:
        """See ``Outlet``."""
        self._closed = True
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            backlog.clear()


class QueueOutlet(BoundedOutlet):
    """An outlet in front of an ASGI ``send``. Several waiting envelopes leave as one JSON array."""

    __slots__ = ("_task",)

    def __init__(self, send: Send, *, limit: int, on_overflow: Callable[[], None]) -> None:
        super().__init__(send, limit=limit, on_overflow=on_overflow)
        self._task: asyncio.Task[None] | None = None

    def _begin(self, backlog: Backlog) -> None:
        self._task = asyncio.create_task(self._hand_over(backlog), name="outlet")

    async def _hand_over(self, backlog: Backlog) -> None:
        """Give the server what waits, until nothing does."""
        while backlog.cells:
            frames, counted = backlog.next()
            text = frames[0].text if len(frames) == 1 else batch([frame.text for frame in frames])
            metrics.note_out(1, len(frames), sum([frame.size for frame in frames]))
            try:
                await self._send({"type": "websocket.send", "text": text})
            except Exception as error:  # noqa: BLE001 - whatever a server raises for a peer that is gone
                logger.debug("a connection does not take frames any more: %s", error)
                self._closed = True
                backlog.clear()
            backlog.waiting = max(0, backlog.waiting - counted)
        if self._backlog is backlog:
            self._backlog = self._task = None
        backlog.empty.set()

    def stop(self) -> None:
        """See ``Outlet``."""
        super().stop()
        if self._task is not None:
            self._task.cancel()
            self._task = None
