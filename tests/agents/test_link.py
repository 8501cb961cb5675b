"""The link's life: servers that come and go, the place that is remembered, cuts at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import random

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from apps.agents import events as a
from apps.agents.models import Agent, InboxReceipt, Run
from apps.agents.selectors.link import link_figures, link_view
from apps.agents.services import lease, relay
from apps.agents.services.runs import RunService
from apps.core.actor import AGENTS_SERVER
from apps.projects.models import Message, ProjectEvent
from apps.projects.signals import ephemeral_emitted, event_committed
from tests.agents.conftest import chat, db, linked, settled
from tests.support.factories import a_project

pytestmark = pytest.mark.django_db(transaction=True)


async def types_of(project):
    return await db(lambda: list(ProjectEvent.objects.filter(project=project).values_list("type", flat=True)))


async def test_a_server_that_refuses_is_tried_again(server, project):
    server.refuse = 4401
    async with linked(server):
        await server.until(lambda: len(server.headers) >= 3)
        assert (await db(link_view, project.guid)).state == "reconnecting"
        server.refuse = None
        await server.connected()
        await settled(server)
        assert (await db(link_view, project.guid)).state == "connected"


async def test_messages_of_a_down_time_arrive_in_order(server, project):
    async with linked(server):
        await server.connected()
        await settled(server)
        await server.stop()
        for number in range(5):
            await chat(project, str(number))
        assert (await db(link_figures)).queued >= 4
        await server.start()
        await settled(server)
    said = [frame["data"]["content"] for frame in server.commands("chat")]
    assert list(dict.fromkeys(said)) == ["0", "1", "2", "3", "4"]


async def test_the_place_is_remembered_within_an_epoch(server, project):
    async with linked(server):
        await server.connected()
        for number in (1, 2, 3):
            await server.tell("agent_message", project.guid, {"agentId": "x", "content": "a"}, offset=number)
        server.offset = 3
    async with linked(server):
        await server.connected(2)
    assert server.hellos[1]["resume"] == {"epoch": "one", "offset": 3}
    assert server.hellos[1]["leaseEpoch"] > server.hellos[0]["leaseEpoch"]


async def test_a_gap_is_told_and_asks_for_the_truth(server, project):
    async with linked(server):
        await server.connected()
        await server.command("project_status_sync")
        await server.tell("agent_message", project.guid, {"agentId": "x", "content": "a"}, offset=1)
        await server.tell("agent_message", project.guid, {"agentId": "x", "content": "b"}, offset=4)
        await server.command("project_status_sync", 2)
        view = await db(link_view, project.guid)
        assert view.gap == "messages 2-3 of the agents-server never came"
        for number in (2, 3):
            await server.tell("agent_message", project.guid, {"agentId": "x", "content": "c"}, offset=number)
        view = await db(link_view, project.guid)
    assert view.gap is None


async def test_runs_that_the_server_forgot_end_as_lost(server, project):
    await db(lambda: RunService(AGENTS_SERVER).start(guid=project.guid, run_id="old", agent_id="x"))
    async with linked(server):
        sync = await server.command("project_status_sync")
        assert sync["data"]["projects"][0]["openRunIds"] == ["old"]
        await server.tell("status_report", None, {"openRunIds": []})
    run = await db(Run.objects.get)
    assert (run.status, run.stop_reason) == ("failed", "lost")


async def test_a_report_about_all_projects_overtakes_nothing_that_was_sent_before(server, project):
    """The queue of a down time holds a run's end; the answer to the sync comes behind it."""
    await db(lambda: RunService(AGENTS_SERVER).start(guid=project.guid, run_id="r", agent_id="x"))
    queue = [
        *(server.message("agent_message", project.guid, {"agentId": "x", "content": str(n)}) for n in range(60)),
        server.message("done", project.guid, {"runId": "r", "status": "completed"}),
    ]
    async with linked(server, batch=5):
        await server.connected()
        report = server.message("status_report", None, {"openRunIds": []})
        await server.send(*queue, report)
        for one in (*queue, report):
            assert (await server.answer(one["id"]))["type"] == "ack"
    assert await db(lambda: Run.objects.get().status) == "completed"


async def test_a_report_about_all_projects_is_overtaken_by_nothing_that_was_sent_after(server, project):
    """What starts behind the report is not in it, and is open."""
    guids = [str(one.guid) for one in (project, *[await db(a_project) for _ in range(5)])]
    for guid in guids:
        await db(lambda guid=guid: RunService(AGENTS_SERVER).start(guid=guid, run_id="old", agent_id="x"))
    new = [server.message("run_started", guid, {"runId": "new", "agentId": "x"}) for guid in guids]
    async with linked(server):
        await server.connected()
        await server.send(server.message("status_report", None, {"openRunIds": []}), *new)
        for one in new:
            await server.answer(one["id"])
    runs = await db(lambda: set(Run.objects.values_list("key", "status")))
    assert runs == {("old", "failed"), ("new", "running")}


async def test_an_unstarted_run_is_started_by_its_first_call(server, project):
    async with linked(server):
        await server.connected()
        await server.tell("tool_start", project.guid, {"toolCallId": "1", "runId": "r", "agentId": "new", "tool": "x"})
    assert (await types_of(project))[-3:] == ["agent_spawned", "run_started", "tool_start"]
    assert await db(lambda: Agent.objects.get().name) == "new"


async def test_rooms_hear_how_the_link_stands(server, project):
    heard = []
    ephemeral_emitted.connect(lambda news, **_: heard.append(news), weak=False, dispatch_uid="heard")
    try:
        async with linked(server):
            await server.until(lambda: [n for n in heard if n.payload.state is a.LinkState.CONNECTED])
            server.on_command = lambda frame: []
            await chat(project)
            await server.until(lambda: [n for n in heard if n.payload.queued])
    finally:
        ephemeral_emitted.disconnect(dispatch_uid="heard")
    assert {news.guid for news in heard} == {str(project.guid)}


async def test_news_before_the_welcome_waits_for_it(server, project):
    server.welcome = False
    early = server.message("agent_message", project.guid, {"agentId": "x", "content": "a"})
    async with linked(server, welcome_timeout=5):
        await server.connected()
        await server.send(early)
        await server.send(server.message("welcome", None, {"serverId": "late", "epoch": "one"}))
        await server.answer(early["id"])
    receipt = await db(InboxReceipt.objects.get)
    assert receipt.server == "late/one"


async def test_what_a_killed_holder_had_on_its_way_is_sent_again(server, project):
    def killed():
        held = lease.acquire("killed", ttl_s=-1)
        assert held is not None
        return relay.take(held.epoch, limit=1)[0].key

    key = await db(killed)
    async with linked(server):
        await settled(server)
    assert [frame["id"] for frame in server.commands()] == [key]


async def test_unstored_news_never_overtakes_what_came_before_or_falls_behind_what_comes_after(server, project):
    told = []
    ephemeral_emitted.connect(lambda news, **_: told.append(news.payload), weak=False, dispatch_uid="told")
    event_committed.connect(
        lambda events, **_: told.extend(e.type for e in events if e.type == "agent_status_update"),
        weak=False,
        dispatch_uid="told",
    )
    try:
        async with linked(server):
            await server.connected()
            batch = [
                server.message("agent_status_update", project.guid, {"agentId": "x", "status": status, "progress": 0.5})
                for status in ("running", "running", "idle")
            ]
            await server.send(*batch)
            await server.answer(batch[-1]["id"])
    finally:
        ephemeral_emitted.disconnect(dispatch_uid="told")
        event_committed.disconnect(dispatch_uid="told")
    order = [
        "news" if isinstance(one, a.AgentStatusUpdate) else one for one in told if not isinstance(one, a.AgentsLink)
    ]
    assert order == ["agent_status_update", "news", "agent_status_update"]


@pytest.mark.parametrize("seed", range(3))
async def test_cuts_at_any_moment_lose_and_repeat_nothing(server, project, seed):
    """Both sides send while the socket is cut again and again; each resends what was not acknowledged."""
    rng = random.Random(seed)
    other = await db(a_project)
    news = []
    for number in range(1, 121):
        guid, data = rng.choice([project, other]).guid, {"agentId": "x", "content": f"n{number}"}
        news.append(server.message("agent_message", guid, data, offset=number))
    server.offset = len(news)
    server.on_command = lambda frame: rng.choice([["ack"], ["ack"], ["ack"], ["break"], ["ack", "break"], []])

    def open_news():
        return [one for one in news if one["id"] not in server.answers]

    async def send_until_acknowledged():
        while rest := open_news():
            with contextlib.suppress(ConnectionClosed, IndexError):
                socket = server.sockets[-1]  # one for the whole burst: a later one must not overtake a lost one
                for one in rest[: rng.randrange(1, 40)]:
                    await socket.send(msgspec.json.encode(one).decode())
                if rng.random() < 0.4:
                    socket.transport.abort()
            await server.pause(0.05)

    async with linked(server, ack_timeout=0.3):
        sender = asyncio.create_task(send_until_acknowledged())
        for number in range(30):
            await chat(project, f"c{number}")
        await asyncio.wait_for(sender, 30)
        server.on_command = lambda frame: ["ack"]
        await settled(server)
    for one in (project, other):
        rows = Message.objects.filter(project=one, source="agent_message").order_by("seq")
        said = [message.content for message in await db(list, rows)]
        assert said == [n["data"]["content"] for n in news if n["projectGuid"] == str(one.guid)]
    heard = [frame["data"]["content"] for frame in server.commands("chat")]
    assert list(dict.fromkeys(heard)) == [f"c{number}" for number in range(30)]
    ids: dict[str, set[str]] = {frame["data"]["content"]: set() for frame in server.commands("chat")}
    for frame in server.commands("chat"):
        ids[frame["data"]["content"]].add(frame["id"])
    assert {len(one) for one in ids.values()} == {1}
