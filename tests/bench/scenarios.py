"""What is measured: each scenario does the same to every peer and returns figures by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.arena import Arena, Contest, PeerError
from tests.bench.figures import percentile
from tests.bench.load.viewer import Phase, Plan, Record
from tests.bench.process import syn_retransmits
from tests.bench.roster import Peer

Metrics = dict[str, float]
MS = 1e6
"""Nanoseconds."""

WINDOW = 16
"""Messages of a room on their way in the saturation runs: enough to keep a server busy, too few to fill its memory."""

STALL_S = 0.3
"""After so long without a delivery in a saturation run, what is on its way counts as lost and the run goes on."""

SETTLED_S = 3.0
"""After which memory counts: what a server gives back, it gives back within seconds."""

KEPT = 1_100
"""Messages after which every server has as many of them in its memory as it ever keeps (AutoCode: 1,024 open texts)."""

DURABLE_WINDOW = 512
"""Durable events on their way without an acknowledgement."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how large: the full run, or a quick look."""

    seconds: float = 8.0
    warm: float = 2.0
    hold: float = 10.0
    """Seconds for which idle connections are kept and watched."""
    shrink: int = 1
    """Divides the number of viewers in the large scenarios."""


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a scenario's table: its key, heading, and decimals. ``less`` tells which way is better."""

    key: str
    heading: str
    decimals: int = 1
    less: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """A measurement. ``takes`` tells which peers can do it."""

    name: str
    title: str
    run: Callable[[Arena, Peer, Pace], Metrics]
    columns: tuple[Column, ...]
    takes: Callable[[Peer], bool] = lambda peer: not peer.durable
    quick: bool = False
    most_repeats: int = 100
    """Repeats that are worth their time."""


def _room(viewers: int, rate: float, rooms: int = 1) -> Callable[[Arena, Peer, Pace], Metrics]:
    """``viewers`` in ``rooms``, ``rate`` messages a second in all, at a steady pace."""

    def run(arena: Arena, peer: Peer, pace: Pace) -> Metrics:
        count = viewers if viewers <= 200 else max(viewers // pace.shrink, rooms)
        with arena.contest(peer, viewers=count, rooms=rooms) as contest:
            contest.fill(count, rooms)
            return steady(contest, contest.plan(rate, rooms), pace, per_message=count / rooms)

    return run


def steady(contest: Contest, plan: Plan, pace: Pace, *, per_message: float) -> Metrics:
    """Publish by ``plan``; ``per_message`` viewers see each message."""
    engine = contest.engine
    engine.run(pace.warm, plan=plan)
    record = contest.record(pace.seconds)
    before = contest.sample()
    engine.run(pace.seconds, plan=plan)
    after = contest.sample()
    expected = round(record.sent * per_message)
    contest.drain(expected)
    elapsed, deliveries = after.at - before.at, max(after.deliveries - before.deliveries, 1)
    return {
        "cpu_us": (after.server - before.server) / deliveries * 1e6,
        "server_pct": (after.server - before.server) / elapsed * 100,
        "redis_pct": (after.redis - before.redis) / elapsed * 100,
        "database_pct": (after.database - before.database) / elapsed * 100,
        "load_pct": (after.load - before.load) / elapsed * 100,
        "rate": deliveries / elapsed,
        "frames_per_delivery": (after.frames - before.frames) / deliveries,
        "closed": engine.closed,
        "disorder": engine.disorder,
    } | latency(record, expected)


def latency(record: Record, expected: int) -> Metrics:
    """Return the percentiles in milliseconds, and how much of what was sent arrived while we waited."""
    values, late = sorted(record.latencies), sorted(record.lateness)
    return {
        "p50_ms": percentile(values, 50) / MS,
        "p99_ms": percentile(values, 99) / MS,
        "max_ms": (values[-1] if values else float("nan")) / MS,
        "arrived_pct": len(values) / expected * 100 if expected else float("nan"),
        "late_ms": percentile(late, 99) / MS,
    }


def saturate(contest: Contest, pace: Pace, *, viewers: int) -> Metrics:
    """Keep ``WINDOW`` messages on their way and see how many deliveries a second that makes."""
    engine, plan = contest.engine, contest.plan(1, 1)
    lost = progress = 0
    progress_at = 0.0
    published = plan.number
    base = engine.deliveries

    def pump() -> bool:
        nonlocal lost, progress, progress_at
        arrived, now = engine.deliveries - base, time.monotonic()
        if arrived != progress:
            progress, progress_at = arrived, now
        elif now - progress_at > STALL_S:
            lost, progress_at = (plan.number - published) * viewers - arrived, now
        while (plan.number - published) * viewers - arrived - lost < WINDOW * viewers:
            engine.publish_now(plan)
        return False

    engine.run(pace.warm, stop=pump)
    record = contest.record(pace.seconds)
    before = contest.sample()
    engine.run(pace.seconds, stop=pump)
    after = contest.sample()
    contest.drain(record.sent * viewers)
    elapsed, deliveries = after.at - before.at, max(after.deliveries - before.deliveries, 1)
    return {
        "rate": deliveries / elapsed,
        "cpu_us": (after.server - before.server) / deliveries * 1e6,
        "server_pct": (after.server - before.server) / elapsed * 100,
        "load_pct": (after.load - before.load) / elapsed * 100,
        "redis_pct": (after.redis - before.redis) / elapsed * 100,
    } | latency(record, record.sent * viewers)


def _saturation(arena: Arena, peer: Peer, pace: Pace) -> Metrics:
    with arena.contest(peer, viewers=200) as contest:
        contest.fill(200, 1)
        return saturate(contest, pace, viewers=200)


def _processes(arena: Arena, peer: Peer, pace: Pace) -> Metrics:
    found: Metrics = {}
    viewers = 1000 // pace.shrink
    for count in (1, 2):
        with arena.contest(peer, viewers=viewers, processes=count) as contest:
            contest.fill(viewers, 1)
            result = saturate(contest, pace, viewers=viewers)
        found |= {f"{key}_{count}": result[key] for key in ("rate", "cpu_us", "load_pct", "server_pct")}
    return found | {"factor": found["rate_2"] / found["rate_1"]}


def _connect(arena: Arena, peer: Peer, pace: Pace) -> Metrics:
    count = 1000 // pace.shrink
    with arena.contest(peer, viewers=count) as contest:
        contest.fill(1, 1)  # the first connection of a server loads and compiles things
        engine, before, syn = contest.engine, contest.sample(), syn_retransmits()
        first = len(engine.viewers)
        contest.fill(count, 1, window=count, seconds=60)
        after = contest.sample()
        crowd = engine.viewers[first:]
        start = min(viewer.started for viewer in crowd)
        took = sorted(viewer.joined_at - start for viewer in crowd)
        return {
            "per_s": count / (took[-1] / 1e9),
            "p50_ms": percentile(took, 50) / MS,
            "p99_ms": percentile(took, 99) / MS,
            "max_ms": took[-1] / MS,
            "syn": syn_retransmits() - syn,
            "retries": len(engine.failures),
            "cpu_ms": (after.server - before.server) / count * 1e3,
            "load_pct": (after.load - before.load) / (after.at - before.at) * 100,
        }


def _idle(viewers: int) -> Callable[[Arena, Peer, Pace], Metrics]:
    """``viewers`` in one room, and nothing happens but heartbeats."""

    def run(arena: Arena, peer: Peer, pace: Pace) -> Metrics:
        count = viewers // pace.shrink
        with arena.contest(peer, viewers=count) as contest:
            contest.fill(1, 1)
            contest.engine.run(1.0)
            empty = contest.memory()
            contest.fill(count, 1, seconds=240)
            contest.engine.run(2.0)
            full, before = contest.memory(), contest.sample()
            contest.engine.run(pace.hold / 2)
            half = contest.memory()
            contest.engine.run(pace.hold / 2)
            later, after = contest.memory(), contest.sample()
            return {
                "kib": (full - empty) / count,
                "base_mib": empty / 1024,
                "growth_mib": (later - full) / 1024,
                "late_mib": (later - half) / 1024,
                "closed": contest.engine.closed,
                "server_pct": (after.server - before.server) / (after.at - before.at) * 100,
            }

    return run


def _stopped_reader(arena: Arena, peer: Peer, pace: Pace) -> Metrics:
    """The others' latency while one viewer reads nothing, against the same run without it."""
    viewers, rate, size = 25, 100, 8192
    with arena.contest(peer, viewers=viewers + 1) as contest:
        engine = contest.engine
        contest.fill(viewers, 1)
        alone = steady(contest, contest.plan(rate, 1, size), pace, per_message=viewers)
        engine.run(KEPT / rate, plan=contest.plan(rate, 1, size))  # what a room keeps for newcomers is not the reader's
        before = contest.memory()
        stopped = engine.open([(viewers, 0)], window=1, narrow=True)[0]
        engine.run(5, stop=lambda: stopped.phase is Phase.JOINED)
        if stopped.phase is not Phase.JOINED:
            raise PeerError("the reader that is to stop did not join")
        engine.stop_reading(stopped)
        with_it = steady(contest, contest.plan(rate, 1, size), pace, per_message=viewers)
        engine.run(SETTLED_S)
        return {
            "p99_alone_ms": alone["p99_ms"],
            "p99_ms": with_it["p99_ms"],
            "ratio": with_it["p99_ms"] / alone["p99_ms"],
            "growth_mib": (contest.memory() - before) / 1024,
            "cut": float(engine.closed > 0),
            "arrived_pct": with_it["arrived_pct"],
        }


def _durable(database: str) -> Callable[[Arena, Peer, Pace], Metrics]:
    """Agents' events that are kept: how many a second, then how fast at half that rate. All viewers count them."""
    viewers = 10

    def run(arena: Arena, peer: Peer, pace: Pace) -> Metrics:
        with arena.contest(peer, viewers=viewers, database=database) as contest:
            contest.fill(viewers, 1)
            agents, engine = contest.agents, contest.engine
            assert agents is not None
            engine.publish = agents.event
            plan = contest.plan(1, 1)

            def pump() -> bool:
                while agents.unanswered < DURABLE_WINDOW:
                    engine.publish_now(plan)
                return False

            engine.run(pace.warm, stop=pump)
            before, acknowledged = contest.sample(), agents.acknowledged
            engine.run(pace.seconds, stop=pump)
            after, rate = contest.sample(), agents.acknowledged - acknowledged
            elapsed = after.at - before.at
            engine.run(10, stop=lambda: agents.unanswered <= 0)
            half = steady(contest, contest.plan(max(rate / elapsed / 2, 1), 1), pace, per_message=viewers)
            return {
                "events": rate / elapsed,
                "cpu_us": (after.server - before.server) / max(rate, 1) * 1e6,
                "server_pct": (after.server - before.server) / elapsed * 100,
                "database_pct": (after.database - before.database) / elapsed * 100,
                "load_pct": (after.load - before.load) / elapsed * 100,
                "refused": len(agents.refused),
            } | {key: half[key] for key in ("p50_ms", "p99_ms", "max_ms", "arrived_pct")}

    return run


def _everybody(_peer: Peer) -> bool:
    """Durable messages too: the others store nothing, and are compared all the same."""
    return True


_CPU = Column("cpu_us", "server CPU, µs/delivery", 1)
_LATENCY = (Column("p50_ms", "p50 ms", 2), Column("p99_ms", "p99 ms", 2), Column("max_ms", "max ms", 1))
_ARRIVED = Column("arrived_pct", "arrived %", 1, less=False)
_LOAD = Column("load_pct", "load CPU %", 0)
_SERVER = Column("server_pct", "server CPU %", 0)
_REDIS = Column("redis_pct", "Redis CPU %", 1)
_RATE = Column("rate", "deliveries/s", 0, less=False)
_STEADY = (_CPU, _SERVER, _REDIS, _RATE, _ARRIVED, *_LATENCY, _LOAD)

SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario(
            "room200", "200 viewers in one room, 100 messages/s", _room(200, 100), _STEADY, _everybody, quick=True
        ),
        Scenario(
            "room200-calm", "200 viewers in one room, 20 messages/s", _room(200, 20), _STEADY, _everybody, quick=True
        ),
        Scenario("room1000", "1,000 viewers in one room, 20 messages/s", _room(1000, 20), _STEADY, _everybody),
        Scenario("rooms250", "5,000 viewers in 250 rooms, 1,000 messages/s", _room(5000, 1000, 250), _STEADY),
        Scenario(
            "saturation", f"200 viewers, {WINDOW} messages always on their way", _saturation,
            (_RATE, _CPU, _SERVER, _REDIS, _ARRIVED, *_LATENCY[:2], _LOAD),
        ),
        Scenario(
            "connect", "1,000 viewers connect and join at once", _connect,
            (
                Column("per_s", "joined/s", 0, less=False), *_LATENCY, Column("syn", "SYN retransmits", 0),
                Column("retries", "handshakes tried again", 0), Column("cpu_ms", "server CPU, ms/connection", 2), _LOAD,
            ),
            quick=True,
        ),
        Scenario(
            "idle2000", "2,000 idle connections", _idle(2000),
            (
                Column("kib", "KiB/connection", 1), Column("base_mib", "MiB empty", 0),
                Column("growth_mib", "MiB grown while idle", 1), Column("late_mib", "in the second half", 1),
                Column("closed", "closed", 0), _SERVER,
            ),
        ),
        Scenario(
            "idle10000", "10,000 idle connections", _idle(10_000),
            (
                Column("kib", "KiB/connection", 1), Column("base_mib", "MiB empty", 0),
                Column("growth_mib", "MiB grown while idle", 1), Column("late_mib", "in the second half", 1),
                Column("closed", "closed", 0), _SERVER,
            ),
            most_repeats=1,
        ),
        Scenario(
            "stopped-reader", "25 viewers, 100 messages/s of 8 KiB, and one more that stops reading", _stopped_reader,
            (
                Column("p99_alone_ms", "p99 ms without", 2), Column("p99_ms", "p99 ms with", 2),
                Column("ratio", "ratio", 2), Column("growth_mib", "MiB grown", 1),
                Column("cut", "cut", 0, less=False), _ARRIVED,
            ),
        ),
        *(
            Scenario(
                f"durable-{name}", f"Durable agents' events on {label}: most a second, then latency at half of it",
                _durable(name),
                (
                    Column("events", "events/s", 0, less=False), Column("cpu_us", "server CPU, µs/event", 0),
                    _SERVER, Column("database_pct", "database CPU %", 0), _ARRIVED, *_LATENCY,
                    Column("refused", "refused", 0), _LOAD,
                ),
                takes=lambda peer: peer.name == "autocode",
            )
            for name, label in (("sqlite", "SQLite"), ("postgres", "PostgreSQL"))
        ),
        Scenario(
            "processes", "1,000 viewers, saturated: one server process, then two", _processes,
            (
                Column("rate_1", "deliveries/s, 1", 0, less=False), Column("rate_2", "deliveries/s, 2", 0, less=False),
                Column("factor", "factor", 2, less=False), Column("cpu_us_1", "µs/delivery, 1", 1),
                Column("cpu_us_2", "µs/delivery, 2", 1), Column("load_pct_1", "load CPU %, 1", 0),
                Column("load_pct_2", "load CPU %, 2", 0),
            ),
            takes=lambda peer: peer.scales,
        ),
    )
}  # fmt: skip
