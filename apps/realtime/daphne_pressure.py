"""How Daphne is made to wait for slow readers: plain Daphne keeps whatever a reader does not take in memory.

Works for our own server and, through ``install``, for ``daphne autocode.asgi:application``. Knows Twisted's transports
by what they offer, and imports nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import sys
import termios
from typing import Any, Final

from apps.core import clock
from apps.realtime.config import config
from apps.realtime.direct import waiting_bytes

logger = logging.getLogger(__name__)

HIGH_WATER: Final = 65_536  # bytes in Twisted's buffer of one connection before its application has to wait
POLL_S: Final = (0.005, 0.02, 0.05, 0.1)
ANSWER: Final = "http.response.body"
BODIES: Final = frozenset({"websocket.send", ANSWER})


def waiting_for(protocol: Any) -> int:
    """Return how many bytes of this connection wait in Twisted's buffers; 0 when its transport does not tell."""
    transport = _transport(protocol)
    return waiting_bytes(transport) if transport is not None else 0


def _transport(protocol: Any) -> Any:
    transport = getattr(protocol, "transport", None)
    while transport is not None and not hasattr(transport, "dataBuffer"):
        transport = getattr(transport, "transport", None)  # below TLS
    return transport


def untaken(protocol: Any) -> int:
    """Return how many bytes the peer has not taken: Twisted's, and the kernel's, which lets go of them by megabytes."""
    kernel = bytes(4)
    with contextlib.suppress(OSError, ValueError, AttributeError):  # gone, or no socket
        kernel = fcntl.ioctl(_transport(protocol).socket.fileno(), termios.TIOCOUTQ, kernel)
    return waiting_for(protocol) + int.from_bytes(kernel, sys.byteorder)


async def writable(server: Any, protocol: Any, message: Any) -> None:
    """Return when what ``message`` said has (nearly) left, or the connection is gone.

    A connection whose reader takes no byte of an answer for ``AUTOCODE_REQUEST_S`` is cut: what makes the answer waits
    here, and would never hear that its reader was removed, logged out or fell too far behind.
    """
    if message["type"] not in BODIES or waiting_for(protocol) <= HIGH_WATER:
        return
    turn, least, taken_at = 0, untaken(protocol), clock.monotonic()
    while waiting_for(protocol) > HIGH_WATER // 2:
        details = server.connections.get(protocol)
        if details is None or details.get("disconnected"):
            return
        if (left := untaken(protocol)) < least:
            least, taken_at = left, clock.monotonic()
        elif message["type"] == ANSWER and clock.monotonic() - taken_at > config().request_s:
            logger.info("cut: the reader takes nothing of its answer")
            protocol.transport.abortConnection()
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
