"""Events that come together leave together: counted in TCP segments, as the kernel saw them."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from tests.serve.conftest import PLENTY
from tests.serve.raw import Raw
from tests.support.agents_server import ScriptedAgents
from tests.support.browser import envelope

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

DATA_SEGMENTS_IN = 152
"""Where ``struct tcp_info`` of linux/tcp.h has ``tcpi_data_segs_in``."""


def segments(raw: Raw) -> int:
    """Return how many segments with data came in; the server sends without delay, each write by itself."""
    line = raw.writer.get_extra_info("socket")
    info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", info, DATA_SEGMENTS_IN)[0])


async def quiet(raw: Raw) -> None:
    """Read until nothing has come for a while."""
    while True:
        try:
            async with asyncio.timeout(0.4):
                await raw.frame()
        except TimeoutError:
            return


@pytest.mark.parametrize("kept", [True, False])
async def test_two_events_within_a_millisecond_leave_in_one_write(serve, ada, room, kept):
    rounds = 10
    async with ScriptedAgents() as agents:
        server = await serve(AUTOCODE_AGENTS_URL=agents.url, AUTOCODE_AGENTS_TOKEN="t", **PLENTY)
        await agents.connected()
        await agents.tell("agent_spawned", room.guid, {"agentId": "coder", "name": "Coder"})
        await agents.tell("run_started", room.guid, {"runId": "r", "agentId": "coder"})
        raw = await Raw.open(server.port, ada)
        raw.send(envelope("join_project", {}, room, "j"))
        await quiet(raw)
        before, seen = segments(raw), 0
        for number in range(rounds):
            if kept:
                two = [
                    agents.message("agent_message", room.guid, {"agentId": "coder", "content": f"{number} {which}"})
                    for which in "ab"
                ]
            else:
                text = {"runId": "r", "agentId": "coder", "delta": "x"}
                two = [
                    agents.message("message", room.guid, text | {"messageId": f"{which}{number}"}, id=None)
                    for which in "ab"
                ]
            await agents.send(*two)
            mine = 0
            while mine < 2:
                value = await raw.next()
                mine += value["type"] in {"message", "agent_message"}
                seen += 1
        # What is not ours (the state of the link) comes by itself.
        assert segments(raw) - before <= rounds + (seen - 2 * rounds)
        raw.writer.close()
