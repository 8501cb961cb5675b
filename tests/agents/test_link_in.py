"""What an agents-server says to the link: in order, once, and whatever is wrong with it."""

from __future__ import annotations

import pytest

from apps.agents.models import DeadLetter, InboxReceipt, Run
from apps.agents.services.runs import RunService
from apps.projects.models import Message, ProjectEvent
from apps.projects.signals import ephemeral_emitted
from tests.agents.conftest import db, linked

pytestmark = pytest.mark.django_db(transaction=True)


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
