"""A room is exact: one order, no gap, no repeat, whatever happens to broadcasts, logs and connections."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.layers import get_channel_layer

from apps.core.events import EventClass
from apps.projects.events import RunText, TaskStatus
from apps.projects.models import Project, ProjectEvent
from apps.projects.records import Ephemeral
from apps.projects.selectors.events import positions, read_events
from apps.projects.services.tasks import TaskService
from apps.projects.signals import ephemeral_emitted
from apps.realtime.broadcaster import broadcaster
from tests.realtime.conftest import do, until


async def add_tasks(person: Any, project: Any, count: int) -> list[int]:
    def add() -> list[int]:
        service = TaskService(person.actor)
        return [service.create(guid=project.guid, title=f"Task {number}").seq for number in range(count)]

    return await do(add)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Broadcasts of durable events are lost while this holds; they are collected here."""
    lost: list[Any] = []
    monkeypatch.setattr(broadcaster, "_publish", lambda guid, events: lost.append((guid, events)))
    return lost


async def test_a_first_join_gets_a_snapshot_and_then_every_event_once(manager, project, ada, browsers):
    tab = await browsers(ada)
    joined = await tab.join(project)
    assert joined["recovered"] is False
    assert joined["reason"] == "first_join"
    assert joined["snapshot"]["lastSeq"] == joined["lastSeq"]
    assert joined["snapshot"]["project"]["guid"] == str(project.guid)
    assert joined["role"] == "owner"
    assert "task.create" in joined["permissions"]
    assert (joined["userId"], joined["username"]) == (str(ada.pk), "ada")
    assert joined["heartbeat"] == {"intervalMs": 27_000, "graceMs": 10_000}
    assert joined["link"]["state"] in {"connected", "reconnecting", "down"}
    assert [member["username"] for member in joined["presence"]] == ["ada"]
    seqs = await add_tasks(ada, project, 5)
    events = await tab.events(5)
    assert [event["seq"] for event in events] == seqs
    assert {event["topic"] for event in events} == {f"project:{project.guid}/tasks"}
    await tab.nothing_more()


async def test_the_reply_comes_first_and_then_the_event(manager, project, ada, browsers):
    tab = await browsers(ada)
    await tab.join(project)
    for number in range(10):
        reply = await tab.command("create_task", {"title": f"T{number}"}, project)
        (event,) = await tab.events(1)
        assert reply["data"]["seq"] == event["seq"]
        assert tab.received.index(reply) < tab.received.index(event)


async def test_who_comes_back_with_a_cursor_gets_what_was_missed_and_nothing_else(manager, project, ada, browsers):
    first = await browsers(ada)
    joined = await first.join(project)
    await first.leave()
    missed = await add_tasks(ada, project, 3)
    second = await browsers(ada)
    again = await second.join(project, lastSeq=joined["lastSeq"], epoch=joined["epoch"])
    assert again["recovered"] is True
    assert "snapshot" not in again
    assert "reason" not in again
    assert [event["seq"] for event in await second.events(3)] == missed
    third = await browsers(ada)
    up_to_date = await third.join(project, lastSeq=missed[-1], epoch=joined["epoch"])
    assert up_to_date["recovered"] is True
    await third.nothing_more()


async def test_a_cursor_of_another_log_gets_a_snapshot_and_the_reason(manager, project, ada, browsers):
    tab = await browsers(ada)
    joined = await tab.join(project, lastSeq=1, epoch="another")
    assert (joined["recovered"], joined["reason"]) == (False, "epoch_changed")
    joined = await tab.join(project, lastSeq=10_000, epoch=joined["epoch"])
    assert (joined["recovered"], joined["reason"]) == (False, "epoch_changed")


async def test_a_cursor_before_the_kept_log_gets_a_snapshot(manager, project, ada, browsers):
    await add_tasks(ada, project, 5)

    def trim() -> None:
        ProjectEvent.objects.filter(project=project, seq__lt=5).delete()
        Project.objects.filter(pk=project.pk).update(first_seq=5)

    await do(trim)
    tab = await browsers(ada)
    joined = await tab.join(project, lastSeq=2)
    assert (joined["recovered"], joined["reason"]) == (False, "trimmed")
    joined = await tab.join(project, lastSeq=4)
    assert joined["recovered"] is True


@pytest.mark.parametrize(("setting", "value"), [("AUTOCODE_REPLAY_EVENTS", 3), ("AUTOCODE_REPLAY_BYTES", 500)])
async def test_too_much_to_replay_gets_a_snapshot(manager, project, ada, browsers, settings, setting, value):
    before = (await do(positions, [project.pk]))[project.pk].last_seq
    await add_tasks(ada, project, 5)
    setattr(settings, setting, value)
    tab = await browsers(ada)
    joined = await tab.join(project, lastSeq=before)
    assert (joined["recovered"], joined["reason"]) == (False, "too_many")
    assert joined["snapshot"]["lastSeq"] == before + 5
    await tab.nothing_more()


async def test_joining_while_events_flow_leaves_no_gap_and_no_repeat(manager, project, ada, browsers):
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            await add_tasks(ada, project, 2)

    flow = asyncio.create_task(work())
    tabs = []
    for number in range(6):
        tab = await browsers(ada)
        joined = await tab.join(project, **({"lastSeq": 1} if number % 2 else {}))
        tabs.append((tab, 1 if number % 2 else joined["lastSeq"]))
    await asyncio.sleep(0.2)
    stop.set()
    await flow
    top = (await do(positions, [project.pk]))[project.pk].last_seq
    for tab, start in tabs:
        seqs = [event["seq"] for event in await tab.events(top - start)]
        assert seqs == list(range(start + 1, top + 1))
        await tab.nothing_more()


async def test_a_lost_broadcast_arrives_all_the_same(manager, project, ada, browsers, deaf):
    tab = await browsers(ada)
    await tab.join(project)
    seqs = await add_tasks(ada, project, 3)
    assert [event["seq"] for event in await tab.events(3, patience=2)] == seqs
    assert deaf
    await tab.nothing_more()


async def test_a_hole_is_filled_from_the_log_in_order(manager, project, ada, browsers, settings):
    settings.AUTOCODE_HOLE_WAIT_MS = 20
    tab = await browsers(ada)
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    taken = room.take_events
    lost: list[Any] = []

    def lossy(events: Any) -> None:
        if not lost:
            lost.append(events)
        else:
            taken(events)

    room.take_events = lossy
    (first,) = await add_tasks(ada, project, 1)
    (second,) = await add_tasks(ada, project, 1)
    assert [event["seq"] for event in await tab.events(2)] == [first, second]
    assert lost
    await tab.nothing_more()


async def test_broadcasts_out_of_order_come_out_in_order(manager, project, ada, browsers, monkeypatch):
    tab = await browsers(ada)
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    arrived: list[Any] = []
    monkeypatch.setattr(room, "notice", lambda position: None)
    taken = room.take_events
    monkeypatch.setattr(room, "take_events", arrived.extend)
    seqs = await add_tasks(ada, project, 3)
    await until(lambda: len(arrived) == 3)
    for event in reversed(arrived):
        taken([event])
        taken([event])
    assert [event["seq"] for event in await tab.events(3)] == seqs
    await tab.nothing_more()


async def test_a_log_that_is_replaced_starts_the_room_anew(manager, project, ada, browsers):
    tab = await browsers(ada)
    joined = await tab.join(project)
    await do(Project.objects.filter(pk=project.pk).update, epoch="second-epoch")
    again = (await tab.next("project_joined"))["data"]
    assert (again["epoch"], again["recovered"], again["reason"]) == ("second-epoch", False, "epoch_changed")
    assert again["snapshot"]["epoch"] == "second-epoch"
    assert joined["epoch"] != again["epoch"]
    (seq,) = await add_tasks(ada, project, 1)
    assert [event["seq"] for event in await tab.events(1)] == [seq]


async def test_after_project_left_nothing_of_the_project_follows(manager, project, ada, browsers):
    tab = await browsers(ada)
    await tab.join(project)
    left = await tab.command("leave_project", {}, project)
    assert (left["type"], left["data"]) == ("project_left", {"reason": "left"})
    await add_tasks(ada, project, 2)
    await asyncio.sleep(0.15)
    assert tab.received[-1] == left
    assert (await tab.refused("resync", {"afterSeq": 0}, project))["code"] == "not_joined"


async def test_resync_sends_what_follows_the_cursor_again(manager, project, ada, browsers):
    tab = await browsers(ada)
    joined = await tab.join(project)
    seqs = await add_tasks(ada, project, 3)
    await tab.events(3)
    await tab.send({"type": "resync", "projectGuid": str(project.guid), "data": {"afterSeq": seqs[0]}, "id": "r1"})
    assert [event["seq"] for event in await tab.events(2)] == seqs[1:]
    anew = await tab.command("resync", {"afterSeq": joined["lastSeq"] + 1_000}, project)
    assert anew["type"] == "project_joined"
    start = anew["data"]["lastSeq"]
    assert anew["data"]["snapshot"]["lastSeq"] == start  # perhaps an older one that was kept, and what follows it
    (live,) = await add_tasks(ada, project, 1)
    assert [event["seq"] for event in await tab.events(live - start)] == list(range(start + 1, live + 1))
    await tab.nothing_more()


async def test_pong_carries_the_top_of_each_joined_room(manager, project, ada, browsers):
    tab = await browsers(ada)
    joined = await tab.join(project)
    pong = await tab.command("ping", {"t": 12})
    assert pong["data"]["t"] == 12
    assert pong["data"]["serverTime"].endswith("Z")
    assert pong["data"]["rooms"] == {str(project.guid): joined["lastSeq"]}


async def test_rooms_close_when_the_last_viewer_is_gone(manager, project, ada, browsers):
    tab = await browsers(ada)
    await tab.join(project)
    assert str(project.guid) in manager.rooms
    await tab.leave()
    await until(lambda: not manager.rooms)
    assert not manager.recoveries


async def test_a_thousand_joins_share_their_reads(manager, project, ada, monkeypatch):
    from apps.projects.selectors.access import access_to
    from apps.realtime import recovery

    calls = []
    reading = recovery._snapshot

    def counted(project_id: Any) -> Any:
        calls.append(project_id)
        return reading(project_id)

    monkeypatch.setattr(recovery, "_snapshot", counted)
    access = await do(access_to, str(ada.pk), project.guid)
    room = await manager.open(access)
    plans = await asyncio.gather(*(manager.recoveries[room.guid].plan(access, None, None) for _ in range(50)))
    assert len({plan.snapshot for plan in plans}) == 1
    assert len(calls) == 1


# --- streams --------------------------------------------------------------------------------------------------------


def piece(project: Any, delta: str) -> None:
    news = RunText(message_id="m1", run_id="r1", agent_id="a1", delta=delta)
    ephemeral_emitted.send(
        sender=None,
        news=Ephemeral(guid=str(project.guid), key="message:r1:m1", event_class=EventClass.STREAM, payload=news),
    )


async def test_a_stream_is_merged_and_a_latecomer_gets_the_text_so_far(manager, project, ada, browsers, settings):
    settings.AUTOCODE_STREAM_WINDOW_MS = 30
    early = await browsers(ada)
    await early.join(project)
    for word in ["Hello", " ", "you", ", ", "world"]:
        piece(project, word)
    text, frames = "", 0
    while text != "Hello you, world":
        data = (await early.next("message"))["data"]
        assert data["offset"] == len(text)
        text, frames = text + data["delta"], frames + 1
    assert frames <= 2
    late = await browsers(ada)
    await late.join(project)
    so_far = await late.next("message")
    assert (so_far["data"]["delta"], so_far["data"]["offset"]) == ("Hello you, world", 0)
    assert "seq" not in so_far
    assert so_far["topic"] == f"project:{project.guid}/messages"


async def test_what_this_process_publishes_waits_for_no_layer(manager, project, ada, browsers, monkeypatch):
    """It is shown while the layer is silent, and not again when the layer brings it."""
    tab = await browsers(ada)
    await tab.join(project)
    the_layer: Any = get_channel_layer()
    send, answers = the_layer.group_send, asyncio.Event()

    async def late(group: str, message: dict[str, Any]) -> None:
        await answers.wait()
        await send(group, message)

    monkeypatch.setattr(the_layer, "group_send", late)
    monkeypatch.setattr("apps.realtime.broadcaster.SEND_PATIENCE_S", 600)
    try:
        for word in ["as ", "it ", "comes"]:
            piece(project, word)
            assert (await tab.next("message"))["data"]["delta"] == word
    finally:
        answers.set()
    await broadcaster.flushed()
    await tab.nothing_more()


async def test_a_room_that_opens_later_asks_for_the_text_so_far(manager, project, ada, browsers):
    piece(project, "spoken before anybody looked")
    await asyncio.sleep(0.05)
    tab = await browsers(ada)
    await tab.join(project)
    assert (await tab.next("message"))["data"]["delta"] == "spoken before anybody looked"


async def test_what_streams_is_flushed_before_a_fact(manager, project, ada, browsers, settings):
    settings.AUTOCODE_STREAM_WINDOW_MS = 10_000
    tab = await browsers(ada)
    await tab.join(project)
    piece(project, "a")
    piece(project, "b")
    await add_tasks(ada, project, 1)
    (event,) = await tab.events(1)
    text = ""
    for one in tab.received[: tab.received.index(event)]:
        if one["type"] == "message":
            text = text[: one["data"]["offset"]] + one["data"]["delta"]
    assert text == "ab"


# --- topics ---------------------------------------------------------------------------------------------------------


async def test_topics_of_a_joined_room_limit_only_what_is_not_stored(manager, project, ada, browsers):
    tab = await browsers(ada)
    await tab.join(project, topics=["tasks"])
    piece(project, "unseen")
    (seq,) = await add_tasks(ada, project, 1)
    (event,) = await tab.events(1)
    assert event["seq"] == seq
    await tab.nothing_more("message")
    added = await tab.command("subscribe", {"topic": f"project:{project.guid}/messages"})
    assert added["type"] == "subscribed"
    assert added["data"]["topics"] == [f"project:{project.guid}/messages", f"project:{project.guid}/tasks"]
    piece(project, "seen")
    assert await tab.next("message")


async def test_a_topic_can_be_watched_without_joining(manager, project, ada, browsers):
    tab = await browsers(ada)
    topic = f"project:{project.guid}/tasks"
    await tab.send({"action": "subscribe", "topic": topic, "id": "s1"})
    reply = await tab.until(lambda one: one.get("replyTo") == "s1")
    assert reply["data"]["topics"] == [topic]
    (seq,) = await add_tasks(ada, project, 1)
    assert reply["data"]["lastSeq"] == seq - 1
    assert [event["seq"] for event in await tab.events(1)] == [seq]

    from apps.projects.services.messages import MessageService

    await do(MessageService(ada.actor).post, guid=project.guid, content="elsewhere")
    await tab.nothing_more()
    assert (await tab.refused("create_task", {"title": "x"}, project))["code"] == "not_joined"
    gone = await tab.command("unsubscribe", {"topic": topic})
    assert gone["data"]["topics"] == []
    await add_tasks(ada, project, 1)
    await tab.nothing_more()


async def test_system_figures_are_for_staff(manager, project, ada, member, browsers):
    tab = await browsers(ada)
    assert (await tab.refused("subscribe", {"topic": "system/stats"}))["code"] == "forbidden"
    ada.is_staff = True
    await do(ada.save)
    staff = await browsers(ada)
    await staff.command("subscribe", {"topic": "system/stats"})
    stats = await staff.next("system_stats")
    assert stats["data"]["figures"]["connections"] == 2


async def test_the_events_seen_are_those_of_the_log(manager, project, ada, browsers):
    tab = await browsers(ada)
    joined = await tab.join(project)

    def work() -> None:
        service = TaskService(ada.actor)
        service.create(guid=project.guid, title="One", task_id="one")
        service.set_status(guid=project.guid, task_id="one", status=TaskStatus.DONE)
        service.delete(guid=project.guid, task_id="one")

    await do(work)
    events = await tab.events(3)
    logged = await do(read_events, project.pk, after=joined["lastSeq"], limit=10)
    assert [(event["id"], event["type"], event["timestamp"]) for event in events] == [
        (event.id, event.type, event.at) for event in logged
    ]
