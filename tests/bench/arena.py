"""Brings one peer up on its core, with viewers in their rooms, and takes it down again."""

from __future__ import annotations

import gc
import http.client
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench import roster
from tests.bench.install import ROOT
from tests.bench.load.agents import AgentsServer
from tests.bench.load.dialects import AutoCode
from tests.bench.load.engine import Engine
from tests.bench.load.viewer import Plan, Record, clock
from tests.bench.machine import Cores
from tests.bench.process import Server, cpu_seconds, pin, pss_kib, tree
from tests.bench.roster import Peer, Place
from tests.support.services import Postgres, Redis, free_port

START_S = 30.0
MOST_USERS = 200
"""Users of AutoCode that the viewers are: many tabs of many people, not one person's thousand tabs."""


class PeerError(Exception):
    """The peer could not do its part; the message says what happened."""


class DurablePostgres(Postgres):
    """PostgreSQL as in production: a commit is on the disk before it is acknowledged."""

    def command(self) -> list[str]:
        safe = {"fsync=off": "fsync=on", "synchronous_commit=off": "synchronous_commit=on"}
        safe |= {"full_page_writes=off": "full_page_writes=on", "shared_buffers=64MB": "shared_buffers=256MB"}
        return [safe.get(part, part) for part in super().command()]


@dataclass(slots=True)
class Sample:
    """CPU and deliveries at one moment."""

    at: float
    server: float
    redis: float
    database: float
    load: float
    deliveries: int
    frames: int


@dataclass(slots=True)
class Contest:
    """A running peer and its viewers."""

    peer: Peer
    engine: Engine
    server: Server
    redis_pid: int
    database_pid: int = 0
    agents: AgentsServer | None = None
    plans: int = 0

    def fill(self, viewers: int, rooms: int, *, window: int = 200, seconds: float = 90) -> None:
        """Bring ``viewers`` into ``rooms``, evenly. Raises ``PeerError`` when some are not in within ``seconds``."""
        wanted = self.engine.joined + viewers
        self.engine.open(((seat, seat % rooms) for seat in range(viewers)), window=window)
        self.engine.run(seconds, stop=lambda: self.engine.joined >= wanted or not self.server.alive)
        if self.engine.joined < wanted:
            why = self.engine.failures[-1] if self.engine.failures else "no answer"
            raise PeerError(f"{self.engine.joined} of {wanted} viewers joined; last: {why}\n{self.server.tail()}")

    def sample(self) -> Sample:
        """Read all counters."""
        database = cpu_seconds(tree(self.database_pid)) if self.database_pid else 0.0
        return Sample(
            time.monotonic(), cpu_seconds(self.server.pids), cpu_seconds([self.redis_pid]), database,
            time.process_time(), self.engine.deliveries, self.engine.frames,
        )  # fmt: skip

    def memory(self) -> int:
        """Return KiB of the server's processes."""
        return pss_kib(self.server.pids)

    def record(self, seconds: float) -> Record:
        """Write down what is sent from now on for ``seconds``."""
        now = clock()
        self.engine.record = Record(since=now, until=now + int(seconds * 1e9))
        self.engine.disorder = 0  # what a room repeats for those who have just come is no fault
        for viewer in self.engine.viewers:
            viewer.received = 0
        return self.engine.record

    def drain(self, expected: int, seconds: float = 3.0) -> None:
        """Wait for what is still on its way, at most ``seconds``."""
        record = self.engine.record
        self.engine.run(seconds, stop=lambda: len(record.latencies) >= expected)

    def plan(self, rate: float, rooms: int, size: int = 100) -> Plan:
        """Return a plan that begins now."""
        return Plan(rate=rate, rooms=rooms, size=size, due=clock(), number=self._next_number())

    def _next_number(self) -> int:
        # Numbers never repeat within a server's life: a command with a used id would not be carried out again.
        self.plans += 1
        return 1_000_000 * self.plans


class Arena:
    """What all contests share: cores, Redis, PostgreSQL when it is needed, and a directory."""

    def __init__(self, cores: Cores, *, say: Callable[[str], None]) -> None:
        self.cores = cores
        self.say = say
        self.directory = Path(tempfile.mkdtemp(prefix="autocode-bench-"))
        self._redis = Redis()
        self._postgres: DurablePostgres | None = None
        self._secret = secrets.token_urlsafe(48)  # one for all: the tokens in a copied database must stay good
        self._fillings: dict[tuple[int, int], tuple[Path, roster.Filling]] = {}

    def __enter__(self) -> Self:
        try:
            self._redis.start()
            pin(tree(self._pid(self._redis)), self.cores.services)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the services and remove what was written."""
        self._redis.close()
        if self._postgres is not None:
            self._postgres.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextmanager
    def contest(
        self, peer: Peer, *, viewers: int, rooms: int = 1, processes: int = 1, database: str = "sqlite",
        link: bool = True,
    ) -> Iterator[Contest]:  # fmt: skip
        """Run ``peer`` for the length of the block; the viewers are still to be brought in with ``fill``."""
        place = Place(free_port(), self._redis.url, Path(tempfile.mkdtemp(dir=self.directory)), processes)
        agents = AgentsServer() if peer.is_autocode and link else None
        server: Server | None = None
        engine: Engine | None = None
        try:
            environment = peer.environment(place)
            dialect = peer.dialect()
            if peer.is_autocode:
                environment |= roster.autocode_environment(
                    place, secret=self._secret, database_url=self._database(database),
                    agents_port=agents.port if agents else 0, viewers=viewers,
                )  # fmt: skip
                dialect = self._filled(environment, place, min(viewers, MOST_USERS), rooms, keep=database == "sqlite")
            engine = Engine(dialect, place.port)
            if agents is not None:
                agents.attach(engine)
            server = Server(
                peer.command(place), cores=self.cores.server if processes == 1 else self.cores.servers,
                log=place.directory / "server.log", env=environment, cwd=ROOT if peer.is_autocode else place.directory,
            )  # fmt: skip
            contest = Contest(peer, engine, server, self._pid(self._redis), agents=agents)
            if self._postgres is not None and database == "postgres":
                contest.database_pid = self._pid(self._postgres)
            self._wait(contest, place)
            if agents is not None and not peer.durable:
                self._introduce(contest, agents, dialect)
            with _quiet_memory():
                yield contest
        finally:
            if engine is not None:
                engine.close()
            if server is not None:
                server.stop()
            if agents is not None:
                agents.abandon()
            shutil.rmtree(place.directory, ignore_errors=True)

    def _filled(self, environment: dict[str, str], place: Place, users: int, rooms: int, *, keep: bool) -> AutoCode:
        """Fill AutoCode's database, or copy one that was filled in the same way: a file, so only with SQLite."""
        file = place.directory / "autocode.sqlite3"
        kept = self._fillings.get((users, rooms)) if keep else None
        if kept is None:
            found = roster.autocode_fill(environment, users=users, rooms=rooms)
            if keep:
                copy = self.directory / f"filled-{users}-{rooms}.sqlite3"
                shutil.copy(file, copy)
                self._fillings[users, rooms] = copy, found
        else:
            copy, found = kept
            shutil.copy(copy, file)
        return AutoCode(projects=found.projects, tokens=found.tokens)

    def _wait(self, contest: Contest, place: Place) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end and contest.server.alive:
            contest.engine.run(0.05)
            if (_ready if contest.peer.is_autocode else _listens)(place.port):
                # The first of several processes answers before the others are there to share the viewers.
                contest.engine.run(0.2 if place.processes == 1 else 3.0)
                return
        raise PeerError(f"it did not start:\n{contest.server.tail()}")

    def _introduce(self, contest: Contest, agents: AgentsServer, dialect: object) -> None:
        assert isinstance(dialect, AutoCode)
        agents.projects = dialect.projects
        contest.engine.run(START_S, stop=lambda: agents.connected)
        if not agents.connected:
            raise PeerError(f"it did not connect to the agents-server:\n{contest.server.tail()}")
        agents.introduce()
        contest.engine.run(START_S, stop=lambda: agents.unanswered <= 0)
        if agents.unanswered > 0 or agents.refused:
            raise PeerError(f"the agents' introduction: {agents.unanswered} unanswered, {agents.refused[:1]}")
        contest.engine.publish = agents.piece

    def _database(self, name: str) -> str:
        """Return the URL of an empty database, or nothing for SQLite in the contest's directory."""
        if name == "sqlite":
            return ""
        if self._postgres is None:
            self._postgres = DurablePostgres()
            self._postgres.start()
            pin(tree(self._pid(self._postgres)), self.cores.services)
        import psycopg

        fresh = f"bench{time.monotonic_ns()}"
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {fresh}".encode())
        return f"{self._postgres.url.rpartition('/')[0]}/{fresh}"

    @staticmethod
    def _pid(service: Redis | Postgres) -> int:
        assert service.process is not None
        return service.process.pid


def _listens(port: int) -> bool:
    try:
        socket.create_connection((roster.LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection(roster.LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _quiet_memory() -> Iterator[None]:
    """Keep Python's cycle collector out of the measurement: it would stop the load for milliseconds."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
