"""The Channels consumer: glue between the server and ``WebSocketService``."""

from __future__ import annotations

from typing import Any

from channels.consumer import AsyncConsumer

from apps.realtime import daphne_drain
from apps.realtime.service import WebSocketService


class RoomConsumer(AsyncConsumer):
    """Hands a connection over.

    It has no ``dispatch`` (the original one hops to the shared thread for every message) and no channel name (rooms
    listen for all connections of the process).
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        await WebSocketService(scope, send).run(receive)


daphne_drain.install()
