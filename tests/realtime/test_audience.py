"""What nobody else hears does not travel, and whoever comes misses nothing: against a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import channel_layers
from redis.asyncio import Redis as Client

from apps.core import clock
from apps.projects.services.tasks import TaskService
from apps.realtime.audience import MOST, PROBE_S, Audience
from apps.realtime.broadcaster import broadcaster
from apps.realtime.groups import CONTROL, room_group
from apps.realtime.redis_layer import PubSubChannelLayer
from tests.realtime.conftest import do, until
from tests.support.services import Redis

ROOM = "0190a0de-0000-7000-8000-000000000000"


def heard_by(audience: Audience, count: int, *, listening: bool, echo: bool = False) -> None:
    number = audience.said(ROOM, listening=listening)
    audience.counted(ROOM, number, count)
    if echo:
        audience.echoed(ROOM, number)


@pytest.mark.parametrize(
    ("count", "listening", "echo", "alone"),
    [
        (0, False, False, True),
        (1, False, False, False),
        (1, True, True, True),
        (1, True, False, False),  # somebody else was counted, and we were not reached
        (0, True, False, False),
        (2, True, True, False),
    ],
)
def test_who_is_alone(count: int, listening: bool, echo: bool, alone: bool) -> None:
    audience = Audience()
    heard_by(audience, count, listening=listening, echo=echo)
    assert audience.alone(ROOM) is alone


def test_the_echo_may_come_before_the_count() -> None:
    audience = Audience()
    number = audience.said(ROOM, listening=True)
    audience.echoed(ROOM, number)
    assert not audience.alone(ROOM)
    audience.counted(ROOM, number, 1)
    assert audience.alone(ROOM)


def test_an_answer_holds_for_a_second_and_until_somebody_comes() -> None:
    audience = Audience()
    heard_by(audience, 0, listening=False)
    with clock.moved(PROBE_S + 0.01):
        assert not audience.alone(ROOM)
    audience.kept(ROOM, 7)
    assert audience.came(ROOM) == 7
    assert not audience.alone(ROOM)
    assert audience.came(ROOM) == 0


def test_somebody_who_comes_while_hearers_are_counted_is_not_overlooked() -> None:
    audience = Audience()
    number = audience.said(ROOM, listening=False)
    audience.came(ROOM)
    audience.counted(ROOM, number, 0)
    assert not audience.alone(ROOM)


def test_an_answer_to_another_message_counts_nothing() -> None:
    audience = Audience()
    number = audience.said(ROOM, listening=False)
    assert audience.said(ROOM, listening=False) == 0
    audience.counted(ROOM, number + 1, 0)
    assert not audience.alone(ROOM)
    with clock.moved(PROBE_S + 0.01):
        assert audience.said(ROOM, listening=False) == number + 1, "an answer that never came is not waited for"


def test_rooms_of_long_ago_are_forgotten() -> None:
    audience = Audience()
    for number in range(MOST):
        audience.counted(f"{number}", audience.said(f"{number}", listening=False), 0)
    with clock.moved(PROBE_S + 0.01):
        audience.said("one more", listening=False)
        assert len(audience._looks) == 1


@pytest.fixture
async def over_redis(private_redis: Redis, settings: Any) -> AsyncIterator[str]:
    """Whatever is published here goes over Redis."""
    hosts = [{"address": private_redis.url}]
    config = {"BACKEND": "apps.realtime.redis_layer.PubSubChannelLayer", "CONFIG": {"hosts": hosts, "prefix": "t"}}
    settings.CHANNEL_LAYERS = {"default": config}
    before = channel_layers.backends
    channel_layers.backends = {}
    yield private_redis.url
    channel_layers.backends = before


class Other:
    """Another process that looks at a room."""

    def __init__(self, url: str) -> None:
        self._layer = PubSubChannelLayer(hosts=[{"address": url}], prefix="t")
        self.heard: list[dict[str, Any]] = []

    async def look(self, guid: str) -> None:
        """Do what a process does that opens a room."""
        channel = await self._layer.new_channel()
        self._layer.deliver(channel, self.heard.append)
        await self._layer.group_add(room_group(guid), channel)
        await self._layer.group_send(CONTROL, {"type": "wanted", "guid": guid})

    def last(self, kind: str) -> dict[str, Any]:
        return next((one for one in reversed(self.heard) if one["type"] == kind), {})

    async def leave(self) -> None:
        await self._layer.flush()


async def published(url: str) -> int:
    """Return how often anybody published anything."""
    async with Client.from_url(url) as client:
        return int((await client.info("commandstats")).get("cmdstat_publish", {}).get("calls", 0))


async def test_what_nobody_else_hears_stays_here_until_somebody_comes(over_redis, manager, project, ada, browsers):
    guid = str(project.guid)

    async def task() -> int:
        event = await do(lambda: TaskService(ada.actor).create(guid=project.guid, title="Task"))
        assert [one["seq"] for one in await tab.events(1)] == [event.seq]
        await broadcaster.flushed()
        return int(event.seq)

    tab = await browsers(ada)
    await tab.join(project)
    await until(lambda: manager.rooms[guid].subscribed)
    await task()
    await until(lambda: broadcaster._audience.alone(guid))
    before = await published(over_redis)
    for _ in range(5):
        last = await task()
    assert await published(over_redis) == before
    other = Other(over_redis)
    await other.look(guid)
    await until(lambda: other.last("top").get("seq") == last)
    seq = await task()
    await until(lambda: [one[0] for one in other.last("events").get("events", [])] == [seq])
    assert not broadcaster._audience.alone(guid)
    await other.leave()


async def test_a_room_learns_how_far_the_log_has_grown(manager, project, ada, browsers, settings):
    settings.AUTOCODE_POSITION_CHECK_S = 600
    tab = await browsers(ada)
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    room.cursor.reset(room.cursor.seq - 1)  # as if its last event had not been told
    for viewer in room.viewers:
        viewer.seq = room.cursor.seq
    missed = room.cursor.seq + 1
    manager.ear.hear({"type": "top", "guid": str(project.guid), "seq": missed})
    assert [event["seq"] for event in await tab.events(1)] == [missed]
