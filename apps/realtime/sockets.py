"""The rooms of one socket: joining, leaving, recovering, topics."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any, Final

from apps.core.errors import AutoCodeError, Conflict, Forbidden, InvalidField, NotFound, NotJoined, Unavailable
from apps.core.events import catalogue
from apps.projects.aio import log_failure
from apps.projects.selectors.access import Access
from apps.realtime.close_codes import CloseCode
from apps.realtime.context import Context
from apps.realtime.frames import Frame
from apps.realtime.joined import joined_data, raw_snapshot
from apps.realtime.protocol import error_frame, reply_frame
from apps.realtime.recovery import Plan
from apps.realtime.replies import Subscribed, Unsubscribed
from apps.realtime.room import Room
from apps.realtime.topics import Topic, parse_topic, room_topic
from apps.realtime.viewers import Viewer

if TYPE_CHECKING:
    from apps.realtime.service import WebSocketService

logger = logging.getLogger(__name__)

DRAIN_PATIENCE: Final = 30.0  # seconds that a join waits for a slow reader to take what came before


@functools.cache
def room_topics() -> frozenset[str]:
    """Return the names of all topics of a room."""
    return frozenset(row.topic for row in catalogue().values()) - {"stats"}


class SocketRooms:
    """What one socket has joined. All methods run in its worker, one after the other, except where said."""

    def __init__(self, service: WebSocketService) -> None:
        self._service = service
        self._manager = service.manager
        self.places: dict[str, tuple[Room, Viewer]] = {}

    def positions(self) -> dict[str, int]:
        """Return the top of each joined room."""
        return {guid: room.cursor.seq for guid, (room, viewer) in self.places.items() if viewer.joined}

    # --- join, leave, recover -----------------------------------------------------------------------------------

    async def join(self, context: Context, last_seq: int | None, epoch: str | None, topics: list[str] | None) -> None:
        """Join, or join again."""
        guid = context.guid
        wanted = None if topics is None else {self._name(guid, topic) for topic in topics}
        if guid not in self.places and len(self.places) >= self._manager.config.rooms_per_connection:
            raise Conflict(f"At most {self._manager.config.rooms_per_connection} rooms on one connection.")
        mark = self._manager.rights.mark
        access = await self._access(guid)
        async with self._manager.visit(access) as room:
            viewer = self._place(room, access)
            before, epoch_before = (viewer.joined, viewer.topics), room.epoch
            viewer.joined, viewer.topics = True, wanted
            try:
                plan = await self._manager.recoveries[guid].plan(access, last_seq, epoch)
                await self._enter(room, viewer, plan, context.envelope.id)
            except Exception:
                viewer.joined, viewer.topics = before
                self._go_on(room, viewer, epoch_before)
                raise
            finally:
                await self._look_again(room, viewer, access, mark)

    async def _access(self, guid: str) -> Access:
        """Return the user's right to see the room; without one, its place is lost. Raises like ``access_to``."""
        try:
            return await self._manager.reads.access(self._service.who.user_id, guid)
        except (NotFound, Forbidden) as error:
            if (place := self.places.get(guid)) is not None:
                self.lost(place[1], error)
            raise

    async def _look_again(self, room: Room, viewer: Viewer, access: Access, mark: int) -> None:
        """Ask once more what an attached viewer may do, if rights have changed since ``access`` was read.

        Whoever is removed while nothing is shown to it is seen by no other check: those look at attached viewers.
        ``mark`` is the rights' mark from before the read.
        """
        if viewer not in room.viewers:
            return
        if mark == self._manager.rights.mark and access.position.access_version == room.access_version:
            return
        try:
            await self._manager.rights.check_room(room, viewer.user_id)
        except Exception:
            self._service.close(CloseCode.POSITION_LOST)  # nobody looks whose right could not be asked
            raise

    def _place(self, room: Room, access: Access) -> Viewer:
        """Return the viewer of this socket in ``room``, detached."""
        known = self.places.get(room.guid)
        who = self._service.who
        if known is not None and known[0] is room:
            viewer = known[1]
            room.detach(viewer)
            viewer.role, viewer.read_seq = access.role, access.read_seq
            return viewer
        return Viewer(
            owner=self._service,
            connection_id=self._service.id,
            user_id=who.user_id,
            username=who.username,
            role=access.role,
            read_seq=access.read_seq,
        )

    async def _enter(self, room: Room, viewer: Viewer, plan: Plan, reply_to: str | None) -> None:
        """Send the answer, what was missed and what is live, and look from then on."""
        link = await self._manager.reads.link(room.guid)
        await self._drained()
        await self._manager.recoveries[room.guid].complete(plan)
        # From here to the end nothing is awaited: nothing can come between the plan and the live events.
        if self._manager.rooms.get(room.guid) is not room or self._service.closing:
            raise Unavailable(retry_after_ms=200)
        if viewer.present:
            self._manager.presence.update(room, viewer, role=viewer.role.word)
        else:
            self._manager.presence.join(room, viewer)  # not before: only who has a place ever leaves
        reply = self._reply(room, viewer, plan, reply_to, link)
        self.places[room.guid] = room, viewer
        room.attach(viewer, plan.upto)
        self._service.outlet.put_exempt([reply, *plan.frames, *room.live_frames(viewer)])

    def _reply(self, room: Room, viewer: Viewer, plan: Plan, reply_to: str | None, link: Any) -> Frame:
        data = joined_data(
            room,
            self._service.who,
            role=viewer.role,
            read_seq=viewer.read_seq,
            seq=plan.seq,
            recovered=plan.recovered,
            reason=plan.reason,
            link=link,
            settings=self._manager.config,
            me=self._manager.presence.entry(room, viewer),
        )
        raw = raw_snapshot(plan)
        return Frame(reply_frame("project_joined", data, guid=room.guid, reply_to=reply_to, raw=raw))

    async def _drained(self) -> None:
        """Wait until the reader took what came before: one exempt load at a time bounds its memory."""
        if self._service.outlet.empty:
            return
        try:
            await asyncio.wait_for(self._service.outlet.drained(), DRAIN_PATIENCE)
        except TimeoutError:
            self._service.too_slow()
            raise Unavailable from None

    async def resync(self, context: Context, after_seq: int) -> None:
        """Send again what follows ``after_seq``: the events alone, or the room anew."""
        guid = context.guid
        room, viewer = self._joined(guid)
        mark = self._manager.rights.mark
        access = await self._access(guid)
        with room.visited():
            try:
                await self._resync(room, viewer, access, after_seq, context.envelope.id)
            finally:
                await self._look_again(room, viewer, access, mark)

    async def _resync(self, room: Room, viewer: Viewer, access: Access, after_seq: int, reply_to: str | None) -> None:
        room.detach(viewer)
        epoch = room.epoch
        try:
            recovery = self._manager.recoveries[room.guid]
            plan = await recovery.plan(access, after_seq, room.epoch)
            if not plan.recovered:
                await self._enter(room, viewer, plan, reply_to)
                return
            await self._drained()
            await recovery.complete(plan)
            room.attach(viewer, plan.upto)
            self._service.outlet.put_exempt(plan.frames)
        except Exception:
            self._go_on(room, viewer, epoch)
            raise

    def _go_on(self, room: Room, viewer: Viewer, epoch: str) -> None:
        """Let a viewer see what follows its place, though its recovery failed: it was in the room, and still is."""
        if self._service.closing or self.places.get(room.guid) != (room, viewer):
            return
        missed = room.frames_after(viewer.seq) if viewer.joined else []
        if missed is None or room.epoch != epoch or self._manager.rooms.get(room.guid) is not room:
            self._service.close(CloseCode.POSITION_LOST)
            return
        room.attach(viewer, room.cursor.seq)
        if missed:
            self._service.outlet.put_exempt(missed)

    async def rejoin(self, viewer: Viewer, guid: str, reason: str) -> None:
        """Show the room anew: its log is another one."""
        place = self.places.get(guid)
        if place is None or place[1] is not viewer:
            return
        room = place[0]
        try:
            mark = self._manager.rights.mark
            access = await self._access(guid)
            viewer.role, viewer.read_seq = access.role, access.read_seq
            if viewer.joined:
                with room.visited():
                    plan = await self._manager.recoveries[guid].fresh(access.project_id, reason)
                    await self._enter(room, viewer, plan, None)
            else:
                room.attach(viewer, room.cursor.seq)
            await self._look_again(room, viewer, access, mark)
        except (NotFound, Forbidden):
            return  # the place is lost, and the client was told
        except Exception as error:  # noqa: BLE001 - shown nothing more, it must come back, whatever the reason
            if not isinstance(error, AutoCodeError | KeyError):
                log_failure(logger, error, "room %s cannot be shown anew", guid)
            self._service.close(CloseCode.POSITION_LOST)

    def leave(self, context: Context) -> None:
        """Leave a joined room; nothing of it follows the answer."""
        room, viewer = self._joined(context.guid)
        self._drop(room, viewer, at_once=True)
        frame = reply_frame("project_left", {"reason": "left"}, guid=room.guid, reply_to=context.envelope.id)
        self._service.put(Frame(frame))

    def leave_all(self) -> None:
        """The socket is gone."""
        for room, viewer in list(self.places.values()):
            self._drop(room, viewer, at_once=False)

    def lost(self, viewer: Viewer, error: AutoCodeError) -> None:
        """The user may not look any more. Also called from outside of the worker."""
        for guid, (room, known) in list(self.places.items()):
            if known is viewer:
                self._drop(room, viewer, at_once=True)
                said = Forbidden(error.message) if isinstance(error, NotFound) else error
                self._service.put(Frame(error_frame(said, guid=guid)))
                self._service.put(Frame(reply_frame("project_left", {"reason": "removed"}, guid=guid)))
                if not self.places:
                    self._service.close(CloseCode.NO_LONGER_ALLOWED)

    def role_changed(self, viewer: Viewer) -> None:
        """Say the new role: ``project_joined`` once more. Also called from outside of the worker."""
        for guid, (room, known) in self.places.items():
            if known is viewer and viewer.joined:
                plan = Plan(room.epoch, recovered=True, reason=None, seq=viewer.seq, upto=viewer.seq)
                self._service.put(self._reply(room, viewer, plan, None, None))
                self._manager.presence.update(room, viewer, role=viewer.role.word)
                _ = guid

    def _drop(self, room: Room, viewer: Viewer, *, at_once: bool) -> None:
        room.detach(viewer)
        self.places.pop(room.guid, None)
        self._manager.presence.leave(room, viewer, at_once=at_once)

    def _joined(self, guid: str) -> tuple[Room, Viewer]:
        place = self.places.get(guid)
        if place is None or not place[1].joined:
            raise NotJoined
        return place

    # --- topics -------------------------------------------------------------------------------------------------

    def _name(self, guid: str, topic: str) -> str:
        """Return the name of a topic that is given as a name or whole. Raises ``InvalidField``."""
        if ":" in topic:
            parsed = parse_topic(topic, room_topics())
            if parsed.guid != guid:
                raise InvalidField("This topic belongs to another project.", field="topics")
            return parsed.name
        if topic not in room_topics():
            raise InvalidField("There is no such topic.", field="topics")
        return topic

    async def subscribe(self, text: str) -> Subscribed:
        """Add a topic. Without having joined its room, this looks at the topic alone: its events, and no others."""
        topic = parse_topic(text, room_topics())
        if topic.guid is None:
            if not self._service.who.is_staff:
                raise Forbidden("This topic is for staff.")
            self._manager.system_viewers.add(self._service)
            return Subscribed(topics=self.topics())
        room = await self._subscribe(topic, topic.guid)
        return Subscribed(topics=self.topics(), last_seq=room.cursor.seq)

    async def _subscribe(self, topic: Topic, guid: str) -> Room:
        mark = self._manager.rights.mark
        access = await self._access(guid)
        place = self.places.get(guid)
        if place is not None:
            if place[1].topics is not None:
                place[1].topics.add(topic.name)
            return place[0]
        if len(self.places) >= self._manager.config.rooms_per_connection:
            raise Conflict(f"At most {self._manager.config.rooms_per_connection} rooms on one connection.")
        room = await self._manager.open(access)
        viewer = self._place(room, access)
        viewer.joined, viewer.topics = False, {topic.name}
        self.places[guid] = room, viewer
        room.attach(viewer, room.cursor.seq)
        await self._look_again(room, viewer, access, mark)
        return room

    def unsubscribe(self, text: str) -> Unsubscribed:
        """Take a topic away; one that was not there is no error."""
        topic = parse_topic(text, room_topics())
        if topic.guid is None:
            self._manager.system_viewers.discard(self._service)
        elif (place := self.places.get(topic.guid)) is not None:
            room, viewer = place
            viewer.topics = (set(room_topics()) if viewer.topics is None else viewer.topics) - {topic.name}
            if not viewer.joined and not viewer.topics:
                self._drop(room, viewer, at_once=True)
        return Unsubscribed(topics=self.topics())

    def topics(self) -> list[str]:
        """Return all topics of this socket; ``project:<guid>/*`` where nothing is left out."""
        names = [] if self._service not in self._manager.system_viewers else ["system/stats"]
        for guid, (_, viewer) in self.places.items():
            names += [room_topic(guid, name) for name in sorted(viewer.topics if viewer.topics is not None else "*")]
        return names


class NoRooms(SocketRooms):
    """The rooms of connections that are gone. One for all of them."""

    def __init__(self) -> None:
        self.places = {}


NO_ROOMS: Final = NoRooms()
