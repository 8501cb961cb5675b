"""A stand-in for AutoCode, as small as the benchmark's driver needs it: the protocol's frames and nothing behind them.

Keeps the driver honest while AutoCode itself changes; is never measured.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.typing import Subprotocol


class FakeAutoCode:
    """Viewers on one side, the link to an agents-server on the other."""

    def __init__(self, tokens: set[str]) -> None:
        self._tokens = tokens
        self._rooms: dict[str, set[ServerConnection]] = {}
        self._seq = itertools.count(1)

    async def serve(self, agents_port: int, started: threading.Event, ports: list[int]) -> None:
        """Serve until cancelled; puts the port into ``ports`` and sets ``started`` when it listens."""
        names = [Subprotocol("autocode.v1")]
        async with serve(self._viewer, "127.0.0.1", 0, subprotocols=names, compression=None) as server:
            ports.append(next(iter(server.sockets)).getsockname()[1])
            started.set()
            async with connect(
                f"ws://127.0.0.1:{agents_port}/", subprotocols=[Subprotocol("autocode.agents.v1")], compression=None
            ) as link:
                await link.send(json.dumps({"type": "hello", "data": {}, "projectGuid": None}))
                async for frame in link:
                    message = json.loads(frame)
                    self._from_agents(message)
                    if "id" in message:
                        await link.send(json.dumps({"type": "ack", "data": {"id": message["id"]}, "projectGuid": None}))

    def _from_agents(self, message: dict[str, Any]) -> None:
        if message["type"] == "tool_output":
            self._tell(message["projectGuid"], [message])
        elif message["type"] == "agent_message":
            self._tell(message["projectGuid"], message | {"seq": next(self._seq)})

    async def _viewer(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        offered = socket.request.headers["Sec-WebSocket-Protocol"]
        if not any(f"autocode.jwt.{token}" in offered for token in self._tokens):
            await socket.close(4401)
            return
        async for frame in socket:
            message = json.loads(frame)
            guid, reply = message["projectGuid"], {"projectGuid": message["projectGuid"], "replyTo": message["id"]}
            match message["type"]:
                case "join_project":
                    self._rooms.setdefault(guid, set()).add(socket)
                    await socket.send(json.dumps(reply | {"type": "project_joined", "data": {"epoch": "e"}}))
                case "chat":
                    await socket.send(json.dumps(reply | {"type": "ack", "data": {}}))
                    text = message["data"]["message"]
                    data = {"content": text, "html": f"<p>{text}</p>"}
                    self._tell(guid, {"type": "project_message", "projectGuid": guid, "data": data})

    def _tell(self, guid: str, message: Any) -> None:
        broadcast(self._rooms.get(guid, set()), json.dumps(message))


@contextmanager
def running(agents_port: int, tokens: set[str]) -> Iterator[int]:
    """Run the stand-in in a thread for the length of the block; yields its port."""
    started, ports = threading.Event(), list[int]()
    loop = asyncio.new_event_loop()
    task = loop.create_task(FakeAutoCode(tokens).serve(agents_port, started, ports))

    def main() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    thread = threading.Thread(target=main)
    thread.start()
    try:
        assert started.wait(5)
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(5)
