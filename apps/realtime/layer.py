"""The process's one ear on the channel layer: one channel, one group a room, one for all processes.

Sends nothing: the broadcaster does. A layer that is away is asked again; meanwhile rooms live on by their position
check.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from channels.layers import get_channel_layer

from apps.core.cancelling import asked_to_end
from apps.realtime import metrics, ports
from apps.realtime.coalescing import Piece
from apps.realtime.groups import CONTROL, room_group
from apps.realtime.room import Room

if TYPE_CHECKING:
    from apps.realtime.manager import WebSocketManager

logger = logging.getLogger(__name__)

PATIENCE: Final = 3.0  # seconds that a join waits for the layer
BACKOFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds

pieces_decoder = msgspec.msgpack.Decoder(list[Piece])


class Ear:
    """Receives for the manager."""

    def __init__(self, manager: WebSocketManager) -> None:
        self.id = manager.process
        self._manager = manager
        self._layer: Any = get_channel_layer()
        self._channel: str | None = None

    async def listen(self) -> None:
        """Receive for ever."""
        failures = 0
        try:
            while True:
                try:
                    channel = await self._open()
                    failures = 0
                    if hasattr(self._layer, "deliver"):
                        self._layer.deliver(channel, self._hear_others)
                        await asyncio.get_running_loop().create_future()
                    while True:
                        self._hear_others(await self._layer.receive(channel))
                except (Exception, asyncio.CancelledError) as error:  # every layer fails in its own way
                    if isinstance(error, asyncio.CancelledError) and asked_to_end():
                        raise
                    logger.warning("the channel layer does not answer (%s)", type(error).__name__)
                    self._channel = None
                    for room in self._manager.rooms.values():
                        room.subscribed = False
                    await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
                    failures += 1
        finally:
            await self._give_up()

    async def _open(self) -> str:
        """Return this process's channel, in the control group."""
        if self._channel is None:
            channel: str = await self._layer.new_channel("process.")
            await self._layer.group_add(CONTROL, channel)
            self._channel = channel
            await self.join_all()
        return self._channel

    async def join_all(self) -> None:
        """Subscribe to all rooms that are not subscribed, together: a silent layer takes one ``PATIENCE``, not many.

        Failures are logged, in one line, and tried again by the position check.
        """
        rooms = [room for room in self._manager.rooms.values() if not room.subscribed]
        failures = [error for error in await asyncio.gather(*map(self._join, rooms)) if error is not None]
        if failures:
            logger.warning("%d rooms are not subscribed (%s)", len(failures), type(failures[0]).__name__)

    async def join(self, room: Room) -> None:
        """Subscribe to a room. A failure is logged and tried again by the position check."""
        error = await self._join(room)
        if error is not None:
            logger.warning("room %s is not subscribed (%s)", room.guid, type(error).__name__)

    async def _join(self, room: Room) -> BaseException | None:
        """Return why the room is not subscribed, or None."""
        if self._channel is None:
            return None
        try:
            await asyncio.wait_for(self._layer.group_add(room_group(room.guid), self._channel), PATIENCE)
        except (Exception, asyncio.CancelledError) as error:  # see above
            if isinstance(error, asyncio.CancelledError) and asked_to_end():
                raise
            return error
        room.subscribed = True
        return None

    async def leave(self, room: Room) -> None:
        """Subscribe no more."""
        room.subscribed = False
        if self._channel is not None:
            try:
                await asyncio.wait_for(self._layer.group_discard(room_group(room.guid), self._channel), PATIENCE)
            except (Exception, asyncio.CancelledError) as error:  # what still comes for the room is not looked at
                if isinstance(error, asyncio.CancelledError) and asked_to_end():
                    raise

    async def _give_up(self) -> None:
        """Leave all groups, so that a layer in memory does not fill a channel that nobody reads."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        with contextlib.suppress(BaseException):
            await self._layer.group_discard(CONTROL, channel)
            for room in self._manager.rooms.values():
                await self._layer.group_discard(room_group(room.guid), channel)

    def _hear_others(self, message: dict[str, Any]) -> None:
        if message.get("heard") != self.id:
            self.hear(message)
        elif number := message.get("n"):
            ports.publisher.echoed(message["guid"], number)

    def listens(self, guid: str) -> bool:
        """See ``ports.Near``."""
        room = self._manager.rooms.get(guid)
        return room is not None and room.subscribed

    def hear(self, message: dict[str, Any]) -> None:
        """Take one message. A bad one (another version's) is logged and forgotten."""
        try:
            self._hear(message)
        except Exception:
            logger.exception("a message of the channel layer cannot be used")

    def _hear(self, message: dict[str, Any]) -> None:
        manager, kind = self._manager, message["type"]
        if kind == "access":
            manager.rights.changed(message)
            return
        if kind == "wanted":
            ports.publisher.answer(message["guid"])
            return
        room = manager.rooms.get(message["guid"])
        if room is None:
            return
        if kind == "events":
            room.take_events(message["events"])
            metrics.DELIVERY_SECONDS.observe(max(0.0, time.time() - message["at"]))
        elif kind == "top":
            room.grown(message["seq"])
        elif kind == "pieces":
            pieces = message["pieces"]
            room.take_pieces(pieces_decoder.decode(pieces) if isinstance(pieces, bytes) else pieces)
