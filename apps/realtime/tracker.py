"""Presence of this process's viewers: told to the store, compared with it, and said to the rooms.

What changes in a room is gathered: a round tells the store, reads who is there and says the difference, once for all
who came and went meanwhile. So a thousand people who join together cost a few rounds, not a thousand.
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
from apps.core.cancelling import asked_to_end
from apps.realtime import ports
from apps.realtime.coalescing import Piece, Shape
from apps.realtime.config import config
from apps.realtime.members import Entry, members_of
from apps.realtime.presence import PresenceStore
from apps.realtime.room import Room
from apps.realtime.viewers import Viewer

logger = logging.getLogger(__name__)

STORE_PATIENCE: Final = 2.0  # seconds
PAUSE_S: Final = 0.05
"""From the end of a round to the next one of the same room, at least."""
PAUSE_FACTOR: Final = 10
"""The pause in proportion to what the round took: a crowded room's presence takes a tenth of the process at most."""


def diff_piece(diff: dict[str, Any]) -> Piece:
    """Return a ``presence_diff`` as a piece."""
    return Piece(
        type="presence_diff", key="presence_diff:", shape=Shape.MEMBERS, data=diff, at=clock.to_wire(clock.now())
    )


class Place:
    """What this process knows of its own viewers in one room, and has not told yet."""

    __slots__ = ("due", "entries", "gone", "new", "rounds")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.new: dict[str, Entry] = {}
        self.gone: set[str] = set()
        self.due = False
        self.rounds: asyncio.Task[None] | None = None


class PresenceTracker:
    """See the module. ``frozen`` while draining: nobody leaves any more."""

    def __init__(self, store: PresenceStore) -> None:
        self.store = store
        self.frozen = False
        self._places: dict[str, Place] = {}

    def join(self, room: Room, viewer: Viewer) -> None:
        """Count the viewer as present; the others are told soon."""
        viewer.present = True
        self._set(
            room,
            viewer.connection_id,
            Entry(
                user_id=viewer.user_id,
                username=viewer.username,
                role=viewer.role.word,
                since=clock.to_wire(clock.now()),
                expires=clock.monotonic() + config().presence_ttl_s,
            ),
        )

    def entry(self, room: Room, viewer: Viewer) -> Entry | None:
        """Return the viewer's own entry, which a newcomer's room may not show yet."""
        place = self._places.get(room.guid)
        return place.entries.get(viewer.connection_id) if place else None

    def leave(self, room: Room, viewer: Viewer, *, at_once: bool) -> None:
        """Count the viewer no more: at once for a deliberate goodbye, else after a while."""
        if not viewer.present or self.frozen:
            return
        viewer.present = False
        after = 0.0 if at_once else config().presence_leave_s
        asyncio.get_running_loop().call_later(after, self._leave, room, viewer.connection_id)

    def update(self, room: Room, viewer: Viewer, **changes: Any) -> None:
        """Change fields of the viewer's entry: role, focus."""
        entry = self.entry(room, viewer)
        if entry is not None and viewer.present:
            changed = msgspec.structs.replace(entry, **changes)
            if changed != entry:
                self._set(room, viewer.connection_id, changed)

    def typing(self, room: Room, viewer: Viewer, *, on: bool) -> None:
        """Note that the viewer types, or not; typing ends by itself."""
        seconds = config().typing_s
        self.update(room, viewer, typing_until=clock.monotonic() + seconds if on else 0.0)
        if on:
            asyncio.get_running_loop().call_later(seconds + 0.05, self._due, room)

    async def load(self, room: Room) -> None:
        """Learn who is in a room that was just opened."""
        room.members.replace(await self._members(room.guid))

    async def refresh(self, rooms: list[Room]) -> None:
        """Renew this process's entries, and say to each room's viewers what changed without anybody saying so."""
        expires = clock.monotonic() + config().presence_ttl_s
        for room in rooms:
            place = self._places.get(room.guid)
            if place is not None and place.entries:
                renewed = {
                    name: msgspec.structs.replace(entry, expires=expires) for name, entry in place.entries.items()
                }
                place.entries = renewed
                await self._store(self.store.put(room.guid, renewed))
            diff = room.members.replace(await self._members(room.guid))
            if diff is not None:
                room.take_pieces([diff_piece(diff)])

    async def close(self) -> None:
        """Stop what runs."""
        self.frozen = True
        for place in self._places.values():
            if place.rounds is not None:
                place.rounds.cancel()
        await self.store.close()

    def _set(self, room: Room, connection_id: str, entry: Entry) -> None:
        place = self._places.setdefault(room.guid, Place())
        place.entries[connection_id] = place.new[connection_id] = entry
        place.gone.discard(connection_id)
        self._due(room)

    def _leave(self, room: Room, connection_id: str) -> None:
        place = self._places.get(room.guid)
        if place is None or self.frozen:
            return
        place.entries.pop(connection_id, None)
        place.new.pop(connection_id, None)
        place.gone.add(connection_id)
        self._due(room)

    def _due(self, room: Room) -> None:
        """Begin a round, or have one more follow the one that runs."""
        place = self._places.get(room.guid)
        if place is None:
            return
        place.due = True
        if place.rounds is None:
            place.rounds = asyncio.get_running_loop().create_task(self._rounds(room, place), name="presence")

    async def _rounds(self, room: Room, place: Place) -> None:
        while place.due:
            place.due = False
            new, place.new = place.new, {}
            gone, place.gone = place.gone, set()
            if new:
                await self._store(self.store.put(room.guid, new))
            if gone:
                await self._store(self.store.remove(room.guid, list(gone)))
            began = time.perf_counter()
            diff = room.members.replace(await self._members(room.guid))
            if diff is not None:
                ports.publisher.pieces(room.guid, [diff_piece(diff)])
            await asyncio.sleep(max(PAUSE_S, (time.perf_counter() - began) * PAUSE_FACTOR))
        place.rounds = None
        if not place.entries and self._places.get(room.guid) is place:
            del self._places[room.guid]

    async def _members(self, guid: str) -> dict[str, Any]:
        entries = await self._store(self.store.entries(guid))
        if entries is None:
            place = self._places.get(guid)
            entries = list(place.entries.values()) if place else []
        return members_of(entries, clock.monotonic())

    async def _store(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Await a call of the store; None when it fails. Presence is never worth an error."""
        try:
            async with asyncio.timeout(STORE_PATIENCE):
                return await call
        except (Exception, asyncio.CancelledError) as error:  # Redis fails in many ways; all mean the same here
            if isinstance(error, asyncio.CancelledError) and asked_to_end():
                raise
            logger.warning("presence is not stored: %s", type(error).__name__)
            return None
