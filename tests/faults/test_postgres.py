"""PostgreSQL breaks while people watch and write: refusals are quick and clear, and afterwards everything goes on.

Each stage has a cluster of its own. A failure names its seed, as in ``test_matrix.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import User
from apps.projects.aio import in_thread
from apps.projects.models import Project
from apps.projects.services.commands import once
from apps.projects.services.log import open_log
from apps.projects.services.tasks import TaskService
from apps.realtime.close_codes import CloseCode
from tests.faults import kit
from tests.faults.conftest import WRITERS, Stage, survive
from tests.faults.kit import Player, stored
from tests.faults.stores import DURABLE, ask, on_postgres, session
from tests.support.browser import Browser
from tests.support.databases import at, used
from tests.support.factories import a_person, a_project
from tests.support.services import Postgres, Redis

pytestmark = [pytest.mark.processes, pytest.mark.own_stores, pytest.mark.timeout(240)]


PATIENCE_S = 6
"""Seconds for an answer; see ``autocode.settings.parts.database``."""


@pytest.fixture
def play(transactional_db: None, tmp_path: Path, private_redis: Redis, cluster: Path) -> Callable[..., Any]:
    """``async with play(setting=value) as (stage, postgres)``: the stage on a PostgreSQL of its own."""

    @asynccontextmanager
    async def play(*, servers: int = 2, role: str = "", **options: Any) -> AsyncIterator[tuple[Stage, Postgres]]:
        with Postgres(copy_of=cluster, **DURABLE | options) as postgres:
            variables: dict[str, Any] = {"servers": servers, "commands": 12}
            if role:
                with session(postgres) as db:
                    db.execute(f"CREATE ROLE {role} LOGIN")
                    db.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
                    db.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
                variables["DATABASE_URL"] = app_url(postgres)
            async with on_postgres(tmp_path, private_redis, postgres, **variables) as stage:
                yield stage, postgres

    return play


async def crashes(stage: Stage, postgres: Postgres) -> None:
    """F14: as with ``pg_ctl -m immediate restart``, and away for some seconds in between."""
    await asyncio.to_thread(postgres.crash)
    await stage.refused()
    project = f"/api/v1/projects/{stage.rooms[0].guid}/"
    assert await asyncio.to_thread(ask, stage, "/readyz") == (503, "")
    for path, body in (("tasks/", None), ("tasks/", b'{"title": "x"}'), ("events/", None)):
        status, retry_after = await asyncio.to_thread(ask, stage, project + path, body=body)
        assert (status, retry_after.isdigit()) == (503, True), path
    await asyncio.sleep(2.0)
    await asyncio.to_thread(postgres.start)


async def is_restarted(postgres: Postgres) -> None:
    """F14: as an operator does it, again and again; for a moment it answers "the system is starting up"."""
    for _ in range(2):
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        await asyncio.sleep(0.5)


async def loses_its_sessions(postgres: Postgres) -> None:
    """F14: all of them, in the middle of whatever they do, several times."""
    with session(postgres) as db:
        for _ in range(5):
            await asyncio.sleep(0.3)
            ended = db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            assert ended.fetchall()


async def is_read_only(stage: Stage, postgres: Postgres) -> None:
    """F14: as a standby is before it is promoted."""
    with session(postgres) as db:
        db.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        db.execute("SELECT pg_reload_conf()")
        await stage.refused(len(stage.refusals) + 3)
        db.execute("ALTER SYSTEM RESET default_transaction_read_only")
        db.execute("SELECT pg_reload_conf()")


async def write_on(stage: Stage, stop: asyncio.Event) -> None:
    """Let watchers write too, until ``stop``."""

    async def one(player: Player) -> None:
        for turn in itertools.count():
            if stop.is_set():
                return
            await player.write(stage.rooms[turn % len(stage.rooms)], f"more-{player.history.name}-{turn}")
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one(player) for player in stage.players[WRITERS : 2 * WRITERS]))


async def test_it_is_away_and_comes_back(play: Callable[..., Any]) -> None:
    async def fault(stage: Stage) -> None:
        await stage.all_there()
        await asyncio.sleep(0.3)
        await crashes(stage, postgres)

    async with play() as (stage, postgres):
        await survive(stage, fault)
        assert_refused_for_the_moment(stage)


async def test_it_hangs_up_and_refuses(play: Callable[..., Any]) -> None:
    async def fault(stage: Stage) -> None:
        await stage.all_there()
        stop = asyncio.Event()
        writing = asyncio.create_task(write_on(stage, stop))
        await is_restarted(postgres)
        await loses_its_sessions(postgres)
        await is_read_only(stage, postgres)
        stop.set()
        await writing

    async with play() as (stage, postgres):
        await survive(stage, fault)
        assert_refused_for_the_moment(stage)


async def test_it_is_there_and_does_not_answer(play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """All its processes are stopped; packets are confirmed and connections accepted by the kernel."""
    monkeypatch.setattr(kit, "ANSWER_S", 10.0)  # as patient as our client: it hears of it and stays

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        postgres.freeze()
        try:
            began = time.monotonic()
            room = stage.rooms[0]
            writes = [
                asyncio.create_task(player.write(room, f"late-{player.history.name}"))
                for player in stage.players[WRITERS:]
            ]
            await stage.refused(3)
            assert time.monotonic() - began < PATIENCE_S + 5
            assert (await asyncio.to_thread(ask, stage, f"/api/v1/projects/{room.guid}/"))[0] == 503
        finally:
            postgres.thaw()
        await asyncio.gather(*writes)

    async with play() as (stage, postgres):
        await survive(stage, fault)
        assert_refused_for_the_moment(stage)


def assert_refused_for_the_moment(stage: Stage) -> None:
    """Writes were refused in a way that clients understand, and nobody lost the connection by it."""
    assert {refusal.code for refusal in stage.refusals} == {"unavailable"}
    assert [player.connections for player in stage.players] == [1] * len(stage.players)


async def test_a_locked_project_makes_nobody_wait_but_its_own_people(play: Callable[..., Any]) -> None:
    """F15: another session holds a project's row, and more people write to it than the server has threads."""
    times: list[float] = []

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        (locked, free), (*many, one) = stage.rooms, stage.players[WRITERS:]
        with session(postgres) as db, db.transaction():
            db.execute("SELECT 1 FROM projects_project WHERE guid = %s FOR UPDATE", [locked.guid])
            held = [asyncio.create_task(player.write(locked, f"held-{player.history.name}")) for player in many]
            until = time.monotonic() + 3.0  # longer than a command waits for a lock
            while time.monotonic() < until:
                began = time.monotonic()
                await one.write(free, f"free-{len(times)}")
                times.append(time.monotonic() - began)
                await asyncio.sleep(0.05)
        await asyncio.gather(*held)

    async with play(servers=1) as (stage, postgres):
        await survive(stage, fault)
        assert max(times) < 1.0
        assert_refused_for_the_moment(stage)
        assert {refusal.project for refusal in stage.refusals} == {str(stage.rooms[0].guid)}


CONNECTIONS, RESERVED, IDLE = 10, 4, 100
END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"


def app_url(postgres: Postgres) -> str:
    """Return the address for a role that may not use the connections that are reserved."""
    return postgres.url.replace("postgres@", "app@")


async def test_connections_are_used_up(play: Callable[..., Any]) -> None:
    """F16: 112 sockets share six connections at most; then they have none at all for a while."""
    idle: list[Browser] = []

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        person, room, urls = stage.players[0].user, stage.rooms[0], [server.url for server in stage.servers]
        for number in range(IDLE):
            idle.append(await Browser.open(person, url=urls[number % len(urls)]))
            await idle[-1].join(room)
        assert not stage.refusals
        with session(postgres) as db:
            db.execute("ALTER ROLE app CONNECTION LIMIT 0")
            while db.execute(END_ALL).fetchall():  # noqa: ASYNC110 - one may have been on its way in
                await asyncio.sleep(0.1)
            writes = [
                asyncio.create_task(player.write(room, f"late-{player.history.name}"))
                for player in stage.players[WRITERS:]
            ]
            await stage.refused(3)
            async with await Browser.open(person, url=urls[0]) as late:
                assert await late.closed(patience=10) == CloseCode.OVERLOADED
            project = f"/api/v1/projects/{room.guid}/"
            assert (await asyncio.to_thread(ask, stage, project))[0] == 503
            db.execute("ALTER ROLE app CONNECTION LIMIT -1")
        await asyncio.gather(*writes)

    async with play(max_connections=CONNECTIONS, superuser_reserved_connections=RESERVED, role="app", servers=1) as (
        stage,
        postgres,
    ):
        await survive(stage, fault)
        assert_refused_for_the_moment(stage)
        assert [tab.code for tab in idle] == [None] * IDLE
        await asyncio.gather(*(tab.leave() for tab in idle))


async def test_of_two_that_block_each_other_both_get_through(transactional_db: None, cluster: Path) -> None:
    """F17: two commands that take two rows in opposite orders; the one that PostgreSQL undoes is begun again."""
    both, tries = threading.Barrier(2, timeout=10), Counter[str]()

    def command(person: User, project: Project, name: str, *, project_first: bool) -> tuple[dict[str, Any], bool]:
        def work() -> dict[str, Any]:
            tries[name] += 1

            def create() -> int:
                return TaskService(person.actor).create(guid=project.guid, title=name).seq

            def other_row() -> None:
                User.objects.select_for_update().get(pk=person.pk)

            with open_log(project.guid, person.actor) if project_first else nullcontext():
                if not project_first:
                    other_row()
                if tries[name] == 1:
                    both.wait()
                if project_first:
                    other_row()
                return {"seq": create()}

        return once(person.actor, name, "create_task", {"title": name}, work)

    with Postgres(copy_of=cluster, deadlock_timeout="20ms", **DURABLE) as postgres, used(at(postgres)):
        ada = await in_thread(a_person, "ada")
        project = await in_thread(a_project, ada)
        answers = await asyncio.gather(
            in_thread(command, ada, project, "one", project_first=True),
            in_thread(command, ada, project, "two", project_first=False),
        )
        assert sorted(tries.values()) == [1, 2]  # it did happen
        assert [repeated for _, repeated in answers] == [False, False]
        log = await in_thread(stored, [project])
        assert {one.key: one.seq for one in log if one.key} == {
            name: answer["seq"] for name, (answer, _) in zip(("one", "two"), answers, strict=True)
        }
