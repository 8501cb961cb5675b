"""Three real servers over a real Redis, each behind a line that can be cut, and people who go on."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from apps.projects.aio import in_thread
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from tests.faults.checker import History, Stored, Violation, judge
from tests.faults.kit import Player, Proxy, Refusal, stored
from tests.faults.record import counted, figures
from tests.faults.scene import Scene, a_scene
from tests.realtime.serving import Serving
from tests.serve.conftest import PLENTY
from tests.support.factories import a_person, a_project
from tests.support.services import Redis

SERVERS, ROOMS, WATCHERS, WRITERS = 3, 2, 9, 3
COMMANDS = 25
"""Of each writer in each room, at least."""
HEALED_S = 45.0
"""After which everybody has to have seen everything, once the fault is over."""


@dataclass
class Stage:
    """Where a fault happens."""

    seed: int
    directory: Path
    redis: Redis
    environment: dict[str, Any]
    servers: list[Serving] = field(default_factory=list)
    lines: list[Proxy] = field(default_factory=list)
    players: list[Player] = field(default_factory=list)
    rooms: list[Any] = field(default_factory=list)
    excused: tuple[str, ...] = ()
    commands: int = COMMANDS
    gone: dict[tuple[str, int], Stored] = field(default_factory=dict)
    """What retention removed, by project and number."""
    lasts_s: float = 0.0
    """How long the fault lasts, if that is longer than some seconds."""

    @property
    def random(self) -> random.Random:
        return random.Random(self.seed)

    async def start(self, place: int | None = None, **alone: Any) -> Serving:
        """Start a server: a new one, or at the place of one that has ended; ``alone`` are variables of this one."""
        port = self.servers[place].port if place is not None else 0
        arguments = ["--host", "127.0.0.1", "--port", str(port)] if port else []
        environment = self.environment | alone
        server = await in_thread(lambda: Serving(self.directory, port=port, arguments=arguments, **environment))
        if place is None:
            self.servers.append(server)
        else:
            self.servers[place] = server
        return await server.ready()

    def stop(self) -> None:
        """End every server."""
        for server in self.servers:
            server.stop()

    async def writes(self, over: asyncio.Event) -> None:
        """Return when every writer's commands are carried out; they come for as long as it is not ``over``."""

        async def one(player: Player, number: int) -> None:
            pause = random.Random(self.seed + number)
            for turn in itertools.count():
                if turn >= self.commands and over.is_set():
                    return
                for place, room in enumerate(self.rooms):
                    await player.write(room, f"w{number}-{place}-{turn}")
                    await asyncio.sleep(pause.uniform(0.02, 0.1))

        await asyncio.gather(*(one(player, number) for number, player in enumerate(self.players[:WRITERS])))

    async def all_there(self) -> None:
        """Return when everybody is in their rooms: a fault that comes earlier would find nobody."""
        await asyncio.gather(*(player.there() for player in self.players))

    async def refused(self, least: int = 1) -> None:
        """Return when so many commands were answered with "not now"."""
        async with asyncio.timeout(HEALED_S):
            while len(self.refusals) < least:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.02)

    @property
    def refusals(self) -> list[Refusal]:
        """Every command that was answered with "not now"."""
        return [refusal for player in self.players for refusal in player.refusals]

    def log(self) -> list[Stored]:
        """Return what the database holds, and what retention removed from it."""
        return list((self.gone | {(one.project, one.seq): one for one in stored(self.rooms)}).values())

    async def all_see_all(self) -> None:
        """Return when everybody was shown the end of every log."""
        tops: dict[str, int] = {}
        for one in await in_thread(stored, self.rooms):
            tops[one.project] = max(tops.get(one.project, 0), one.seq)
        await asyncio.gather(*(player.up_to(tops) for player in self.players))

    def complaints(self) -> list[str]:
        """Return the lines of the servers' logs that no fault excuses."""
        found = []
        for server in self.servers:
            for line in server.log.read_text().splitlines():
                excused = any(word in line for word in self.excused)
                if ("Traceback" in line or '"code": 1011' in line) and not excused:
                    found.append(line)
        return found


@pytest.fixture
async def stage(transactional_db: None, tmp_path: Path, private_redis: Redis) -> AsyncIterator[Stage]:
    """The stage, with everybody in their rooms."""
    async with staged(tmp_path, private_redis) as made:
        yield made


@asynccontextmanager
async def staged(
    directory: Path,
    redis: Redis,
    *,
    servers: int = SERVERS,
    commands: int = COMMANDS,
    first: dict[str, Any] | None = None,
    **variables: Any,
) -> AsyncIterator[Stage]:
    """Give a stage on the database that this process uses; ``first`` are variables of the first server alone."""
    seed = int(os.environ.get("AUTOCODE_TEST_SEED") or time.time_ns() % 1_000_000)
    environment = PLENTY | {"AUTOCODE_REDIS_URL": redis.url, "AUTOCODE_DEBUG": "off", "AUTOCODE_DRAIN_S": 1}
    environment |= variables
    made = Stage(seed, directory, redis, environment, commands=commands)

    def furnish() -> Any:
        owner = a_person("ada")
        made.rooms = [a_project(owner) for _ in range(ROOMS)]
        people = []
        for number in range(WATCHERS + WRITERS):
            person = a_person(f"p{number}")
            for room in made.rooms:
                MembershipService(owner.actor).add(guid=room.guid, username=person.username, role=Role.CONTRIBUTOR)
            people.append(person)
        return people

    people = await in_thread(furnish)
    async with AsyncExitStack() as stack:
        stack.callback(made.stop)
        if first is not None:
            await made.start(**first)
        await asyncio.gather(*(made.start() for _ in range(servers - len(made.servers))))
        for server in made.servers:
            made.lines.append(await stack.enter_async_context(Proxy(server.port)))
        urls = [line.url for line in made.lines]
        made.players = [
            Player(f"p{n}", person, made.rooms, urls[n % servers :] + urls[: n % servers], seed)
            for n, person in enumerate(people)
        ]
        yield made
        for player in made.players:
            player.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Path:
    """The data of a PostgreSQL whose database has all tables, to be copied."""
    from tests.faults.stores import migrated

    with django_db_blocker.unblock():
        return migrated(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Path:
    """A SQLite file with all tables, to be copied."""
    from tests.faults.stores import migrated_file

    with django_db_blocker.unblock():
        return migrated_file(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture
async def survives(stage: Stage) -> Callable[..., Any]:
    """``await survives(fault)``: let everybody play, break things, and judge what happened."""
    return functools.partial(survive, stage)


async def survive(stage: Stage, fault: Callable[[Stage], Any]) -> History:
    """Let everybody play on the stage, break things, and judge what happened."""
    playing = [asyncio.create_task(player.play()) for player in stage.players]
    over = asyncio.Event()
    writing = asyncio.create_task(stage.writes(over))
    breaking = asyncio.create_task(fault(stage))
    try:
        async with asyncio.timeout(HEALED_S * 2 + stage.lasts_s):
            await breaking
            ended = time.monotonic()
            await stage.all_see_all()
            recovery_s = time.monotonic() - ended
            over.set()
            await writing
        async with asyncio.timeout(HEALED_S):
            await stage.all_see_all()
    finally:
        for player in stage.players:
            player.stop()
        await asyncio.wait(playing, timeout=10)
        for task in (*playing, writing, breaking):
            task.cancel()
    history = History(
        clients=[player.history for player in stage.players],
        log=await in_thread(stage.log),
        complaints=stage.complaints(),
    )
    found: list[Violation] = judge(history)
    figures(seed=stage.seed, recovery_s=recovery_s, **counted(history, found))
    assert not found, (stage.seed, len(found), found[:5])
    written = {sent.key for client in history.clients for sent in client.sent if sent.key.startswith("w")}
    assert {one.key for one in history.log if one.key.startswith("w")} == written
    assert len(written) >= WRITERS * stage.commands * ROOMS
    return history


@pytest.fixture
async def scene(transactional_db: None, tmp_path: Path, redis_url: str) -> AsyncIterator[Scene]:
    """The link's scene: rooms, people, a scripted agents-server; ``await scene.begin()`` starts a server."""
    async with a_scene(tmp_path, redis_url) as made:
        yield made
