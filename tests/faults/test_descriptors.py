"""A server has no descriptors left: newcomers are refused, who is there notices nothing, and later it works again."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Stage
from tests.faults.kit import GONE
from tests.realtime.serving import Serving
from tests.support.browser import Browser

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

SPARE, CROWD = 6, 30


def descriptors(server: Serving) -> int:
    """Return how many a server has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


async def turned_away(reader: asyncio.StreamReader) -> bool:
    """Tell whether the server hangs up on somebody who has said nothing."""
    try:
        async with asyncio.timeout(2):
            return await reader.read(1) == b""
    except OSError:
        return True
    except TimeoutError:
        return False


async def comes_in(stage: Stage) -> bool:
    """Tell whether somebody can connect to the first server and join."""
    try:
        async with await Browser.open(stage.players[0].user, url=stage.servers[0].url) as tab:
            await tab.join(stage.rooms[0])
    except GONE:
        return False
    return True


async def test_descriptors_are_used_up(stage: Stage, survives: Callable[..., Any]) -> None:
    async def fault(stage: Stage) -> None:
        await stage.all_there()
        server = stage.servers[0]
        most = await asyncio.to_thread(descriptors, server) + SPARE
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (most, hard))
        crowd = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", server.port) for _ in range(CROWD)))
        away = await asyncio.gather(*(turned_away(reader) for reader, _ in crowd))
        assert sum(away) >= CROWD - SPARE  # it did happen
        for _, writer in crowd:
            writer.close()
        async with asyncio.timeout(20):
            while not await comes_in(stage):  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.1)

    await survives(fault)
    assert not stage.refusals
    assert {player.connections for player in stage.players} == {1}
