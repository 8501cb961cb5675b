"""The shortest way out: a prepared WebSocket frame written straight to the server's socket.

Under our Daphne a broadcast costs each viewer one ``send`` of bytes that were framed once in the process. What the
socket does not take at once (a slow reader, a large answer) waits in a bounded backlog, in order.
Knows Twisted's transports by what they offer, and imports nothing of it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

from apps.realtime.frames import Frame, Frames
from apps.realtime.metrics import SENT
from apps.realtime.outlet import Backlog, BoundedOutlet, Send

EXTENSION: Final = "autocode.line"
"""The key in ``scope["extensions"]`` under which our server hands a connection's line to the application."""

OPEN: Final = 3  # autobahn's STATE_OPEN
TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
UNSENT: Final = 131_072
"""Bytes that the kernel takes before they are on their way, instead of some MiB: what waits there cannot merge."""


class Line:
    """The socket of one WebSocket connection: what is needed to write past the server's own buffers."""

    __slots__ = ("protocol", "send", "transport")

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport = protocol.transport
        self.send: Callable[[bytes], int] = protocol.transport.socket.send
        # The producer of HTTP, from before the upgrade: it would stop reading from whoever reads slowly.
        protocol.transport.unregisterProducer()
        with contextlib.suppress(OSError):  # a UNIX socket has no such thing
            self.transport.socket.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)

    def hand_over(self, taker: Any) -> None:
        """Give what is received to ``taker`` (``take``, ``ended``) as it comes; see our Daphne's protocol."""
        self.protocol.hand_over(taker)

    def hang_up(self) -> None:
        """End the connection without a word."""
        self.transport.abortConnection()

    @classmethod
    def of(cls, protocol: Any) -> Line | None:
        """Return the line of a Daphne protocol, or None when its transport is of another kind (TLS)."""
        transport = protocol.transport
        needed = ("socket", "dataBuffer", "offset", "_tempDataLen")
        return cls(protocol) if all(hasattr(transport, name) for name in needed) else None


class DirectOutlet(BoundedOutlet):
    """Writes at once while nothing waits in it or in the transport; else whenever the transport has become empty.

    So the transport never holds more than one batch, ``waiting`` counts that batch until it has left, and everything
    else can still merge. ``put`` is what a broadcast costs for each viewer: it asks for everything in one place.
    """

    __slots__ = ("_handed", "_protocol", "_send_now", "_transport")

    def __init__(self, line: Line, send: Send, *, limit: int, on_overflow: Callable[[], None]) -> None:
        super().__init__(send, limit=limit, on_overflow=on_overflow)
        self._protocol, self._transport, self._send_now = line.protocol, line.transport, line.send
        self._handed = 0

    def put(self, frame: Frame) -> None:
        """See ``Outlet``. The same as ``_written``, in place."""
        transport = self._transport
        if (
            self._backlog is None
            and not self._closed
            and self._protocol.state == OPEN
            and transport.offset == len(transport.dataBuffer)
            and not transport._tempDataLen  # noqa: SLF001 - no public way
        ):
            wire = frame.wire
            try:
                sent = self._send_now(wire)
            except OSError:  # full, or gone: the transport will find out which
                pass
            else:
                if sent != len(wire):
                    transport.write(wire[sent:])
                SENT.singles += 1
                SENT.bytes += frame.size
                return
        super().put(frame)

    def put_all(self, frames: Frames) -> None:
        """See ``Outlet``: one write for all of them."""
        if self._backlog is None and not self._closed and self._written(frames.wire):
            SENT.frames += len(frames)
            SENT.envelopes += len(frames)
            SENT.bytes += frames.size
        else:
            for frame in frames:
                super().put(frame)

    def _written(self, data: bytes) -> bool:
        """Write whole frames at once; return False, with nothing written, when they have to wait.

        They wait while the handshake or a close is under way, and while earlier bytes have not left: order is kept by
        whoever calls. What the kernel does not take of ``data`` is left to the transport.
        """
        transport = self._transport
        if (
            self._protocol.state != OPEN
            or transport._tempDataLen  # noqa: SLF001 - no public way
            or transport.offset != len(transport.dataBuffer)
            or transport.disconnecting
            or not transport.connected
        ):
            return False
        try:
            sent = self._send_now(data)
        except OSError:  # full, or gone: the transport will find out which
            return False
        if sent < len(data):
            transport.write(data[sent:])
        return True

    # --- a producer of Twisted, which calls whenever the transport has become empty ------------------------------

    def _begin(self, backlog: Backlog) -> None:
        self._handed = left = waiting_bytes(self._transport)
        backlog.waiting += left
        self._transport.registerProducer(self, False)  # asks at once for the first batch

    def resumeProducing(self) -> None:
        """Hand over batches until the transport has something to wait for."""
        backlog = self._backlog
        if backlog is None:
            return
        transport = self._transport
        if self._protocol.state != OPEN or transport.disconnecting:
            self.stop()
            return
        while not waiting_bytes(transport):
            backlog.waiting -= self._handed
            self._handed = 0
            if not backlog.cells:
                self._backlog = None
                transport.unregisterProducer()
                backlog.empty.set()
                return
            frames, self._handed = backlog.next()
            data = frames[0].wire if len(frames) == 1 else b"".join([frame.wire for frame in frames])
            SENT.frames += len(frames)
            SENT.envelopes += len(frames)
            SENT.bytes += sum([frame.size for frame in frames])
            if not self._written(data):
                transport.write(data)

    def pauseProducing(self) -> None:
        """Never called: we produce when asked."""

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.stop()

    def stop(self) -> None:
        """See ``Outlet``."""
        if self._backlog is not None:
            self._transport.unregisterProducer()
        super().stop()


def waiting_bytes(transport: Any) -> int:
    """Return how many bytes wait in a Twisted transport's buffers."""
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # type: ignore[no-any-return]  # noqa: SLF001
