"""What breaks things, and who plays on meanwhile: a TCP proxy, and clients that keep the protocol and a history."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, WebSocketException

from apps.projects.models import Project, ProjectEvent
from tests.faults.checker import Client, Outcome, Placed, Sent, Shown, Stored
from tests.support.agents_server import ScriptedAgents
from tests.support.browser import Browser, Closed, Refused

ANSWER_S = 3.0
"""How long a client waits for an answer before it takes the connection for lost."""
PING_S = 1.0
"""Between two questions whether the connection is alive; the page asks every 25 s, but the test should not wait."""
DELIVERED_S = 30.0
"""After which the agents-server has to have an answer, or a new connection."""
PAUSE_S = (0.05, 0.3)
"""Between two tries to connect; a page waits longer, but the test should see many."""
GONE = (Closed, Refused, OSError, TimeoutError, EOFError, WebSocketException)


def digest(type_: str, data: Any) -> str:
    """Return what tells one event from another."""
    return hashlib.sha256(json.dumps([type_, data], sort_keys=True).encode()).hexdigest()[:16]


class Proxy:
    """A line between clients and a server that can be cut, held up, slowed and damaged."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.delay = 0.0
        self.cut_after: int | None = None
        """Bytes towards the client after which a connection is reset, in the middle of whatever it was."""
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0
        """How many there ever were."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection."""
        for pair in list(self._pairs):
            for side in pair:
                side.transport.abort()

    def hold(self) -> None:
        """Let nothing through, in neither direction: both sides believe that the other is there."""
        self._open.clear()

    def release(self) -> None:
        """Let everything through again."""
        self._open.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        pair = writer, far_writer
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._carry(reader, far_writer, None), self._carry(far_reader, writer, self.cut_after))
        except OSError:
            pass
        finally:
            self._pairs.discard(pair)
            for side in pair:
                side.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, most: int | None) -> None:
        carried = 0
        while data := await source.read(65_536):
            await self._open.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            carried += len(data)
            if most is not None and carried > most:
                target.write(data[: most - carried])
                raise ConnectionResetError
            target.write(data)
            await target.drain()
        raise ConnectionResetError


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that was answered with "not now": the error's code, and after how many seconds."""

    code: str
    project: str
    seconds: float


class Player:
    """A client that comes back whenever it is cut off, from where it stands, and notes what it was shown.

    It begins at the first of ``urls`` and comes back to any of them.
    """

    def __init__(self, name: str, user: Any, rooms: Sequence[Project], urls: Sequence[str], seed: int) -> None:
        self.history = Client(name)
        self.user, self._rooms, self._urls = user, rooms, list(urls)
        self._random = random.Random(f"{seed}{name}")
        self._url = self._urls[0]
        self._at: dict[str, tuple[str, int]] = {}
        self._tab: Browser | None = None
        self._there = asyncio.Event()
        self._stopped = False
        self.connections = 0
        self.refusals: list[Refusal] = []

    async def play(self) -> None:
        """Watch until ``stop``."""
        while not self._stopped:
            try:
                self._tab = await Browser.open(self.user, url=self._url)
                self.connections += 1
                for room in self._rooms:
                    await self._join(self._tab, room)
                self._there.set()
                await self._watch(self._tab)
            except GONE:
                pass
            finally:
                self._there.clear()
                await self._end()
            self._url = self._random.choice(self._urls)
            await asyncio.sleep(self._random.uniform(*PAUSE_S))

    async def _join(self, tab: Browser, room: Project) -> None:
        guid = str(room.guid)
        known = self._at.get(guid)
        data = {"epoch": known[0], "lastSeq": known[1]} if known else {}
        reply = await asyncio.wait_for(tab.command("join_project", data, room), ANSWER_S)
        if reply["type"] != "project_joined":
            raise Closed(0)  # not just now: begin again

    async def _watch(self, tab: Browser) -> None:
        """Return when the connection ends, or raise when it is silent: like the page, a watcher asks for life."""
        while tab.code is None:
            with contextlib.suppress(TimeoutError):
                await tab.closed(patience=PING_S)
                return
            await asyncio.wait_for(tab.command("ping"), ANSWER_S)

    async def _end(self) -> None:
        """Note what this connection showed, in its order, and leave it."""
        tab, self._tab = self._tab, None
        if tab is None:
            return
        with contextlib.suppress(*GONE):
            await asyncio.wait_for(tab.leave(), 2)
        noted(self.history, self._at, tab.received, time.monotonic())

    async def write(self, room: Project, key: str) -> dict[str, Any]:
        """Carry out one command, sending it again under its id until there is an answer; return the answer's data."""
        while True:
            await self._there.wait()
            tab = self._tab
            if tab is None:
                await asyncio.sleep(0.01)
                continue
            asked = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_S):
                    reply = await tab.command("create_task", {"title": key}, room, command_id=key, patience=ANSWER_S)
            except GONE:
                self.history.sent.append(Sent(key, str(room.guid), Outcome.UNKNOWN))
                await self._lost(tab)
                continue
            if reply["type"] == "ack":
                self.history.sent.append(Sent(key, str(room.guid), Outcome.OK, reply["data"]["seq"]))
                return dict(reply["data"])
            assert reply["data"]["retryable"], reply
            self.refusals.append(Refusal(reply["data"]["code"], str(room.guid), time.monotonic() - asked))
            await asyncio.sleep(reply["data"].get("retryAfterMs", 200) / 1000)

    async def _lost(self, tab: Browser) -> None:
        """A connection on which no answer comes is given up, as the page does."""
        if self._tab is tab and tab.code is None:
            tab.line.socket.transport.abort()  # type: ignore[attr-defined] # the websockets client's
        await asyncio.sleep(0.05)

    async def there(self) -> None:
        """Return when it is connected and in its rooms."""
        await self._there.wait()

    def stop(self) -> None:
        """Leave."""
        self._stopped = True
        if self._tab is not None:
            self._tab.line.socket.transport.abort()  # type: ignore[attr-defined]

    async def up_to(self, tops: dict[str, int]) -> None:
        """Return when it was shown these numbers, or what is beyond them."""
        while any(self._seen(guid) < top for guid, top in tops.items()):  # noqa: ASYNC110 - it takes no news
            await asyncio.sleep(0.02)

    def _seen(self, guid: str) -> int:
        """Return how far it was shown a project."""
        for one in reversed(self._tab.received if self._tab is not None else []):
            if one.get("projectGuid") != guid:
                continue
            if one["type"] == "project_joined" and not one["data"]["recovered"]:
                return int(one["data"]["lastSeq"])
            if "seq" in one:
                return int(one["seq"])
        return self._at.get(guid, ("", 0))[1]


def stored(rooms: Sequence[Project]) -> list[Stored]:
    """Return what the database holds of these projects."""
    rows = ProjectEvent.objects.filter(project__in=rooms).select_related("project").order_by("project_id", "seq")
    found = []
    for row in rows:
        data = json.loads(row.data)
        key = _words(row.type, data)
        project = row.project
        found.append(Stored(str(project.guid), project.epoch, row.seq, digest(row.type, data), key=key))
    return found


def noted(history: Client, at: dict[str, tuple[str, int]], envelopes: Sequence[dict[str, Any]], now: float) -> None:
    """Add to ``history`` what envelopes showed, in their order; ``at`` is where the client stands in each project."""
    for one in envelopes:
        guid = one.get("projectGuid") or ""
        if one["type"] == "project_joined":
            data, known = one["data"], at.get(guid)
            if data["recovered"] and known is not None:
                place = Placed(now, guid, data["epoch"], known[1], anew=False)
            else:
                place = Placed(now, guid, data["epoch"], data["lastSeq"], anew=True)
            history.shown.append(place)
            at[guid] = place.epoch, place.seq
        elif "seq" in one:
            epoch = at[guid][0]
            history.shown.append(Shown(now, guid, epoch, one["seq"], digest(one["type"], one["data"])))
            at[guid] = epoch, one["seq"]


async def deliver(agents: ScriptedAgents, messages: list[dict[str, Any]]) -> None:
    """Send messages as an agents-server does: each again, in order, on each new connection, until it is answered."""
    while waiting := [one for one in messages if one["id"] not in agents.answers]:
        if agents.sockets:
            try:
                await agents.send(*waiting)
            except ConnectionClosed:
                pass
        since = len(agents.hellos)
        async with asyncio.timeout(DELIVERED_S):
            while len(agents.hellos) == since and any(one["id"] not in agents.answers for one in messages):
                await agents.pause(0.05)
    refused = [agents.answers[one["id"]][0] for one in messages if agents.answers[one["id"]][0]["type"] != "ack"]
    assert not refused, refused


def _words(type_: str, data: Any) -> str:
    """Return the words by which a test knows the command or report again that made this event."""
    match type_:
        case "task_created":
            return str(data["task"]["title"])
        case "agent_message":
            return str(data["content"])
        case "project_message" if data["kind"] == "user":
            return str(data["content"])
    return ""


Breaking = Callable[[], Awaitable[None]]
