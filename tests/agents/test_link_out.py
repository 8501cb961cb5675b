"""What the link carries to an agents-server: once, in order, and again until it is acknowledged."""

from __future__ import annotations

import pytest

from apps.agents.models import DeadLetter, Feedback
from apps.agents.selectors.link import link_view
from apps.agents.services.dead_letters import retry
from apps.agents.services.feedback import FeedbackService
from apps.projects.models import ProjectEvent
from apps.projects.services.tasks import TaskService
from tests.agents.conftest import chat, db, linked, settled
from tests.support.factories import a_project, owner_of

pytestmark = pytest.mark.django_db(transaction=True)


async def feedback(project, key="f", **fields):
    return await db(
        lambda: FeedbackService(owner_of(project)).send(guid=project.guid, content="faster", feedback_id=key, **fields)
    )


async def states_of(key):
    return await db(lambda: [step["state"] for step in Feedback.objects.get(key=key).steps])


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
