"""The agents-server's side of a fault: a scripted server that remembers what it did, and people who talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from apps.agents.models import DeadLetter, OutboxMessage
from apps.agents.selectors.link import link_status
from apps.projects.models import Project
from tests.faults.checker import Effect, Outcome, Promise, Reported, Sent
from tests.faults.kit import ANSWER_S, GONE, Player
from tests.support.agents_server import ScriptedAgents

PATIENCE = 60.0
"""Seconds after which what a test waits for will not come any more, on the slowest machine."""
SPOKEN = ("content", "reason")
"""Fields that carry the words by which a test knows a command again."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A command as it came: when (monotonic), over which connection of which lease, and whether it was new."""

    at: float
    connection: int
    lease: int
    key: str
    project: str
    type: str
    new: bool


class Upstream(ScriptedAgents):
    """A scripted agents-server that acts on each command once, and keeps its history for the checker.

    Two more words for ``on_command``: ``act`` (it acts on the command, which ``ack`` implies) and ``hold`` (the answer
    comes with ``let_go``). What it reports is kept and sent again, after each welcome, until it is
    acknowledged. With ``obeys`` it drops the connection of an older lease, as its contract says.
    """

    def __init__(self) -> None:
        super().__init__()
        self.obeys = True
        self.on_hello: Callable[[ServerConnection], object] = lambda _socket: None
        """Called after the welcome."""
        self.arrivals: list[Arrival] = []
        self.effects: list[Effect] = []
        self.reported: list[Reported] = []
        self.codes: list[int | None] = []
        """With which code each connection ended; None: without one."""
        self.opened: list[float] = []
        self.unacknowledged: dict[str, int] = {}
        """Commands of each project that wait for an answer of ours."""
        self.most_unacknowledged = (0, 0)
        """The most that waited at once: of one project, and of all."""
        self.held: list[tuple[ServerConnection, dict[str, Any]]] = []
        """Commands that were answered with ``hold``."""
        self._kept: dict[str, dict[str, Any]] = {}
        self._memory: set[str] = set()
        self._leases: dict[ServerConnection, int] = {}
        self._numbers = itertools.count(1)

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE):
            while not (found := condition()):
                await self.pause(0.05)
            return found

    def forget(self, epoch: str) -> None:
        """Lose everything, as a server does that was set up anew: ids and offsets begin again."""
        self.epoch, self.offset = epoch, 0
        self._memory.clear()
        self._kept.clear()
        self.answers.clear()
        self._numbers = itertools.count(1)

    @property
    def lease(self) -> int:
        """The newest lease that has said hello."""
        return max((hello["leaseEpoch"] for hello in self.hellos), default=0)

    async def let_go(self) -> None:
        """Acknowledge what was held."""
        held, self.held = self.held, []
        for socket, frame in held:
            with contextlib.suppress(ConnectionClosed):
                await self._answer(socket, frame, ["ack"])

    # --- what it reports ----------------------------------------------------------------------------------------

    def word(self, room: Project, text: str) -> dict[str, Any]:
        """Return an agent's word with the next number as id and offset."""
        number = next(self._numbers)
        self.offset = number
        data = {"agentId": "coder", "content": text}
        return self.message("agent_message", room.guid, data, id=f"n{number}", offset=number)

    async def report(self, *words: dict[str, Any]) -> None:
        """Send words, in one batch; each is kept until it is acknowledged."""
        for word in words:
            if self._kept.get(word["id"]) is not word:
                self._kept[word["id"]] = word
                self.reported.append(Reported(word["data"]["content"], word["projectGuid"]))
        with contextlib.suppress(ConnectionClosed):
            await self.send(*words)

    async def all_acknowledged(self) -> None:
        """Return when AutoCode has all that was reported."""
        await self.until(lambda: not self._waiting())

    def _waiting(self) -> list[dict[str, Any]]:
        return [one for key, one in self._kept.items() if key not in self.answers]

    # --- the socket ---------------------------------------------------------------------------------------------

    async def _connected(self, socket: ServerConnection) -> None:
        self.opened.append(time.monotonic())
        self.unacknowledged.clear()
        try:
            await super()._connected(socket)
        finally:
            await socket.wait_closed()
            self.codes.append(socket.close_code)
            self._news.set()

    async def _frame(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        if frame["type"] == "hello":
            await self._hello(socket, frame)
            return
        if frame["type"] not in {"ack", "nack", "ping", "pong", "error", "project_status_sync"}:
            self._arrived(socket, frame)
        await super()._frame(socket, frame)

    async def _hello(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        lease = frame["data"]["leaseEpoch"]
        older = [other for other, theirs in self._leases.items() if theirs < lease]
        self._leases[socket] = lease
        if self.obeys:
            for other in older:
                other.transport.abort()
        await super()._frame(socket, frame)
        self.on_hello(socket)
        for one in self._waiting():
            await self.send(one)

    def _arrived(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        guid, key = frame["projectGuid"], frame["id"]
        arrival = Arrival(
            time.monotonic(), self.sockets.index(socket), self._leases.get(socket, 0), key, guid, frame["type"],
            new=key not in self._memory,
        )  # fmt: skip
        self.arrivals.append(arrival)
        self.unacknowledged[guid] = self.unacknowledged.get(guid, 0) + 1
        one, every = self.most_unacknowledged
        self.most_unacknowledged = max(one, self.unacknowledged[guid]), max(every, sum(self.unacknowledged.values()))

    async def _answer(self, socket: ServerConnection, frame: dict[str, Any], words: list[str]) -> None:
        for word in words:
            if word == "hold":
                self.held.append((socket, frame))
            guid, key = frame["projectGuid"], frame["id"]
            if word in {"act", "ack"} and key not in self._memory and guid is not None:
                self._memory.add(key)
                self.effects.append(Effect(key, guid))
            if guid in self.unacknowledged and word in {"ack", "nack", "nack!"}:
                self.unacknowledged[guid] = max(0, self.unacknowledged[guid] - 1)
            await super()._answer(socket, frame, [word])


class Speaker(Player):
    """A person who watches the rooms and talks to the agents; every word is sent again until it is answered."""

    def sits_at(self, *urls: str) -> None:
        """Begin, and come back, there."""
        self._urls, self._url = list(urls), urls[0]

    async def say(self, room: Project, kind: str, key: str, **fields: Any) -> dict[str, Any]:
        """Carry out one command whose words are ``key``; return the data of its answer."""
        data = fields | {_FIELD[kind]: key}
        while True:
            await self._there.wait()
            tab = self._tab
            if tab is None:
                await asyncio.sleep(0.01)
                continue
            try:
                async with asyncio.timeout(ANSWER_S):
                    reply = await tab.command(kind, data, room, command_id=key)
            except GONE:
                self.history.sent.append(Sent(key, str(room.guid), Outcome.UNKNOWN, to_agents=True))
                await self._lost(tab)
                continue
            if reply["type"] != "error":
                seq = reply["data"].get("seq") if kind == "chat" else None
                self.history.sent.append(Sent(key, str(room.guid), Outcome.OK, seq, to_agents=True))
                return dict(reply["data"])
            assert reply["data"]["retryable"], reply
            await asyncio.sleep(reply["data"].get("retryAfterMs", 200) / 1000)

    async def there(self) -> None:
        """Return when it is in its rooms."""
        async with asyncio.timeout(PATIENCE):
            await self._there.wait()

    def told(self, room: Project, kind: str) -> list[dict[str, Any]]:
        """Return the data of what this connection was shown of one type, in order."""
        tab = self._tab
        envelopes = list(tab.received) if tab is not None else []
        return [one["data"] for one in envelopes if one["type"] == kind and one["projectGuid"] == str(room.guid)]

    def link(self, room: Project) -> dict[str, Any]:
        """Return the truth about the link as this person was told it last."""
        told = self.told(room, "agents_link")
        joined = self.told(room, "project_joined")
        return told[-1] if told else dict(joined[-1]["link"])

    async def sees_link(self, room: Project, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Return what the room says about the link, once it is as ``wanted``."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(IndexError):  # between two connections
                    if wanted(found := self.link(room)):
                        return found
                await asyncio.sleep(0.02)


_FIELD = {"chat": "message", "user_feedback": "content", "cancel": "reason", "approval": "reason"}


def promised(rooms: Sequence[Project]) -> list[Promise]:
    """Return the outbox of these projects in its order, with why what is not settled waits."""
    status = link_status()
    found: list[Promise] = []
    waits: set[str] = set()
    again = set(DeadLetter.objects.filter(resolution="retried").values_list("outbox_id", flat=True))
    for row in OutboxMessage.objects.filter(project__in=rooms).select_related("project").order_by("id"):
        guid, reason = str(row.project.guid), row.last_error
        if row.settled_at is None:
            if not reason and guid in waits:
                reason = "what is before it waits"
            elif not reason and status.state != "connected":
                reason = f"the link is {status.state}: {status.error}"
            waits.add(guid)
        data = row.data or {}
        command = next((data[name] for name in SPOKEN if name in data), "")
        found.append(Promise(str(row.key), guid, row.state, reason, command, again=row.pk in again))
    return found


def open_promises(rooms: Sequence[Project]) -> int:
    """Return how many promises of these projects are not settled."""
    return OutboxMessage.objects.filter(project__in=rooms, settled_at__isnull=True).count()


async def together(*parts: Coroutine[Any, Any, Any]) -> None:
    """Run parts at once; the first failure ends the others."""
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part)
