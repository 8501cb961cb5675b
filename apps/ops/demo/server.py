"""The socket's side: who may connect, hello and welcome, acks, and handing commands to the hub.

Rules: protocol page, section 7, "AutoCode → agents-server" and back.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from apps.agents.link import messages as m
from apps.ops.demo import wire
from apps.ops.demo.connection import Connection
from apps.ops.demo.hub import Hub
from apps.ops.demo.journal import Journal

log = logging.getLogger("demo_agents")

HELLO_S = 10.0
"""Seconds within which a new connection must say hello."""

FENCE_S = 60.0
"""Seconds for which the lease of a connection that has gone still shuts out older ones."""


class Server:
    """The listening side; at most one connection at a time is AutoCode's."""

    def __init__(self, journal: Journal, hub: Hub, *, token: str) -> None:
        self._journal = journal
        self._hub = hub
        self._token = token
        self._current: Connection | None = None
        self._fence = (0, 0.0)
        journal.on_commit = self._flush
        hub.stream = self._stream

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen for the length of the block; yields the port. Raises ``OSError`` when it is taken."""
        async with serve(
            self._connected,
            host,
            port,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            max_size=wire.MAX_FRAME,
            compression=None,  # the other end is near, and deflate costs more than it saves
            server_header=None,
        ) as server:
            yield next(iter(server.sockets)).getsockname()[1]

    # --- one connection -----------------------------------------------------------------------------------------

    async def _connected(self, socket: ServerConnection) -> None:
        connection = Connection(socket, self._journal)
        if not self._allowed(socket):
            await connection.close(4401, "bad credentials")
            return
        writer = asyncio.create_task(connection.write())
        try:
            await self._greet_and_read(connection)
        except ConnectionClosed:
            pass
        finally:
            writer.cancel()
            if self._current is connection:
                self._current = None
                self._fence = (connection.lease, time.monotonic() + FENCE_S)

    async def _greet_and_read(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                first, rest = await self._hello(connection)
        except TimeoutError:
            await connection.close(4400, "no hello")
            return
        except wire.Refused as refused:
            await connection.close(4400, f"the first message must be a hello: {refused.message}")
            return
        if not await self._take_over(connection, first):
            return
        for value in rest:
            self._message(connection, value)
        async for raw in connection.socket:
            self._frame(connection, raw)

    def _allowed(self, socket: ServerConnection) -> bool:
        if not self._token:
            return True
        headers = socket.request.headers if socket.request else {}
        given = headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode())

    async def _hello(self, connection: Connection) -> tuple[dict[str, Any], list[Any]]:
        values = wire.read_frame(await connection.socket.recv())
        first = wire.read_envelope(values[0])
        if first.type != "hello":
            raise wire.Refused("invalid_message", f"got {first.type[:60]!r}")
        lease = first.data.get("leaseEpoch", 0)
        if not isinstance(lease, int) or isinstance(lease, bool):
            raise wire.Refused("invalid_field", "leaseEpoch is not a number")
        return first.data, values[1:]

    async def _take_over(self, connection: Connection, hello: dict[str, Any]) -> bool:
        """Make this connection AutoCode's unless a newer lease is or was just here; then tell where we stand."""
        lease = connection.lease = hello.get("leaseEpoch", 0)
        fence, until = self._fence
        older = self._current
        if (older and lease < older.lease) or (lease < fence and time.monotonic() < until):
            await connection.close(4409, "a newer lease has taken over")
            return False
        self._current = connection
        if older is not None:
            # Not awaited: a dead peer would keep the living one waiting for the closing handshake.
            self._hub.spawn(older.close(4101, "replaced by a newer connection"))
        connection.reply(wire.envelope("welcome", self._welcome()))
        connection.begin(self._resume(hello.get("resume")))
        log.info("AutoCode connected (lease %d)", lease)
        return True

    def _welcome(self) -> dict[str, Any]:
        return {
            "serverId": self._journal.server_id,
            "epoch": self._journal.epoch,
            "offset": self._journal.last_offset,
            "acks": True,
        }

    def _resume(self, resume: Any) -> int:
        """Forget what AutoCode has, and return the offset after which to send."""
        offset = resume.get("offset") if isinstance(resume, dict) and resume.get("epoch") == self._journal.epoch else 0
        if not isinstance(offset, int) or isinstance(offset, bool) or not 0 < offset <= self._journal.last_offset:
            return 0
        self._journal.settle_up_to(offset)
        return offset

    # --- messages -----------------------------------------------------------------------------------------------

    def _frame(self, connection: Connection, raw: str | bytes) -> None:
        try:
            values = wire.read_frame(raw)
        except wire.Refused as refused:
            self._error(connection, refused)
            return
        for value in values:
            self._message(connection, value)

    def _message(self, connection: Connection, value: Any) -> None:
        """Handle one envelope; whatever is wrong with it is answered, never raised."""
        known = value.get("id") if isinstance(value, dict) else None
        try:
            self._envelope(connection, wire.read_envelope(value))
        except wire.Refused as refused:
            if isinstance(known, str) and 0 < len(known) <= 64:
                self._nack(connection, known, refused)
            else:
                self._error(connection, refused)
        except Exception:
            log.exception("a message could not be handled")
            failed = wire.Refused("internal", "the demo server failed on this message")
            if isinstance(known, str):
                self._nack(connection, known, failed)
            else:
                self._error(connection, failed)

    def _envelope(self, connection: Connection, read: wire.Envelope) -> None:
        match read.type:
            case "ack":
                connection.acknowledged(str(read.data.get("id", "")))
            case "nack":
                code, text = str(read.data.get("code", "")), str(read.data.get("message", ""))
                retryable = read.data.get("retryable") is True
                connection.refused(str(read.data.get("id", "")), code, text, retryable=retryable)
            case "ping":
                connection.reply(wire.envelope("pong", {"t": read.data.get("t")}))
            case "pong" | "error":
                log.debug("AutoCode says %s %s", read.type, read.data)
            case _:
                self._command(connection, read)

    def _command(self, connection: Connection, read: wire.Envelope) -> None:
        if read.id is None:
            raise wire.Refused("invalid_message", f"{read.type[:60]} needs an id")
        if not self._journal.was_seen(read.id):
            command = wire.read_command(read)
            with self._journal.atomic():
                self._journal.see(read.id)
                self._take(read, command)
        connection.reply(wire.envelope("ack", {"id": read.id}))

    def _take(self, read: wire.Envelope, command: m.Outbound) -> None:
        if isinstance(command, m.ProjectStatusSync):
            self._hub.sync(command)
        elif read.project_guid is not None:
            self._hub.take(read.project_guid, command)

    def _nack(self, connection: Connection, command_id: str, refused: wire.Refused) -> None:
        data = {"id": command_id, "code": refused.code, "message": refused.message, "retryable": refused.retryable}
        connection.reply(wire.envelope("nack", data))

    def _error(self, connection: Connection, refused: wire.Refused) -> None:
        data = {"code": refused.code, "message": refused.message, "retryable": refused.retryable}
        connection.reply(wire.envelope("error", data))

    # --- towards AutoCode ---------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._current is not None:
            self._current.flush()

    def _stream(self, envelope: dict[str, Any]) -> None:
        if self._current is not None:
            self._current.stream(envelope)
