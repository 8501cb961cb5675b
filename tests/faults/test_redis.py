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


async def no_memory(client: Client) -> Callable[[], Any]:
    client.config_set("maxmemory", 1)
    return lambda: client.config_set("maxmemory", 0)


async def read_only(client: Client) -> Callable[[], Any]:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")  # nothing listens there: its first copy never comes
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize("refuse", [no_memory, read_only], ids=lambda refuse: refuse.__name__)
async def test_redis_writes_nothing(stage: Stage, survives: Callable[..., Any], refuse: Callable[..., Any]) -> None:
    """F10: presence and counts are this process's own meanwhile; commands, events, logins and joins go on."""

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        with Client.from_url(stage.redis.url) as client:
            end = await refuse(client)
            with pytest.raises(ResponseError):
                client.set("x", "x")  # it did happen
            await come_in(stage)
            assert await in_thread(log_in, stage) == 200
            await asyncio.sleep(1.5)
            end()

    await survives(fault)
    assert not stage.refusals
    assert {player.connections for player in stage.players} == {1}


async def test_many_come_in_when_redis_has_just_come_back(stage: Stage, survives: Callable[..., Any]) -> None:
    """F12: whoever keeps connections to Redis finds each of them dead."""

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        await come_in(stage)  # so that there are connections to be dead
        await asyncio.to_thread(stage.redis.kill)
        await come_in(stage)
        await asyncio.to_thread(stage.redis.start)
        await come_in(stage)

    await survives(fault)
    assert not stage.refusals
    assert {player.connections for player in stage.players} == {1}
