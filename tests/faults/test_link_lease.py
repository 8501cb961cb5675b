"""The process that holds the link freezes or dies; another goes on, and nothing happens twice or out of order."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from apps.agents.models import LinkLease
from apps.projects.aio import in_thread
from tests.faults.scene import Scene
from tests.realtime.serving import Serving

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

LEASE: dict[str, Any] = {"lease_ttl": 3.0}


async def holder(scene: Scene) -> Serving:
    """Return the server that holds the lease."""
    name = await in_thread(lambda: LinkLease.objects.get().holder)
    [found] = [server for server in scene.servers if f":{server.process.pid}:" in name]
    return found


async def two_servers(scene: Scene) -> tuple[Serving, Serving]:
    """Start them, and let everybody sit at the one that does not hold the link; return the holder and that one."""
    first = await scene.serve(**LEASE)
    await scene.upstream.connected()
    second = await scene.serve(**LEASE)
    assert await holder(scene) is first
    await scene.begin(at=second)
    return first, second


@pytest.mark.parametrize("obeys", [True, False], ids=["drops the old one", "listens to both"])
async def test_f30_a_holder_that_froze_beyond_its_lease_does_nothing_more(scene: Scene, obeys: bool) -> None:
    """It has leased promises, unread answers and unread news; none of that may count when it wakes up."""
    upstream, watcher, room = scene.upstream, scene.people[0], scene.rooms[0]
    first, second = await two_servers(scene)
    upstream.obeys = obeys
    old_lease, old_socket = upstream.lease, upstream.sockets[-1]
    upstream.on_command = lambda frame: ["hold"]
    await scene.talk(6)
    await upstream.until(lambda: len(upstream.held) >= len(scene.rooms))
    first.signal(signal.SIGSTOP)
    if not obeys:
        await upstream.let_go()  # the answers lie before the frozen one
        news = upstream.message("agent_message", room.guid, {"agentId": "x", "content": "old"})
        await old_socket.send(json.dumps(news))
    upstream.on_command = lambda frame: ["ack"]
    await upstream.until(lambda: upstream.lease > old_lease)
    assert await holder(scene) is second
    first.signal(signal.SIGCONT)
    await upstream.until(lambda: old_socket.state.name == "CLOSED")
    await scene.talk(2)
    await scene.settled()
    new = next(number for number, arrival in enumerate(upstream.arrivals) if arrival.lease > old_lease)
    assert not [arrival for arrival in upstream.arrivals[new:] if arrival.lease == old_lease]
    assert await holder(scene) is second
    assert any("lease of the agents link is lost" in line for line in first.log.read_text().splitlines())
    await watcher.sees_link(room, lambda link: link["state"] == "connected" and not link["queued"])
    history = await scene.judged()
    assert "old" not in {one.key for one in history.log}


@pytest.mark.parametrize("words", [["act"], ["ack"]], ids=["before_its_answer", "with_its_answer"])
async def test_f31_a_holder_killed_after_sending_and_before_writing_it_down(scene: Scene, words: list[str]) -> None:
    upstream, watcher, room = scene.upstream, scene.people[0], scene.rooms[0]
    first, second = await two_servers(scene)
    struck: list[str] = []

    def answer(frame: dict[str, Any]) -> list[str]:
        if not struck and frame["type"] == "user_feedback":
            first.signal(signal.SIGKILL)
            struck.append(frame["id"])
            return words
        return ["ack"]

    upstream.on_command = answer
    talking = asyncio.create_task(scene.talk(3))
    await upstream.until(lambda: struck)
    assert await first.ended() == -signal.SIGKILL
    await upstream.connected(2)
    assert await holder(scene) is second
    await talking
    await scene.settled()
    assert sum(arrival.key == struck[0] for arrival in upstream.arrivals) >= 2
    await watcher.sees_link(room, lambda link: link["state"] == "connected" and not link["queued"])
    await scene.judged()


async def test_where_nobody_holds_the_link_any_more_the_rooms_are_told(scene: Scene) -> None:
    watcher, room = scene.people[0], scene.rooms[0]
    only = await scene.serve(**LEASE)
    await scene.begin(at=await scene.serve("off"))
    await watcher.sees_link(room, lambda link: link["state"] == "connected")
    only.signal(signal.SIGKILL)
    await only.ended()
    await scene.talk(1)
    gone = await watcher.sees_link(room, lambda link: link["state"] == "down")
    assert gone["queued"] > 0
    await scene.serve(**LEASE)
    await watcher.sees_link(room, lambda link: link["state"] == "connected" and not link["queued"])
    await scene.judged()
