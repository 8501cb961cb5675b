"""Event streams: the log from a cursor on, while the login and the right last; and how many may be held open."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.test import AsyncClient

from apps.accounts.tokens import user_from_token
from apps.core import clock
from apps.projects.selectors.access import access_to
from apps.projects.services.members import MembershipService
from apps.realtime import draining
from apps.realtime.frames import Frame
from apps.realtime.http import Listener
from apps.realtime.sse import stream as room_stream
from tests.realtime.conftest import bearer, body, do, until
from tests.realtime.test_connections import retune
from tests.realtime.test_rooms import add_tasks
from tests.support.browser import token_of


class Stream:
    """Reads Server-Sent Events from a streaming response."""

    def __init__(self, response: Any) -> None:
        assert response.status_code == 200, response.content
        assert response["Content-Type"] == "text/event-stream"
        self._parts: AsyncIterator[bytes] = response.streaming_content.__aiter__()
        self._text = ""

    async def next(self) -> tuple[str | None, Any]:
        """Return the next event's id and envelope; comments and the retry hint are skipped."""
        while True:
            while "\n\n" not in self._text:
                self._text += (await asyncio.wait_for(anext(self._parts), 3)).decode()
            block, self._text = self._text.split("\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                return fields.get("id"), json.loads(fields["data"])

    async def durable(self, count: int) -> list[tuple[str | None, Any]]:
        found: list[tuple[str | None, Any]] = []
        while len(found) < count:
            event_id, envelope = await self.next()
            if "seq" in envelope:
                found.append((event_id, envelope))
        return found


async def stream(project: Any, person: Any, **headers: str) -> Stream:
    response = await AsyncClient().get(
        f"/api/v1/projects/{project.guid}/events/stream/", headers=bearer(person) | headers
    )
    return Stream(response)


async def test_a_stream_begins_with_a_snapshot_and_goes_on_live(manager, project, ada, browsers):
    events = await stream(project, ada)
    event_id, joined = await events.next()
    assert joined["type"] == "project_joined"
    assert event_id == f"{joined['data']['epoch']}:{joined['data']['lastSeq']}"
    assert joined["data"]["snapshot"]["lastSeq"] == joined["data"]["lastSeq"]
    tab = await browsers(ada)
    await tab.join(project)
    seqs = await add_tasks(ada, project, 2)
    got = await events.durable(2)
    assert [envelope for _, envelope in got] == await tab.events(2)
    assert [event_id for event_id, _ in got] == [f"{joined['data']['epoch']}:{seq}" for seq in seqs]


async def test_a_stream_goes_on_where_its_last_event_was(manager, project, ada):
    first = await stream(project, ada)
    last_id, _ = await first.next()
    assert last_id is not None
    seqs = await add_tasks(ada, project, 3)
    again = await stream(project, ada, **{"Last-Event-ID": last_id})
    _, joined = await again.next()
    assert joined["data"]["recovered"] is True
    assert [envelope["seq"] for _, envelope in await again.durable(3)] == seqs
    bad = await AsyncClient().get(
        f"/api/v1/projects/{project.guid}/events/stream/", headers=bearer(ada) | {"Last-Event-ID": "x:y"}
    )
    assert bad.status_code == 400


async def test_a_stream_ends_with_the_right_to_see_it(manager, project, ada, member):
    bob = await member("viewer", "bob")
    events = await stream(project, bob)
    await events.next()
    await do(MembershipService(ada.actor).remove, guid=project.guid, user_id=bob.pk)
    types = []
    with pytest.raises(StopAsyncIteration):
        while True:
            types.append((await events.next())[1]["type"])
    assert types[-2:] == ["error", "project_left"]


async def test_a_stream_ends_with_its_login(manager, project, ada):
    identity = await do(user_from_token, token_of(ada))
    access = await do(access_to, str(ada.pk), project.guid)
    soon = dataclasses.replace(identity, expires_at=clock.now() + dt.timedelta(seconds=0.5))
    parts = room_stream(manager, soon, "here", access, after=None, epoch=None)
    async with asyncio.timeout(3):
        assert b"project_joined" in b"".join([part async for part in parts])


async def test_a_stream_shows_nothing_after_its_login(manager, project, ada):
    events = await stream(project, ada)
    await events.next()
    # Whoever hears of the end by itself: only the stream's own look at the time is left.
    with clock.moved(100_000):
        await add_tasks(ada, project, 3)
        with pytest.raises(StopAsyncIteration):
            await events.next()


def test_a_listener_that_overflowed_takes_nothing_more() -> None:
    """What came behind the frame that did not fit would move the reader's cursor across it."""
    listener = Listener(1_000)
    for size in (500, 600, 100):
        listener.put(Frame(b"x" * size, guid="g", seq=size))
    assert listener.ended == "too_slow"
    assert [frame.seq for frame in listener.take()] == [500]


async def test_streams_and_polls_end_when_the_server_drains(manager, project, ada, api):
    events = await stream(project, ada)
    await events.next()
    top = (await body(await api("events/", before=10_000)))["lastSeq"]
    poll = asyncio.create_task(api("events/", after=top, wait=20))
    await asyncio.sleep(0.1)
    await manager.drain(0)
    assert draining.is_draining()
    assert (await asyncio.wait_for(poll, 2)).status_code == 200
    types = []
    with pytest.raises(StopAsyncIteration):
        while True:
            types.append((await events.next())[1]["type"])
    assert types[-1] == "server_draining"


async def test_a_user_holds_a_bounded_number_of_streams_and_polls(manager, project, ada, member, api):
    retune(manager, connections_per_user=2)
    other = await member("viewer")
    events = await stream(project, ada)
    _, joined = await events.next()
    poll = asyncio.create_task(api("events/", after=joined["data"]["lastSeq"], wait=20))
    await until(lambda: manager.held._users[str(ada.pk)] == 2)
    for path, query in (("events/stream/", {}), ("events/", {"after": joined["data"]["lastSeq"], "wait": 20})):
        refused = await api(path, **query)
        assert (refused.status_code, (await body(refused))["error"]["code"]) == (429, "rate_limited")
        assert int(refused["Retry-After"]) >= 1
    assert (await api("events/", after=joined["data"]["lastSeq"])).status_code == 200
    await (await stream(project, other)).next()
    (seq,) = await add_tasks(ada, project, 1)
    assert [event["seq"] for event in (await body(await poll))["results"]] == [seq]
    await (await stream(project, ada)).next()


async def test_an_address_holds_a_bounded_number_of_streams(manager, project, ada, member, api):
    retune(manager, connections_per_address=1)
    events = await stream(project, ada)
    await events.next()
    assert (await api("events/stream/", await member("viewer"))).status_code == 429


@pytest.mark.parametrize(("path", "query"), [("snapshot/", {}), ("events/stream/", {}), ("events/", {"wait": 1})])
async def test_costly_requests_count_like_commands(manager, project, ada, api, path, query):
    from apps.realtime.user_limits import MemoryUserRate

    manager._user_rate = MemoryUserRate(1.0)
    assert (await api(path, **query)).status_code == 200
    refused = await api(path, **query)
    assert (refused.status_code, (await body(refused))["error"]["code"]) == (429, "rate_limited")
    assert int(refused["Retry-After"]) >= 1
