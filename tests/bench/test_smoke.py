"""The benchmark itself: it counts every frame, speaks AutoCode's protocol, and draws what it found. No figures here."""

from __future__ import annotations

import math
import os
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import fake_autocode, report, scenarios
from tests.bench.figures import Spread, percentile
from tests.bench.install import HERE, REQUIREMENTS
from tests.bench.load import payload, wire
from tests.bench.load.agents import AgentsServer
from tests.bench.load.dialects import AutoCode, Plain
from tests.bench.load.engine import Engine
from tests.bench.load.viewer import Plan, Record, clock
from tests.bench.machine import share_out
from tests.bench.plot import Bar, Panel, draw
from tests.bench.process import Server
from tests.support.services import free_port, wait_for_port

ROOM = "11111111-1111-7111-8111-111111111111"


@pytest.fixture
def broadcast_port(tmp_path: Path) -> Iterator[int]:
    """The peer with websockets.broadcast, run by our own Python: the peers' environment may not be there."""
    port = free_port()
    command = [sys.executable, str(HERE / "peers" / "broadcast_room.py"), str(port)]
    server = Server(command, cores=os.sched_getaffinity(0), log=tmp_path / "log", env=os.environ, cwd=tmp_path)
    try:
        wait_for_port(port, process=server.process, log=server.log)
        yield port
    finally:
        server.stop()


def joined(engine: Engine, viewers: int, rooms: int = 1) -> Engine:
    engine.open(((seat, seat % rooms) for seat in range(viewers)), window=50)
    engine.run(5, stop=lambda: engine.joined == viewers)
    assert engine.joined == viewers, engine.failures
    engine.record = Record(since=clock())
    return engine


def published(engine: Engine, plan: Plan, count: int, each: int) -> list[int]:
    """Publish ``count`` messages, wait for them, and return how many each viewer got."""
    plan.due, plan.end = clock(), plan.number + count
    wanted = engine.deliveries + count * each
    engine.run(5, plan=plan, stop=lambda: plan.number == plan.end)
    engine.run(5, stop=lambda: engine.deliveries >= wanted)
    engine.run(0.05)  # whatever comes too much would come now
    return [viewer.received for viewer in engine.viewers]


@pytest.mark.processes
def test_every_frame_of_every_viewer_is_counted(broadcast_port: int) -> None:
    engine = joined(Engine(Plain(), broadcast_port), viewers=60, rooms=3)
    got = published(engine, Plan(rate=2000, rooms=3), count=300, each=20)
    assert Counter(got) == {100: 60}
    assert engine.deliveries == engine.frames == len(engine.record.latencies) == 6000
    assert engine.disorder == 0
    assert all(0 < value < 5e9 for value in engine.record.latencies)
    engine.close()


@pytest.mark.processes
def test_frames_longer_than_a_read_are_put_together(broadcast_port: int) -> None:
    engine = joined(Engine(Plain(), broadcast_port), viewers=3)
    assert published(engine, Plan(rate=100, rooms=1, size=400_000), count=5, each=3) == [5, 5, 5]
    engine.close()


@pytest.mark.processes
def test_a_viewer_that_stops_reading_gets_nothing_and_the_others_all(broadcast_port: int) -> None:
    engine = joined(Engine(Plain(), broadcast_port), viewers=4)
    engine.stop_reading(engine.viewers[-1])
    assert published(engine, Plan(rate=500, rooms=1), count=50, each=3) == [50, 50, 50, 0]
    engine.close()


@pytest.fixture
def autocode() -> Iterator[tuple[Engine, AgentsServer]]:
    agents = AgentsServer()
    agents.projects = [ROOM]
    with fake_autocode.running(agents.port, {"good"}) as port:
        engine = Engine(AutoCode(projects=[ROOM], tokens=[["good"]]), port)
        agents.attach(engine)
        engine.run(5, stop=lambda: agents.connected)
        yield joined(engine, viewers=5), agents
        engine.close()
        agents.abandon()


def test_short_lived_pieces_and_durable_events_come_from_the_agents_server(
    autocode: tuple[Engine, AgentsServer],
) -> None:
    engine, agents = autocode
    agents.introduce()
    engine.run(5, stop=lambda: agents.unanswered == 0)
    assert agents.acknowledged == 2
    engine.publish = agents.piece
    assert published(engine, Plan(rate=500, rooms=1), count=20, each=5) == [20] * 5
    engine.publish = agents.event
    assert published(engine, Plan(rate=500, rooms=1, number=20), count=20, each=5) == [40] * 5
    engine.run(5, stop=lambda: agents.unanswered == 0)
    assert (agents.acknowledged, agents.refused) == (22, [])


def test_a_chat_message_that_shows_its_text_twice_is_one_delivery(autocode: tuple[Engine, AgentsServer]) -> None:
    engine, _ = autocode
    assert published(engine, Plan(rate=500, rooms=1), count=20, each=5) == [20] * 5
    assert engine.deliveries == 100


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_survive_the_wire(size: int) -> None:
    content = os.urandom(size)
    sent = wire.client_frame(content) + wire.server_frame(content, wire.BINARY) + b"\x81"
    assert wire.frames(sent) == ([(wire.TEXT, content), (wire.BINARY, content)], len(sent) - 1)


def test_masks_are_undone() -> None:
    frame = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"  # "Hello": RFC 6455, section 5.7
    assert wire.frames(frame) == ([(wire.TEXT, b"Hello")], len(frame))


def test_a_payload_has_its_size_and_can_be_found() -> None:
    text = payload.make(42, 123, 100)
    assert len(text) == 100
    assert payload.read(f'{{"a":"{text}"}}'.encode()) == [(42, 123)]


def test_percentiles_are_exact() -> None:
    values = list(range(1, 101))
    assert [percentile(values, 50), percentile(values, 99), percentile([7], 99)] == [50, 99, 7]
    assert math.isnan(percentile([], 50))


def test_repeats_show_their_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0]).text() == "2.0 (1.0–3.0)"
    assert Spread.of([1234.5]).text(0) == "1,234"
    assert Spread.of([math.nan]).text() == "–"


def test_the_load_has_a_core_of_its_own() -> None:
    for count in (2, 3, 4, 16):
        cores = share_out(set(range(count)))
        assert not cores.load & cores.server
        assert not cores.services & cores.server


def test_the_plot_is_well_formed_and_complete() -> None:
    bars = [Bar("AutoCode", 10, 9, 12, ours=True), Bar("A <peer> & more", 180, 180, 180)]
    picture = ET.fromstring(draw([Panel("CPU", "µs", bars)], subtitle="here"))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["CPU", "AutoCode", "10.0 µs", "A <peer> & more", "180 µs", "here"]


def test_a_report_names_every_peer_and_figure(tmp_path: Path) -> None:
    machine = dict.fromkeys(("cpu", "cores", "memoryGiB", "system", "python", "node", "redis", "placement"), "x")
    results = report.Results(machine=machine, started="2025-01-02T03:04:05+00:00", options={"repeat": 2})
    for cpu in (10.0, 14.0):
        results.add("room200", "websockets", {"cpu_us": cpu, "p50_ms": math.nan})
    table = report.rows(results, scenarios.SCENARIOS["room200"])
    assert table[1][:2] == ["websockets.broadcast", "12.0 (10.0–14.0)"]
    assert len({len(row) for row in table}) == 1
    assert [path.suffix for path in report.save(results, tmp_path, "n")] == [".json", ".md", ".svg"]
    assert "12.0 (10.0–14.0)" in (tmp_path / "n.md").read_text()


def test_requirements_are_locked_and_name_no_registry() -> None:
    lines = REQUIREMENTS.read_text().splitlines()
    assert all("--hash=sha256:" in line or "==" in line for line in lines if line.strip())
    assert not any("://" in line or "index" in line for line in lines)
