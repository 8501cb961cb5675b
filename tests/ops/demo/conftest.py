"""A server process and AutoCode's side of the link, for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.ops.demo.autocode_side import AutoCodeSide, Process

pytestmark = pytest.mark.processes

Start = Callable[..., Awaitable[AutoCodeSide]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Return a function that starts a server and connects to it; ends both afterwards."""
    sides: list[AutoCodeSide] = []

    async def begin(*options: str, speed: float = 400, connect: bool = True) -> AutoCodeSide:
        process = Process(tmp_path / "data", *options, speed=speed)
        await process.start()
        side = AutoCodeSide(process)
        sides.append(side)
        if connect:
            await side.open()
        return side

    yield begin
    for side in sides:
        await side.close()
        assert await side.process.stop() in {0, -9}
        assert "Traceback" not in side.process.log, side.process.log


@pytest.fixture
async def side(start: Start) -> AutoCodeSide:
    return await start()
