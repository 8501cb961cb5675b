"""Presence of this process's viewers: told to the store, compared with it, and said to the rooms.

A goodbye counts only after some seconds, so that a reload does not flap; a process that is being replaced says no
goodbye at all, and its entries expire.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from apps.core import clock
from apps.realtime import ports
from apps.realtime.coalescing import Piece, Shape
from apps.realtime.config import config
from apps.realtime.members import Entry, members_of
from apps.realtime.presence import PresenceStore
from apps.realtime.room import Room
from apps.realtime.viewers import Viewer

logger = logging.getLogger(__name__)

STORE_PATIENCE: Final = 2.0  # seconds


def diff_piece(diff: dict[str, Any]) -> Piece:
    """Return a ``presence_diff`` as a piece."""
    return Piece(
        type="presence_diff", key="presence_diff:", shape=Shape.MEMBERS, data=diff, at=clock.to_wire(clock.now())
    )


class PresenceTracker:
    """See the module. ``frozen`` while draining: nobody leaves any more."""

    def __init__(self, store: PresenceStore) -> None:
        self.store = store
        self.frozen = False
        self._mine: dict[str, dict[str, Entry]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, room: Room, viewer: Viewer) -> None:
        """Count the viewer as present; when this returns the room's members know."""
        now = time.time()
        entry = Entry(
            user_id=viewer.user_id,
            username=viewer.username,
            role=viewer.role.word,
            since=clock.to_wire(clock.now()),
            expires=now + config().presence_ttl_s,
        )
        viewer.present = True
        await self._put(room, viewer.connection_id, entry)

    def leave(self, room: Room, viewer: Viewer, *, at_once: bool) -> None:
        """Count the viewer no more: at once for a deliberate goodbye, else after a while."""
        if not viewer.present or self.frozen:
            return
        viewer.present = False
        self._spawn(self._leave(room, viewer.connection_id, 0.0 if at_once else config().presence_leave_s))

    async def update(self, room: Room, viewer: Viewer, **changes: Any) -> None:
        """Change fields of the viewer's entry: role, focus."""
        entry = self._mine.get(room.guid, {}).get(viewer.connection_id)
        if entry is not None and viewer.present:
            changed = msgspec.structs.replace(entry, **changes)
            if changed != entry:
                await self._put(room, viewer.connection_id, changed)

    async def typing(self, room: Room, viewer: Viewer, *, on: bool) -> None:
        """Note that the viewer types, or not; typing ends by itself."""
        seconds = config().typing_s
        await self.update(room, viewer, typing_until=time.time() + seconds if on else 0.0)
        if on:
            self._spawn(self._typing_over(room, seconds))

    async def load(self, room: Room) -> None:
        """Learn who is in a room that was just opened."""
        room.members.replace(await self._members(room.guid))

    async def refresh(self, rooms: list[Room]) -> None:
        """Renew this process's entries, and say to each room's viewers what changed without anybody saying so."""
        expires = time.time() + config().presence_ttl_s
        for room in rooms:
            mine = self._mine.get(room.guid)
            if mine:
                renewed = {name: msgspec.structs.replace(entry, expires=expires) for name, entry in mine.items()}
                self._mine[room.guid] = renewed
                await self._store(self.store.put(room.guid, renewed))
            diff = room.members.replace(await self._members(room.guid))
            if diff is not None:
                room.take_pieces([diff_piece(diff)])

    async def close(self) -> None:
        """Stop what runs."""
        for task in list(self._tasks):
            task.cancel()
        await self.store.close()

    async def _put(self, room: Room, connection_id: str, entry: Entry) -> None:
        self._mine.setdefault(room.guid, {})[connection_id] = entry
        await self._store(self.store.put(room.guid, {connection_id: entry}))
        await self._tell(room)

    async def _leave(self, room: Room, connection_id: str, after: float) -> None:
        if after:
            await asyncio.sleep(after)
        if self.frozen:
            return
        mine = self._mine.get(room.guid, {})
        mine.pop(connection_id, None)
        if not mine:
            self._mine.pop(room.guid, None)
        await self._store(self.store.remove(room.guid, [connection_id]))
        await self._tell(room)

    async def _typing_over(self, room: Room, after: float) -> None:
        await asyncio.sleep(after + 0.05)
        await self._tell(room)

    async def _tell(self, room: Room) -> None:
        """Say to all processes what changed in the room's members."""
        diff = room.members.replace(await self._members(room.guid))
        if diff is not None:
            ports.publisher.pieces(room.guid, [diff_piece(diff)])

    async def _members(self, guid: str) -> dict[str, Any]:
        entries = await self._store(self.store.entries(guid))
        if entries is None:
            entries = list(self._mine.get(guid, {}).values())
        return members_of(entries, time.time())

    async def _store(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Await a call of the store; None when it fails. Presence is never worth an error."""
        try:
            return await asyncio.wait_for(call, STORE_PATIENCE)
        except Exception as error:  # noqa: BLE001 - Redis fails in many ways; all mean the same here
            logger.warning("presence is not stored: %s", type(error).__name__)
            return None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
