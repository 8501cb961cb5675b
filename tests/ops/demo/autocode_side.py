"""A scripted AutoCode: speaks the link's wire protocol to a real demo agents-server process, and believes nothing.

Every message is checked against the contract as it arrives; every kept one must have an id, a rising offset, and is
acknowledged (unless a test holds the acks back).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from apps.agents.link import messages as m

ROOT = Path(__file__).resolve().parents[3]

STREAMS = {"tool_output", "usage", "coordination_update"}

PERSON = {"kind": "person", "id": "0198c0de-0000-7000-8000-000000000001", "name": "anna"}

Message = dict[str, Any]


class Process:
    """One server process on a data directory."""

    def __init__(self, data: Path, *options: str, speed: float = 400) -> None:
        self.data = data
        self._options = [*options, "--speed", str(speed)]
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-B", "-m", "apps.ops.demo", "--data", str(self.data), "--port", str(self.port)],
            *self._options,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=(self.data.parent / "server.log").open("ab"),
        )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        found = re.search(r":(\d+)$", line.strip())
        assert found, line
        self.port = int(found[1])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def ended(self) -> int:
        """Return the exit code of a process that ends by itself."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), 10)

    async def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), 10)

    @property
    def log(self) -> str:
        return (self.data.parent / "server.log").read_text()


class AutoCodeSide:
    """AutoCode's end of the link, over any number of connections. ``kept`` holds each durable message once."""

    def __init__(self, process: Process, guid: str | None = None) -> None:
        self.process = process
        self.guid = guid or str(uuid.uuid4())
        self.kept: list[Message] = []
        self.streamed: list[Message] = []
        self.replies: list[Message] = []
        self.repeats = 0
        self.epoch = ""
        self.offset = 0
        self.ack = True
        self.status = "draft"
        self.lease = 1
        self.board: dict[str, dict[str, Any]] = {}
        self._seen: set[str] = set()
        self._ids = itertools.count(1)
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    # --- the link -----------------------------------------------------------------------------------------------

    async def open(self, *, token: str = "", resume: bool = True) -> Message:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._socket = await connect(
            f"ws://127.0.0.1:{self.process.port}",
            subprotocols=[Subprotocol("autocode.agents.v1")],
            additional_headers=headers,
        )
        assert self._socket.subprotocol == "autocode.agents.v1"
        where = {"epoch": self.epoch, "offset": self.offset} if resume and self.epoch else None
        hello = {"bridgeId": "test", "protocol": "autocode.v1", "leaseEpoch": self.lease, "resume": where}
        await self.raw({"type": "hello", "projectGuid": None, "data": hello, "timestamp": "2026-01-01T00:00:00.000Z"})
        self._reader = asyncio.create_task(self._read())
        welcome = await self.until(lambda: next((x for x in self.replies if x["type"] == "welcome"), None))
        self.replies.remove(welcome)
        assert set(welcome["data"]) == {"serverId", "epoch", "offset", "acks"}
        self.epoch = welcome["data"]["epoch"]
        return welcome

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            self._reader.cancel()

    async def raw(self, value: Any) -> None:
        assert self._socket is not None
        await self._socket.send(value if isinstance(value, str) else json.dumps(value))

    async def send(self, kind: str, data: Message, *, command_id: str | None = None, guid: str | None = "") -> str:
        """Send a command and wait for its ack; return its id."""
        command_id = command_id or f"cmd-{self.guid[:8]}-{next(self._ids)}"
        place = self.guid if guid == "" else guid
        await self.raw({"type": kind, "id": command_id, "projectGuid": place, "data": data, "timestamp": "x"})
        answer = await self.until(lambda: next((x for x in self.replies if x["data"].get("id") == command_id), None))
        self.replies.remove(answer)
        assert answer["type"] == "ack", answer
        return command_id

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for raw in self._socket:
                frame = json.loads(raw)
                for message in frame if isinstance(frame, list) else [frame]:
                    await self._take(message)
                async with self._news:
                    self._news.notify_all()
        finally:
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _take(self, message: Message) -> None:
        kind = message["type"]
        payload = m.INBOUND.get(kind)
        if payload is None:
            self.replies.append(message)
            return
        assert set(message) <= {"type", "id", "projectGuid", "data", "timestamp", "offset"}, message
        uuid.UUID(message["projectGuid"])
        msgspec.convert(message["data"], payload, strict=True)
        if "id" not in message:
            assert "offset" not in message
            self.streamed.append(message)
            return
        assert kind not in STREAMS
        if message["id"] in self._seen:
            self.repeats += 1
        else:
            assert message["offset"] == self.offset + 1, (message["offset"], self.offset)
            self.offset = message["offset"]
            self._seen.add(message["id"])
            self.kept.append(message)
            self._apply(message)
        if self.ack:
            await self.raw({"type": "ack", "projectGuid": message["projectGuid"], "data": {"id": message["id"]}})

    def _apply(self, message: Message) -> None:
        """Keep the state that AutoCode would send back in a project_update."""
        data = message["data"]
        if message["type"] == "project_status_change":
            self.status = data["status"]
        elif message["type"] == "task_created":
            self.board[data["task"]["taskId"]] = {
                "title": data["task"]["title"],
                "status": data["task"].get("status", "todo"),
            }
        elif message["type"] == "task_status_changed":
            self.board.setdefault(data["taskId"], {})["status"] = data["to"]

    # --- commands -----------------------------------------------------------------------------------------------

    async def project(
        self, brief: str, status: str = "inProgress", tasks: list[Message] | None = None, left_out: int = 0
    ) -> None:
        self.status = status
        stamp = "2026-01-01T00:00:00.000Z"
        project = {
            "guid": self.guid,
            "name": "Demo",
            "description": "",
            "brief": brief,
            "status": status,
            "statusReason": "",
            "createdAt": stamp,
        }
        await self.send("project_update", {"project": project, "tasks": tasks or [], "tasksLeftOut": left_out})

    def task(self, task_id: str, title: str, **fields: Any) -> Message:
        view = {
            "taskId": task_id,
            "number": 1,
            "title": title,
            "description": "",
            "status": "todo",
            "priority": "normal",
            "assignee": None,
            "dependsOn": [],
            "files": [],
            "branch": "",
            "position": 1.0,
            "version": 1,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "updatedAt": "2026-01-01T00:00:00.000Z",
        }
        return {**view, **fields}

    async def chat(self, content: str, **fields: Any) -> str:
        message_id = str(uuid.uuid4())
        await self.send("chat", {"messageId": message_id, "author": PERSON, "content": content, **fields})
        return message_id

    async def feedback(self, content: str, mode: str = "steer", **target: Any) -> str:
        feedback_id = str(uuid.uuid4())
        data = {
            "feedbackId": feedback_id,
            "author": PERSON,
            "content": content,
            "target": target,
            "mode": mode,
            "rating": None,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "expiresAt": None,
        }
        await self.send("user_feedback", data)
        return feedback_id

    async def cancel(self, mode: str = "soft", **which: Any) -> None:
        await self.send("cancel", {"by": PERSON, "mode": mode, **which})

    async def decide(self, approval: Message, decision: str, **fields: Any) -> None:
        data = {"approvalId": approval["approvalId"], "decision": decision, "argsDigest": "sha256:x", "source": "user"}
        await self.send("approval_response", {**data, "by": PERSON, **fields})

    # --- what was heard -----------------------------------------------------------------------------------------

    async def until(self, find: Callable[[], Any], within: float = 50) -> Any:
        """Wait until ``find`` returns something, looking after each frame."""
        try:
            async with asyncio.timeout(within), self._news:
                while not (found := find()):
                    if self._reader is not None and self._reader.done():
                        self._reader.result()
                        raise AssertionError(f"the link is closed: {self._socket and self._socket.close_code}")
                    await self._news.wait()
                return found
        except TimeoutError:
            last = [(x["type"], x["data"]) for x in self.kept[-12:]]
            raise AssertionError(f"never happened; last: {last}\n{self.process.log[-3000:]}") from None

    def all(self, kind: str, /, **fields: Any) -> list[Message]:
        """Return the data of every kept message of this type whose data has these fields."""
        found = [x["data"] for x in self.kept if x["type"] == kind]
        return [data for data in found if all(data.get(key) == value for key, value in fields.items())]

    async def the(self, kind: str, /, **fields: Any) -> Message:
        """Wait for the first such message and return its data."""
        found: Message = await self.until(lambda: next(iter(self.all(kind, **fields)), None))
        return found

    async def finished(self) -> None:
        await self.the("project_status_change", status="done")

    async def approve_all(self) -> None:
        """Say yes to everything that is asked, until the project is done."""
        answered: set[str] = set()

        def next_question() -> Message | None:
            return next((x for x in self.all("approval_needed") if x["approvalId"] not in answered), None)

        while self.status != "done":
            await self.until(lambda: next_question() or self.status == "done")
            question = next_question()
            if question is not None:
                answered.add(question["approvalId"])
                await self.decide(question, "approve")

    def file(self, path: str) -> str:
        return (self.process.data / "workspaces" / self.guid / path).read_text()

    def has(self, path: str) -> bool:
        return (self.process.data / "workspaces" / self.guid / path).exists()

    def consistent(self) -> None:
        """Every run has one done, after everything else of it; every call has one end."""
        open_runs: dict[str, set[str]] = {}
        ended: set[str] = set()
        for message in self.kept:
            data, kind = message["data"], message["type"]
            run = data.get("runId")
            if kind == "run_started":
                assert run not in open_runs
                assert run not in ended
                open_runs[run] = set()
            elif kind == "tool_start":
                assert data["toolCallId"] not in open_runs[run]
                open_runs[run].add(data["toolCallId"])
            elif kind == "tool_end":
                open_runs[run].remove(data["toolCallId"])
            elif kind == "done":
                assert not open_runs.pop(run), "a call has no end"
                ended.add(run)
            elif kind in {"message", "thinking"}:
                assert run in open_runs


def alive_children(pid: int) -> list[int]:
    """Return the processes that have ``pid`` as parent."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
