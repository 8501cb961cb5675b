"""One process holds the link; a slow one cannot write any more."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.agents.link import inbox
from apps.agents.link.frames import Envelope
from apps.agents.link.handler import AgentCommunicationHandler
from apps.agents.link.inbox import Item
from apps.agents.link.messages import AgentMessage
from apps.agents.link.texts import OpenTexts
from apps.agents.models import InboxReceipt, LinkLease
from apps.agents.selectors.link import link_view
from apps.agents.services import lease, link_status, relay
from apps.agents.services.lease import LeaseLost
from apps.projects.models import Message
from tests.agents.conftest import FAST, comes_to_rest, db, linked
from tests.support.factories import a_project


def ends_in(seconds: float) -> None:
    LinkLease.objects.update(expires_at=Now() + dt.timedelta(seconds=seconds))


@pytest.mark.django_db
def test_the_lease_passes_on_when_it_expires_or_is_released():
    first = lease.acquire("a", ttl_s=60)
    assert first is not None
    assert lease.acquire("b", ttl_s=60) is None
    ends_in(-1)
    lease.renew(first.epoch, ttl_s=60)
    assert lease.acquire("b", ttl_s=60) is None
    ends_in(-1)
    second = lease.acquire("b", ttl_s=60)
    assert second is not None
    assert second.epoch == first.epoch + 1
    with pytest.raises(LeaseLost):
        lease.renew(first.epoch, ttl_s=60)
    lease.release(first.epoch)
    assert lease.acquire("c", ttl_s=60) is None
    lease.release(second.epoch)
    assert lease.acquire("c", ttl_s=60) is not None


@pytest.mark.django_db
@pytest.mark.parametrize("wrong_by_s", [-3600, 3600])
def test_a_process_whose_clock_is_wrong_neither_takes_the_lease_nor_leaves_it_for_ever(move_clock, wrong_by_s):
    project = a_project()
    held = lease.acquire("right", ttl_s=60)
    assert held is not None
    link_status.record(held.epoch, state="connected")
    move_clock(wrong_by_s)
    assert lease.acquire("wrong", ttl_s=60) is None
    assert link_view(project.guid).state == "connected"
    lease.release(held.epoch)
    assert lease.acquire("wrong", ttl_s=60) is not None
    move_clock(-wrong_by_s)
    assert lease.acquire("right", ttl_s=60) is None
    ends_in(-1)
    assert link_view(project.guid).state == "down"
    assert lease.acquire("right", ttl_s=60) is not None


@pytest.mark.django_db
def test_an_older_epoch_writes_nothing():
    project = a_project()
    old = lease.acquire("a", ttl_s=-1)
    new = lease.acquire("b", ttl_s=10)
    assert old is not None
    assert new is not None
    item = Item(Envelope("agent_message", "1", str(project.guid), {}), AgentMessage(agent_id="x", content="late"))
    for write in (
        lambda: relay.take(old.epoch, limit=1),
        lambda: relay.give_back(old.epoch),
        lambda: link_status.record(old.epoch, state="connected"),
        lambda: inbox.apply_batch([item], guid=str(project.guid), server="s", lease_epoch=old.epoch, texts=OpenTexts()),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert not Message.objects.exists()
    assert not InboxReceipt.objects.exists()
    [parcel] = relay.take(new.epoch, limit=1)
    for settle in (
        lambda: relay.acked(old.epoch, parcel.key),
        lambda: relay.refused(old.epoch, parcel.key, code="x", message="", retryable=False),
    ):
        with pytest.raises(LeaseLost):
            settle()
    assert relay.acked(new.epoch, parcel.key)


@pytest.mark.django_db(transaction=True)
async def test_of_two_handlers_one_speaks_and_the_other_takes_over(server, project):
    async with linked(server) as first:
        await server.connected()
        async with linked(server) as second:
            await server.until(lambda: first.state == "connected")
            assert second.state == "down"
            await db(ends_in, -1)  # the first one's process freezes
            await server.connected(2)
            await server.until(lambda: second.state == "connected")
            await server.until(lambda: first.state != "connected")
            answer = await server.tell("agent_message", project.guid, {"agentId": "x", "content": "a"})
            assert answer["type"] == "ack"
    assert [hello["leaseEpoch"] for hello in server.hellos[:2]] == [1, 2]


@pytest.mark.django_db(transaction=True)
async def test_a_handler_that_stops_hands_over_at_once(server, project):
    async with linked(server):
        await server.connected()
    async with linked(server):
        await server.connected(2)
    assert (await db(link_view, project.guid)).state == "down"


@pytest.mark.django_db(transaction=True)
async def test_without_an_address_only_the_upkeep_runs(project):
    stop = asyncio.Event()
    task = asyncio.create_task(AgentCommunicationHandler(url="", options=FAST).run(stop))
    async with asyncio.timeout(5):
        while not await db(LinkLease.objects.exclude(holder="").exists):  # noqa: ASYNC110 - a row, not an event
            await asyncio.sleep(0.01)
    stop.set()
    await task
    assert (await db(link_view, project.guid)).state == "down"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's writers wait for each other")
@pytest.mark.django_db(transaction=True)
def test_the_holders_work_holds_up_a_takeover_and_never_its_own_renewal(elsewhere):
    first = lease.acquire("a", ttl_s=60)
    assert first is not None
    with transaction.atomic():
        lease.guard(first.epoch)
        renewal = elsewhere(lease.renew, first.epoch, ttl_s=60)
        comes_to_rest(renewal)
        assert renewal.done()
        elsewhere(ends_in, -1).result()
        takeover = elsewhere(lease.acquire, "b", ttl_s=60)
        comes_to_rest(takeover)
        assert not takeover.done()
    assert takeover.result().epoch == first.epoch + 1
    with transaction.atomic(), pytest.raises(LeaseLost):
        lease.guard(first.epoch)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's writers wait for each other")
@pytest.mark.django_db(transaction=True)
def test_who_asks_during_a_takeover_waits_and_is_told_that_the_lease_is_lost(elsewhere):
    def guarded(epoch: int) -> None:
        with transaction.atomic():
            lease.guard(epoch)

    first = lease.acquire("a", ttl_s=-1)
    assert first is not None
    with transaction.atomic():
        assert lease.acquire("b", ttl_s=60) is not None
        late = elsewhere(guarded, first.epoch)
        comes_to_rest(late)
        assert not late.done()
    with pytest.raises(LeaseLost):
        late.result()
