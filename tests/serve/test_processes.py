"""Real processes: our server and plain Daphne, one and two of them, ended, killed, and with slow readers."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

import asyncio
import json
import signal
import time
import urllib.request
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from apps.projects.aio import in_thread
from apps.projects.services.members import MembershipService
from apps.projects.services.tasks import TaskService
from apps.realtime.close_codes import CloseCode
from tests.realtime.serving import Serving
from tests.support.browser import Browser, Refused, envelope, token_of
from tests.support.factories import a_member
from tests.support.services import Redis

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]


async def created(tab: Browser, room: Any, title: str) -> int:
    reply = await tab.command("create_task", {"title": title}, room)
    assert reply["type"] == "ack", reply
    return int(reply["data"]["seq"])


async def test_a_room_over_tcp_and_the_cookie_with_its_origin(serve, browsers, ada, room):
    server = await serve()
    tab = await browsers(ada, url=server.url, by="session")
    joined = await tab.join(room)
    seq = await created(tab, room, "One")
    (event,) = await tab.events(1)
    assert event["seq"] == seq
    other = await browsers(ada, url=server.url)
    await other.join(room, lastSeq=joined["lastSeq"], epoch=joined["epoch"])
    assert [one["seq"] for one in await other.events(1)] == [seq]
    with pytest.raises(Refused):
        await browsers(ada, url=server.url, by="session", origin="http://evil.example")


async def test_a_client_that_offers_compression_is_served_without_it(serve, ada):
    server = await serve()
    offered = [Subprotocol("autocode.v1"), Subprotocol(f"autocode.jwt.{token_of(ada)}")]
    async with connect(f"{server.url}/ws/", subprotocols=offered, proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "authenticated"
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


async def test_a_frame_over_the_limit_is_closed_with_1009(serve, browsers, ada):
    server = await serve()
    tab = await browsers(ada, url=server.url)
    await tab.next("authenticated")
    await tab.line.send("x" * 70_000)
    assert await tab.closed() == 1009


async def test_what_another_process_writes_arrives_without_redis(serve, browsers, ada, room):
    server = await serve()
    tab = await browsers(ada, url=server.url)
    await tab.join(room)
    event = await in_thread(TaskService(ada.actor).create, guid=room.guid, title="From a command")
    assert [one["seq"] for one in await tab.events(1)] == [event.seq]


async def test_a_removal_by_another_process_closes_the_room_within_a_second_or_so(serve, browsers, ada, room):
    bob = await in_thread(a_member, room, "viewer")
    server = await serve()
    tab = await browsers(bob, url=server.url)
    await tab.join(room)
    start = time.monotonic()
    await in_thread(MembershipService(ada.actor).remove, guid=room.guid, user_id=bob.pk)
    assert await tab.closed() == CloseCode.NO_LONGER_ALLOWED
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("plain_daphne", [False, True])
async def test_the_server_drains_and_ends_well(serve, browsers, ada, room, number, plain_daphne):
    server = await serve(plain_daphne=plain_daphne)
    tabs = [await browsers(ada, url=server.url) for _ in range(3)]
    for tab in tabs:
        await tab.join(room)
    top = (await tabs[0].command("ping"))["data"]["rooms"][str(room.guid)]
    poll = asyncio.create_task(
        asyncio.to_thread(get, server, f"/api/v1/projects/{room.guid}/events/?after={top}&wait=20", ada)
    )
    await asyncio.sleep(0.3)
    server.signal(number)
    for tab in tabs:
        assert await tab.closed() == CloseCode.DRAINING
        assert tab.received[-1]["type"] == "server_draining"
    assert (await asyncio.wait_for(poll, 10))["results"] == []
    assert await server.ended() == 0


def get(server: Serving, path: str, person: Any) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", headers={"Authorization": f"Bearer {token_of(person)}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


async def test_two_processes_over_redis_are_one_room(serve, browsers, ada, room, private_redis):
    bob = await in_thread(a_member, room, "contributor", "bob")
    environment = {"AUTOCODE_REDIS_URL": private_redis.url, "AUTOCODE_POSITION_CHECK_S": 30}
    one, two = await serve(**environment), await serve(**environment)
    here, there = await browsers(ada, url=one.url), await browsers(bob, url=two.url)
    await here.join(room)
    joined = await there.join(room)
    assert sorted(member["username"] for member in joined["presence"]) == ["ada", "bob"]
    await here.until(
        lambda e: e["type"] == "presence_diff" and any(m["username"] == "bob" for m in e["data"]["joined"])
    )
    expected = [await created(here if number % 2 else there, room, f"T{number}") for number in range(20)]
    for tab in (here, there):
        assert [one["seq"] for one in await tab.events(20)] == expected
        await tab.nothing_more()
    start = time.monotonic()
    await here.send(envelope("typing", {"on": True}, room))
    await there.until(lambda e: e["type"] == "presence_diff" and any(m["typing"] for m in e["data"]["joined"]))
    assert time.monotonic() - start < 1.0


async def test_redis_dies_and_comes_back_and_nothing_is_lost(serve, browsers, ada, room, private_redis: Redis):
    environment = {"AUTOCODE_REDIS_URL": private_redis.url}
    one, two = await serve(**environment), await serve(**environment)
    here, there = await browsers(ada, url=one.url), await browsers(ada, url=two.url)
    for tab in (here, there):
        await tab.join(room)
    expected = [await created(here, room, "before")]
    await asyncio.to_thread(private_redis.kill)
    expected += [await created(here, room, f"without {number}") for number in range(3)]
    for tab in (here, there):
        assert [event["seq"] for event in await tab.events(4, patience=15)] == expected
    await asyncio.to_thread(private_redis.start)
    late = await browsers(ada, url=two.url)
    await late.join(room)
    await asyncio.sleep(1.5)
    last = await created(there, room, "after")
    for tab in (here, there):
        assert [event["seq"] for event in await tab.events(1, patience=10)] == [last]
        await tab.nothing_more()
    assert await late.until(lambda event: event.get("seq") == last)


async def test_a_killed_process_costs_a_reconnection_and_nothing_else(serve, browsers, ada, room, private_redis):
    environment = {"AUTOCODE_REDIS_URL": private_redis.url}
    one, two = await serve(**environment), await serve(**environment)
    tab, writer = await browsers(ada, url=one.url), await browsers(ada, url=two.url)
    joined = await tab.join(room)
    await writer.join(room)
    one.signal(signal.SIGKILL)
    assert await tab.closed() == 1006
    seqs = [await created(writer, room, f"T{number}") for number in range(3)]
    again = await browsers(ada, url=two.url)
    back = await again.join(room, lastSeq=joined["lastSeq"], epoch=joined["epoch"])
    assert back["recovered"] is True
    assert [event["seq"] for event in await again.events(3)] == seqs
