"""Daphne's HTTP requests where they would take a client's word, or its time, for more than it is worth.

Twisted's own limit of time begins anew with every byte: a client that sends one now and then holds its connection for
days. Here ``AUTOCODE_REQUEST_S`` bounds a request from its first line to its last byte, half of it the time from the
connection to that line, and twice as much the time from one request to the next line.
"""

from __future__ import annotations

from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet import reactor as _reactor

from apps.realtime.config import config

reactor: Any = _reactor


class RoomRequest(WebRequest):
    """A request, also one for an upgrade, that has to arrive in time."""

    def __init__(self, channel: Any, *args: Any) -> None:
        super().__init__(channel, *args)
        expect(channel, config().request_s)

    def process(self) -> Any:
        """Go on with the complete request; this is Twisted's call."""
        self.channel.deadline.cancel()
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")  # a word of proxies, and every client can say it
        offered = self.requestHeaders.getRawHeaders(b"Sec-WebSocket-Protocol", [])
        if not all(value.isascii() for value in offered):
            # Daphne would answer 500, with the text of its exception, and log a traceback for each.
            return self.basic_error(400, b"Bad Request", "Invalid header value")
        return super().process()

    def finish(self) -> None:
        """End the answer; the connection may be used again."""
        channel = self.channel
        super().finish()
        if channel is not None:
            expect(channel, config().request_s * 2)


def watch(factory: HTTPFactory) -> None:
    """Let ``factory`` make our requests, and hang up on clients that connect and say nothing."""
    build = factory.buildProtocol

    def with_deadlines(address: Any) -> Any:
        protocol = build(address)
        protocol.requestFactory = RoomRequest
        expect(protocol._channel, config().request_s / 2)  # noqa: SLF001 - Twisted hides HTTP/1 and HTTP/2 behind one object
        return protocol

    factory.buildProtocol = with_deadlines


def expect(channel: Any, seconds: float) -> None:
    """Hang up unless what comes next on the connection is there within ``seconds``; forgets what was expected before.

    The timer names the channel, which an upgrade leaves behind: ``process`` cancels it, or it would keep that alive.
    """
    deadline = getattr(channel, "deadline", None)
    if deadline is not None and deadline.active():
        deadline.cancel()
    channel.deadline = reactor.callLater(seconds, _hang_up, channel)


def _hang_up(channel: Any) -> None:
    if channel.transport is not None:
        channel.transport.abortConnection()
