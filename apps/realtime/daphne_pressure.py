"""How Daphne is made to wait for slow readers: plain Daphne keeps whatever a reader does not take in memory.

Works for our own server and, through ``install``, for ``daphne autocode.asgi:application``. Knows Twisted's transports
by what they offer, and imports nothing of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from apps.realtime.direct import waiting_bytes

HIGH_WATER: Final = 65_536  # bytes in Twisted's buffer of one connection before its application has to wait
POLL_S: Final = (0.005, 0.02, 0.05, 0.1)
BODIES: Final = frozenset({"websocket.send", "http.response.body"})


def waiting_for(protocol: Any) -> int:
    """Return how many bytes of this connection wait in Twisted's buffers; 0 when its transport does not tell."""
    transport = getattr(protocol, "transport", None)
    while transport is not None and not hasattr(transport, "dataBuffer"):
        transport = getattr(transport, "transport", None)  # below TLS
    return waiting_bytes(transport) if transport is not None else 0


async def writable(server: Any, protocol: Any, message: Any) -> None:
    """Return when what ``message`` said has (nearly) left, or the connection is gone."""
    if message["type"] not in BODIES or waiting_for(protocol) <= HIGH_WATER:
        return
    turn = 0
    while waiting_for(protocol) > HIGH_WATER // 2:
        details = server.connections.get(protocol)
        if details is None or details.get("disconnected"):
            return
        await asyncio.sleep(POLL_S[min(turn, len(POLL_S) - 1)])
        turn += 1


def install(server_class: Any) -> None:
    """Make a plain Daphne's ``Server`` wait."""
    handle_reply = server_class.handle_reply

    async def patient(server: Any, protocol: Any, message: Any) -> None:
        await handle_reply(server, protocol, message)
        await writable(server, protocol, message)

    server_class.handle_reply = patient
