"""The database or the layer is away, perhaps amid a recovery: whoever was in the room still is, and misses nothing."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import OperationalError
from django.test import AsyncClient

from apps.accounts import audit
from apps.projects.services.members import MembershipService
from apps.projects.services.tasks import TaskService
from apps.realtime.broadcaster import broadcaster
from apps.realtime.close_codes import CloseCode
from apps.realtime.groups import room_group
from apps.realtime.recovery import Recovery
from tests.realtime.conftest import do, until
from tests.realtime.test_rooms import piece
from tests.support.browser import token_of


async def a_task(person: Any, project: Any) -> int:
    """Create a task; return its event's number."""
    return (await do(lambda: TaskService(person.actor).create(guid=project.guid, title="Task"))).seq


@pytest.fixture
def recovery_fails(monkeypatch: pytest.MonkeyPatch, manager: Any, project: Any, ada: Any) -> Callable[[], None]:
    """From the call on, recoveries fail, each after an event has come to the room."""

    async def fail(*_: Any) -> Any:
        seq = await a_task(ada, project)
        await until(lambda: manager.rooms[str(project.guid)].cursor.seq == seq)
        raise OperationalError("the server closed the connection unexpectedly")

    return lambda: monkeypatch.setattr(Recovery, "plan", fail)


@pytest.mark.parametrize(("command", "data"), [("resync", {"afterSeq": 0}), ("join_project", {"lastSeq": 0})])
async def test_a_recovery_that_fails_leaves_the_viewer_where_it_was(
    project, ada, browsers, recovery_fails, command, data
):
    tab = await browsers(ada)
    start = (await tab.join(project))["lastSeq"]
    recovery_fails()
    error = await tab.refused(command, data, project)
    assert (error["code"], error["retryable"]) == ("unavailable", True)
    last = await a_task(ada, project)
    assert [event["seq"] for event in await tab.events(2)] == [start + 1, last]
    await tab.nothing_more()


async def test_a_room_that_cannot_be_shown_anew_sends_its_viewers_away(manager, project, ada, browsers, monkeypatch):
    async def fail(*_: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    tab = await browsers(ada)
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    monkeypatch.setattr(Recovery, "fresh", fail)
    await do(lambda: type(project).objects.filter(pk=project.pk).update(epoch="another"))
    assert await tab.closed() == CloseCode.POSITION_LOST, room


async def test_a_right_that_could_not_be_asked_is_asked_again(manager, project, ada, member, browsers, monkeypatch):
    """By what was heard and by the clock both, while the database is away; the clock goes on asking."""
    eve = await member("viewer", "eve")
    tab = await browsers(eve)
    await tab.join(project)
    asked: list[Any] = []

    async def fail(*_: Any) -> None:
        asked.append(_)
        raise OperationalError("the server closed the connection unexpectedly")

    with monkeypatch.context() as away:
        away.setattr(manager.rights, "check_room", fail)
        await do(lambda: MembershipService(ada.actor).remove(guid=project.guid, user_id=str(eve.pk)))
        await until(lambda: len(asked) >= 3)
        await tab.nothing_more("project_left")
    await tab.next("project_left")


async def test_a_refusal_that_cannot_be_written_down_is_answered(project, member, browsers, monkeypatch):
    tab = await browsers(await member("viewer"))
    await tab.join(project)

    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(audit, "record", fail)
    assert (await tab.refused("create_task", {"title": "x"}, project))["code"] == "forbidden"
    path, headers = f"/api/v1/projects/{project.guid}/tasks/", {"Authorization": f"Bearer {token_of(tab.user)}"}
    answer = await AsyncClient().post(path, {"title": "x"}, "application/json", headers=headers)
    assert (answer.status_code, json.loads(answer.content)["error"]["code"]) == (403, "forbidden")


async def test_a_room_that_cannot_be_opened_is_not_listened_to(manager, project, ada, browsers, monkeypatch):
    def fail(*_: Any) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    tab = await browsers(ada)
    the_layer: Any = get_channel_layer()
    group = room_group(str(project.guid))
    with monkeypatch.context() as away:
        away.setattr("apps.realtime.manager.positions", fail)
        assert (await tab.refused("join_project", {}, project))["code"] == "unavailable"
    assert group not in the_layer.groups
    await tab.join(project)
    assert group in the_layer.groups


async def test_a_silent_layer_does_not_hold_up_the_position_check(manager, project, ada, browsers, monkeypatch):
    tab = await browsers(ada)
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    the_layer: Any = get_channel_layer()
    add, answers, asked = the_layer.group_add, asyncio.Event(), []

    async def silent(group: str, channel: str) -> None:
        asked.append(group)
        await answers.wait()
        await add(group, channel)

    monkeypatch.setattr(broadcaster, "_publish", lambda *_: None)
    monkeypatch.setattr(the_layer, "group_add", silent)
    room.subscribed = False
    await until(lambda: bool(asked))
    for _ in range(3):
        seq = await a_task(ada, project)
        assert [event["seq"] for event in await tab.events(1, patience=1)] == [seq]
    assert len(asked) == 1
    answers.set()
    await until(lambda: room.subscribed)


async def test_a_text_of_which_pieces_were_lost_is_asked_for_again(manager, project, ada, browsers, monkeypatch):
    tab = await browsers(ada)
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    monkeypatch.setattr("apps.realtime.room.ASK_S", 0.0)  # as if nobody had asked for long
    piece(project, "one ")
    await tab.next("message")
    with monkeypatch.context() as blip:
        lost: list[Any] = []
        blip.setattr(room, "take_pieces", lost.extend)
        piece(project, "two ")
        await until(lambda: bool(lost))
    piece(project, "three")
    assert (await tab.next("message"))["data"]["offset"] == len("one two ")
    assert (await tab.next("message"))["data"]["delta"] == "one two three"
    late = await browsers(ada)
    await late.join(project)
    assert (await late.next("message"))["data"]["delta"] == "one two three"
    await tab.nothing_more("message")
