"""Daphne's WebSocket protocol where it would let a peer that does not read cost memory or a socket."""

from __future__ import annotations

from typing import Any, Final

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor as _reactor

from apps.realtime.daphne_pressure import HIGH_WATER, waiting_for

reactor: Any = _reactor

GOODBYE_S: Final = 3  # seconds for a close handshake, and for the last bytes to a peer that began one

PROTOCOL_OPTIONS: Final[dict[str, Any]] = {
    "versions": [13],  # RFC 6455; the others are drafts
    "failByDrop": False,  # a violation is answered with its close code, not with a reset
    "closeHandshakeTimeout": GOODBYE_S,
}


class RoomProtocol(WebSocketProtocol):
    """See the module."""

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
