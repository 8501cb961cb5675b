"""HTTP as bytes: what no well-behaved client library would send."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.support.browser import token_of

PATIENCE = 30.0


@dataclass
class Response:
    """What came back. ``status`` 0: the server hung up without a word."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error in our form, else what is wrong with the form."""
        if self.kind != "application/json":
            return f"not JSON but {self.kind or 'nothing'}: {self.body[:80]!r}"
        error = self.json.get("error", {})
        wrong = {"code", "message", "retryable"} - error.keys()
        return f"without {wrong}" if wrong else str(error["code"])


class Http:
    """Requests of one person (or nobody) to one server; each on a connection of its own unless pipelined."""

    def __init__(self, port: int, person: Any = None) -> None:
        self.port = port
        self.token = token_of(person) if person is not None else ""

    def head(self, method: str, target: str, headers: dict[str, str] | None = None) -> bytes:
        """Return a request's head; ``None`` as a value leaves a header out."""
        given: dict[str, str | None] = {"Host": "localhost", "Connection": "close"}
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        given |= headers or {}
        lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
        return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")

    async def call(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        """Send one request; a body comes as JSON, with its length, unless the headers say otherwise."""
        given = dict(headers or {})
        if body is not None:
            given = {"Content-Type": "application/json", "Content-Length": str(len(body))} | given
        [response] = await self.raw(self.head(method, target, given) + (body or b""), method=method)
        return response

    async def raw(self, data: bytes, *, expected: int = 1, method: str = "GET", end: bool = False) -> list[Response]:
        """Send bytes and return the responses. ``end``: nothing more will come from us."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(data)
                if end:
                    writer.write_eof()
                return [await read_response(reader, method) for _ in range(expected)]
        finally:
            writer.close()


async def read_response(reader: asyncio.StreamReader, method: str = "GET") -> Response:
    """Read one response."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status == 100:
            return await read_response(reader, method)
        lines = head.decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if method == "HEAD" or status in {101, 204, 304}:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
    except (ConnectionError, asyncio.IncompleteReadError):
        return Response(0, {}, b"")
    return Response(status, headers, body)
