"""ProjectEventBroadcaster: hears what happened in this process and tells all processes. The only sender on the layer.

``publish``, ``emit`` and the like return at once, in any thread; one long-lived loop sends, in the order
of the calls. A layer that is away costs nothing but the news: the processes' rooms read durable events from the log.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from channels.layers import get_channel_layer

from apps.core import clock
from apps.projects.records import AccessChange, Ephemeral, LoggedEvent
from apps.realtime import metrics
from apps.realtime.audience import Audience
from apps.realtime.coalescing import Piece
from apps.realtime.config import config
from apps.realtime.groups import CONTROL, room_group
from apps.realtime.ports import Near, held, holding
from apps.realtime.protocol import event_frame
from apps.realtime.streams import StreamMerger

logger = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode

ROWS_AT_ONCE: Final = 100  # events or pieces in one layer message
_ROWS: Final = {"events": "events", "pieces": "pieces"}  # where a message of this kind keeps them
WAITING: Final = 10_000  # messages that wait for the layer; more are given up, the log has what matters
PAUSE_S: Final = 1.0  # how long a layer that failed is left alone
SEND_PATIENCE_S: Final = 3.0
IDLE_MERGERS: Final = 1_000

Message = tuple[str, dict[str, Any]]


class ProjectEventBroadcaster:
    """See the module. One for each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inbox: deque[Callable[[], None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._out: deque[Message] = deque()
        self._mergers: dict[str, StreamMerger] = {}
        self._windows: dict[str, asyncio.TimerHandle] = {}
        self._flying: asyncio.Future[Any] | None = None
        self._scheduled = False
        self._paused_until = 0.0
        self._near: Near | None = None
        self._audience = Audience()

    # --- from any thread ----------------------------------------------------------------------------------------

    def publish(self, guid: str, events: Sequence[LoggedEvent]) -> None:
        """Tell the room's viewers everywhere what was committed."""
        self._call(lambda: self._publish(guid, events))

    def emit(self, news: Ephemeral) -> None:
        """Tell them news that is never stored."""
        self._call(lambda: self._emit(news))

    def access(self, change: AccessChange) -> None:
        """Tell every process that somebody's access changed."""
        message = {
            "type": "access",
            "user": change.user_id,
            "guid": change.guid,
            "session": change.session_hash,
            "reason": change.reason,
        }
        self._call(lambda: self._put(CONTROL, message))

    def pieces(self, guid: str, pieces: list[Piece]) -> None:
        """Send pieces as they are (``ports.Publisher``)."""
        message = {"type": "pieces", "guid": guid, "pieces": pieces}
        self._call(lambda: self._put(room_group(guid), message))

    def wanted(self, guid: str) -> None:
        """Ask the publishers of this room's streams for the text so far (``ports.Publisher``)."""
        self._call(lambda: self._put(CONTROL, {"type": "wanted", "guid": guid}))

    def echoed(self, guid: str, number: int) -> None:
        """Learn that the layer brought back a message of this process (``ports.Publisher``)."""
        self._audience.echoed(guid, number)

    def answer(self, guid: str) -> None:
        """Answer ``wanted``: what this process publishes in that room, so far."""
        self._call(lambda: self._answer(guid))

    def attach(self, loop: asyncio.AbstractEventLoop, near: Near) -> None:
        """From now on work in ``loop`` (``ports.Publisher``)."""
        with self._lock:
            self._near = near
            self._audience = Audience()
            if self._loop is loop and not loop.is_closed():
                return
            self._loop = loop
            self._scheduled = False
            self._flying = None
            self._windows.clear()
        self._call_now(lambda: None)

    # --- the loop -----------------------------------------------------------------------------------------------

    def _call(self, work: Callable[[], None]) -> None:
        """Do ``work`` in the loop, after everything that was asked for before it."""
        if holding() and held(lambda: self._call(work)):
            return
        if not self._inbox and _running_loop() is self._loop is not None:
            _carefully(work)
        else:
            self._call_now(work)

    def _call_now(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._inbox.append(work)
            if self._scheduled and self._loop is not None and not self._loop.is_closed():
                return
            loop = self._living_loop()
            self._scheduled = True
        try:
            loop.call_soon_threadsafe(self._run)
        except RuntimeError:  # closed in this very moment; the next call finds another loop
            with self._lock:
                self._scheduled = False

    def _living_loop(self) -> asyncio.AbstractEventLoop:
        """Return the server's loop or, in a command, that of a thread of our own."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            self._near = self._flying = None
            self._windows.clear()
            self._thread = threading.Thread(target=self._loop.run_forever, name="broadcaster", daemon=True)
            self._thread.start()
            atexit.register(self._finish)
        return self._loop

    def _finish(self) -> None:
        """Send what waits before a command ends."""
        loop, thread = self._loop, self._thread
        if loop is None or loop.is_closed() or thread is None or not thread.is_alive():
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._flushed(), loop).result(timeout=3)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=1)

    async def _flushed(self) -> None:
        self._run()
        for guid in list(self._windows):
            self._flush(guid)
        while self._flying is not None:
            await asyncio.wait([self._flying])

    async def flushed(self) -> None:
        """Return when everything that was published before is with the layer. Call it in the loop. For tests."""
        await self._flushed()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._inbox:
                    self._scheduled = False
                    break
                work = self._inbox.popleft()
            _carefully(work)

    # --- in the loop --------------------------------------------------------------------------------------------

    def _publish(self, guid: str, events: Sequence[LoggedEvent]) -> None:
        merger = self._mergers.get(guid)
        if merger is not None:
            # What was streamed before must not come after; and what a fact ends must not begin again.
            self._flush(guid)
            for event in events:
                merger.ended_by(event.type, event.data)
        frames = [(event.seq, event.type, event_frame(guid, event)) for event in events]
        self._tell({"type": "events", "guid": guid, "events": frames, "at": time.time()})

    def _emit(self, news: Ephemeral) -> None:
        merger = self._mergers.get(news.guid)
        if merger is None:
            self._forget_quiet()
            merger = self._mergers[news.guid] = StreamMerger()
        now = merger.add(news, clock.to_wire(clock.now()))
        if now:
            self._tell_pieces(news.guid, now)
        self._open_window(news.guid)

    def _open_window(self, guid: str) -> None:
        if guid not in self._windows:
            loop = asyncio.get_running_loop()
            self._windows[guid] = loop.call_later(config().stream_window_ms / 1000, self._window_over, guid)

    def _window_over(self, guid: str) -> None:
        self._windows.pop(guid, None)
        self._flush(guid)
        if self._mergers[guid].busy:
            self._open_window(guid)

    def _flush(self, guid: str) -> None:
        merger = self._mergers.get(guid)
        if merger is not None and (pieces := merger.flush()):
            self._tell_pieces(guid, pieces)

    def _forget_quiet(self) -> None:
        """Bound the memory: projects in which nothing is open need no merger."""
        if len(self._mergers) < IDLE_MERGERS:
            return
        for guid, merger in list(self._mergers.items()):
            if not merger.kept and not merger.busy:
                del self._mergers[guid]

    def _answer(self, guid: str) -> None:
        if top := self._audience.came(guid):
            self._put(room_group(guid), {"type": "top", "guid": guid, "seq": top})
        merger = self._mergers.get(guid)
        if merger is not None:
            self._flush(guid)
            if so_far := merger.so_far():
                self._tell_pieces(guid, so_far)

    def _tell_pieces(self, guid: str, pieces: list[Piece]) -> None:
        self._tell({"type": "pieces", "guid": guid, "pieces": pieces})

    def _tell(self, message: dict[str, Any]) -> None:
        """Tell the room here at once and all others by the layer.

        Only of what comes from one process at a time, or finds its place by ``seq``: the layer's way there and back
        is what brings the news of several processes into one order.
        """
        if self._near is not None:
            self._near.hear(message)
            message["heard"] = self._near.id
            if self._audience.alone(message["guid"]):
                if events := message.get("events"):
                    self._audience.kept(message["guid"], events[-1][0])
                return
        self._put(room_group(message["guid"]), message)

    # --- to the layer -------------------------------------------------------------------------------------------

    def _put(self, group: str, message: dict[str, Any]) -> None:
        if len(self._out) >= WAITING:
            self._out.popleft()
            metrics.PUBLISH_FAILURES.inc()
        if not self._joined_last(group, message):
            self._out.append((group, message))
        self._send_next()

    def _joined_last(self, group: str, message: dict[str, Any]) -> bool:
        """Let ``message`` travel in the last one that waits, when that is for the same room and of the same kind."""
        if not self._out:
            return False
        waiting_group, waiting = self._out[-1]
        rows = _ROWS.get(message["type"])
        if rows is None or waiting_group != group or waiting["type"] != message["type"]:
            return False
        if waiting.get("heard") != message.get("heard"):
            return False
        if len(waiting[rows]) >= ROWS_AT_ONCE:
            return False
        waiting[rows].extend(message[rows])
        return True

    def _send_next(self) -> None:
        """Send what waits, one message after the other: the next one goes when the layer has taken the one before."""
        while self._flying is None and self._out:
            group, part = self._take_part()
            if self._near is not None and "heard" in part:
                part["n"] = self._audience.said(part["guid"], listening=self._near.listens(part["guid"]))
            metrics.PUBLISHED.labels(part["type"]).inc()
            if clock.monotonic() < self._paused_until:
                self._fall_back(part)
            else:
                self._flying = _soon(get_channel_layer(), group, part)
                self._flying.add_done_callback(functools.partial(self._landed, part))

    def _take_part(self) -> Message:
        """Return the next message, or its first ``ROWS_AT_ONCE`` rows; pieces are encoded."""
        group, message = self._out.popleft()
        rows = _ROWS.get(message["type"])
        if rows is None:
            return group, message
        here, rest = message[rows][:ROWS_AT_ONCE], message[rows][ROWS_AT_ONCE:]
        if rest:
            self._out.appendleft((group, {**message, rows: rest}))
        return group, {**message, rows: _encode(here) if rows == "pieces" else here}

    def _landed(self, part: dict[str, Any], answer: asyncio.Future[Any]) -> None:
        if answer is not self._flying:
            return  # of a loop that is gone
        self._flying = None
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if error is None and part.get("n") and isinstance(count := answer.result(), int):
            self._audience.counted(part["guid"], part["n"], count)
        if error is not None:  # every layer fails in its own way
            logger.warning("the channel layer does not take messages (%s)", type(error).__name__)
            self._paused_until = clock.monotonic() + PAUSE_S
            self._fall_back(part)
        self._send_next()

    def _fall_back(self, message: dict[str, Any]) -> None:
        metrics.PUBLISH_FAILURES.inc()
        if self._near is not None and message.get("heard") != self._near.id:
            self._near.hear(message)


def _soon(layer: Any, group: str, message: dict[str, Any]) -> asyncio.Future[Any]:
    """Begin to send; return what ends when the layer has taken the message. A layer of others gets a task for it."""
    if hasattr(layer, "group_send_soon"):
        return layer.group_send_soon(group, message)  # type: ignore[no-any-return]
    sending = asyncio.wait_for(layer.group_send(group, message), SEND_PATIENCE_S)
    return asyncio.get_running_loop().create_task(sending, name="broadcaster")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _carefully(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        logger.exception("news cannot be published")


broadcaster = ProjectEventBroadcaster()
