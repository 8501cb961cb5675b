"""A connection that ends gives back what it took, without waiting for a garbage collection."""

from __future__ import annotations

import asyncio

import pytest

from tests.serve.conftest import PLENTY, until
from tests.serve.test_slow_reader import figure
from tests.support.browser import Browser

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

CROWD = 150
KEPT = 5_000
"""Bytes for each connection that came and went: half of what a collection would have to find."""


@pytest.mark.parametrize("how", ["close", "cut"])
async def test_thousands_of_connections_that_came_and_went_leave_nothing(serve, ada, room, how):
    server = await serve(**PLENTY)

    async def come_and_go() -> None:
        tabs = [await Browser.open(ada, url=server.url) for _ in range(CROWD)]
        await asyncio.gather(*(tab.join(room) for tab in tabs))
        if how == "cut":
            for tab in tabs:
                tab.line.socket.transport.abort()  # type: ignore[attr-defined] # the websockets client's
        await asyncio.gather(*(tab.leave() for tab in tabs))
        await until(lambda: figure(server.port, 'autocode_connections{transport="websocket"}') == 0)

    for _ in range(3):
        await come_and_go()
    before = server.memory()
    for _ in range(14):
        await come_and_go()
    assert server.memory() - before < 14 * CROWD * KEPT
