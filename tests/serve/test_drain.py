"""SIGTERM while 500 people look on and work goes on: nobody is cut off, nobody misses or sees twice."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest

from apps.projects.aio import in_thread
from apps.projects.models import ProjectEvent
from apps.realtime.close_codes import CloseCode
from tests.serve.conftest import PLENTY
from tests.support.browser import Browser

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

PEOPLE = 500
WINDOW_S = 4.0
PATIENCE_S = 60.0


class Watcher:
    """A client that comes back by the protocol's rules, and keeps the numbers of the events that it saw."""

    def __init__(self, user: Any, room: Any) -> None:
        self.user, self.room = user, room
        self.seqs: list[int] = []
        self.told_at = 0.0
        self.code = 0
        self.snapshots = 0
        self.at: dict[str, Any] = {}
        self.tab: Browser | None = None

    async def join(self, url: str) -> None:
        """Join, from where it stands."""
        self.tab = await Browser.open(self.user, url=url)
        joined = await self.tab.join(self.room, **self.at)
        if not joined["recovered"]:
            self.snapshots += 1
        if not self.at:
            self.at = {"lastSeq": joined["lastSeq"], "epoch": joined["epoch"]}

    def take(self) -> None:
        """Note the events that came."""
        assert self.tab is not None
        self.seqs += [one["seq"] for one in self.tab.received if "seq" in one]
        if self.seqs:
            self.at = self.at | {"lastSeq": self.seqs[-1]}

    async def move(self, url: str) -> None:
        """Wait until the server sends it away; come back at ``url`` when it may."""
        assert self.tab is not None
        self.code = await self.tab.closed(patience=PATIENCE_S)
        self.told_at = time.monotonic()
        last = self.tab.received[-1]
        assert last["type"] == "server_draining", last
        self.take()
        await asyncio.sleep(last["data"]["retryAfterMs"] / 1000)
        await self.join(url)

    async def up_to(self, seq: int) -> None:
        """Return when it has seen ``seq``."""
        assert self.tab is not None
        await self.tab.until(lambda one: one.get("seq") == seq, patience=PATIENCE_S)
        self.take()
        await self.tab.leave()


async def test_everybody_is_sent_to_the_other_server_and_ends_with_exactly_the_log(
    private_redis, serve, browsers, ada, room
):
    environment = PLENTY | {"AUTOCODE_REDIS_URL": private_redis.url, "AUTOCODE_DRAIN_S": WINDOW_S}
    one, two = await serve(**environment), await serve(**environment)
    watchers = [Watcher(ada, room) for _ in range(PEOPLE)]
    for begin in range(0, PEOPLE, 50):
        await asyncio.gather(*(watcher.join(one.url) for watcher in watchers[begin : begin + 50]))
    begun = watchers[0].at["lastSeq"]
    writer = await browsers(ada, url=two.url)
    await writer.join(room)
    moved = asyncio.Event()

    async def write() -> int:
        """Write until everybody has moved; return the last number."""
        number = seq = 0
        while not moved.is_set() or number < 20:
            number += 1
            reply = await writer.command("create_task", {"title": f"T{number}"}, room)
            assert reply["type"] == "ack", reply
            seq = reply["data"]["seq"]
        return seq

    writing = asyncio.create_task(write())
    await writer.events(5)
    began = time.monotonic()
    one.signal(signal.SIGTERM)
    await asyncio.gather(*(watcher.move(two.url) for watcher in watchers))
    moved.set()
    last = await writing
    await asyncio.gather(*(watcher.up_to(last) for watcher in watchers))
    assert await one.ended() == 0

    log = await in_thread(
        lambda: list(
            ProjectEvent.objects.filter(project=room, seq__gt=begun).order_by("seq").values_list("seq", flat=True)
        )
    )
    assert {watcher.code for watcher in watchers} == {CloseCode.DRAINING}
    assert sum(watcher.snapshots for watcher in watchers) == PEOPLE  # the first joins; nobody needed another
    wrong = [watcher.seqs for watcher in watchers if watcher.seqs != log]
    assert not wrong, (len(wrong), wrong[0], log)
    told = sorted(watcher.told_at - began for watcher in watchers)
    # Spread over the window: no half of the people within a quarter of it.
    half = min(told[i + PEOPLE // 2] - told[i] for i in range(PEOPLE // 2))
    assert half > WINDOW_S / 4, told[:: PEOPLE // 10]
