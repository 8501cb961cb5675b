"""Daphne's WebSocket protocol, made for many connections that mostly do nothing, and for peers that do not read."""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Protocol

from autobahn.twisted.websocket import WebSocketServerProtocol
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor as _reactor

from apps.realtime.daphne_pressure import HIGH_WATER, waiting_for
from apps.realtime.direct import OPEN
from apps.realtime.frames import text_in

reactor: Any = _reactor
logger = logging.getLogger(__name__)

MOST_FRAGMENTS: Final = 4_096  # frames of one message: empty ones weigh nothing and could go on for ever
GOODBYE_S: Final = 3  # seconds for a close handshake, and for the last bytes to a peer that began one

PROTOCOL_OPTIONS: Final[dict[str, Any]] = {
    "versions": [13],  # RFC 6455; the others are drafts
    "failByDrop": False,  # a violation is answered with its close code, not with a reset
    "closeHandshakeTimeout": GOODBYE_S,
}

HANDSHAKE_ONLY: Final = (
    "application_deferred", "application_queue", "clean_headers", "data", "http_headers", "http_request_data",
    "http_request_host", "http_request_params", "http_request_path", "http_request_uri", "http_status_line",
    "protocol_to_accept", "root_path", "websocket_origin", "websocket_protocols",
    "websocket_extensions", "_wskey", "_raw_query_string", "server_addr",
)  # fmt: skip
"""What a connection knows from its handshake and never needs again."""


class Taker(Protocol):
    """Who gets what a connection receives. Nothing here may wait."""

    def take(self, payload: str | bytes, *, binary: bool) -> None:
        """A message came."""

    def ended(self, code: int | None) -> None:
        """The connection is gone."""


class RoomProtocol(WebSocketProtocol):
    """See the module."""

    taker: Taker | None = None
    fragments = 0
    """Frames of the message that is under way."""

    @classmethod
    def with_options_of(cls, factory: Any) -> type[RoomProtocol]:
        """Return this class with the factory's options in the class: Autobahn copies them into each connection."""
        options = {name: getattr(factory, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}
        accept = options["perMessageCompressionAccept"]  # a function, that must not become a method
        options["perMessageCompressionAccept"] = staticmethod(accept)
        return type(cls.__name__, (cls,), {**options, "CONFIG_ATTRS": ()})

    def hand_over(self, taker: Taker) -> None:
        """From now on give messages to ``taker`` as they come: no queue, and no task that waits for them.

        What came before goes first. What only the handshake needed is forgotten.
        """
        queue = self.application_queue
        del self.application_queue
        self.request.headers.clear()
        kept = {name: value for name, value in self.__dict__.items() if name not in HANDSHAKE_ONLY}
        self.__dict__ = kept | {"data": self.data, "taker": taker}
        while not queue.empty():
            message = queue.get_nowait()
            if message["type"] == "websocket.disconnect":
                taker.ended(message["code"])
            else:
                payload = message.get("text")
                taker.take(message["bytes"] if payload is None else payload, binary=payload is None)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes: one whole message the short way, everything else as Autobahn does."""
        if (
            self.taker is not None
            and self.state == OPEN
            and not self.data
            and self.current_frame is None
            and not self.inside_message
            and self.autoPingTimeoutCall is None
            and (text := text_in(data, self.maxMessagePayloadSize or len(data))) is not None
        ):
            self.onMessage(text, False)
        else:
            self._dataReceived(data)  # Autobahn's dataReceived formats a debug message first, for each of them

    def onMessageBegin(self, isBinary: bool) -> None:  # noqa: FBT001, N803 - Autobahn's signature
        """Begin a message that takes the long way."""
        super().onMessageBegin(isBinary)
        self.fragments = 0

    def onMessageFrameBegin(self, length: int) -> None:
        """Count the frames of a message, of which Autobahn limits the bytes alone."""
        super().onMessageFrameBegin(length)
        self.fragments += 1
        if self.fragments > MOST_FRAGMENTS and not self.failedByMe:
            reason = f"a message has at most {MOST_FRAGMENTS} fragments"
            self._max_message_size_exceeded(self.fragments, MOST_FRAGMENTS, reason)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: FBT001, N803 - Autobahn's signature
        """Pass a message on."""
        if self.taker is None:
            super().onMessage(payload, isBinary)
            return
        self.last_ping = time.time()
        try:
            self.taker.take(payload, binary=isBinary)
        except Exception:
            logger.exception("a message could not be taken")
            self.sendCloseFrame(code=1011)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: FBT001, N803
        """Say that the connection is gone."""
        super().onClose(wasClean, code, reason)
        taker, self.taker = self.taker, None
        if taker is not None:
            taker.ended(code)

    def connectionLost(self, reason: Any) -> None:
        """See Autobahn. Its futures of the end refer back to the connection, which would outlive it."""
        super().connectionLost(reason)
        self.is_open = self.is_closed = None

    def onPing(self, payload: bytes) -> None:
        """Answer, unless the peer does not read: it could make us keep an answer for each of its pings."""
        if waiting_for(self) < HIGH_WATER:
            super().onPing(payload)

    def dropConnection(self, abort: bool = False) -> None:  # noqa: FBT001, FBT002 - Autobahn's signature
        """Hang up: at once where the peer is lost, else after the last bytes, and for certain.

        Autobahn cuts whoever answers a close, or sends a bad one; the close frame that says so would be lost with it.
        Twisted's polite end waits for ever for a peer that does not take the last bytes.
        """
        super().dropConnection(abort=abort and not self.wasClean)
        if waiting_for(self):
            reactor.callLater(GOODBYE_S, self.transport.abortConnection)
