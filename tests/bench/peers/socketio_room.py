# mypy: ignore-errors
# Runs in the environment of the peers, which mypy does not know.
"""A python-socketio room with its Redis manager, as an ASGI application."""

from __future__ import annotations

import os
from typing import Any

import socketio

manager = socketio.AsyncRedisManager(os.environ["BENCH_REDIS_URL"])
server = socketio.AsyncServer(async_mode="asgi", client_manager=manager, cors_allowed_origins="*")


@server.event
async def join(sid: str, room: str) -> str:
    """Answered by an acknowledgement, so the client knows that it is in."""
    await server.enter_room(sid, room)
    return "ok"


@server.event
async def say(sid: str, room: str, text: str) -> None:
    """Tell the room, the speaker included."""
    data: dict[str, Any] = {"message": text}
    await server.emit("message", data, room=room)


application = socketio.ASGIApp(server)
