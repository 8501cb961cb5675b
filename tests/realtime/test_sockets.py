"""Joining and recovering while the reader is slow: what changes meanwhile counts all the same."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from apps.core.errors import Unavailable
from apps.projects.aio import in_thread
from apps.projects.models import Membership, Project, ProjectEvent
from apps.projects.permissions import Role
from apps.projects.selectors.access import roles_in
from apps.projects.services.members import MembershipService
from apps.realtime.close_codes import CloseCode
from apps.realtime.frames import Frame
from apps.realtime.manager import WebSocketManager
from apps.realtime.outlet import BoundedOutlet
from apps.realtime.protocol import reply_frame
from tests.realtime.conftest import do, until
from tests.realtime.test_connections import retune
from tests.realtime.test_rooms import add_tasks
from tests.realtime.test_sse import stream
from tests.support.browser import Browser, envelope
from tests.support.factories import a_project


class Slow:
    """Holds back what the server sends to one tab, until ``go``."""

    def __init__(self, manager: WebSocketManager, tab: Browser) -> None:
        assert tab.user is not None
        (self.service,) = manager.by_user[str(tab.user.pk)]
        outlet = cast("BoundedOutlet", self.service.outlet)
        self._send, self.reads = outlet._send, asyncio.Event()
        self.reads.set()
        outlet._send = self._late

    async def _late(self, message: Any) -> None:
        await self.reads.wait()
        await self._send(message)

    def stop(self) -> None:
        """Take nothing more; something waits at once."""
        self.reads.clear()
        self.service.put(Frame(reply_frame("pong", {"t": 0})))

    def go(self) -> None:
        self.reads.set()


async def remove(ada: Any, project: Any, bob: Any) -> None:
    await do(MembershipService(ada.actor).remove, guid=project.guid, user_id=bob.pk)


async def demote(ada: Any, project: Any, bob: Any) -> None:
    await do(MembershipService(ada.actor).change_role, guid=project.guid, user_id=bob.pk, role=Role.VIEWER)


async def all_looked(manager: WebSocketManager, project: Any) -> None:
    """Return when the rooms' own checks have seen the change of rights, and are done with it."""
    row = await do(Project.objects.get, pk=project.pk)
    await until(lambda: manager.rooms[str(project.guid)].access_version == row.access_version)


async def is_put_out(tab: Browser) -> None:
    """Return when the tab, which had one room, was told that it has it no more."""
    await tab.next("project_left")
    assert await tab.closed() == CloseCode.NO_LONGER_ALLOWED


async def fails(*_: Any, **__: Any) -> Any:
    raise Unavailable


@pytest.fixture
async def bob(member: Callable[..., Any]) -> Any:
    return await member("contributor", "bob")


async def by_resync(tab: Browser, project: Any, manager: WebSocketManager) -> None:
    await tab.send(envelope("resync", {"afterSeq": 1}, project, "again"))


async def by_resync_anew(tab: Browser, project: Any, manager: WebSocketManager) -> None:
    await tab.send(envelope("resync", {"afterSeq": 10_000}, project, "again"))


async def by_failed_resync(tab: Browser, project: Any, manager: WebSocketManager) -> None:
    manager.recoveries[str(project.guid)].complete = fails  # type: ignore[method-assign]
    await by_resync(tab, project, manager)


async def by_joining_again(tab: Browser, project: Any, manager: WebSocketManager) -> None:
    await tab.send(envelope("join_project", {"lastSeq": 1}, project, "again"))


async def by_failing_to_join_again(tab: Browser, project: Any, manager: WebSocketManager) -> None:
    manager.recoveries[str(project.guid)].complete = fails  # type: ignore[method-assign]
    await by_joining_again(tab, project, manager)


async def by_another_log(tab: Browser, project: Any, manager: WebSocketManager) -> None:
    await do(Project.objects.filter(pk=project.pk).update, epoch="second-epoch")


WAYS = [by_resync, by_resync_anew, by_failed_resync, by_joining_again, by_failing_to_join_again, by_another_log]


async def waiting(manager: WebSocketManager, project: Any, tab: Browser, way: Any) -> tuple[Browser, Any, Slow]:
    """Return the tab, its room and its slowness while a recovery, begun in this ``way``, waits for it to read."""
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    slow = Slow(manager, tab)
    slow.stop()
    await way(tab, project, manager)
    await until(lambda: not room.viewers and bool(room.visitors))
    return tab, room, slow


@pytest.mark.parametrize("way", WAYS)
async def test_who_is_removed_while_a_recovery_waits_for_it_sees_nothing_more(
    manager, project, ada, bob, browsers, way
):
    tab, room, slow = await waiting(manager, project, await browsers(bob), way)
    await remove(ada, project, bob)
    await all_looked(manager, project)
    slow.go()
    await is_put_out(tab)
    assert not room.viewers


@pytest.mark.parametrize("way", WAYS)
async def test_a_role_that_changes_while_a_recovery_waits_counts(manager, project, ada, bob, browsers, way):
    tab, _room, slow = await waiting(manager, project, await browsers(bob), way)
    await demote(ada, project, bob)
    await all_looked(manager, project)
    slow.go()
    await tab.until(lambda one: one["type"] == "project_joined" and one["data"]["role"] == "viewer")
    assert (await tab.refused("create_task", {"title": "x"}, project))["code"] == "forbidden"


async def test_who_joins_again_in_another_role_is_shown_in_it(manager, project, bob, browsers):
    """The role was changed elsewhere, and the joining itself is the first to learn of it."""
    tab = await browsers(bob)
    await tab.join(project)
    await do(Membership.objects.filter(project=project, user=bob).update, role="viewer")
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    (viewer,) = room.viewers
    entry = manager.presence.entry(room, viewer)
    assert entry is not None
    assert entry.role == "viewer"


async def test_who_is_removed_while_the_room_opens_for_a_topic_sees_nothing(
    manager, project, ada, bob, browsers, monkeypatch
):
    tab = await browsers(bob)
    await tab.next("authenticated")
    join, listening, go_on = manager.ear.join, asyncio.Event(), asyncio.Event()

    async def late(room: Any) -> None:
        await join(room)
        listening.set()
        await go_on.wait()

    monkeypatch.setattr(manager.ear, "join", late)
    await tab.send(envelope("subscribe", {"topic": f"project:{project.guid}/tasks"}, None, "s"))
    await listening.wait()
    await remove(ada, project, bob)
    go_on.set()
    await is_put_out(tab)


@pytest.mark.parametrize("joined", [True, False])
async def test_who_is_removed_while_another_log_waits_for_a_busy_connection_sees_nothing_more(
    manager, project, ada, bob, browsers, joined
):
    tab = await browsers(bob)
    if joined:
        await tab.join(project)
    else:
        await tab.command("subscribe", {"topic": f"project:{project.guid}/tasks"})
    room = manager.rooms[str(project.guid)]
    (service,) = manager.by_user[str(bob.pk)]
    busy = asyncio.Event()
    service._begin(busy.wait)
    await do(Project.objects.filter(pk=project.pk).update, epoch="second-epoch")
    await until(lambda: not room.viewers)
    with room.visited():
        await remove(ada, project, bob)
        await all_looked(manager, project)
        busy.set()
        await is_put_out(tab)
    assert not room.viewers


async def test_who_comes_while_the_rooms_check_is_under_way_is_checked_too(
    manager, project, ada, bob, browsers, monkeypatch
):
    """The check has its viewers already, and the room its new version only later."""
    watcher = await browsers(ada)
    await watcher.join(project)
    tab = await browsers(bob)
    await tab.join(project)
    room = manager.rooms[str(project.guid)]
    slow = Slow(manager, tab)
    slow.stop()
    await by_resync(tab, project, manager)
    await until(lambda: len(room.viewers) == 1)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(function: Any, *args: Any) -> Any:
        found = await in_thread(function, *args)
        if function is roles_in and not asked.is_set():
            asked.set()
            await go_on.wait()
        return found

    monkeypatch.setattr("apps.realtime.rights.in_thread", late)
    # Nobody says it: only the look at the positions finds it.
    await do(Membership.objects.filter(project=project, user=bob).delete)
    before = await do(Project.objects.get, pk=project.pk)
    await do(Project.objects.filter(pk=project.pk).update, access_version=before.access_version + 1)
    await asked.wait()
    slow.go()
    await until(lambda: slow.service.closing or len(room.viewers) == 2)
    go_on.set()
    await is_put_out(tab)


@pytest.mark.parametrize("command", [("resync", {"afterSeq": 1}), ("join_project", {"lastSeq": 1})])
async def test_a_recovery_that_is_refused_ends_the_watching(manager, project, ada, bob, browsers, monkeypatch, command):
    async def nothing(*_: Any) -> None:
        return

    tab = await browsers(bob)
    await tab.join(project)
    monkeypatch.setattr(manager.rights, "check_room", nothing)
    monkeypatch.setattr(manager.rights, "changed", lambda message: None)
    await remove(ada, project, bob)
    assert (await tab.refused(command[0], command[1], project))["code"] == "not_found"
    await is_put_out(tab)


async def test_who_is_cut_while_a_second_room_waits_is_present_nowhere(manager, project, ada, bob, browsers):
    retune(manager, outbound_bytes=4_000)
    other = await do(a_project, bob)
    tab = await browsers(bob)
    await tab.join(project)
    slow = Slow(manager, tab)
    slow.stop()
    await tab.send(envelope("join_project", {}, other, "second"))
    await until(lambda: str(other.guid) in manager.rooms and manager.rooms[str(other.guid)].visitors)
    await add_tasks(ada, project, 20)
    await until(lambda: slow.service.closing)
    slow.go()
    assert await tab.closed() == CloseCode.TOO_SLOW
    await until(lambda: not manager.presence._places)
    assert not await manager.presence.store.entries(str(other.guid))


async def replace_log(manager: WebSocketManager, project: Any) -> None:
    """Put a shorter log in place of the room's, as a restored backup does; return when the room has noticed."""

    def change() -> None:
        ProjectEvent.objects.filter(project=project, seq__gt=3).delete()
        Project.objects.filter(pk=project.pk).update(epoch="second-epoch", last_seq=3)

    await do(change)
    await until(lambda: manager.rooms[str(project.guid)].epoch == "second-epoch")


@pytest.mark.parametrize("way", [by_resync, by_joining_again])
async def test_a_recovery_from_a_log_that_is_replaced_meanwhile_is_none(manager, project, ada, bob, browsers, way):
    await add_tasks(ada, project, 10)
    tab = await browsers(bob)
    await tab.join(project)
    slow = Slow(manager, tab)
    slow.stop()
    await way(tab, project, manager)
    room = manager.rooms[str(project.guid)]
    await until(lambda: not room.viewers and bool(room.visitors))
    await replace_log(manager, project)
    slow.go()
    assert await tab.closed() == CloseCode.POSITION_LOST


async def test_a_first_join_to_a_log_that_is_replaced_meanwhile_is_tried_again(manager, project, ada, bob, browsers):
    await add_tasks(ada, project, 10)
    tab = await browsers(bob)
    await tab.next("authenticated")
    slow = Slow(manager, tab)
    slow.stop()
    await tab.send(envelope("join_project", {}, project, "j"))
    await until(lambda: str(project.guid) in manager.rooms and manager.rooms[str(project.guid)].visitors)
    await until(lambda: manager.recoveries[str(project.guid)]._snapshot is not None)
    await replace_log(manager, project)
    slow.go()
    answer = await tab.until(lambda one: one.get("replyTo") == "j")
    assert (answer["data"]["code"], answer["data"]["retryable"]) == ("unavailable", True)
    assert (await tab.join(project))["epoch"] == "second-epoch"
    (seq,) = await add_tasks(ada, project, 1)
    assert [event["seq"] for event in await tab.events(1)] == [seq]


async def test_a_stream_of_a_log_that_is_replaced_meanwhile_begins_again(manager, project, ada, monkeypatch):
    await add_tasks(ada, project, 10)
    asked, go_on, link = asyncio.Event(), asyncio.Event(), manager.reads.link

    async def late(guid: str) -> Any:
        asked.set()
        await go_on.wait()
        return await link(guid)

    monkeypatch.setattr(manager.reads, "link", late)
    events = await stream(project, ada)
    first = asyncio.create_task(events.next())
    await asked.wait()
    await replace_log(manager, project)
    go_on.set()
    _, error = await first
    assert (error["type"], error["data"]["code"]) == ("error", "unavailable")
    with pytest.raises(StopAsyncIteration):
        await events.next()
