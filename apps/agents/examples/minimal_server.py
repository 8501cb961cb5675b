"""A complete, minimal agents-server: `python minimal_server.py [port]`. Needs only `pip install websockets`."""

import asyncio
import json
import sys
import uuid
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

EPOCH = uuid.uuid4().hex  # names this numbering of offsets; a server that keeps its state on disk keeps this too
kept: list[dict[str, Any]] = []  # all durable messages, in order: the offset of each is its place, counted from 1
acked: set[str] = set()  # ids of those that AutoCode has
seen: set[str] = set()  # ids of commands taken: a repeat is acknowledged and changes nothing
known: set[str] = set()  # projects in which our agent has introduced itself
links: list[ServerConnection] = []  # the connection of AutoCode is the last one that said hello
jobs: set[asyncio.Task[None]] = set()


async def tell(kind: str, project: str | None, data: dict[str, Any], *, keep: bool = False) -> None:
    """Send a message; a kept one has an id and an offset, and goes out again after a reconnect until it is acked."""
    message: dict[str, Any] = {"type": kind, "projectGuid": project, "data": data}
    if keep:
        message |= {"id": uuid.uuid4().hex, "offset": len(kept) + 1}
        kept.append(message)
    try:
        if links:
            await links[-1].send(json.dumps(message))
    except ConnectionClosed:
        pass


async def answer(project: str, chat: dict[str, Any]) -> None:
    """Answer a person: a run that streams one message and ends with exactly one `done`."""
    run = {"runId": uuid.uuid4().hex, "agentId": "echo"}
    part = {**run, "messageId": uuid.uuid4().hex, "replyToId": chat["messageId"]}
    await tell("run_started", project, {**run, "trigger": {"kind": "chat", "id": chat["messageId"]}}, keep=True)
    text = f"You said: *{chat['content']}*"
    for word in text.split(" "):
        await tell("message", project, {**part, "op": "delta", "delta": f"{word} "})
        await asyncio.sleep(0.05)
    await tell("message", project, {**part, "op": "end", "content": text}, keep=True)
    await tell("done", project, {"runId": run["runId"], "status": "completed"}, keep=True)


async def command(kind: str, project: str, data: dict[str, Any]) -> None:
    """Carry a command out; those that are not named here are only acknowledged."""
    if project and project not in known:
        known.add(project)
        await tell("agent_spawned", project, {"agent": {"agentId": "echo", "name": "Echo"}}, keep=True)
    if kind == "chat":
        await answer(project, data)
    elif kind == "user_feedback":
        for state in ("consumed", "applied"):
            response = {"feedbackId": data["feedbackId"], "state": state}
            await tell("user_feedback_response", project, response, keep=True)


async def connected(socket: ServerConnection) -> None:
    """Serve a connection; with a token, compare `socket.request.headers["Authorization"]` here first."""
    async for frame in socket:
        batch = json.loads(frame)
        for message in batch if isinstance(batch, list) else [batch]:
            kind, data, key = message["type"], message["data"], message.get("id")
            if kind == "hello":
                links.append(socket)
                welcome = {"serverId": "minimal", "epoch": EPOCH, "offset": len(kept), "acks": True}
                await tell("welcome", None, welcome)
                for waiting in [one for one in kept if one["id"] not in acked]:
                    await socket.send(json.dumps(waiting))
            elif kind == "ping":
                await tell("pong", None, {"t": data.get("t")})
            elif kind in {"ack", "nack"}:
                acked.add(data["id"])
            elif key:
                if key not in seen:
                    seen.add(key)
                    jobs.add(asyncio.create_task(command(kind, message["projectGuid"], data)))
                await tell("ack", None, {"id": key})


async def main() -> None:
    """Listen until the process is ended."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    async with serve(connected, "127.0.0.1", port, subprotocols=[Subprotocol("autocode.agents.v1")]) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
