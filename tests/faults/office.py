"""Several real servers, an agents-server that keeps count, people in one room: where decisions and crashes happen."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from apps.projects.aio import in_thread
from apps.projects.models import ProjectEvent
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from tests.realtime.serving import Serving
from tests.serve.conftest import PLENTY
from tests.support.agents_server import ScriptedAgents
from tests.support.browser import Browser, envelope, token_of
from tests.support.factories import a_person, a_project

PATIENCE = 30.0
"""Seconds after which what a test waits for will not come any more, on a slow machine as well."""


@dataclass
class Answer:
    """What a person was told, whichever way: ``code`` is ``ok`` or the error's."""

    code: str
    data: dict[str, Any]


class Person:
    """Somebody with a tab in the room, who decides through it or over REST."""

    def __init__(self, user: Any, port: int, *, rest: bool = False) -> None:
        self.user, self.port, self.rest = user, port, rest
        self.tab: Browser
        self._wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._last = b""

    @property
    def id(self) -> str:
        return str(self.user.pk)

    async def come(self, room: Any) -> Self:
        """Open a tab and join."""
        self.tab = await Browser.open(self.user, url=f"ws://127.0.0.1:{self.port}")
        await self.tab.join(room)
        return self

    async def decision(self, room: Any, command_id: str, data: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        """Return what sends a decision: all but the last byte of a request over REST is with the server already."""
        if not self.rest:
            return lambda: self.tab.send(envelope("approval", data, room, command_id))
        body = {name: value for name, value in data.items() if name != "approvalId"}
        return await self.request(f"approvals/{data['approvalId']}/decision/", room, command_id, body)

    async def request(self, path: str, room: Any, command_id: str, body: Any) -> Callable[[], Awaitable[None]]:
        """Return what completes a POST below the room's address."""
        content = json.dumps(body).encode()
        _, writer = self._wire = await asyncio.open_connection("127.0.0.1", self.port)
        head = (
            f"POST /api/v1/projects/{room.guid}/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {token_of(self.user)}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {command_id}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content[:-1])
        await writer.drain()

        async def complete() -> None:
            writer.write(content[-1:])

        return complete

    async def answer(self, command_id: str) -> Answer:
        """Return what the person is told."""
        if not self.rest:
            reply = await self.tab.until(lambda one: one.get("replyTo") == command_id, patience=PATIENCE)
            return Answer("ok" if reply["type"] == "ack" else reply["data"]["code"], reply["data"])
        assert self._wire is not None
        reader, writer = self._wire
        raw = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        head, _, body = raw.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            body = b"".join(body.split(b"\r\n")[1::2])
        told = json.loads(body)
        if "error" in told:
            return Answer(told["error"]["code"], told["error"])
        assert head.split(b" ", 2)[1] in {b"200", b"201"}, head
        return Answer("ok", told)


class Office:
    """See the module: ``async with Office(…) as office``. Every server may hold the link to the agents-server."""

    def __init__(self, directory: Path, redis_url: str, *, servers: int = 3, **environment: Any) -> None:
        self._directory, self._count = directory, servers
        self.environment = PLENTY | {"AUTOCODE_REDIS_URL": redis_url, "AUTOCODE_DEBUG": "off"} | environment
        self.agents = ScriptedAgents()
        self.servers: list[Serving] = []
        self.people: list[Person] = []
        self.room: Any = None
        self.owner: Any = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.agents)
        self.owner = await in_thread(a_person)
        self.room = await in_thread(a_project, self.owner)
        await asyncio.gather(*(self.start() for _ in range(self._count)))
        if self._count:
            await self.linked()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await asyncio.gather(*(person.tab.leave() for person in self.people), return_exceptions=True)
        for server in self.servers:
            server.stop()
        await self._stack.aclose()
        if failure[0] is None:
            assert not self.complaints(), self.complaints()[:3]

    async def start(self, *, launcher: Sequence[str] = (), **environment: Any) -> Serving:
        """Start one more server and wait for it."""
        values = self.environment | {"AUTOCODE_AGENTS_URL": self.agents.url, "AUTOCODE_AGENTS_TOKEN": "t"} | environment
        server = await in_thread(lambda: Serving(self._directory, launcher=launcher, **values))
        self.servers.append(server)
        return await server.ready()

    async def linked(self, times: int = 1) -> None:
        """Return when a server has said hello to the agents-server, so many times in all."""
        async with asyncio.timeout(PATIENCE):
            while len(self.agents.hellos) < times:
                await self.agents.pause(0.1)

    async def invite(
        self, count: int, *, role: Role = Role.APPROVER, rest: Callable[[int], bool] = lambda _: False
    ) -> None:
        """Let members come, spread over the servers; ``rest(number)`` says who decides over REST."""

        def members() -> list[Any]:
            found = []
            for _ in range(count):
                user = a_person()
                MembershipService(self.owner.actor).add(guid=self.room.guid, username=user.username, role=role)
                found.append(user)
            return found

        users = await in_thread(members)
        people = [
            Person(user, self.servers[number % len(self.servers)].port, rest=rest(number))
            for number, user in enumerate(users)
        ]
        self.people += await asyncio.gather(*(person.come(self.room) for person in people))

    async def ask(self, approval_id: str, **fields: Any) -> str:
        """Let the agent ask; return the digest that everybody was shown, once everybody was."""
        data = {"approvalId": approval_id, "agentId": "coder", "tool": "shell", "args": {"cmd": "rm x"}, "risk": "low"}
        answer = await self.agents.tell("approval_needed", self.room.guid, data | fields)
        assert answer["type"] == "ack", answer
        shown = await asyncio.gather(*(self.shown(person, "approval_needed", approval_id) for person in self.people))
        digests = {one["data"]["argsDigest"] for one in shown}
        assert len(digests) == 1
        return str(digests.pop())

    async def shown(self, person: Person, kind: str, approval_id: str) -> dict[str, Any]:
        """Return the event of this approval, once the person was shown it."""
        return await person.tab.until(
            lambda one: one["type"] == kind and one["data"]["approvalId"] == approval_id, patience=PATIENCE
        )

    async def stored(self, kind: str, approval_id: str = "") -> list[dict[str, Any]]:
        """Return the room's events of a type (about an approval) as the log holds them."""

        def read() -> list[dict[str, Any]]:
            rows = ProjectEvent.objects.filter(project=self.room, type=kind).order_by("seq")
            found = [{"seq": row.seq, "data": json.loads(row.data)} for row in rows]
            return [one for one in found if not approval_id or one["data"]["approvalId"] == approval_id]

        return await in_thread(read)

    async def heard(self, approval_id: str) -> list[dict[str, Any]]:
        """Return the decisions of this approval that reached the agents-server, repeats included.

        Waits for a chat that is promised now: what was promised before it has arrived then.
        """
        from apps.agents.services.chat import ChatService

        word = f"after {approval_id} {time.monotonic_ns()}"
        await in_thread(lambda: ChatService(self.owner.actor).send(guid=self.room.guid, message=word))
        async with asyncio.timeout(PATIENCE):
            while not any(one["data"]["content"] == word for one in self.agents.commands("chat")):
                await self.agents.pause(0.1)
        responses = self.agents.commands("approval_response")
        return [one["data"] for one in responses if one["data"]["approvalId"] == approval_id]

    def complaints(self, *excused: str) -> list[str]:
        """Return the lines of the servers' logs that tell of our own failure."""
        lines = (line for server in self.servers for line in server.log.read_text().splitlines())
        return [line for line in lines if "Traceback" in line and not any(word in line for word in excused)]


async def at_once(sends: Sequence[Callable[[], Awaitable[None]]]) -> float:
    """Let everybody go at a common instant; return the seconds until the last one was on its way."""
    start, gone = asyncio.Event(), list[float]()

    async def go(send: Callable[[], Awaitable[None]]) -> None:
        await start.wait()
        await send()
        gone.append(time.perf_counter())

    waiting = [asyncio.ensure_future(go(send)) for send in sends]
    await asyncio.sleep(0)  # everybody stands at the line
    began = time.perf_counter()
    start.set()
    await asyncio.gather(*waiting)
    return max(gone) - began
