"""The disk is full: nothing is acknowledged that is not stored, and when there is room again everything goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from apps.realtime.close_codes import CloseCode
from tests.faults.conftest import Stage, staged, survive
from tests.faults.stores import DURABLE, ask, on_postgres, session
from tests.support.browser import Browser
from tests.support.databases import in_file, used
from tests.support.services import Postgres, Redis

pytestmark = [pytest.mark.processes, pytest.mark.own_stores, pytest.mark.timeout(240)]


class Disk:
    """A small file system in memory."""

    def __init__(self, *, megabytes: int) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="autocode-disk-"))  # not pytest's: PostgreSQL's user may not enter it
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", self.path], check=True)

    def fill(self) -> None:
        """Leave no room at all."""
        with (self.path / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(65_536))
        with (self.path / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(512))

    def clear(self) -> None:
        """Make room again."""
        (self.path / "filler").unlink()

    def unmount(self) -> None:
        """Take it away, whoever still looks at it."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        self.path.rmdir()


@pytest.fixture
def disk() -> Iterator[Callable[..., Disk]]:
    """Make small disks: ``disk(megabytes=16)``."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("only root may mount a small disk")
        pytest.skip("only root may mount a small disk")
    made: list[Disk] = []

    def make(*, megabytes: int) -> Disk:
        made.append(Disk(megabytes=megabytes))
        return made[-1]

    yield make
    for one in made:
        one.unmount()


async def is_full(stage: Stage, disk: Disk) -> None:
    """Fill the disk until writes are refused, look whether people can still come and read, and make room again."""
    await stage.all_there()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(disk.fill)
    await stage.refused(3)
    person, (room, *_) = stage.players[0].user, stage.rooms
    async with await Browser.open(person, url=stage.servers[0].url) as tab:
        joined = await tab.join(room)
        assert joined["snapshot"]["lastSeq"] == joined["lastSeq"]
    tasks = f"/api/v1/projects/{room.guid}/tasks/"
    assert await asyncio.to_thread(ask, stage, tasks) == (200, "")
    assert (await asyncio.to_thread(ask, stage, tasks, body=b'{"title": "x"}'))[0] == 503
    await asyncio.sleep(0.5)
    await asyncio.to_thread(disk.clear)


def assert_refused_clearly(stage: Stage) -> None:
    """Writes were refused, in the way that clients understand, and nobody lost the connection by it."""
    assert {refusal.code for refusal in stage.refusals} == {"unavailable"}
    assert [player.connections for player in stage.players] == [1] * len(stage.players)


async def test_sqlite(
    transactional_db: None, tmp_path: Path, private_redis: Redis, disk: Callable[..., Disk], empty_file: Path
) -> None:
    """F19: one server, its file and its log of writes on a disk that is full."""
    small = disk(megabytes=12)
    file = Path(shutil.copy(empty_file, small.path / "autocode.sqlite3"))
    with used(in_file(file)):
        async with staged(tmp_path, private_redis, servers=1, commands=12, AUTOCODE_REDIS_URL="") as stage:
            await survive(stage, lambda stage: is_full(stage, small))
            assert_refused_clearly(stage)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_postgres_has_no_room_for_its_data(
    transactional_db: None, tmp_path: Path, private_redis: Redis, disk: Callable[..., Disk], cluster: Path
) -> None:
    """F19: tables cannot grow; the log of writes lies elsewhere."""
    small = disk(megabytes=64)
    with Postgres(small.path, copy_of=cluster, wal=disk(megabytes=64).path / "pg_wal", **DURABLE) as postgres:
        async with on_postgres(tmp_path, private_redis, postgres, servers=2, commands=12) as stage:
            await survive(stage, lambda stage: is_full(stage, small))
            assert_refused_clearly(stage)
        assert_sound(postgres)


async def test_postgres_has_no_room_for_its_log(
    transactional_db: None, tmp_path: Path, private_redis: Redis, disk: Callable[..., Disk], cluster: Path
) -> None:
    """F19: it ends itself, as it must, and cannot recover before there is room; somebody starts it again and again."""
    small = disk(megabytes=24)
    with Postgres(copy_of=cluster, wal=small.path / "pg_wal", **DURABLE) as postgres:

        async def fault(stage: Stage) -> None:
            await stage.all_there()
            await asyncio.sleep(0.3)
            await asyncio.to_thread(small.fill)
            await asyncio.to_thread(use_up, postgres)
            await stage.refused(3)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(small.clear)
            await asyncio.to_thread(again, postgres)

        async with on_postgres(tmp_path, private_redis, postgres, servers=2, commands=12) as stage:
            await survive(stage, fault)
            assert_refused_clearly(stage)
        assert "PANIC" in await asyncio.to_thread(postgres.log.read_text)  # it did happen
        assert_sound(postgres)


async def test_the_servers_have_no_room_for_their_logs(
    transactional_db: None, private_redis: Redis, disk: Callable[..., Disk]
) -> None:
    """F20: nor for temporary files. People notice nothing, and what is logged later is there."""
    small = disk(megabytes=8)
    large, empty = b'{"title": "' + b"x" * 4_000_000 + b'"}', b"{}"

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        tasks, logs = f"/api/v1/projects/{stage.rooms[0].guid}/tasks/", [server.log for server in stage.servers]

        async def refused() -> int:
            """Do what is logged on each server."""
            for server in stage.servers:
                async with await Browser.open(url=server.url, token="x.y.z") as stranger:
                    assert await stranger.closed() == CloseCode.BAD_CREDENTIALS
            return sum(log.stat().st_size for log in logs)

        await asyncio.to_thread(small.fill)
        before = await refused()
        assert await refused() == before  # it did happen
        for body, status in ((large, 413), (empty, 400), (None, 200)):
            assert (await asyncio.to_thread(ask, stage, tasks, body=body))[0] == status
        await asyncio.to_thread(small.clear)
        assert await refused() > before

    async with staged(small.path, private_redis, servers=2, commands=12, TMPDIR=small.path) as stage:
        await survive(stage, fault)
        assert not stage.refusals
        assert {player.connections for player in stage.players} == {1}


def use_up(postgres: Postgres) -> None:
    """Write into the log of writes until it has no room: it had some in store."""
    with contextlib.suppress(psycopg.OperationalError), session(postgres) as db:
        while True:
            db.execute("SELECT pg_logical_emit_message(false, 'fills', repeat('x', 100000))")


def again(postgres: Postgres) -> None:
    """Start PostgreSQL if it has ended itself, as a supervisor does."""
    process = postgres.process
    assert process is not None
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(3)
        postgres.start()


def assert_sound(postgres: Postgres) -> None:
    """Let PostgreSQL look at every row and index."""
    with session(postgres) as db:
        db.execute("CREATE EXTENSION amcheck")
        names = db.execute(
            "SELECT c.oid::regclass::text, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_am a ON a.oid = c.relam"
            " WHERE n.nspname = 'public' AND (c.relkind = 'r' OR a.amname = 'btree' AND i.indisvalid)"
        ).fetchall()
        assert len(names) > 50
        for name, kind in names:
            if kind == "r":
                assert db.execute("SELECT * FROM verify_heapam(%s)", [name]).fetchall() == [], name
            else:
                db.execute("SELECT bt_index_check(%s, true)", [name])
