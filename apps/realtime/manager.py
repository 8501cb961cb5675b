"""WebSocketManager: the live connections and rooms of one process, and its one ear on the channel layer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from apps.accounts.identity import Identity
from apps.core import clock
from apps.core.cancelling import asked_to_end
from apps.core.errors import RateLimited, Unavailable
from apps.core.ids import new_id
from apps.projects.aio import in_thread, log_failure
from apps.projects.selectors.access import Access
from apps.projects.selectors.events import positions
from apps.projects.signals import room_opened
from apps.realtime import draining, memory, metrics, ports
from apps.realtime.config import Config, config
from apps.realtime.held import Held
from apps.realtime.layer import Ear
from apps.realtime.reads import Reads
from apps.realtime.recovery import Recovery
from apps.realtime.rights import UNKNOWN, Rights
from apps.realtime.room import Room
from apps.realtime.router import MessageRouter
from apps.realtime.stats import figures
from apps.realtime.stores import presence_store, user_rate
from apps.realtime.tracker import PresenceTracker
from apps.realtime.turns import Turns

if TYPE_CHECKING:
    from apps.realtime.http import Listener
    from apps.realtime.service import WebSocketService

logger = logging.getLogger(__name__)

TICK_S: Final = 0.25  # how exactly the deadlines of connections are kept
THRIFT_S: Final = 2.0  # how often is seen whether memory should be given back


class WebSocketManager:
    """See the module. One for each event loop; made by ``manager_here``."""

    def __init__(self, settings: Config) -> None:
        self.config = settings
        self.process = new_id()
        self.connections: dict[str, WebSocketService] = {}
        self.by_user: dict[str, set[WebSocketService]] = defaultdict(set)
        self.by_address: dict[str, int] = defaultdict(int)
        self.rooms: dict[str, Room] = {}
        self.recoveries: dict[str, Recovery] = {}
        self.system_viewers: set[WebSocketService] = set()
        self.listeners: dict[Listener, Identity] = {}
        self.held = Held()
        self._user_rate = user_rate(settings)
        self.router = MessageRouter(self._user_rate)
        self.presence = PresenceTracker(presence_store(settings))
        self.rights = Rights(self)
        self.reads = Reads()
        self.turns = Turns()
        self.ear = Ear(self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening: dict[str, asyncio.Future[Room]] = {}
        self._joining: asyncio.Task[None] | None = None
        self.thrift = memory.Thrift()

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen and to look after things. Called once, in the loop that serves."""
        ports.publisher.attach(asyncio.get_running_loop(), self.ear)
        self.spawn(self.ear.listen())
        self.spawn(self._every(TICK_S, self._tick))
        self.spawn(self._every(THRIFT_S, self._give_back_memory))
        self.spawn(self._every(self.config.position_check_s, self._check_positions))
        self.spawn(self._every(self.config.link_check_s, self._check_link))
        self.spawn(self._every(self.config.access_check_s, self.rights.check_logins))
        self.spawn(self._every(self.config.presence_ttl_s / 3, self._refresh_presence))
        self.spawn(self._every(1.0, self._tell_staff))

    async def stop(self) -> None:
        """End every task and close what is open. The connections are gone by now."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for room in self.rooms.values():
            room.close()
        await self.presence.close()
        await self._user_rate.close()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` beside everything else; it is held until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _every(self, seconds: float, work: Any) -> None:
        """Do ``work`` again and again; its failures are logged and change nothing."""
        while True:
            await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311 - spreads processes, hides nothing
            try:
                outcome = work()
                if asyncio.iscoroutine(outcome):
                    await outcome
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and asked_to_end():
                    raise
                log_failure(logger, error, "%s failed", getattr(work, "__name__", work))

    # --- connections --------------------------------------------------------------------------------------------

    def add(self, connection: WebSocketService) -> None:
        """Count a connection."""
        self.connections[connection.id] = connection
        self.by_address[connection.network] += 1
        metrics.CONNECTIONS.labels("websocket").inc()

    def remove(self, connection: WebSocketService) -> None:
        """Count it no more. May be called twice."""
        if self.connections.pop(connection.id, None) is None:
            return
        self.by_address[connection.network] -= 1
        if self.by_address[connection.network] <= 0:
            del self.by_address[connection.network]
        if connection.identity is not None:
            mine = self.by_user[connection.identity.user_id]
            mine.discard(connection)
            if not mine:
                del self.by_user[connection.identity.user_id]
        self.system_viewers.discard(connection)
        metrics.CONNECTIONS.labels("websocket").dec()
        self.thrift.ended()

    async def count_request(self, user_id: str) -> None:
        """Count a costly HTTP request like a command of its user. Raises ``RateLimited``."""
        wait = await self._user_rate.take(user_id)
        if wait:
            raise RateLimited(retry_after_ms=wait)

    async def _give_back_memory(self) -> None:
        if self.thrift.due(len(self.connections)):
            await asyncio.to_thread(memory.give_back)

    def _tick(self) -> None:
        now = clock.monotonic()
        for connection in list(self.connections.values()):
            if now >= connection.wake_at:
                connection.on_time(now)

    async def drain(self, seconds: float) -> None:
        """Tell every connection to come back later, spread over ``seconds``, and close it."""
        draining.begin()
        self.presence.frozen = True
        for listener in list(self.listeners):
            listener.end("draining")
        for room in self.rooms.values():
            room.wake()  # long polls answer now
        waiting = list(self.connections.values())
        random.shuffle(waiting)
        pause = seconds * 0.8 / max(1, len(waiting))
        for connection in waiting:
            connection.drain()
            await asyncio.sleep(pause)

    # --- rooms --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def visit(self, access: Access) -> AsyncIterator[Room]:
        """Give the room, which stays open for the length of the block. Raises like ``open``."""
        room = await self.open(access)
        with room.visited():
            yield room

    async def open(self, access: Access) -> Room:
        """Return the room, listening and in position. Raises ``Unavailable`` when the database does not answer.

        It closes when nobody has been in it for a while; ``visit`` is for those who await something before they attach.
        """
        room = self.rooms.get(access.guid)
        if room is not None and room.opened.is_set():
            room.idle_since = clock.monotonic()
            return room
        flight = self._opening.get(access.guid)
        if flight is None:
            flight = self.spawn(self._open(access))
            self._opening[access.guid] = flight
            flight.add_done_callback(lambda done: self._opened(access.guid, done))
        return await asyncio.shield(flight)

    def _opened(self, guid: str, flight: asyncio.Future[Room]) -> None:
        self._opening.pop(guid, None)
        if not flight.cancelled():
            flight.exception()

    async def _open(self, access: Access) -> Room:
        # Listen first, then look where the log stands: what happens in between is seen twice, never missed.
        room = self.rooms[access.guid] = Room(access.project_id, access.guid)
        self.recoveries[access.guid] = Recovery(room)
        try:
            await self.ear.join(room)
            position = (await in_thread(positions, [access.project_id])).get(access.project_id)
            if position is None:
                raise Unavailable
        except BaseException:
            self.rooms.pop(access.guid, None)
            self.recoveries.pop(access.guid, None)
            await self.ear.leave(room)
            raise
        room.open_at(position)
        await self.presence.load(room)
        room.ask_for_texts()
        metrics.ROOMS.set(len(self.rooms))
        room_opened.send_robust(sender=WebSocketManager, guid=access.guid)
        return room

    async def _check_positions(self) -> None:
        """Compare every room with its log: one query. Close rooms that nobody looks at."""
        now = clock.monotonic()
        for room in list(self.rooms.values()):
            if room.viewers or room.visitors or not room.opened.is_set():
                continue
            if now - room.idle_since > self.config.room_linger_s:
                await self._close(room)
        open_rooms = [room for room in self.rooms.values() if room.opened.is_set()]
        if not open_rooms:
            return
        if not all(room.subscribed for room in open_rooms) and (self._joining is None or self._joining.done()):
            # Not awaited: as long as the layer is silent, this check is all that the rooms have.
            self._joining = self.spawn(self.ear.join_all())
        found = await in_thread(positions, [room.project_id for room in open_rooms])
        for room in open_rooms:
            position = found.get(room.project_id)
            if position is None:
                await self.rights.check_room(room)
                continue
            room.notice(position)
            if position.access_version != room.access_version:
                room.access_version = UNKNOWN  # who comes during the check asks as well, and one that fails is repeated
                await self.rights.check_room(room)
                room.access_version = position.access_version

    async def _check_link(self) -> None:
        """Compare what the rooms were told about the agents link with how it stands."""
        rooms = [room for room in self.rooms.values() if room.viewers and room.opened.is_set()]
        told = {room: room.kept.value("agents_link") for room in rooms}
        views = await self.reads.links([room.guid for room in rooms]) if rooms else {}
        for room, before in told.items():
            if room.kept.value("agents_link") is before:  # else somebody told it meanwhile
                room.correct_link(views[room.guid])

    async def _close(self, room: Room) -> None:
        del self.rooms[room.guid]
        self.recoveries.pop(room.guid, None)
        room.close()
        metrics.ROOMS.set(len(self.rooms))
        await self.ear.leave(room)

    async def _refresh_presence(self) -> None:
        await self.presence.refresh([room for room in self.rooms.values() if room.opened.is_set()])

    def _tell_staff(self) -> None:
        if self.system_viewers:
            frame = figures(self)
            for connection in list(self.system_viewers):
                connection.put(frame)


_managers: WeakKeyDictionary[asyncio.AbstractEventLoop, WebSocketManager] = WeakKeyDictionary()


def manager_here() -> WebSocketManager:
    """Return the manager of the running loop, started at the first call."""
    loop = asyncio.get_running_loop()
    manager = _managers.get(loop)
    if manager is None:
        manager = _managers[loop] = WebSocketManager(config())
        manager.start()
    return manager


async def stop_here() -> None:
    """Stop the manager of the running loop, if there is one."""
    manager = _managers.pop(asyncio.get_running_loop(), None)
    if manager is not None:
        await manager.stop()
