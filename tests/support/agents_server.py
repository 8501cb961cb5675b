"""A scripted agents-server: a real WebSocket server in the test's loop that does what the test says, also badly."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from collections.abc import Callable
from typing import Any, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from apps.core.ids import new_id

PATIENCE = 10.0
"""Seconds after which what a test waits for will not come any more."""


class ScriptedAgents:
    """Speaks the agents-server's side.

    ``on_command(frame)`` returns the words to answer a command with: ``["ack"]`` (default), ``[]`` never, ``["nack"]``,
    ``["nack!"]`` retryable, ``["ack", "close"]``, ``["close"]``, ``["break"]`` (cut without a close frame),
    ``["hang"]`` (from then on nothing is read from this socket, no ping either). ``narrow``: the system holds little
    between the two sides.
    """

    def __init__(self, *, welcome: bool = True, acks: bool = True, narrow: bool = False) -> None:
        self.welcome, self.acks, self._narrow = welcome, acks, narrow
        self.server_id, self.epoch, self.offset = "scripted", "one", 0
        self.hellos: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.frames: list[dict[str, Any]] = []
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.sockets: list[ServerConnection] = []
        self.refuse: int | None = None
        self.on_command: Callable[[dict[str, Any]], list[str]] = lambda _frame: ["ack"]
        self.on_frame: Callable[[int], object] = lambda _size: None
        self._server: Server | None = None
        self._port = 0
        self._news = asyncio.Event()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/"

    async def start(self) -> None:
        """Listen; on the same port as before when it was stopped."""
        listener = sockets.socket()
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        if self._narrow:  # the other side's buffer grows with the size of a segment
            listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4 * 1024)
            listener.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_MAXSEG, 536)
        listener.bind(("127.0.0.1", self._port))
        self._server = await serve(
            self._connected,
            sock=listener,
            subprotocols=[Subprotocol("autocode.agents.v1")],
            ping_interval=None,
            close_timeout=1,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # --- what the test sees -------------------------------------------------------------------------------------

    def commands(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the commands that arrived (repeats included), without status syncs unless asked for."""
        wanted = {kind} if kind else None
        return [f for f in self.frames if (f["type"] in wanted if wanted else f["type"] != "project_status_sync")]

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Return what ``condition`` returns once it is true; looked at after every frame and ten times a second."""
        async with asyncio.timeout(PATIENCE):
            while True:
                if found := condition():
                    return found
                await self.pause(0.1)

    async def pause(self, seconds: float = 0.02) -> None:
        """Wait for the next frame, or so many seconds."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def command(self, kind: str, number: int = 1) -> dict[str, Any]:
        """Return the ``number``th command of this type, waiting for it."""
        await self.until(lambda: len(self.commands(kind)) >= number)
        return self.commands(kind)[number - 1]

    async def connected(self, times: int = 1) -> None:
        """Wait until AutoCode has said hello so many times."""
        await self.until(lambda: len(self.hellos) >= times)

    async def answer(self, message_id: str, number: int = 1) -> dict[str, Any]:
        """Return AutoCode's ack or nack to a message."""
        await self.until(lambda: len(self.answers.get(message_id, [])) >= number)
        return self.answers[message_id][number - 1]

    # --- what the test does -------------------------------------------------------------------------------------

    def message(self, kind: str, guid: Any, data: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return an envelope with a fresh id (``id=None``: without)."""
        envelope = {"type": kind, "id": new_id(), "projectGuid": str(guid) if guid else None, "data": data} | more
        return {name: value for name, value in envelope.items() if value is not None}

    async def send(self, *envelopes: dict[str, Any]) -> None:
        """Send envelopes: one as it is, several as one batch."""
        await self.raw(msgspec.json.encode(envelopes[0] if len(envelopes) == 1 else envelopes).decode())

    async def raw(self, frame: str | bytes) -> None:
        """Send anything at all."""
        await self.sockets[-1].send(frame)

    async def tell(self, kind: str, guid: Any, data: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Send one message and return AutoCode's answer to it."""
        envelope = self.message(kind, guid, data, **more)
        await self.send(envelope)
        return await self.answer(envelope["id"])

    # --- the socket ---------------------------------------------------------------------------------------------

    async def _connected(self, socket: ServerConnection) -> None:
        self.headers.append(socket.request.headers if socket.request else {})
        if self.refuse is not None:
            await socket.close(self.refuse, "refused")
            return
        self.sockets.append(socket)
        try:
            async for raw in socket:
                self.on_frame(len(raw.encode() if isinstance(raw, str) else raw))
                value = msgspec.json.decode(raw)
                for frame in value if isinstance(value, list) else [value]:
                    await self._frame(socket, frame)
                    self._news.set()
        except ConnectionClosed:
            pass

    async def _frame(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        kind, data = frame["type"], frame["data"]
        match kind:
            case "hello":
                self.hellos.append(data)
                if self.welcome:
                    await self._reply(socket, "welcome", self._welcome())
            case "ack" | "nack":
                self.answers.setdefault(data["id"], []).append({"type": kind, **data})
            case "ping":
                await self._reply(socket, "pong", data)
            case "pong" | "error":
                self.frames.append(frame)
            case _:
                self.frames.append(frame)
                words = ["ack"] if kind == "project_status_sync" else self.on_command(frame)
                await self._answer(socket, frame, words)

    def _welcome(self) -> dict[str, Any]:
        return {"serverId": self.server_id, "epoch": self.epoch, "offset": self.offset, "acks": self.acks}

    async def _answer(self, socket: ServerConnection, frame: dict[str, Any], words: list[str]) -> None:
        for word in words:
            match word:
                case "ack":
                    await self._reply(socket, "ack", {"id": frame["id"]})
                case "nack" | "nack!":
                    data = {"id": frame["id"], "code": "no", "message": "not this", "retryable": word == "nack!"}
                    await self._reply(socket, "nack", data)
                case "close":
                    await socket.close(4101, "closing")
                case "break":
                    socket.transport.abort()
                case "hang":
                    socket.transport.pause_reading()

    async def _reply(self, socket: ServerConnection, kind: str, data: dict[str, Any]) -> None:
        await socket.send(msgspec.json.encode({"type": kind, "projectGuid": None, "data": data}).decode())
