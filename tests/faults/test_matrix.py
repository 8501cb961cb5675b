"""Things break while people watch and write; afterwards everybody has seen exactly the log.

A failure names its seed: ``AUTOCODE_TEST_SEED=<seed> ./test tests/faults -k <row>`` plays the same again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.faults.conftest import SERVERS, Stage

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


async def told(stage: Stage, *words: str) -> None:
    """Give Redis a command."""
    async with Redis.from_url(stage.redis.url) as client:
        await client.execute_command(*words)


async def nothing(stage: Stage) -> None:
    """The run without a fault: what the others are compared with."""


async def a_server_is_killed(stage: Stage) -> None:
    """F01: with SIGKILL, in the middle of everything; another takes its place later."""
    await asyncio.sleep(1.0)
    place = stage.random.randrange(SERVERS)
    stage.servers[place].signal(signal.SIGKILL)
    await asyncio.sleep(1.5)
    await stage.start(place)


async def every_server_is_restarted(stage: Stage) -> None:
    """F05: one after the other, with SIGTERM."""
    for place in range(SERVERS):
        await asyncio.sleep(0.5)
        stage.servers[place].signal(signal.SIGTERM)
        assert await stage.servers[place].ended() == 0
        await stage.start(place)


async def a_server_freezes(stage: Stage) -> None:
    """F06: for longer than clients wait."""
    await asyncio.sleep(0.5)
    server = stage.random.choice(stage.servers)
    server.signal(signal.SIGSTOP)
    await asyncio.sleep(5.0)
    server.signal(signal.SIGCONT)


async def redis_dies_and_comes_back_empty(stage: Stage) -> None:
    """F07."""
    await asyncio.sleep(0.5)
    await asyncio.to_thread(stage.redis.kill)
    await asyncio.sleep(3.0)
    await asyncio.to_thread(stage.redis.start)


async def redis_forgets_and_hangs_up(stage: Stage) -> None:
    """F09, F11: all keys are gone, and every connection is cut, several times."""
    for _ in range(5):
        await asyncio.sleep(0.6)
        await told(stage, "FLUSHALL")
        for kind in ("pubsub", "normal"):
            await told(stage, "CLIENT", "KILL", "TYPE", kind)


async def redis_holds_its_breath(stage: Stage) -> None:
    """F10: it answers nobody for some seconds."""
    await asyncio.sleep(0.5)
    await told(stage, "CLIENT", "PAUSE", "3000", "ALL")
    await asyncio.sleep(3.0)


async def every_line_is_cut_every_two_seconds(stage: Stage) -> None:
    """F36, F44: everybody at once, again and again (the test that AnyCable publishes)."""
    for _ in range(4):
        await asyncio.sleep(2.0)
        for line in stage.lines:
            line.cut()


async def lines_break_in_the_middle_of_a_frame(stage: Stage) -> None:
    """Every connection ends after some bytes, wherever that is."""
    chance = stage.random
    for _ in range(5):
        for line in stage.lines:
            line.cut_after = chance.randrange(2_000, 30_000)
            line.cut()
        await asyncio.sleep(1.0)
    for line in stage.lines:
        line.cut_after = None


async def lines_are_silent(stage: Stage) -> None:
    """F29, F34: nothing goes through, and nobody is told; then everything arrives at once."""
    await asyncio.sleep(0.5)
    for line in stage.lines:
        line.hold()
    await asyncio.sleep(4.0)
    for line in stage.lines:
        line.release()


LOSES_NOBODY = {nothing, redis_dies_and_comes_back_empty, redis_forgets_and_hangs_up, redis_holds_its_breath}
"""No socket is closed because Redis is away."""

FAULTS = [
    nothing, a_server_is_killed, every_server_is_restarted, a_server_freezes, redis_dies_and_comes_back_empty,
    redis_forgets_and_hangs_up, redis_holds_its_breath, every_line_is_cut_every_two_seconds,
    lines_break_in_the_middle_of_a_frame, lines_are_silent,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_everybody_sees_exactly_the_log(
    fault: Callable[[Stage], Any], stage: Stage, survives: Callable[..., Any]
) -> None:
    await survives(fault)
    connections = sum(player.connections for player in stage.players)
    if fault in LOSES_NOBODY:
        assert connections == len(stage.players)
    else:
        assert connections > len(stage.players)  # it did happen
