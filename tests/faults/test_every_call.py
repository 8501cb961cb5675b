"""One call fails, for every call that there is: to the database, the channel layer, the link. Then all goes on.

The idea is SQLite's: a small scenario is played again and again, and the k-th call in it fails, until k is larger than
the scenario. After each fault everybody has recovered by himself, and the checker finds nothing.
``AUTOCODE_TEST_EVERY=1`` tries every k; otherwise a stride is taken, from a place that the printed seed decides.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.models import F

from apps.agents.services import relay
from apps.agents.services.chat import ChatService
from apps.projects.aio import in_thread
from apps.projects.models import Membership, Project
from apps.projects.services.messages import MessageService
from tests.agents.conftest import linked
from tests.faults.breaker import ERRORS, Breaker, ours
from tests.faults.theatre import OPTIONS, Theatre
from tests.support.agents_server import ScriptedAgents
from tests.support.browser import Browser, Closed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

STRIDE = {"database": 17, "commit": 1, "layer": 4, "link": 2}
"""In ``./test``. With a stride each call fails in one way, without one in every way."""


@pytest.fixture
async def theatre(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Theatre:
    settings.AUTOCODE_POSITION_CHECK_S = 0.1
    settings.AUTOCODE_ROOM_LINGER_S = 0.2
    settings.AUTOCODE_PRESENCE_LEAVE_S = 0.1
    breaker = Breaker()
    breaker.plant(monkeypatch)
    made = Theatre(breaker)
    await made.furnish()
    await made.play("", 0, AssertionError)  # how it goes when nothing fails
    return made


@pytest.mark.parametrize("seam", ERRORS)
async def test_whichever_call_fails_everybody_recovers(seam: str, theatre: Theatre) -> None:
    seed = int(os.environ.get("AUTOCODE_TEST_SEED") or time.time_ns() % 1_000_000)
    stride = int(os.environ.get("AUTOCODE_TEST_EVERY") or STRIDE[seam])
    number, tried, began = 1 + seed % stride, 0, time.monotonic()
    while True:
        errors = ERRORS[seam] if stride == 1 else [ERRORS[seam][tried % len(ERRORS[seam])]]
        reached = [await theatre.play(seam, number, error) for error in errors]
        tried += sum(reached)
        if not any(reached):
            break
        number += stride
    took = time.monotonic() - began
    print(f"\n{seam}: {tried} calls of about {number} failed, in {took:.1f} s (seed {seed}, stride {stride})")
    assert tried >= 1


async def test_a_client_may_vanish_at_any_moment(theatre: Theatre) -> None:
    """What it had asked for is done or not, and once; a half-done read holds up nobody else."""
    seed = int(os.environ.get("AUTOCODE_TEST_SEED") or time.time_ns() % 1_000_000)
    stride = int(os.environ.get("AUTOCODE_TEST_EVERY") or STRIDE["database"])
    number = 1 + seed % stride
    while await theatre.play("database", number, None):
        number += stride
    print(f"\nada vanished at each {stride}th of about {number} calls (seed {seed})")
    assert number > stride


async def test_a_resync_that_fails_leaves_nobody_deaf(theatre: Theatre, room_in_process: Any) -> None:
    """The client is told that it failed; whatever it does then, it goes on seeing what happens."""
    room, tab, number = room_in_process, await Browser.open(theatre.ada), 0
    await tab.join(room)
    fired = True
    while fired:
        number += 1
        theatre.breaker.arm("database", number, ERRORS["database"][0])
        reply = asyncio.create_task(tab.command("resync", {"afterSeq": 0}, room))
        await asyncio.wait([reply], timeout=0.1)  # only a failure is answered
        fired = reply.done()
        reply.cancel()
        theatre.breaker.disarm()
        with ours():
            await in_thread(say, theatre, room, f"after {number}")
        await tab.until(lambda one, n=number: "seq" in one and one["data"].get("content") == f"after {n}")
    await tab.leave()
    assert number > 1


async def test_a_room_that_begins_anew_leaves_nobody_behind(theatre: Theatre, room_in_process: Any) -> None:
    """The log is another one, and just then the database fails: it is shown anew, or closed to be joined again."""
    room, number, codes = room_in_process, 0, Counter[int]()
    fired = True
    while fired:
        number += 1
        tab = await Browser.open(theatre.ada)
        await tab.join(room)
        epoch = f"other{number}"
        theatre.breaker.arm("database", number, ERRORS["database"][0])
        with ours():
            await in_thread(Project.objects.filter(pk=room.pk).update, epoch=epoch)
        try:
            joined = await tab.next("project_joined")
            assert (joined["data"]["epoch"], joined["data"]["recovered"]) == (epoch, False)
        except Closed as closed:
            codes[closed.code] += 1
        fired = bool(theatre.breaker.fired)
        theatre.breaker.disarm()
        await tab.leave()
    print(f"\n{number - 1} calls failed while the room began anew; closed: {dict(codes)}")
    assert set(codes) == {4103}


async def test_a_right_that_was_lost_unheard_ends_although_the_look_for_it_fails(
    theatre: Theatre, room_in_process: Any
) -> None:
    room, broken = room_in_process, set[str]()
    for number in (1, 2, 3, 1, 2, 3):
        tab = await Browser.open(theatre.bob)
        await tab.join(room)
        await tab.refused("delete_task", {"taskId": "none"}, room)  # what a join looks at after its answer is over
        theatre.breaker.arm("database", number, ERRORS["database"][0])
        with ours():
            await in_thread(lose, theatre.bob, room)
        left = await tab.next("project_left")
        assert left["data"]["reason"] == "removed"
        assert await tab.closed() == 4403
        broken.add(theatre.breaker.fired)
        theatre.breaker.disarm()
        with ours():
            await in_thread(theatre.admit, theatre.bob, room)
        await tab.leave()
    assert any("role" in statement for statement in broken), broken


def lose(person: Any, room: Any) -> None:
    """Take a membership away as another process does whose word of it is lost."""
    with transaction.atomic():
        Membership.objects.filter(project=room, user=person).delete()
        Project.objects.filter(pk=room.pk).update(access_version=F("access_version") + 1)


def say(theatre: Theatre, room: Any, content: str) -> None:
    MessageService(theatre.owner.actor).post(guid=room.guid, content=content)


@pytest.fixture
async def room_in_process(theatre: Theatre) -> AsyncIterator[Any]:
    """A room, and a server in this loop."""
    with ours():
        room = await in_thread(theatre._room)
    async with theatre._server():
        yield room


async def test_what_was_taken_while_the_answer_to_commit_was_lost_is_sent_all_the_same(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of these promises is in the database, and nobody holds them."""
    with ours():
        room = await in_thread(theatre._room)
    take, lost = relay.take, list[str]()

    def taken(*args: Any, **kwargs: Any) -> Any:
        parcels = take(*args, **kwargs)
        if parcels and not lost:
            lost.extend(parcel.key for parcel in parcels)
            raise OperationalError("the connection was lost while waiting for COMMIT")
        return parcels

    monkeypatch.setattr(relay, "take", taken)
    async with ScriptedAgents() as agents, linked(agents, options=OPTIONS):
        await in_thread(lambda: ChatService(theatre.owner.actor).send(guid=room.guid, message="go on"))
        await agents.command("chat")
        assert lost
        assert [one["id"] for one in agents.commands()][: len(lost)] == lost
        assert len(agents.hellos) == 1
