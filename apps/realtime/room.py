"""One project seen live in this process: the order of its events, what is live besides, and who looks.

The room never trusts the channel layer: what arrives is put in order by the cursor, what is missing is read from the
log, and a log that is another one (epoch) or was cut starts the room anew. Everything here runs in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from apps.agents.events import AgentsLink
from apps.core import clock
from apps.core.events import topic_of
from apps.projects.aio import in_thread, log_failure
from apps.projects.records import Position
from apps.projects.selectors.events import positions, read_events
from apps.realtime import metrics, ports
from apps.realtime.coalescing import ENDING, Kept, Piece, Shape
from apps.realtime.config import config
from apps.realtime.cursor import Cursor
from apps.realtime.frames import Frame, Frames, of_piece, unencoded
from apps.realtime.members import Members
from apps.realtime.protocol import event_frame, plain
from apps.realtime.viewers import Viewer

logger = logging.getLogger(__name__)

RING_EVENTS: Final = 256
RING_BYTES: Final = 1_048_576
BATCH: Final = 500  # events in one read of the log
HELD: Final = 1_000  # pieces that wait behind a hole
LINK_TRUTH: Final = ("state", "since", "queued", "gap", "acks")  # of the agents link, what time alone does not change
ENDED: Final = 512  # streams whose end is remembered, so that a late piece cannot begin them again
ENVELOPE: Final = 300  # bytes around the text of a piece, or all of one without text; about
ASK_S: Final = 1.0  # for an answer about the texts so far
RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)

TOGETHER_S: Final = 0.001
"""Events of a room within a millisecond leave in one write: a second write would cost each viewer as much again."""

Item = tuple[str, Frame]
Row = tuple[int, str, Frame]
"""What viewers are given: ``seq`` (0: never stored), topic, frame."""


class Room:
    """See the module."""

    def __init__(self, project_id: UUID, guid: str) -> None:
        self.project_id = project_id
        self.guid = guid
        self.epoch = ""
        self.access_version = 0
        self.cursor: Cursor[Item] = Cursor(0)
        self.viewers: set[Viewer] = set()
        self.kept = Kept()
        self.members = Members()
        self.subscribed = False
        self.opened = asyncio.Event()
        self.idle_since = clock.monotonic()
        self.visitors = 0
        self._early: list[tuple[int, Item]] | None = []
        self._early_top = 0
        self._ring: deque[tuple[int, Frame]] = deque()
        self._ring_bytes = 0
        self._held: list[Piece] = []
        self._ready: list[Row] = []
        self._flushing: asyncio.Handle | None = None
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._live: WeakValueDictionary[str, Frame] = WeakValueDictionary()
        """What is on its way to newcomers of ``kept``."""
        self._repair: asyncio.Task[None] | None = None
        self._asked_at = -math.inf
        self._waiters: set[asyncio.Future[None]] = set()

    # --- life ---------------------------------------------------------------------------------------------------

    def open_at(self, position: Position) -> None:
        """Begin at this position of the log; what arrived meanwhile is put in order after it."""
        self.epoch = position.epoch
        self.access_version = position.access_version
        self.cursor.reset(position.last_seq)
        early, self._early = self._early or [], None
        self.opened.set()
        self.cursor.notice(self._early_top)
        self._take(early)

    def close(self) -> None:
        """Forget everything; nobody looks any more."""
        if self._repair is not None:
            self._repair.cancel()
        self._flush()
        self.wake()

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Keep the room open for the length of the block, though nobody may be attached: somebody is on the way in."""
        self.visitors += 1
        try:
            yield
        finally:
            self.visitors -= 1
            self.idle_since = clock.monotonic()

    def attach(self, viewer: Viewer, seq: int) -> None:
        """Let ``viewer``, who has everything up to ``seq``, see what follows."""
        self._flush()  # what waits is older than this viewer's place
        viewer.seq = seq
        self.viewers.add(viewer)

    def detach(self, viewer: Viewer) -> None:
        """Let the viewer see nothing more. Does nothing when it is not attached."""
        self.viewers.discard(viewer)
        if not self.viewers:
            self.idle_since = clock.monotonic()

    # --- durable events -----------------------------------------------------------------------------------------

    def take_events(self, events: Sequence[Sequence[Any]]) -> None:
        """Take events from the channel layer: ``(seq, type, envelope as bytes)``, in any order, perhaps seen before."""
        items = [(seq, (type_, Frame(data, guid=self.guid, seq=seq))) for seq, type_, data in events]
        if self._early is not None:
            self._early.extend(items[:HELD])
            return
        self._take(items)

    def _take(self, items: Iterable[tuple[int, Item]]) -> None:
        ready = self.cursor.offer(items)
        if ready:
            self._deliver(ready)
        if self.cursor.behind:
            self._start_repair()
        elif self._held:
            self._release()

    def _deliver(self, ready: list[tuple[int, Item]]) -> None:
        for seq, (_, frame) in ready:
            self._ring.append((seq, frame))
            self._ring_bytes += frame.size
        while self._ring and (len(self._ring) > RING_EVENTS or self._ring_bytes > RING_BYTES):
            self._ring_bytes -= self._ring.popleft()[1].size
        for _, (type_, frame) in ready:
            if type_ in ENDING:
                self._end(type_, frame)
        self._ready += [(seq, topic_of(type_), frame) for seq, (type_, frame) in ready]
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(TOGETHER_S, self._flush)
        self.wake()

    def _flush(self) -> None:
        """Give every viewer what came together."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        rows, self._ready = self._ready, []
        if len(rows) == 1:
            self._give_one(*rows[0])
        elif rows:
            self._give_all(rows)

    def _give_one(self, seq: int, topic: str, frame: Frame) -> None:
        if not seq:
            for viewer in list(self.viewers):
                if viewer.topics is None or topic in viewer.topics:
                    viewer.put(frame)
            return
        for viewer in list(self.viewers):
            if viewer.seq < seq:
                viewer.seq = seq
                if viewer.joined or viewer.wants_event(topic):
                    viewer.put(frame)

    def _give_all(self, rows: list[Row]) -> None:
        last = max(seq for seq, _, _ in rows)
        prepared: dict[tuple[int, ...], Frames] = {}  # most viewers want the same
        for viewer in list(self.viewers):
            seen = viewer.seq
            chosen = tuple(
                index
                for index, (seq, topic, _) in enumerate(rows)
                if (seq > seen and viewer.wants_event(topic) if seq else viewer.wants_piece(topic))
            )
            viewer.seq = max(seen, last)
            if not chosen:
                continue
            frames = prepared.get(chosen)
            if frames is None:
                frames = prepared[chosen] = Frames(rows[index][2] for index in chosen)
            viewer.owner.put_all(frames)

    def _end(self, type_: str, frame: Frame) -> None:
        """Forget what this event ends; remember that it ended."""
        data = msgspec.json.decode(frame.data)["data"]
        ended = self.kept.ended_by(type_, data)
        if type_ not in {"usage", "agent_status_update"}:
            for key in ended:
                self._ended[key] = None
            if type_ == "done":
                self._ended[f"run:{data['runId']}"] = None
            while len(self._ended) > ENDED:
                self._ended.popitem(last=False)
        self.kept.drop(ended)

    def frames_after(self, seq: int) -> list[Frame] | None:
        """Return the frames after ``seq`` up to the cursor, or None when memory does not go back that far."""
        if seq >= self.cursor.seq:
            return []
        if not self._ring or self._ring[0][0] > seq + 1:
            return None
        return [frame for at, frame in self._ring if at > seq]

    async def moved(self, seq: int, within: float) -> None:
        """Return when the cursor is beyond ``seq``, when the room ends, or ``within`` seconds."""
        if self.cursor.seq > seq:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter, within)
        except TimeoutError:
            return
        finally:
            self._waiters.discard(waiter)

    def wake(self) -> None:
        """Let everybody who waits in ``moved`` look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- repair -------------------------------------------------------------------------------------------------

    def notice(self, position: Position) -> None:
        """Compare with the log's position, as read a moment ago."""
        if self._early is not None:
            return
        if position.epoch != self.epoch or position.last_seq < self.cursor.seq - HELD:
            self.restart(position, "epoch_changed")
            return
        self.grown(position.last_seq)

    def grown(self, seq: int) -> None:
        """Learn that the log goes up to ``seq``."""
        if self._early is not None:
            self._early_top = max(self._early_top, seq)
            return
        self.cursor.notice(seq)
        if self.cursor.behind:
            self._start_repair()

    def _start_repair(self) -> None:
        if self._repair is None or self._repair.done():
            self._repair = asyncio.create_task(self._mend(), name=f"repair {self.guid}")

    async def _mend(self) -> None:
        """Wait a moment for the missing event, then read the log until nothing is missing."""
        await asyncio.sleep(config().hole_wait_ms / 1000)
        how, attempt = "late", 0
        while self.cursor.behind:
            how = "log"
            try:
                await self._read_missing()
                attempt = 0
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, viewers wait for what is missing
                log_failure(logger, error, "the log of room %s cannot be read", self.guid)
                await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
        metrics.REPAIRS.labels(how).inc()
        self._release()

    async def _read_missing(self) -> None:
        after, top = self.cursor.seq, self.cursor.top
        events = await in_thread(read_events, self.project_id, after=after, limit=BATCH)
        if self.cursor.seq > after:
            return  # it arrived after all
        if events and events[0].seq == after + 1:
            self.take_events([(event.seq, event.type, event_frame(self.guid, event)) for event in events])
            return
        # The log does not hold what should follow: it was cut, replaced, or the broadcast was of nothing.
        position = (await in_thread(positions, [self.project_id])).get(self.project_id)
        if position is None:
            self.cursor.reset(after)
        elif position.epoch != self.epoch or position.last_seq < after:
            self.restart(position, "epoch_changed")
        elif position.first_seq > after + 1:
            self.restart(position, "trimmed")
        elif position.last_seq == after < top:
            self.cursor.reset(after)  # a broadcast of what never was
        else:
            await asyncio.sleep(0.05)  # committed between the two reads

    def restart(self, position: Position, reason: str) -> None:
        """Start anew at ``position``; every viewer has to join again."""
        logger.warning("room %s starts anew (%s) at %s", self.guid, reason, position.last_seq)
        metrics.REPAIRS.labels("restart").inc()
        self.epoch = position.epoch
        self.cursor.reset(position.last_seq)
        self._ring.clear()
        self._ring_bytes = 0
        self._flush()
        viewers, self.viewers = list(self.viewers), set()
        for viewer in viewers:
            viewer.owner.position_lost(viewer, reason)
        self.wake()

    # --- what is live besides -----------------------------------------------------------------------------------

    def take_pieces(self, pieces: Sequence[Piece]) -> None:
        """Take news that is never stored. Behind a hole it waits, so that it does not overtake what it follows."""
        if self.cursor.behind and len(self._held) < HELD:
            self._held.extend(pieces)
            return
        for piece in pieces:
            self._pass_on(piece)

    def _release(self) -> None:
        held, self._held = self._held, []
        for piece in held:
            self._pass_on(piece)

    def _pass_on(self, piece: Piece) -> None:
        if piece.key in self._ended or f"run:{piece.data.get('runId')}" in self._ended:
            return
        if piece.shape is Shape.MEMBERS:
            self.members.apply(piece.data)
        if self.kept.lacks(piece):
            self._miss_text()
        if self.kept.knows(piece):
            return  # another process opened the room and asked for the texts so far
        self.kept.add(piece)
        self._ready.append((0, topic_of(piece.type), of_piece(self.guid, piece)))
        if self._flushing is None:
            # At the end of this turn: what a viewer waits for letter by letter is not worth a millisecond.
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def ask_for_texts(self) -> None:
        """Ask whoever publishes here for the texts so far: the room is new, or a piece of one was lost."""
        self._asked_at = clock.monotonic()
        ports.publisher.wanted(self.guid)

    def _miss_text(self) -> None:
        """Ask once, not for each piece that comes before the answer; afterwards, for that may come at once."""
        if clock.monotonic() - self._asked_at > ASK_S:
            self._asked_at = clock.monotonic()
            asyncio.get_running_loop().call_soon(self.ask_for_texts)

    def correct_link(self, view: AgentsLink) -> None:
        """Tell the viewers how the agents link stands, if they were told otherwise, or nothing.

        The news of a change may be lost like any that is not stored, and whoever held the link may be dead.
        """
        said, data = self.kept.value("agents_link"), plain(view)
        if said is None or any(said.data.get(name) != data.get(name) for name in LINK_TRUTH):
            self.take_pieces([Piece("agents_link", "agents_link", Shape.LATEST, data, clock.to_wire(clock.now()))])

    def live_frames(self, viewer: Viewer) -> list[Frame]:
        """Return what a newcomer needs besides the log: texts so far and latest values.

        Each is encoded when it leaves, and those who come together share it: a crowd that comes into a room full of
        long texts takes their memory once, a reader that stops none of it.
        """
        frames = []
        for piece in self.kept.pieces():
            if viewer.wants_piece(topic_of(piece.type)):
                frame = self._live.get(piece.key)
                if frame is None or frame.piece is not piece:
                    frame = self._live[piece.key] = unencoded(self.guid, piece, ENVELOPE + len(piece.text))
                frames.append(frame)
        return frames
