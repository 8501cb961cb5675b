"""Where the link to the agents-server breaks: real servers on one side, a scripted agents-server on the other."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.agents.digest import args_digest
from apps.core.ids import new_id
from apps.projects.aio import in_thread
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from tests.faults.checker import History, judge
from tests.faults.kit import Proxy, stored
from tests.faults.upstream import PATIENCE, Speaker, Upstream, open_promises, promised, together
from tests.realtime.serving import ROOT, Serving
from tests.serve.conftest import PLENTY
from tests.support.factories import a_person, a_project

ROOMS, PEOPLE = 3, 2
QUICK = {"backoff_first": 0.2, "backoff_longest": 1.0, "view_interval": 0.2, "standby_poll": 0.2}
"""The link's figures on every stage: nobody waits for half a minute."""
ASKED = {"path": "/srv", "force": True}
"""The arguments of every question."""


@dataclass
class Scene:
    """See the module. ``line`` lies between the servers and the agents-server."""

    directory: Path
    environment: dict[str, Any]
    upstream: Upstream
    line: Proxy
    seed: int
    servers: list[Serving] = field(default_factory=list)
    rooms: list[Any] = field(default_factory=list)
    people: list[Speaker] = field(default_factory=list)
    excused: tuple[str, ...] = ()
    _playing: list[asyncio.Task[None]] = field(default_factory=list)
    _decided: int = 0

    async def serve(self, link: str = "embedded", **figures: Any) -> Serving:
        """Start a server; with the link's ``figures`` changed."""
        launcher = [sys.executable, str(ROOT / "tests/faults/quick.py"), json.dumps(QUICK | figures)]
        environment = self.environment | {"AUTOCODE_AGENTS_LINK": link}
        server = await in_thread(lambda: Serving(self.directory, launcher=launcher, **environment))
        self.servers.append(server)
        return await server.ready()

    async def begin(self, at: Serving | None = None, **figures: Any) -> None:
        """Start a server (or sit at the given one) and let everybody in; a run and questions wait in each room."""
        server = at or await self.serve(**figures)
        for person in self.people:
            person.sits_at(server.url)
            self._playing.append(asyncio.create_task(person.play()))
        await self.upstream.connected()
        for room in self.rooms:
            await self.upstream.tell("run_started", room.guid, {"runId": f"r-{room.guid}", "agentId": "coder"})
            for number in range(4):
                question = {"approvalId": f"q{number}", "agentId": "coder", "tool": "rm", "args": ASKED}
                await self.upstream.tell("approval_needed", room.guid, question)
        for person in self.people:
            await person.there()
        await self.settled()

    async def talk(self, rounds: int, rooms: Sequence[Any] | None = None) -> None:
        """Return when everybody has said so much in every room: feedback, chats, decisions, and an order to stop."""
        rooms = self.rooms if rooms is None else rooms
        turn = self._decided
        self._decided += 1
        asker = self.people[0]
        for room in rooms if turn < 2 else ():
            fields: dict[str, Any] = {"runId": f"r-{room.guid}", "mode": ("soft", "hard")[turn]}
            await asker.say(room, "cancel", f"stop-{turn}-{room.guid}", **fields)
        for room in rooms if turn < 4 else ():
            fields = {"approvalId": f"q{turn}", "decision": "approve", "argsDigest": args_digest("rm", ASKED)}
            await asker.say(room, "approval", f"yes-{turn}-{room.guid}", **fields)
        await together(*(self._talks(person, rounds, rooms, turn) for person in self.people))

    async def _talks(self, person: Speaker, rounds: int, rooms: Sequence[Any], turn: int) -> None:
        for number in range(rounds):
            for room in rooms:
                kind = ("user_feedback", "chat")[number % 2]
                await person.say(room, kind, f"{kind}-{person.history.name}-{turn}-{number}-{room.guid}")

    async def settled(self, rooms: Sequence[Any] | None = None) -> None:
        """Return when nothing waits for the agents-server any more in these rooms (all)."""
        async with asyncio.timeout(PATIENCE):
            while await in_thread(open_promises, self.rooms if rooms is None else rooms):  # noqa: ASYNC110 - rows
                await asyncio.sleep(0.05)

    async def judged(self) -> History:
        """Let everybody see the end and leave; return the history, which breaks no promise."""
        await self.upstream.all_acknowledged()
        tops: dict[str, int] = {}
        for one in await in_thread(stored, self.rooms):
            tops[one.project] = max(tops.get(one.project, 0), one.seq)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(person.up_to(tops) for person in self.people))
        await self.end()
        history = await self.history()
        found = judge(history)
        assert not found, (self.seed, len(found), found[:5])
        assert sum(sent.to_agents for sent in history.clients[0].sent) > 0
        return history

    async def history(self) -> History:
        """Return what everybody noted and what is stored."""
        return History(
            clients=[person.history for person in self.people],
            log=await in_thread(stored, self.rooms),
            outbox=await in_thread(promised, self.rooms),
            effects=self.upstream.effects,
            reported=self.upstream.reported,
            complaints=self.complaints(),
        )

    async def end(self) -> None:
        """Let everybody leave."""
        for person in self.people:
            person.stop()
        if self._playing:
            await asyncio.wait(self._playing, timeout=10)

    def log(self) -> list[str]:
        """Return the lines of all servers' logs."""
        return [line for server in self.servers for line in server.log.read_text().splitlines()]

    def complaints(self) -> list[str]:
        """Return the lines of the servers' logs that no fault excuses."""
        bad = ("Traceback", '"code": 1011', '"level": "ERROR"')
        return [
            line
            for line in self.log()
            if any(word in line for word in bad) and not any(e in line for e in self.excused)
        ]


@asynccontextmanager
async def a_scene(directory: Path, redis_url: str) -> AsyncIterator[Scene]:
    """The scene, with rooms and people, before anything runs."""
    seed = int(os.environ.get("AUTOCODE_TEST_SEED") or time.time_ns() % 1_000_000)
    async with Upstream() as upstream, Proxy(int(upstream.url.rpartition(":")[2].strip("/"))) as line:
        environment = PLENTY | {
            "AUTOCODE_REDIS_URL": redis_url,
            "AUTOCODE_REDIS_PREFIX": f"scene{new_id()[-12:]}",
            "AUTOCODE_AGENTS_URL": f"{line.url}/",
            "AUTOCODE_DEBUG": "off",
        }
        made = Scene(directory, environment, upstream, line, seed)

        def furnish() -> list[Any]:
            owner = a_person("ada")
            made.rooms = [a_project(owner) for _ in range(ROOMS)]
            people = [a_person(f"p{number}") for number in range(PEOPLE)]
            for room in made.rooms:
                for person in people:
                    MembershipService(owner.actor).add(guid=room.guid, username=person.username, role=Role.APPROVER)
            return people

        people = await in_thread(furnish)
        made.people = [Speaker(f"p{n}", person, made.rooms, [""], seed) for n, person in enumerate(people)]
        random.seed(seed)
        try:
            yield made
        finally:
            await made.end()
            for server in made.servers:
                server.stop()
