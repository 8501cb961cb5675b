"""The shortest way out: a prepared WebSocket frame written straight to the server's socket.

Under our Daphne a broadcast costs each viewer one ``send`` of bytes that were framed once in the process. Everything
that the short way cannot take (a slow reader, a large answer, a close) goes through the queue, in order.
Knows Twisted's transports by what they offer, and imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from apps.realtime import metrics
from apps.realtime.frames import Frame
from apps.realtime.outlet import QueueOutlet, Send

EXTENSION: Final = "autocode.line"
"""The key in ``scope["extensions"]`` under which our server hands a connection's line to the application."""

OPEN: Final = 3  # autobahn's STATE_OPEN


class Line:
    """The socket of one accepted WebSocket connection."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> bool:
        """Write whole frames at once; return False, with nothing written, when they have to wait.

        They wait while the handshake or a close is under way, and while earlier bytes have not left: order is kept by
        whoever calls. What the kernel does not take of ``data`` is left to the transport.
        """
        protocol = self._protocol
        transport = protocol.transport
        if protocol.state != OPEN or transport is None or transport.disconnecting or not transport.connected:
            return False
        if transport._tempDataLen or transport.offset != len(transport.dataBuffer):  # noqa: SLF001 - no public way
            return False
        try:
            sent = transport.socket.send(data)
        except OSError:  # full, or gone: the transport will find out which
            return False
        if sent < len(data):
            transport.write(data[sent:])
        return True

    @classmethod
    def of(cls, protocol: Any) -> Line | None:
        """Return the line of a Daphne protocol, or None when its transport is of another kind (TLS)."""
        transport = protocol.transport
        needed = ("socket", "dataBuffer", "offset", "_tempDataLen")
        return cls(protocol) if all(hasattr(transport, name) for name in needed) else None


class DirectOutlet(QueueOutlet):
    """A ``QueueOutlet`` that goes past its own queue while nothing waits in it or in the transport."""

    def __init__(self, line: Line, send: Send, *, limit: int, on_overflow: Callable[[], None]) -> None:
        super().__init__(send, limit=limit, on_overflow=on_overflow)
        self._line = line

    def put(self, frame: Frame) -> None:
        """See ``Outlet``."""
        if self.is_idle and self._line.write(frame.wire):
            metrics.note_out(1, 1, frame.size)
            return
        super().put(frame)

    def put_all(self, frames: list[Frame]) -> None:
        """See ``Outlet``: one write for all of them."""
        if len(frames) > 1 and self.is_idle and self._line.write(b"".join([frame.wire for frame in frames])):
            metrics.note_out(len(frames), len(frames), sum(frame.size for frame in frames))
            return
        for frame in frames:
            self.put(frame)
