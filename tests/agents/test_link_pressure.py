"""Many promises, large promises, answers that repeat themselves, and one promise that breaks the other side."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from apps.agents.link import inbox
from apps.agents.link.options import LinkOptions
from apps.agents.models import DeadLetter, Feedback, OutboxMessage
from apps.agents.services import relay
from apps.agents.services.chat import ChatService
from apps.agents.services.dead_letters import retry
from apps.agents.services.feedback import FeedbackService
from apps.projects.services.tasks import TaskService
from tests.agents.conftest import db, linked, open_ones, settled
from tests.support.factories import a_project, owner_of

pytestmark = pytest.mark.django_db(transaction=True)


def say(project, *words):
    for word in words:
        ChatService(owner_of(project)).send(guid=project.guid, message=word)


async def test_what_waited_in_many_projects_goes_in_frames_that_a_server_takes(server, project):
    """A WebSocket server refuses frames beyond 1 MiB and hangs up; sent together again, they would never arrive."""
    projects = [project, *[await db(a_project) for _ in range(24)]]
    await db(lambda: OutboxMessage.objects.all().delete())
    for one in projects:
        await db(say, one, "é" * 32_000)
    sizes: list[int] = []
    server.on_frame = sizes.append
    async with linked(server):
        await settled(server)
    assert len(server.sockets) == 1
    assert len(server.commands("chat")) == len(projects)
    assert max(sizes) < 1024 * 1024


async def test_a_board_that_no_frame_holds_comes_with_shorter_descriptions(server, project):
    def fill():
        for number in range(20):
            TaskService(owner_of(project)).create(guid=project.guid, title=f"Task {number}", description="é" * 32_000)
        OutboxMessage.objects.exclude(type="project_update").delete()

    await db(fill)
    sizes: list[int] = []
    server.on_frame = sizes.append
    async with linked(server):
        await settled(server)
    assert len(server.sockets) == 1
    [update] = server.commands("project_update")
    assert [task["title"] for task in update["data"]["tasks"]] == [f"Task {number}" for number in range(20)]
    assert {len(task["description"]) > 8_000 for task in update["data"]["tasks"]} == {True}
    assert "characters left out" in update["data"]["tasks"][0]["description"]
    assert max(sizes) < 1024 * 1024


async def test_what_is_open_in_very_many_projects_comes_in_parts(server, project, monkeypatch):
    monkeypatch.setattr(relay, "SYNCED", 2)
    guids = {str(one.guid) for one in [project, *[await db(a_project) for _ in range(4)]]}
    async with linked(server):
        await server.command("project_status_sync", 3)
    parts = [[one["guid"] for one in frame["data"]["projects"]] for frame in server.commands("project_status_sync")]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert {guid for part in parts for guid in part} == guids


async def test_projects_whose_agents_are_slow_leave_the_window_to_the_others(server, project):
    slow = [project, await db(a_project)]
    server.on_command = lambda frame: [] if frame["projectGuid"] in {str(one.guid) for one in slow} else ["ack"]
    for one in slow:
        await db(say, one, *map(str, range(LinkOptions().in_flight)))
    other = await db(a_project)
    await db(lambda: OutboxMessage.objects.filter(project=other).delete())
    async with linked(server):
        await server.until(lambda: len({frame["projectGuid"] for frame in server.commands()}) == 2)
        await db(say, other, "fast")
        await settled(server, project=other)
    assert len(server.commands()) == 3


@pytest.mark.parametrize("kind", ["chat", "user_feedback"])
async def test_an_answer_that_comes_three_times_lets_nothing_overtake(server, project, kind):
    """The next promise of a project leaves when the one before is acknowledged, and not for an old answer's echo."""
    held, order = set(), []

    def thrice(frame):
        order.append(frame["data"].get("content"))
        if order[-1] == "2" and frame["id"] not in held:
            held.add(frame["id"])
            return ["nack!"]
        return ["ack", "ack", "ack"]

    server.on_command = thrice
    await db(lambda: OutboxMessage.objects.all().delete())
    if kind == "chat":
        await db(say, project, *map(str, range(6)))
    else:
        await db(lambda: [FeedbackService(owner_of(project)).send(guid=project.guid, content=str(n)) for n in range(6)])
    async with linked(server):
        await settled(server)
    assert order == ["0", "1", "2", "2", "3", "4", "5"]


async def test_answers_to_what_was_never_sent_settle_nothing(server, project):
    """One promise waits behind another, one for its time: the agents-server cannot have either."""
    other = await db(a_project)
    await db(lambda: OutboxMessage.objects.all().delete())
    await db(say, project, "first", "second")
    await db(say, other, "later")
    await db(lambda: OutboxMessage.objects.filter(project=other).update(due_at="2100-01-01T00:00Z"))
    keys = await db(lambda: [str(key) for key in OutboxMessage.objects.order_by("id").values_list("key", flat=True)])
    server.on_command = lambda frame: []
    async with linked(server):
        await server.command("chat")
        for key in keys[1:]:
            for word in ("ack", "nack"):
                await server.send(server.message(word, None, {"id": key}, id=None))
        for _ in range(2):  # the second comes after everything that the answers could have caused
            await server.tell("agent_message", project.guid, {"agentId": "x", "content": "a"})
            await server.pause(0.2)
        assert await db(lambda: list(OutboxMessage.objects.order_by("id").values_list("state", flat=True))) == [
            "sent", "sent", "pending",
        ]  # fmt: skip
        await server.send(server.message("ack", None, {"id": keys[0]}, id=None))
        assert (await server.command("chat", 2))["id"] == keys[1]
    assert await db(DeadLetter.objects.filter(direction="out").count) == 0


async def test_what_an_operator_sends_again_lets_nothing_of_its_project_overtake(server, project):
    """It stands before what is on its way, and is due: the next one of the project waits for its turn all the same."""
    other = await db(a_project)
    await db(lambda: OutboxMessage.objects.all().delete())
    await db(say, project, "1", "2", "3", "4")
    answers = {"1": ["nack"], "2": []}
    server.on_command = lambda frame: answers.get(frame["data"]["content"], ["ack"])
    async with linked(server):
        held = await server.command("chat", 2)
        letter = await db(DeadLetter.objects.get)
        answers.clear()
        await db(retry, letter)
        for word in ("a", "b"):  # the second goes with a look that begins after the operator's wish
            await db(say, other, word)
            await settled(server, project=other)
        words = [frame["data"]["content"] for frame in server.commands("chat")]
        assert [word for word in words if word.isdigit()] == ["1", "2"]
        await server.send(server.message("ack", None, {"id": held["id"]}, id=None))
        await settled(server)
    words = [frame["data"]["content"] for frame in server.commands("chat")]
    assert [word for word in dict.fromkeys(words) if word.isdigit()] == ["1", "2", "3", "4"]
    assert words.count("1") == 2


async def test_a_late_refusal_does_not_touch_what_is_on_its_way_again(server, project, monkeypatch):
    """The refusal is of the connection before; its promise was leased anew while the link looked it up."""
    other = await db(a_project)
    await db(lambda: OutboxMessage.objects.all().delete())
    await db(say, project, "1", "2", "3")
    server.on_command = lambda frame: ["close"] if len(server.sockets) == 1 else []
    take, refused, taken = relay.take, relay.refused, threading.Event()

    def noted(*args, **kwargs):
        parcels = take(*args, **kwargs)
        if parcels and len(server.sockets) == 2:
            taken.set()
        return parcels

    def late(*args, **kwargs):
        taken.wait(5)
        return refused(*args, **kwargs)

    monkeypatch.setattr(relay, "take", noted)
    monkeypatch.setattr(relay, "refused", late)
    async with linked(server, welcome_timeout=5):
        key = (await server.command("chat"))["id"]
        server.welcome = False
        await server.connected(2)
        nack = {"id": key, "code": "busy", "message": "not now", "retryable": True}
        await server.send(
            server.message("welcome", None, {"serverId": "scripted", "epoch": "one", "offset": 0}, id=None),
            server.message("nack", None, nack, id=None),
        )
        await db(lambda: FeedbackService(owner_of(other)).send(guid=other.guid, content="x", feedback_id="f"))
        await server.command("user_feedback")
        async with asyncio.timeout(10):
            # What is written down after the refusal; another thread's row: there is no event to wait for.
            while await db(lambda: Feedback.objects.get().state) == "received":
                await server.pause()
        rows = await db(lambda: list(OutboxMessage.objects.filter(project=project).values_list("state", "refusals")))
    assert rows == [("sent", 0)] * 3


async def test_an_acknowledgement_in_the_name_of_another_project_counts_for_nothing(server, project):
    other = await db(a_project)
    await db(lambda: OutboxMessage.objects.all().delete())
    await db(say, project, "first")
    server.on_command = lambda frame: []
    async with linked(server):
        frame = await server.command("chat")
        await server.send(server.message("ack", other.guid, {"id": frame["id"]}, id=None))
        await server.tell("agent_message", project.guid, {"agentId": "x", "content": "a"})
        await server.pause(0.2)
        assert await db(open_ones) == 1
        await server.send(server.message("ack", project.guid, {"id": frame["id"]}, id=None))
        await settled(server)


@pytest.mark.parametrize(("fault", "refusals"), [("break", 6), ("hang", 3)])
async def test_a_promise_that_breaks_the_server_parks_its_project_alone(server, project, monkeypatch, fault, refusals):
    """The server falls over, or silent, whenever it reads one feedback: the others' words arrive all the same."""
    monkeypatch.setattr(relay, "REFUSALS", refusals)
    monkeypatch.setattr(relay, "LONGEST_PAUSE_S", 1.0)
    others = [await db(a_project) for _ in range(3)]
    await db(lambda: OutboxMessage.objects.all().delete())
    server.on_command = lambda frame: [fault] if frame["type"] == "user_feedback" else ["ack"]
    await db(lambda: FeedbackService(owner_of(project)).send(guid=project.guid, content="poison", feedback_id="f"))
    await db(say, project, "behind it")
    async with linked(server, backoff_longest=0.3, ping_interval=0.3, ping_timeout=0.5):
        for turn in range(5):
            for one in others:
                await db(say, one, str(turn))
            for one in others:
                await settled(server, project=one)
        await settled(server)
        letter = await db(DeadLetter.objects.get)
    assert (letter.direction, letter.type, letter.code) == ("out", "user_feedback", "connection_lost")
    assert [frame["data"]["content"] for frame in server.commands("chat")].count("behind it") >= 1


async def test_a_server_that_is_faster_than_the_database_is_not_taken_for_dead(server, project, monkeypatch):
    """Its answer to a ping lies behind everything that it sent before; that is no silence."""
    write = inbox.apply_batch

    def slowly(*args, **kwargs):
        time.sleep(0.02)
        return write(*args, **kwargs)

    monkeypatch.setattr(inbox, "apply_batch", slowly)
    news = [
        server.message("agent_message", project.guid, {"agentId": "x", "content": f"{n} {'y' * 20_000}"})
        for n in range(400)
    ]
    async with linked(server, backlog=10, batch=5, ping_interval=0.2, ping_timeout=0.3):
        await server.connected()
        for one in news:
            await server.send(one)
        await server.until(lambda: len(server.answers) >= len(news))
    assert len(server.sockets) == 1
