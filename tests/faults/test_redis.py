"""Redis refuses to write, or has just come back: people notice nothing, and nobody is turned away at the door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis as Client
from redis.exceptions import ResponseError

from apps.projects.aio import in_thread
from tests.faults.conftest import Stage
from tests.faults.stores import log_in
from tests.support.browser import Browser

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

NEWCOMERS = 20


async def come_in(stage: Stage) -> None:
    """Let many people connect and join at once, each at one of the servers."""

    async def one(number: int) -> None:
        person, server = stage.players[number % len(stage.players)].user, stage.servers[number % len(stage.servers)]
        async with await Browser.open(person, url=server.url) as tab:
            for room in stage.rooms:
                await tab.join(room)

    await asyncio.gather(*(one(number) for number in range(NEWCOMERS)))


async def writes_nothing(stage: Stage, *words: str) -> None:
    """F10: presence and counts are each process's own meanwhile; commands, events, logins and joins go on."""
    with Client.from_url(stage.redis.url) as client:
        client.execute_command(*words)
        with pytest.raises(ResponseError):
            client.set("x", "x")  # it did happen
        await come_in(stage)
        assert await in_thread(log_in, stage) == 200
        await asyncio.sleep(1.0)


async def has_just_come_back(stage: Stage) -> None:
    """F12: whoever keeps connections to Redis finds each of them dead."""
    await come_in(stage)  # so that there are connections to be dead
    await asyncio.to_thread(stage.redis.kill)
    await come_in(stage)
    await asyncio.to_thread(stage.redis.start)
    await come_in(stage)


async def test_nobody_notices_and_nobody_is_turned_away(stage: Stage, survives: Callable[..., Any]) -> None:
    async def fault(stage: Stage) -> None:
        await stage.all_there()
        with Client.from_url(stage.redis.url) as client:
            await writes_nothing(stage, "CONFIG", "SET", "maxmemory", "1")
            client.config_set("maxmemory", 0)
            await writes_nothing(stage, "REPLICAOF", "127.0.0.1", "1")  # nobody is there: its first copy never comes
            client.execute_command("REPLICAOF", "NO", "ONE")
        await has_just_come_back(stage)

    await survives(fault)
    assert not stage.refusals
    assert {player.connections for player in stage.players} == {1}
