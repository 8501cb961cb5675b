"""A viewer that stops reading: cut at its bound, costing no more memory than that, while the others get everything."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import pytest

from apps.projects.aio import in_thread
from apps.projects.models import ProjectEvent
from tests.serve.conftest import PLENTY, until
from tests.serve.raw import Raw
from tests.serve.test_streams import HttpStream
from tests.support.agents_server import ScriptedAgents
from tests.support.browser import Browser, envelope

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

BOUND = 1_000_000
OPEN_STREAMS = 'autocode_connections{transport="sse"}'
TINY = 4_096  # bytes of the receive buffer of who does not read
TEXT = "x" * 20_000


async def viewer(port: int, person: Any, room: Any, since: dict[str, Any]) -> Raw:
    """Return a viewer of the room with a tiny buffer, who has read all up to the answer to its join."""
    raw = await Raw.open(port, person, buffer=TINY)
    raw.send(envelope("join_project", since, room, "j"))
    while (await raw.next()).get("replyTo") != "j":
        pass
    return raw


async def write(writer: Browser, room: Any, count: int, *others: Browser) -> None:
    """Write so many events of 20 kB; return when the writer and the others have them."""
    for _ in range(count):
        reply = await writer.command("create_task", {"title": "T", "description": TEXT}, room)
        assert reply["type"] == "ack", reply
        await asyncio.gather(*(tab.events(1) for tab in (writer, *others)))


def seqs(envelopes: list[Any]) -> list[int]:
    return [one["seq"] for one in envelopes if "seq" in one]


def log_of(room: Any) -> list[int]:
    return list(ProjectEvent.objects.filter(project=room).order_by("seq").values_list("seq", flat=True))


@pytest.mark.parametrize("plain_daphne", [False, True])
async def test_who_does_not_read_is_cut_at_the_bound_and_recovers_everything(serve, browsers, ada, room, plain_daphne):
    server = await serve(
        plain_daphne=plain_daphne, AUTOCODE_OUTBOUND_BYTES=BOUND, AUTOCODE_REPLAY_BYTES=2**24, **PLENTY
    )
    writer, other = await browsers(ada, url=server.url), await browsers(ada, url=server.url)
    await writer.join(room)
    epoch = (await other.join(room))["epoch"]
    await write(writer, room, 100, other)  # the process has its size
    top = (await in_thread(log_of, room))[-1]
    stuck = [await viewer(server.port, ada, room, {"lastSeq": top, "epoch": epoch}) for _ in range(5)]
    before = server.memory()

    async def read_when_cut() -> list[tuple[list[Any], int]]:
        await until(lambda: server.log.read_text().count("reads too slowly") == len(stuck))
        return await asyncio.gather(*(raw.rest() for raw in stuck))

    reading = asyncio.create_task(read_when_cut())
    await write(writer, room, 250, other)  # 5 MB for each of them
    # Their frames of 20 kB are shared; what Twisted holds is not.
    assert server.memory() - before < BOUND + len(stuck) * 400_000 + 4_000_000
    got, code = (await reading)[0]
    # Plain Daphne hangs up, with whatever has not left, a second after it closed.
    assert code == 4102 or (plain_daphne and code == 1006)
    first = seqs(got)
    assert first == list(range(top + 1, top + 1 + len(first)))
    # What the kernel takes from plain Daphne is not ours to bound.
    assert len(first) * 20_000 < BOUND or plain_daphne
    back = await browsers(ada, url=server.url)
    joined = await back.join(room, lastSeq=first[-1] if first else top, epoch=epoch)
    assert joined["recovered"] is True
    missed = await in_thread(log_of, room)
    assert seqs(await back.events(len(missed) - len(first) - top)) == missed[top + len(first) :]
    for raw in stuck:
        raw.writer.close()


async def test_under_pressure_pieces_of_a_text_merge_and_facts_stay(serve, browsers, ada, room):
    async with ScriptedAgents() as agents:
        server = await serve(
            AUTOCODE_OUTBOUND_BYTES=BOUND,
            AUTOCODE_STREAM_WINDOW_MS=1,
            AUTOCODE_AGENTS_URL=agents.url,
            AUTOCODE_AGENTS_TOKEN="t",
            **PLENTY,
        )
        await agents.connected()
        await agents.tell("agent_spawned", room.guid, {"agentId": "coder", "name": "Coder"})
        await agents.tell("run_started", room.guid, {"runId": "r", "agentId": "coder"})
        other = await browsers(ada, url=server.url)
        await other.join(room)
        slow = await viewer(server.port, ada, room, {})
        top = (await in_thread(log_of, room))[-1]
        await write(other, room, 20)  # fills what the kernel takes

        text = {"messageId": "m", "runId": "r", "agentId": "coder"}
        for number in range(200):
            delta = text | {"delta": f"{number:03} " + "x" * 400}
            await agents.send(agents.message("message", room.guid, delta, id=None))
            await other.next("message")
        await agents.tell("message", room.guid, text | {"op": "end", "content": "done"})
        await agents.tell("done", room.guid, {"runId": "r", "status": "completed"})
        await other.next("done")
        pieces = [one for one in other.received if one["type"] == "message" and "seq" not in one]

        got: list[Any] = []
        while not got or got[-1]["type"] != "done":
            value = await slow.next()
            got += value if isinstance(value, list) else [value]
        merged = [one for one in got if one["type"] == "message" and "seq" not in one]
        assert said(merged) == said(pieces)
        assert len(merged) < len(pieces) / 10
        assert seqs(got) == list(range(top + 1, top + 1 + len(seqs(got))))
        assert seqs(got)[-1] == (await in_thread(log_of, room))[-1]
        assert figure(server.port, "autocode_coalesced_total") > 0
        slow.writer.close()


@pytest.mark.parametrize("plain_daphne", [False, True])
async def test_a_stream_that_nobody_reads_is_cut(serve, browsers, ada, room, plain_daphne):
    """Its queue has room for everything: what ends it is that nothing at all is taken."""
    server = await serve(plain_daphne=plain_daphne, AUTOCODE_REQUEST_S=1, AUTOCODE_OUTBOUND_BYTES=2**25, **PLENTY)
    writer = await browsers(ada, url=server.url)
    await writer.join(room)
    stuck = await HttpStream.open(server.port, ada, room, buffer=TINY)
    await writer.until(lambda one: tabs_of(one) == 2)
    await write(writer, room, 350)  # 7 MB: more than the kernel takes
    await until(lambda: figure(server.port, OPEN_STREAMS) == 0)
    await writer.until(lambda one: tabs_of(one) == 1, patience=10)
    await stuck.close()


def tabs_of(one: Any) -> int:
    """Return how many tabs the person has now, if it is this that the envelope tells; else 0."""
    joined = one["data"]["joined"] if one["type"] == "presence_diff" else []
    return int(joined[0]["tabs"]) if joined else 0


async def test_a_stream_whose_reader_is_merely_slow_goes_on(serve, browsers, ada, room):
    server = await serve(AUTOCODE_REQUEST_S=1, AUTOCODE_OUTBOUND_BYTES=2**25, **PLENTY)
    writer = await browsers(ada, url=server.url)
    await writer.join(room)
    slow = await HttpStream.open(server.port, ada, room, buffer=TINY)
    enough = asyncio.Event()

    async def read() -> None:
        while not enough.is_set():
            assert await slow.reader.read(TINY)
            await asyncio.sleep(0.05)

    reading = asyncio.create_task(read())
    await write(writer, room, 350)
    await asyncio.sleep(3)
    assert figure(server.port, OPEN_STREAMS) == 1
    enough.set()
    await reading
    await slow.close()


def said(pieces: list[Any]) -> str:
    """Return the text that pieces leave behind, each at its offset."""
    text = ""
    for piece in pieces:
        assert piece["data"]["offset"] in {0, len(text)}
        text = text[: piece["data"]["offset"]] + piece["data"]["delta"]
    return text


def figure(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))
