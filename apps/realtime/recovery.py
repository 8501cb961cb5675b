"""Joining and resuming: everything that was missed, or a snapshot and why. Never a part (protocol page, section 3).

Reads of one room are shared by all who need them at the same time, so that a thousand reconnecting viewers cost a few
queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

from apps.core.errors import Unavailable
from apps.projects.aio import in_thread
from apps.projects.selectors.access import Access
from apps.projects.selectors.events import read_events
from apps.realtime import metrics
from apps.realtime.config import config
from apps.realtime.frames import Frame
from apps.realtime.protocol import encode, event_frame
from apps.realtime.room import Room

T = TypeVar("T")

FRESH: Final = 64  # events after which a kept snapshot is made anew, though memory holds what follows it
TRIES: Final = 20


@dataclass(slots=True)
class Plan:
    """What a newcomer gets: ``frames`` follow the reply and go to ``upto``; ``snapshot`` is JSON, exact at ``seq``.

    Its numbers are those of the log ``epoch``.
    """

    epoch: str
    recovered: bool
    reason: str | None
    seq: int
    upto: int
    snapshot: bytes | None = None
    frames: list[Frame] = field(default_factory=list)


class Recovery:
    """Makes plans for one room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._flights: dict[Any, asyncio.Future[Any]] = {}
        self._snapshot: tuple[str, int, bytes] | None = None

    async def plan(self, access: Access, last_seq: int | None, epoch: str | None) -> Plan:
        """Return the plan for somebody who has everything up to ``last_seq`` of ``epoch`` (None: nothing).

        Raises ``Unavailable`` when the log moves faster than it can be read.
        """
        reason = self._obstacle(access, last_seq, epoch)
        if reason is None and last_seq is not None:
            frames = await self._missed(access.project_id, last_seq)
            if frames is not None:
                upto = last_seq + len(frames)
                metrics.JOINS.labels("recovered").inc()
                return Plan(access.position.epoch, recovered=True, reason=None, seq=upto, upto=upto, frames=frames)
            reason = "too_many"
        metrics.JOINS.labels(reason or "first_join").inc()
        return await self.fresh(access.project_id, reason or "first_join")

    def _obstacle(self, access: Access, last_seq: int | None, epoch: str | None) -> str | None:
        position = access.position
        if last_seq is None:
            return "first_join"
        if position.epoch != self._room.epoch:
            return "epoch_changed"  # one of the two is older: the frames in memory are not those of the log
        if (epoch is not None and epoch != position.epoch) or last_seq > max(position.last_seq, self._room.cursor.seq):
            return "epoch_changed"
        if last_seq + 1 < position.first_seq:
            return "trimmed"
        if position.last_seq - last_seq > config().replay_events:
            return "too_many"
        return None

    async def _missed(self, project_id: UUID, last_seq: int) -> list[Frame] | None:
        """Return the frames after ``last_seq``, or None when they are too many, too large, or not all there."""
        room = self._room
        near = room.frames_after(last_seq)
        if near is not None:
            return near
        limit, most = config().replay_events, config().replay_bytes
        frames = await self._read(project_id, last_seq, limit + 1)
        if len(frames) > limit or sum(frame.size for frame in frames) > most:
            return None
        return frames

    async def _read(self, project_id: UUID, after: int, limit: int) -> list[Frame]:
        """Read the log once for all who miss the same."""
        guid, most = self._room.guid, config().replay_bytes * 2

        async def read() -> list[Frame]:
            events = await in_thread(read_events, project_id, after=after, limit=limit, max_bytes=most)
            if events and events[0].seq != after + 1:
                raise Unavailable("The log was cut just now; try again.")
            return [Frame(event_frame(guid, event), guid=guid, seq=event.seq) for event in events]

        return await self._shared(("read", self._room.epoch, after, limit), read)

    async def fresh(self, project_id: UUID, reason: str) -> Plan:
        """Return a plan with a snapshot."""
        epoch, seq, snapshot = await self._exact(project_id)
        if epoch != self._room.epoch:
            reason = "epoch_changed" if reason != "first_join" else reason
        return Plan(epoch, recovered=False, reason=reason, seq=seq, upto=seq, snapshot=snapshot)

    async def _exact(self, project_id: UUID) -> tuple[str, int, bytes]:
        kept, room = self._snapshot, self._room
        if (
            kept is not None
            and kept[0] == room.epoch
            and room.cursor.seq - kept[1] <= FRESH
            and room.frames_after(kept[1]) is not None
            and kept[1] <= room.cursor.seq
        ):
            return kept
        self._snapshot = await self._shared(("snapshot",), lambda: in_thread(_snapshot, project_id))
        return self._snapshot

    async def complete(self, plan: Plan) -> None:
        """Extend the plan until its end meets the room's cursor. After it, attach without awaiting anything.

        Raises ``Unavailable``, also when the room has another log than the plan.
        """
        room = self._room
        for _ in range(TRIES):
            if room.epoch != plan.epoch:
                raise Unavailable("The log was replaced just now; try again.", retry_after_ms=1_000)
            tail = room.frames_after(plan.upto)
            if tail is not None:
                plan.frames += tail
                plan.upto = max(plan.upto, room.cursor.seq)
                if plan.recovered:
                    plan.seq = plan.upto
                return
            frames = await self._read(room.project_id, plan.upto, config().replay_events)
            plan.frames += frames
            plan.upto += len(frames)
        raise Unavailable("The room moves too fast; try again.", retry_after_ms=1_000)

    async def _shared(self, key: Any, make: Callable[[], Awaitable[T]]) -> T:
        """Return what ``make`` returns, made once for all who ask for the same at the same time."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(make())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        # Shielded: one who gives up must not take the others down.
        result: T = await asyncio.shield(flight)
        return result

    def _landed(self, key: Any, flight: asyncio.Future[Any]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # looked at, so that nobody logs it a second time


def _snapshot(project_id: UUID) -> tuple[str, int, bytes]:
    from apps.agents.selectors.snapshot import room_snapshot

    snapshot = room_snapshot(project_id)
    return snapshot.epoch, snapshot.last_seq, encode(snapshot)
