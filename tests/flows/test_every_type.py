"""Every type of the registry is produced by something real: the demo agents-server, a person, or the server itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from apps.core.events import catalogue
from apps.realtime.replies import REPLIES
from tests.support.services import Redis
from tests.support.site import PASSWORD, Site, site_of

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def ask(url: str, body: dict[str, Any] | None = None, token: str = "", method: str | None = None) -> Any:
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


class Watcher:
    """A person's socket in every project, who answers what the agents ask and writes down what types arrive."""

    def __init__(self, socket: ClientConnection, projects: dict[str, str]) -> None:
        self.socket, self.projects = socket, projects
        self.seen: dict[str, set[str]] = defaultdict(set)
        self.replies: dict[str, dict[str, Any]] = {}
        self.changed = asyncio.Event()
        self.commands = 0

    async def send(self, type_: str, data: dict[str, Any], project: str | None = None) -> str:
        self.commands += 1
        command = f"c{self.commands}"
        guid = self.projects[project] if project else None
        await self.socket.send(json.dumps({"type": type_, "projectGuid": guid, "data": data, "id": command}))
        return command

    async def reply(self, type_: str, data: dict[str, Any], project: str | None = None) -> dict[str, Any]:
        command = await self.send(type_, data, project)
        await self.until(lambda: command in self.replies)
        return self.replies[command]

    async def done(self, type_: str, data: dict[str, Any], project: str | None = None) -> dict[str, Any]:
        reply = await self.reply(type_, data, project)
        assert reply["type"] != "error", reply
        return reply

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                parsed = json.loads(text)
                for envelope in parsed if isinstance(parsed, list) else [parsed]:
                    await self.take(envelope)
                self.changed.set()

    async def take(self, envelope: dict[str, Any]) -> None:
        self.seen[envelope["type"]].add("durable" if "seq" in envelope else "other")
        if "replyTo" in envelope:
            self.replies.setdefault(envelope["replyTo"], envelope)
        data = envelope["data"]
        if envelope["type"] == "approval_needed":
            name = next(name for name, guid in self.projects.items() if guid == envelope["projectGuid"])
            wish = {"approvalId": data["approvalId"], "decision": "approve", "argsDigest": data["argsDigest"]}
            await self.send("approval", wish, name)

    async def beat(self) -> None:
        """The heartbeat of a client that lives."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.send("ping", {})
                await asyncio.sleep(10)

    async def until(self, condition: Any, seconds: float = 120) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


async def tell_the_story(site: Site) -> dict[str, set[str]]:
    token = ask(f"{site.url()}/api/v1/auth/token/", {"username": "ada", "password": PASSWORD})["access"]
    rows = ask(f"{site.url()}/api/v1/projects/", token=token)["results"]
    projects = {row["project"]["name"]: row["project"]["guid"] for row in rows}
    address = site.url().replace("http", "ws") + "/ws/"
    offered = [Subprotocol("autocode.v1"), Subprotocol(f"autocode.jwt.{token}")]
    async with connect(address, subprotocols=offered, max_size=None) as socket:
        watcher = Watcher(socket, projects)
        reading, beating = asyncio.create_task(watcher.read()), asyncio.create_task(watcher.beat())
        await watcher.done("authenticate", {"token": token})
        for name in projects:
            await watcher.done("join_project", {}, name)
        for name in ("Table formatter", "Bug 118"):
            ask(f"{site.url()}/api/v1/projects/{projects[name]}/status/", {"status": "inProgress"}, token)

        todo = "To-do API"
        await watcher.done("ping", {"t": 1})
        await watcher.done("chat", {"message": "status?"}, todo)
        await watcher.done("user_feedback", {"content": "Please use dataclasses", "target": {}, "mode": "steer"}, todo)
        made = await watcher.done("create_task", {"title": "Write a changelog"}, todo)
        task = made["data"]["taskId"]
        await watcher.done("update_task", {"taskId": task, "priority": "high"}, todo)
        await watcher.done("set_task_status", {"taskId": task, "status": "doing"}, todo)
        await watcher.done("reset_tasks", {"taskIds": [task]}, todo)
        await watcher.done("delete_task", {"taskId": task}, todo)
        await watcher.done("subscribe", {"topic": f"project:{projects[todo]}/tasks"}, todo)
        await watcher.done("unsubscribe", {"topic": f"project:{projects[todo]}/tasks"}, todo)
        await watcher.done("subscribe", {"topic": "system/stats"})
        ask(f"{site.url()}/api/v1/projects/{projects[todo]}/", {"description": "A new one"}, token, method="PATCH")
        await watcher.send("focus", {"panes": ["tasks"]}, todo)
        refused = await watcher.reply("set_task_status", {"taskId": task, "status": "doing"}, todo)
        assert refused["type"] == "error"
        ask(f"{site.url()}/api/v1/projects/{projects[todo]}/members/", {"username": "mallory", "role": "viewer"}, token)

        # Those who poll are told the presence as a whole; a socket gets it in the answer to its join, then differences.
        polled = ask(f"{site.url()}/api/v1/projects/{projects[todo]}/events/?after=0&limit=1", token=token)
        for envelope in polled["live"]:
            watcher.seen[envelope["type"]].add("other")
        wanted = set(catalogue()) | {"token_expiring"}
        with contextlib.suppress(TimeoutError):
            await watcher.until(lambda: wanted <= set(watcher.seen), seconds=90)
        await watcher.done("leave_project", {}, todo)
        await asyncio.to_thread(site.server.stop)
        await reading
        beating.cancel()
        return watcher.seen


@pytest.mark.parametrize("daphne", [False, True], ids=["serve", "daphne"])
def test_every_type_of_the_registry_is_produced_by_something_real(
    tmp_path: Path, private_redis: Redis, daphne: bool
) -> None:
    # Tokens that live 100 s: `token_expiring` comes 60 s before their end.
    options = {"daphne": True, "redis_url": private_redis.url} if daphne else {}
    with site_of(tmp_path, speed=6, AUTOCODE_JWT_ACCESS_S=100, **options) as site:
        seen = asyncio.run(tell_the_story(site))
    missing = {name: sorted(str(c) for c in row.classes) for name, row in catalogue().items() if name not in seen}
    assert not missing
    assert set(REPLIES) <= set(seen)
    for name, row in catalogue().items():
        if "durable" in {str(one) for one in row.classes}:
            assert "durable" in seen[name], f"{name} never arrived as a durable event"
