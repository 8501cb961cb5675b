"""An agents-server that stops reading: the link gives it up in time, and loses and repeats nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from apps.agents.models import OutboxMessage
from apps.agents.selectors.link import link_view
from apps.agents.services.chat import ChatService
from tests.agents.conftest import FAST, db, linked, settled
from tests.support.agents_server import ScriptedAgents
from tests.support.factories import a_project, owner_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest_asyncio.fixture
async def server():
    async with ScriptedAgents(narrow=True) as server:
        yield server


async def deafen(server, projects):
    """Let the server read no more, and give the link far more to say than the sockets hold."""

    def say():
        for number, one in enumerate(projects):
            ChatService(owner_of(one)).send(guid=one.guid, message=f"{number} {'é' * 31_000}")

    def on_their_way():
        return OutboxMessage.objects.filter(type="chat", state="sent").count()

    await server.command("project_status_sync")
    await settled(server)
    server.sockets[0].transport.pause_reading()
    await db(say)
    async with asyncio.timeout(10):
        # Another thread's rows: there is no event to wait for.
        while len(server.sockets) == 1 and await db(on_their_way) < len(projects):
            await server.pause()


@pytest_asyncio.fixture
async def projects(project):
    return [project, *[await db(a_project) for _ in range(19)]]


def heard(server):
    """Return the first word of each chat that the server kept, in short."""
    return sorted(word for _, word in {(f["id"], f["data"]["content"].split()[0]) for f in server.commands("chat")})


@pytest.mark.parametrize("noticed_by", ["ping", "write"])
async def test_a_server_that_stops_reading_is_given_up_and_nothing_is_lost_or_doubled(server, projects, noticed_by):
    short = {"ping": replace(FAST, ping_interval=1.0, ping_timeout=0.3), "write": replace(FAST, write_timeout=1.0)}
    async with linked(server, options=short[noticed_by]):
        await deafen(server, projects)
        await server.connected(2)
        await settled(server)
        assert (await db(link_view, projects[0].guid)).state == "connected"
    assert heard(server) == sorted(map(str, range(20)))
    assert server.hellos[0]["leaseEpoch"] == server.hellos[1]["leaseEpoch"]


async def test_who_holds_the_link_to_a_server_that_stops_reading_can_still_hand_it_over(server, projects):
    async with linked(server):
        await deafen(server, projects)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    async with linked(server):
        await settled(server)
    assert server.hellos[-1]["leaseEpoch"] > server.hellos[0]["leaseEpoch"]
    assert heard(server) == sorted(map(str, range(20)))


async def test_a_server_that_writes_and_never_reads_is_slowed_down(server, project):
    """What it is owed must not grow without end: beyond the bound nothing more of it is read."""
    sent = 0

    async def write():
        nonlocal sent
        with contextlib.suppress(ConnectionClosed):
            for sent in range(2_000):  # noqa: B007 - the number is what the test looks at
                await server.send(server.message("ping", None, {"t": "x" * 10_000}, id=None))

    async with linked(server, backlog=10, write_timeout=1.0):
        await server.connected()
        server.sockets[0].transport.pause_reading()
        await asyncio.wait_for(asyncio.create_task(write()), 10)
        assert sent < 1_500
        await server.connected(2)
        assert (await server.tell("agent_message", project.guid, {"agentId": "x", "content": "a"}))["type"] == "ack"
