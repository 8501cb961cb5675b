"""Who is in a room, across processes: one entry a connection, kept with an expiry, folded to members.

Nothing here depends on a goodbye: entries of a process that died expire. Two stores with one interface: this process's
memory, and Redis (one hash a project). Entries in Redis go by Redis's clock: those of the machines may be wrong.
"""

from __future__ import annotations

import abc
from typing import Any

import msgspec

from apps.core import clock
from apps.realtime.members import Entry

_decoder = msgspec.json.Decoder(Entry)


class PresenceStore(abc.ABC):
    """Entries by project and connection."""

    @abc.abstractmethod
    async def put(self, guid: str, entries: dict[str, Entry]) -> None:
        """Store or refresh entries by connection id."""

    @abc.abstractmethod
    async def remove(self, guid: str, connection_ids: list[str]) -> None:
        """Remove entries; those that are not there are no error."""

    @abc.abstractmethod
    async def entries(self, guid: str) -> list[Entry]:
        """Return what is stored and not expired."""

    async def close(self) -> None:
        """Give back what the store holds open; memory holds nothing."""
        return


class MemoryPresence(PresenceStore):
    """For one process."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, Entry]] = {}

    async def put(self, guid: str, entries: dict[str, Entry]) -> None:
        """See ``PresenceStore``."""
        self._rooms.setdefault(guid, {}).update(entries)

    async def remove(self, guid: str, connection_ids: list[str]) -> None:
        """See ``PresenceStore``."""
        room = self._rooms.get(guid, {})
        for connection_id in connection_ids:
            room.pop(connection_id, None)
        if not room:
            self._rooms.pop(guid, None)

    async def entries(self, guid: str) -> list[Entry]:
        """See ``PresenceStore``."""
        now = clock.monotonic()
        return [entry for entry in self._rooms.get(guid, {}).values() if entry.expires > now]


def _ahead(at: tuple[int, int]) -> float:
    """Return how far Redis's clock, which shows seconds and microseconds, is ahead of this process's."""
    return at[0] + at[1] / 1_000_000 - clock.monotonic()


class RedisPresence(PresenceStore):
    """For many processes: the hash ``<prefix>:presence:<guid>`` of connection id to entry. It expires as a whole."""

    def __init__(self, client: Any, prefix: str, ttl_s: int) -> None:
        self._client = client
        self._prefix = prefix
        self._ttl_s = ttl_s

    def _key(self, guid: str) -> str:
        return f"{self._prefix}:presence:{guid}"

    async def put(self, guid: str, entries: dict[str, Entry]) -> None:
        """See ``PresenceStore``."""
        if not entries:
            return
        ahead = _ahead(await self._client.time())
        stored = {name: msgspec.json.encode(entry.moved(ahead)) for name, entry in entries.items()}
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(self._key(guid), mapping=stored)
            pipe.expire(self._key(guid), self._ttl_s * 2)
            await pipe.execute()

    async def remove(self, guid: str, connection_ids: list[str]) -> None:
        """See ``PresenceStore``."""
        if connection_ids:
            await self._client.hdel(self._key(guid), *connection_ids)

    async def entries(self, guid: str) -> list[Entry]:
        """See ``PresenceStore``. Removes what expired."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key(guid))
            pipe.time()
            found, at = await pipe.execute()
        ahead, now = _ahead(at), clock.monotonic()
        alive, dead = [], []
        for name, value in found.items():
            try:
                entry = _decoder.decode(value).moved(-ahead)
            except msgspec.MsgspecError:
                dead.append(name)  # written by another version of AutoCode
                continue
            if entry.expires > now:
                alive.append(entry)
            else:
                dead.append(name)
        if dead:
            await self._client.hdel(self._key(guid), *dead)
        return alive

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._client.aclose()
