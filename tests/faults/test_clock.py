"""The clock of one server's machine is wrong, and jumps: order, leases, heartbeats, presence and logins stay right."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import time
from pathlib import Path

import pytest

from apps.projects.aio import in_thread
from tests.faults.conftest import Stage, staged, survive
from tests.faults.stores import log_in
from tests.support.browser import Browser
from tests.support.services import Redis

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


def library() -> str:
    """Return the library that shows a process another time."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("faketime is not installed; ./test installs it")
        pytest.skip("faketime is not installed; ./test installs it")
    return str(found[-1])


async def test_one_servers_clock_jumps(transactional_db: None, tmp_path: Path, private_redis: Redis) -> None:
    """F39: an hour on, an hour back, and right again. A token that has expired for it is renewed, as by the page."""
    file = tmp_path / "clock"

    def jump(hours: int) -> None:
        file.write_text(f"{hours:+d}h")

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        person, room, server = stage.players[0].user, stage.rooms[0], stage.servers[0]
        here = {player.history.name for player in stage.players}
        for number, hours in enumerate((1, -1, 0)):
            await asyncio.to_thread(jump, hours)
            async with await Browser.open(person, url=server.url, by="session") as tab:
                async with asyncio.timeout(20):
                    while abs(await ahead(tab) - hours * 3600) > 60:  # noqa: ASYNC110 - it reads its file at times
                        await asyncio.sleep(0.6)
                joined = await tab.join(room)
                assert {member["username"] for member in joined["presence"]} == here
                assert (await tab.command("create_task", {"title": f"jump-{number}"}, room))["type"] == "ack"
            if hours:
                assert await in_thread(log_in, stage) == 200

    jump(0)
    wrong = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": file,
        "FAKETIME_CACHE_DURATION": 1,
        "FAKETIME_DONT_FAKE_MONOTONIC": 1,
    }
    async with staged(tmp_path, private_redis, servers=2, commands=12, first=wrong) as stage:
        await survive(stage, fault)


async def ahead(tab: Browser) -> float:
    """Return by how many seconds the server's clock is ahead of ours."""
    pong = await tab.command("ping")
    return dt.datetime.fromisoformat(pong["data"]["serverTime"]).timestamp() - time.time()
