"""A WebSocket client that sends and sees single frames, and reads only when it is asked to."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from tests.support.browser import token_of

FIN, TEXT, BINARY, CLOSE, PING = 0x80, 0x1, 0x2, 0x8, 0x9
MASK = bytes(4)


def frame(first: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    """Return one frame; ``first`` is its first byte (FIN, reserved bits, opcode)."""
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        length = bytes([bit | size])
    elif size < 65_536:
        length = bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([bit | 127]) + size.to_bytes(8, "big")
    return bytes([first]) + length + (MASK if masked else b"") + payload


async def connected(port: int, buffer: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection; with a ``buffer`` (bytes) it takes little that was not read."""
    line = socket.socket()
    if buffer:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=line, limit=buffer or 65_536)


class Raw:
    """A logged-in socket on which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, person: Any, *, buffer: int = 0) -> Raw:
        """Open it, and wait until it is logged in. With a ``buffer`` (bytes) it takes little that was not asked for."""
        reader, writer = await connected(port, buffer)
        writer.write(
            b"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: autocode.v1, autocode.jwt." + token_of(person).encode() + b"\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        raw = cls(reader, writer)
        first = await raw.next()
        assert first["type"] == "authenticated", first
        return raw

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and payload. A cut raises ``ConnectionError``, ``IncompleteReadError``."""
        first, second = await self.reader.readexactly(2)
        assert first & 0x70 == 0
        assert second < 128, "a server masks nothing"
        if second == 126:
            second = int.from_bytes(await self.reader.readexactly(2), "big")
        elif second == 127:
            second = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0xF, await self.reader.readexactly(second)

    async def next(self) -> Any:
        """Return the next envelope (or batch of them)."""
        async with asyncio.timeout(10):
            opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    def send(self, envelope: Any) -> None:
        """Send an envelope."""
        self.writer.write(frame(FIN | TEXT, json.dumps(envelope).encode()))

    async def rest(self) -> tuple[list[Any], int]:
        """Return the envelopes up to the close, and its code; 1006 if there was no close frame (RFC 6455, 7.4.1)."""
        found: list[Any] = []
        async with asyncio.timeout(20):
            while True:
                try:
                    opcode, payload = await self.frame()
                except (ConnectionError, asyncio.IncompleteReadError):
                    return found, 1006
                if opcode == CLOSE:
                    return found, int.from_bytes(payload[:2], "big")
                if opcode == TEXT:
                    value = json.loads(payload)
                    found += value if isinstance(value, list) else [value]

    async def closed(self) -> int:
        """Return the code of the close frame; nothing may come before it but control frames."""
        async with asyncio.timeout(10):
            opcode, payload = await self.frame()
            assert opcode == CLOSE, (opcode, payload)
            return int.from_bytes(payload[:2], "big")

    async def hung_up(self) -> None:
        """Return when the server has ended the connection after its close frame."""
        async with asyncio.timeout(10):
            try:
                assert await self.reader.read() == b""
            except ConnectionResetError:
                pass  # it had sent its close frame; what we sent after it was not read
