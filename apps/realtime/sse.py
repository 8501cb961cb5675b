"""The event stream: a room over one long HTTP response. Every durable event is ``id: <epoch>:<seq>``.

A client that comes back with its last id goes on exactly there. Without one, the first event is ``project_joined``
with the
snapshot. The stream ends when the server drains, when the right to see the room ends, and when its reader is too slow.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from apps.accounts.identity import Identity
from apps.core import clock
from apps.core.errors import AutoCodeError, Forbidden
from apps.core.ids import new_id
from apps.projects.selectors.access import Access
from apps.realtime import draining, metrics
from apps.realtime.frames import Frame
from apps.realtime.http import Listener
from apps.realtime.joined import joined_data, raw_snapshot
from apps.realtime.protocol import error_frame, reply_frame
from apps.realtime.viewers import Viewer

if TYPE_CHECKING:
    from apps.realtime.manager import WebSocketManager

logger = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 15.0
RETRY_MS: Final = 2_000


async def stream(
    manager: WebSocketManager, identity: Identity, network: str, access: Access, *, after: int | None, epoch: str | None
) -> AsyncGenerator[bytes]:
    """Yield the stream's bytes until it ends. Raises ``RateLimited`` instead of the first ones."""
    with manager.held.one(identity.user_id, network, manager.config):
        yield b"retry: %d\n\n" % RETRY_MS
        async with aclosing(_events(manager, identity, access, after, epoch)) as events:
            async for part in events:
                yield part


async def _events(
    manager: WebSocketManager, identity: Identity, access: Access, after: int | None, epoch: str | None
) -> AsyncGenerator[bytes]:
    listener = Listener(manager.config.outbound_bytes)
    viewer = Viewer(
        owner=listener,
        connection_id=new_id(),
        user_id=identity.user_id,
        username=identity.username,
        role=access.role,
        read_seq=access.read_seq,
    )
    room = await manager.open(access)
    room.visitors += 1
    manager.listeners[listener] = identity
    metrics.CONNECTIONS.labels("sse").inc()
    try:
        try:
            plan = await manager.recoveries[access.guid].plan(access, after, epoch)
            link = await manager.reads.link(access.guid)
            manager.presence.join(room, viewer)
            await manager.recoveries[access.guid].complete(plan)
        except AutoCodeError as error:
            yield _event(error_frame(error, guid=access.guid))
            return
        # Nothing is awaited between the plan's end and the attachment.
        room.attach(viewer, plan.upto)
        if access.position.access_version != room.access_version:
            manager.spawn(manager.rights.check_room(room, viewer.user_id))
        data = joined_data(
            room,
            identity,
            role=access.role,
            read_seq=access.read_seq,
            seq=plan.seq,
            recovered=plan.recovered,
            reason=plan.reason,
            link=link,
            settings=manager.config,
            me=manager.presence.entry(room, viewer),
        )
        first, seq = reply_frame("project_joined", data, guid=access.guid, raw=raw_snapshot(plan)), plan.seq
        live = room.live_frames(viewer)
        if plan.recovered:
            seq = plan.upto - len(plan.frames)
        yield _event(first, f"{plan.epoch}:{seq}")
        for frame in plan.frames:
            seq += 1
            yield _event(frame.data, f"{plan.epoch}:{seq}")
        for frame in live:
            yield _event(frame.data)
        async with aclosing(_live(listener, identity, plan.epoch)) as parts:
            async for part in parts:
                yield part
        yield _goodbye(listener.ended or "", access.guid)
    finally:
        metrics.CONNECTIONS.labels("sse").dec()
        manager.listeners.pop(listener, None)
        room.visitors -= 1
        room.detach(viewer)
        manager.presence.leave(room, viewer, at_once=False)


async def _live(listener: Listener, identity: Identity, epoch: str) -> AsyncGenerator[bytes]:
    """Yield what comes, until the listener or the login has ended."""
    while listener.ended is None:
        await listener.wait(min(KEEP_ALIVE_S, _seconds_left(identity)))
        frames = listener.take()
        if not frames and listener.ended is None:
            yield b": keep-alive\n\n"
        for frame in frames:
            if not _seconds_left(identity):  # asked for each: the reader may take its time over the one before
                break
            yield _event(frame.data, _cursor(frame, epoch))
        if not _seconds_left(identity):
            listener.end("expired")


def _seconds_left(identity: Identity) -> float:
    """Return how long the login still lasts, 0 when it has ended."""
    return max(0.0, (identity.expires_at - clock.now()).total_seconds())


def _event(data: bytes, cursor: str | None = None) -> bytes:
    """Return one event; JSON has no line breaks of its own."""
    return (b"id: %b\n" % cursor.encode() if cursor else b"") + b"data: %b\n\n" % data


def _cursor(frame: Frame, epoch: str) -> str | None:
    """Return the cursor after a durable frame, None for others."""
    return f"{epoch}:{frame.seq}" if frame.seq else None


def _goodbye(reason: str, guid: str) -> bytes:
    if draining.is_draining():
        return _event(reply_frame("server_draining", {"retryAfterMs": RETRY_MS}))
    if reason == "removed":
        error = error_frame(Forbidden("You are no longer a member of this project."), guid=guid)
        return _event(error) + _event(reply_frame("project_left", {"reason": "removed"}, guid=guid))
    return b": ended\n\n"
