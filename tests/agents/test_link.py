"""The link against an agents-server that behaves and one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import random

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from apps.agents import events as a
from apps.agents.models import Agent, DeadLetter, Feedback, InboxReceipt, OutboxMessage, Run
from apps.agents.selectors.link import link_figures, link_view
from apps.agents.services import lease, relay
from apps.agents.services.chat import ChatService
from apps.agents.services.dead_letters import retry
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.runs import RunService
from apps.core.actor import AGENTS_SERVER
from apps.projects.models import Message, ProjectEvent
from apps.projects.services.tasks import TaskService
from apps.projects.signals import ephemeral_emitted, event_committed
from tests.agents.conftest import db, linked
from tests.support.factories import a_project, owner_of

pytestmark = pytest.mark.django_db(transaction=True)


async def chat(project, message="go on"):
    return await db(lambda: ChatService(owner_of(project)).send(guid=project.guid, message=message))


async def feedback(project, key="f", **fields):
    return await db(
        lambda: FeedbackService(owner_of(project)).send(guid=project.guid, content="faster", feedback_id=key, **fields)
    )


async def settled(server, **where):
    """Wait until all promises (or those of ``where``) have reached an end."""

    def open_ones():
        return OutboxMessage.objects.filter(state__in=["pending", "sent"], **where).count()

    async with asyncio.timeout(10):
        while await db(open_ones):  # another thread's rows: there is no event to wait for
            await server.pause()


async def states_of(key):
    return await db(lambda: [step["state"] for step in Feedback.objects.get(key=key).steps])


# --- out --------------------------------------------------------------------------------------------------------


async def test_hello_carries_token_lease_and_place(server, project):
    async with linked(server):
        await server.connected()
    assert server.hellos[0]["leaseEpoch"] == 1
    assert server.hellos[0]["resume"] == {"epoch": "", "offset": 0}
    assert server.headers[0]["Authorization"] == "Bearer hush"
    assert server.sockets[0].subprotocol == "autocode.agents.v1"


async def test_promises_go_out_in_order_and_once(server, project):
    for number in range(20):
        await chat(project, f"word {number}")
    async with linked(server):
        await chat(project, "word 20")
        await settled(server)
    said = [frame["data"]["content"] for frame in server.commands("chat")]
    assert said == [f"word {number}" for number in range(21)]
    assert server.commands()[0]["type"] == "project_update"


async def test_feedback_is_stamped_at_each_step(server, project):
    async with linked(server):
        await feedback(project)
        await settled(server)
        answer = await server.tell(
            "user_feedback_response", project.guid, {"feedbackId": "f", "state": "applied", "note": "done"}
        )
    assert answer["type"] == "ack"
    assert await states_of("f") == ["received", "forwarded", "delivered", "applied"]


async def test_the_project_update_is_the_newest_and_only_one(server, project):
    def three_tasks():
        for number in range(3):
            TaskService(owner_of(project)).create(guid=project.guid, title=f"Task {number}")

    await db(three_tasks)
    async with linked(server):
        await settled(server)
    [update] = server.commands("project_update")
    assert [task["title"] for task in update["data"]["tasks"]] == ["Task 0", "Task 1", "Task 2"]


async def test_what_the_agents_did_is_not_told_back(server, project):
    async with linked(server):
        await settled(server)
        before = len(server.commands())
        answer = await server.tell("task_created", project.guid, {"task": {"taskId": "t", "title": "Mine"}})
        assert answer["type"] == "ack"
    assert len(server.commands()) == before


async def test_a_lost_ack_means_the_same_id_again(server, project):
    seen = []

    def cut_once(frame):
        seen.append(frame["id"])
        return ["break"] if len(seen) == 1 else ["ack"]

    server.on_command = cut_once
    await feedback(project)
    async with linked(server):
        await settled(server)
    assert seen[0] == seen[1]
    assert (await states_of("f"))[-1] == "delivered"


async def test_an_ack_then_close_is_an_ack(server, project):
    server.on_command = lambda frame: ["ack", "close"]
    for number in range(3):
        await chat(project, str(number))
    async with linked(server):
        await settled(server)
    said = [frame["data"]["content"] for frame in server.commands("chat")]
    assert list(dict.fromkeys(said)) == ["0", "1", "2"]


async def test_a_silent_server_gets_the_same_id_again(server, project):
    server.on_command = lambda frame: ["ack"] if len(server.commands()) > 2 else []
    async with linked(server, ack_timeout=0.1):
        await settled(server)
    ids = [frame["id"] for frame in server.commands()]
    assert len(ids) > 2
    assert len(set(ids)) == 1


async def test_one_project_that_waits_does_not_hold_up_another(server, project):
    other = await db(a_project)
    server.on_command = lambda frame: [] if frame["projectGuid"] == str(project.guid) else ["ack"]
    async with linked(server):
        await chat(other, "fast")
        await settled(server, project=other)
        assert [f["data"]["content"] for f in server.commands("chat")] == ["fast"]


async def test_a_refusal_for_good_is_a_dead_letter_and_can_be_tried_again(server, project):
    server.on_command = lambda frame: ["nack"] if frame["type"] == "user_feedback" else ["ack"]
    await feedback(project)
    async with linked(server):
        await settled(server)
        letter = await db(DeadLetter.objects.get)
        assert (letter.direction, letter.type, letter.code) == ("out", "user_feedback", "no")
        assert (await states_of("f"))[-1] == "failed"
        assert await db(lambda: ProjectEvent.objects.filter(type="log").count()) == 1
        server.on_command = lambda frame: ["ack"]
        await db(retry, letter)
        await settled(server)
    assert len({frame["id"] for frame in server.commands("user_feedback")}) == 1
    assert len(server.commands("user_feedback")) == 2


async def test_a_refusal_for_the_moment_is_tried_again(server, project):
    server.on_command = lambda frame: ["nack!"] if len(server.commands("chat")) == 1 else ["ack"]
    await chat(project)
    async with linked(server):
        await settled(server)
    assert len(server.commands("chat")) == 2
    assert await db(DeadLetter.objects.count) == 0


async def test_without_acks_sent_is_done(server, project):
    server.acks, server.on_command = False, lambda frame: []
    await feedback(project)
    async with linked(server):
        await settled(server)
        assert (await db(link_view, project.guid)).acks is False
    assert await states_of("f") == ["received", "forwarded"]


async def test_a_server_that_knows_no_hello_works(server, project):
    server.welcome = False
    await chat(project)
    async with linked(server, acks=False):
        await server.command("chat")
        answer = await server.tell("agent_spawned", project.guid, {"agent": {"agentId": "x", "name": "X"}})
    assert answer["type"] == "ack"


# --- in ---------------------------------------------------------------------------------------------------------


def run_story(guid, server):
    """Return the messages of a short run."""
    texts = [
        ("run_started", {"runId": "r", "agentId": "coder"}),
        ("thinking", {"messageId": "t", "runId": "r", "agentId": "coder", "final": True, "content": "hm"}),
        ("tool_start", {"toolCallId": "1", "runId": "r", "agentId": "coder", "tool": "ls"}),
        ("tool_end", {"toolCallId": "1", "runId": "r", "status": "success", "result": "a b"}),
        ("message", {"messageId": "m", "runId": "r", "agentId": "coder", "op": "end", "content": "done"}),
        ("done", {"runId": "r", "status": "completed"}),
    ]
    return [server.message(kind, guid, data) for kind, data in texts]


async def types_of(project):
    return await db(lambda: list(ProjectEvent.objects.filter(project=project).values_list("type", flat=True)))


async def test_a_run_arrives_in_order_and_repeats_change_nothing(server, project):
    async with linked(server):
        await server.connected()
        story = run_story(project.guid, server)
        await server.send(*story)
        await server.answer(story[-1]["id"])
        before = await types_of(project)
        await server.send(*story)
        answer = await server.answer(story[-1]["id"], 2)
    assert answer["type"] == "ack"
    assert await types_of(project) == before
    tail = ["agent_spawned", "run_started", "thinking", "tool_start", "tool_end", "message", "usage", "done"]
    assert before[-8:] == tail
    assert await db(InboxReceipt.objects.count) == len(story)


async def test_a_streamed_text_and_its_runs_end_may_arrive_together(server, project):
    text = {"messageId": "m", "runId": "r", "agentId": "coder"}
    async with linked(server):
        await server.connected()
        await server.tell("run_started", project.guid, {"runId": "r", "agentId": "coder"})
        done = server.message("done", project.guid, {"runId": "r", "status": "completed"})
        await server.send(
            server.message("message", project.guid, text | {"delta": "half"}, id=None),
            server.message("message", project.guid, text | {"op": "end", "content": "the whole text"}),
            done,
        )
        answer = await server.answer(done["id"])
    assert answer["type"] == "ack"
    assert await db(lambda: Message.objects.get(key="m").content) == "the whole text"
    assert await db(lambda: Run.objects.get().status) == "completed"
    assert await db(DeadLetter.objects.count) == 0


async def test_the_end_of_a_run_closes_what_is_open(server, project):
    pieces = []
    ephemeral_emitted.connect(lambda news, **_: pieces.append(news), weak=False, dispatch_uid="pieces")
    try:
        async with linked(server):
            await server.connected()
            text = {"messageId": "m", "runId": "r", "agentId": "coder"}
            late = server.message("message", project.guid, text | {"delta": "late"}, id=None)
            await server.send(
                server.message("run_started", project.guid, {"runId": "r", "agentId": "coder"}),
                server.message("message", project.guid, text | {"op": "start"}, id=None),
                server.message("message", project.guid, text | {"delta": "half a "}, id=None),
                server.message("message", project.guid, text | {"delta": "text"}, id=None),
                server.message(
                    "tool_start", project.guid, {"toolCallId": "1", "runId": "r", "agentId": "coder", "tool": "x"}
                ),
            )
            await server.tell("done", project.guid, {"runId": "r", "status": "failed"})
            await server.send(late)
            answer = await server.tell("done", project.guid, {"runId": "r", "status": "completed"})
    finally:
        ephemeral_emitted.disconnect(dispatch_uid="pieces")
    assert answer["type"] == "ack"
    assert await db(lambda: Message.objects.get(key="m").content) == "half a text"
    types = await types_of(project)
    assert types[-5:] == ["message", "tool_end", "usage", "done", "notification"]
    texts = [news.payload for news in pieces if news.key == "message:r:m"]
    assert [text.delta for text in texts] == ["", "half a ", "text"]
    assert await db(lambda: Run.objects.get().status) == "failed"


async def test_garbage_is_refused_and_the_link_stays(server, project):
    async with linked(server):
        await server.connected()
        for frame in ["{", b"\x00\x01", "[]", '"text"', "[" * 5_000, "1", "null", '{"type": 3}', '{"data": {}}']:
            await server.raw(frame)
        bad = [
            server.message("no_such_type", project.guid, {}),
            server.message("run_started", project.guid, {"runId": "r"}),
            server.message("run_started", project.guid, {"runId": "r\n", "agentId": "x"}),
            server.message("run_started", project.guid, {"runId": "r", "agentId": "x", "extra": 1}),
            server.message("agent_message", project.guid, {"agentId": "x", "content": "a\x00b"}),
            server.message("agent_message", project.guid, {"agentId": "x", "content": "y" * 40_000}),
            server.message("done", project.guid, {"runId": "unknown", "status": "completed"}),
            server.message("run_started", "00000000-0000-4000-8000-000000000000", {"runId": "r", "agentId": "x"}),
            server.message("run_started", None, {"runId": "r", "agentId": "x"}),
            server.message("run_started", None, {"runId": "r", "agentId": "x"}, projectGuid="nonsense"),
            server.message("task_deleted", project.guid, {"taskId": "nope"}),
        ]
        for envelope in bad:
            await server.send(envelope)
        codes = [(await server.answer(envelope["id"]))["code"] for envelope in bad]
        fine = await server.tell("run_started", project.guid, {"runId": "ok", "agentId": "x"})
    assert fine["type"] == "ack"
    assert len(server.sockets) == 1
    assert codes == [
        "unknown_type", "invalid_field", "invalid_field", "invalid_field", "invalid_field", "invalid_field",
        "not_found", "not_found", "invalid_field", "invalid_field", "not_found",
    ]  # fmt: skip
    assert await db(lambda: DeadLetter.objects.filter(direction="in").count()) == len(bad) + 9
    assert await db(Run.objects.count) == 1


async def test_a_frame_over_the_limit_is_refused_by_name(server, project):
    async with linked(server, frame_bytes=64 * 1024):
        await server.connected()
        answer = await server.tell("agent_message", project.guid, {"agentId": "x", "content": "y" * 70_000})
        fine = await server.tell("agent_message", project.guid, {"agentId": "x", "content": "short"})
    assert (answer["type"], answer["code"], fine["type"]) == ("nack", "too_large", "ack")


async def test_a_bad_message_in_a_batch_stays_alone(server, project):
    async with linked(server):
        await server.connected()
        good = [server.message("agent_message", project.guid, {"agentId": "x", "content": str(n)}) for n in range(6)]
        bad = server.message("agent_message", project.guid, {"agentId": "x", "content": " "})
        await server.send(*good[:3], bad, *good[3:])
        answers = [(await server.answer(one["id"]))["type"] for one in [*good, bad]]
    assert answers == ["ack"] * 6 + ["nack"]
    said = await db(lambda: list(Message.objects.order_by("seq").values_list("content", flat=True)))
    assert said == ["0", "1", "2", "3", "4", "5"]


async def test_an_unexpected_failure_is_answered_as_internal(server, project, monkeypatch):
    def explode(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(RunService, "start", explode)
    async with linked(server):
        await server.connected()
        answer = await server.tell("run_started", project.guid, {"runId": "r", "agentId": "x"})
    assert (answer["type"], answer["code"]) == ("nack", "internal")


async def test_a_database_that_is_away_delays_and_loses_nothing(server, project, monkeypatch):
    from django.db import OperationalError

    from apps.agents.link import inbox
    from apps.projects.services.log import open_log

    real, failures = open_log, iter(range(4))

    def sometimes(*args, **kwargs):
        if next(failures, None) is not None:
            raise OperationalError("gone")
        return real(*args, **kwargs)

    monkeypatch.setattr(inbox, "open_log", sometimes)
    async with linked(server, database_retry=0.05):
        await server.connected()
        answer = await server.tell("run_started", project.guid, {"runId": "r", "agentId": "x"})
    assert answer["type"] == "ack"
    assert len(server.sockets) == 1


# --- coming and going -------------------------------------------------------------------------------------------


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


# --- chaos ------------------------------------------------------------------------------------------------------


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
