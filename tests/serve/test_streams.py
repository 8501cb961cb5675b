"""Event streams over real HTTP: as many as a user may have, and one more when one has ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

import pytest

from tests.serve.raw import connected
from tests.support.browser import token_of

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]


class HttpStream:
    """One request for an event stream on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self.reader, self.writer, self.head = reader, writer, head
        self.status = int(head.split()[1])

    @classmethod
    async def open(cls, port: int, person: Any, room: Any, *, buffer: int = 0) -> Self:
        """Ask, and return when the answer has begun. With a ``buffer`` (bytes) it takes little that was not read."""
        reader, writer = await connected(port, buffer)
        writer.write(
            f"GET /api/v1/projects/{room.guid}/events/stream/ HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {token_of(person)}\r\n\r\n".encode()
        )
        async with asyncio.timeout(10):
            return cls(reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode())

    async def begun(self) -> Self:
        """Return when the room was shown."""
        async with asyncio.timeout(10):
            await self.reader.readuntil(b"project_joined")
        return self

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def test_one_stream_too_many_is_refused_until_another_has_ended(serve, ada, room):
    server = await serve(AUTOCODE_CONNECTIONS_PER_USER=2)
    first, second = [await (await HttpStream.open(server.port, ada, room)).begun() for _ in range(2)]
    refused = await HttpStream.open(server.port, ada, room)
    assert refused.status == 429
    assert "\r\nretry-after: 5\r\n" in refused.head.lower()
    assert json.loads(await refused.reader.readuntil(b"}}"))["error"]["code"] == "rate_limited"
    await first.close()
    async with asyncio.timeout(10):
        while (third := await HttpStream.open(server.port, ada, room)).status == 429:
            await third.close()
    await third.begun()
    for one in (second, third, refused):
        await one.close()
