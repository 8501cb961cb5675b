"""HTTP as an attacker writes it: bytes out, status, headers and body back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@dataclass(frozen=True)
class Reply:
    """What came back; ``status`` 0 means the line was cut without a word."""

    status: int
    head: bytes
    body: bytes


async def spoken(port: int, sent: bytes, *, patience: float = 10.0) -> Reply:
    """Send bytes to a server and return the head of its answer, and its body as far as the head promises one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(patience):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return Reply(0, b"", b"")
            body = b""
            if not head.startswith(b"HTTP/1.1 101"):
                length = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
                )
                body = await reader.readexactly(int(length.split(b":")[1]))
        return Reply(int(head.split(b" ", 2)[1]), head, body)
    finally:
        writer.close()


def request(path: str = "/ws/", *lines: bytes, host: bytes = b"localhost", method: str = "GET") -> bytes:
    """Return a request with these header lines behind its ``Host``."""
    head = f"{method} {path} HTTP/1.1\r\n".encode() + (b"Host: " + host + b"\r\n" if host else b"")
    return head + b"".join(line + b"\r\n" for line in lines)


def upgrade(*lines: bytes, path: str = "/ws/", host: bytes = b"localhost") -> bytes:
    """Return a handshake of a socket."""
    return request(path, *lines, host=host) + UPGRADE + b"\r\n"
