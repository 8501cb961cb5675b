"""Daphne's HTTP requests where they would take a client's word, or its time, for more than it is worth.

Twisted's own limit of time begins anew with every byte: a client that sends one now and then holds its connection for
days. Here ``AUTOCODE_REQUEST_S`` bounds a request from its first line to its last byte, half of it the time from the
connection to that line, and twice as much the time from one request to the next line.

Nor has Twisted a limit of length: it would keep whatever comes in memory or in a file. Here a body that is longer than
any view takes is not kept; one that goes on and on ends the connection.
"""

from __future__ import annotations

import json
from typing import Any, Final

from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from twisted.internet import reactor as _reactor

from apps.core.errors import AutoCodeError, Internal, InvalidMessage, TooLarge, Unavailable
from apps.realtime.config import config

reactor: Any = _reactor

PATIENCE: Final = 4
"""So many times the longest body is read, and thrown away, for a client that hears nothing before it has sent all."""
ERRORS: Final[dict[int, type[AutoCodeError]]] = {413: TooLarge, 500: Internal, 503: Unavailable}


class RoomRequest(WebRequest):
    """A request, also one for an upgrade, that has to arrive in time."""

    def __init__(self, channel: Any, *args: Any) -> None:
        super().__init__(channel, *args)
        expect(channel, config().request_s)

    received = 0
    """Bytes of the body so far."""

    def gotLength(self, length: int | None) -> None:
        """Take the head's word for the length of the body, None if it does not say; this is Twisted's call."""
        super().gotLength(length)
        self.longest: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if length is not None and length > self.longest * PATIENCE:
            self._cut()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body; this is Twisted's call."""
        self.received += len(data)
        if self.received <= self.longest:
            super().handleContentChunk(data)
        elif self.received > self.longest * PATIENCE:
            self._cut()

    def _cut(self) -> None:
        """Refuse the rest, and end the connection: where the next request begins nobody knows."""
        if self.channel is not None and not self.channel.transport.disconnecting:
            body = error_body(413, "The body is too large.")
            head = b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
            self.channel.transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
            self.channel.loseConnection()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer in the server's own name; this is Daphne's call. Its HTML is not for programs."""
        if not self.uri.startswith(b"/api/"):
            super().basic_error(status, status_text, body)
            return
        kind = [(b"Content-Type", b"application/json")]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": kind})
        self.handle_reply({"type": "http.response.body", "body": error_body(status, f"{body}.")})

    def process(self) -> Any:
        """Go on with the complete request; this is Twisted's call."""
        self.channel.deadline.cancel()
        if self.received > self.longest:
            return self.basic_error(413, b"Content Too Large", "The body is too large")
        if self.clientproto == b"HTTP/1.0" and self.requestHeaders.hasHeader(b"Upgrade"):
            return self.basic_error(400, b"Bad Request", "An upgrade needs HTTP/1.1")  # RFC 6455, 4.2.1
        if not self.method.isascii():
            # Daphne would answer 500 and log a traceback for each.
            return self.basic_error(400, b"Bad Request", "Invalid method")
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


def error_body(status: int, message: str) -> bytes:
    """Return an error of the API's form."""
    error = ERRORS.get(status, InvalidMessage)(message)
    return json.dumps({"error": {"code": error.code, "message": error.message, "retryable": error.retryable}}).encode()


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
