"""PostgreSQL breaks while people watch and write: refusals are quick and clear, and afterwards everything goes on.

Each stage has a cluster of its own. A failure names its seed, as in ``test_matrix.py``.
"""

from __future__ import annotations

import asyncio
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
from tests.faults.conftest import WRITERS, Stage, survive
from tests.faults.kit import stored
from tests.faults.stores import DURABLE, ask, on_postgres, session
from tests.support.databases import at, used
from tests.support.factories import a_person, a_project
from tests.support.services import Postgres, Redis

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

Fault = Callable[[Stage, Postgres], Any]


@pytest.fixture
def play(transactional_db: None, tmp_path: Path, private_redis: Redis, cluster: Path) -> Callable[..., Any]:
    """``async with play(setting=value) as (stage, postgres)``: the stage on a PostgreSQL of its own."""

    @asynccontextmanager
    async def play(*, servers: int = 3, **options: Any) -> AsyncIterator[tuple[Stage, Postgres]]:
        with Postgres(copy_of=cluster, **DURABLE | options) as postgres:
            async with on_postgres(tmp_path, private_redis, postgres, servers=servers) as stage:
                yield stage, postgres

    return play


async def it_crashes(stage: Stage, postgres: Postgres) -> None:
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


async def it_is_restarted(stage: Stage, postgres: Postgres) -> None:
    """F14: as an operator does it, again and again; for a moment it answers "the system is starting up"."""
    for _ in range(3):
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        await asyncio.sleep(0.5)


async def its_sessions_are_ended(stage: Stage, postgres: Postgres) -> None:
    """F14: all of them, in the middle of whatever they do, several times."""
    with session(postgres) as db:
        for _ in range(8):
            await asyncio.sleep(0.3)
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


async def it_is_read_only(stage: Stage, postgres: Postgres) -> None:
    """F14: as a standby is before it is promoted."""
    with session(postgres) as db:
        for word, refusals in (("on", 3), ("off", 0)):
            db.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}")
            db.execute("SELECT pg_reload_conf()")
            await stage.refused(refusals)


FAULTS: list[Fault] = [it_crashes, it_is_restarted, its_sessions_are_ended, it_is_read_only]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_writes_are_refused_for_the_moment_and_nobody_is_cut_off(fault: Fault, play: Callable[..., Any]) -> None:
    async with play() as (stage, postgres):

        async def broken(stage: Stage) -> None:
            await stage.all_there()
            await asyncio.sleep(0.3)
            await fault(stage, postgres)

        await survive(stage, broken)
        assert stage.refusals  # it did happen
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
            until = time.monotonic() + 4.5  # more than twice the time that a command waits for a lock
            while time.monotonic() < until:
                began = time.monotonic()
                await one.write(free, f"free-{len(times)}")
                times.append(time.monotonic() - began)
                await asyncio.sleep(0.05)
        await asyncio.gather(*held)

    async with play(servers=1) as (stage, postgres):
        await survive(stage, fault)
        assert max(times) < 1.0
        assert {refusal.code for refusal in stage.refusals} == {"unavailable"}
        assert {refusal.project for refusal in stage.refusals} == {str(stage.rooms[0].guid)}
        assert [player.connections for player in stage.players] == [1] * len(stage.players)


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
