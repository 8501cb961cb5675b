"""The scenario of ``test_every_call.py``: who plays in it, where it is played, and how it is judged."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from apps.agents.models import OutboxMessage
from apps.projects.aio import in_thread
from apps.projects.models import Project, ProjectEvent
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from apps.realtime import draining
from apps.realtime.broadcaster import broadcaster
from apps.realtime.manager import manager_here, stop_here
from tests.agents.conftest import FAST, linked
from tests.faults.breaker import Breaker, ours
from tests.faults.checker import Client, Effect, History, Outcome, Promise, Sent, Stored, judge
from tests.faults.kit import deliver, digest, noted
from tests.support.agents_server import ScriptedAgents
from tests.support.browser import Browser, Closed, Refused
from tests.support.factories import a_person, a_project

ANSWER_S = 5.0
"""Without a word for so long a connection is dead, and nobody said so."""
HEALED_S = 15.0
"""After which everybody stands at the end of the log, once the fault is over."""
OPTIONS = replace(FAST, lease_ttl=1.0, outbox_poll=0.1, view_interval=0.3, upkeep_interval=0.3, database_retry=0.2)

Ready = Callable[[], Any]


class Hand:
    """A person who acts: comes back when the connection ends, and sends again what was not answered."""

    def __init__(self, name: str, user: Any, room: Any, complaints: list[str]) -> None:
        self.history = Client(name)
        self._user, self._room, self._complaints = user, room, complaints
        self._at: dict[str, tuple[str, int]] = {}
        self._tab: Browser | None = None
        self._taken = 0

    async def come(self) -> Browser:
        """Return a tab that has joined the room."""
        while True:
            if self._tab is not None and self._tab.code is None:
                return self._tab
            await self.go()
            try:
                self._tab = await Browser.open(self._user)
            except (Refused, TimeoutError) as error:
                self._complaints.append(f"{self.history.name}: no socket ({type(error).__name__})")
                raise
            known = self._at.get(str(self._room.guid))
            data = {"epoch": known[0], "lastSeq": known[1]} if known else {}
            reply = await self._asked("join_project", data, "")
            if reply is not None and reply["type"] == "error":
                self._complaints.append(f"{self.history.name}: the room was refused: {reply['data']}")
                raise AssertionError(reply)

    async def _asked(self, kind: str, data: dict[str, Any], key: str) -> dict[str, Any] | None:
        """Return the answer that is no "not now"; None when the connection ended first."""
        tab = self._tab
        assert tab is not None
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    reply = await tab.command(kind, data, self._room, command_id=key or None)
            except Closed as closed:
                if closed.code in {1006, 1011}:
                    self._complaints.append(f"{self.history.name}: {kind} ended the connection with {closed.code}")
                return None
            except TimeoutError:
                self._complaints.append(f"{self.history.name}: {kind} was not answered")
                raise
            if reply["type"] == "error" and reply["data"]["retryable"]:
                await asyncio.sleep(min(0.05, reply["data"].get("retryAfterMs", 0) / 1000))
                continue
            return reply

    async def do(self, kind: str, data: dict[str, Any], key: str) -> dict[str, Any]:
        """Carry out a command, under one id however often it takes; return the answer's data."""
        guid = str(self._room.guid)
        while True:
            await self.come()
            reply = await self._asked(kind, data, key)
            if reply is None:
                self.history.sent.append(Sent(key, guid, Outcome.UNKNOWN))
            elif reply["type"] == "error":
                self._complaints.append(f"{self.history.name}: {kind} was refused: {reply['data']}")
                self.history.sent.append(Sent(key, guid, Outcome.FAIL))
                return dict(reply["data"])
            else:
                self.history.sent.append(Sent(key, guid, Outcome.OK, reply["data"].get("seq")))
                return dict(reply["data"])

    def vanish(self) -> None:
        """Break the connection, in the middle of whatever the server does."""
        tab = self._tab
        if tab is None or tab.code is not None:
            return
        line: Any = tab.line
        tab._reader.cancel()
        tab.code, line._gone = 1001, True
        tab._news.set()
        line._communicator.input_queue.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def leave(self) -> None:
        """Leave the room, then close the tab."""
        if self._tab is not None and self._tab.code is None:
            await self._asked("leave_project", {}, "")
        await self.go()

    async def go(self) -> None:
        """Close the tab; what it showed is history."""
        tab, self._tab = self._tab, None
        if tab is not None:
            await tab.leave()
            self._note(tab)
            self._taken = 0

    def _note(self, tab: Browser) -> None:
        noted(self.history, self._at, tab.received[self._taken :], time.monotonic())
        self._taken = len(tab.received)

    def place(self) -> int:
        """Return how far it has seen the room."""
        if self._tab is not None:
            self._note(self._tab)
        return self._at.get(str(self._room.guid), ("", 0))[1]

    async def up_to(self, top: Callable[[], Any]) -> None:
        """Return when it was shown what is the log's end then."""
        while True:
            await self.come()
            if self.place() == await top():
                return
            await asyncio.sleep(0.01)


class Play:
    """The scenario, once."""

    def __init__(self, room: Any, ada: Any, bob: Any) -> None:
        self.room = room
        self.agents = ScriptedAgents()
        self.complaints: list[str] = []
        self.ada = Hand("ada", ada, room, self.complaints)
        self.bob = Hand("bob", bob, room, self.complaints)

    def key(self, what: str) -> str:
        """Return the id of a command, which nobody has used before."""
        return f"{what}:{self.room.guid.hex[-12:]}"

    async def run(self) -> None:
        """Two people and an agents-server."""
        ada, bob = self.ada, self.bob
        await asyncio.gather(ada.come(), bob.come())
        await ada.do("chat", {"message": self.key("chat")}, self.key("chat"))
        await bob.do("create_task", {"title": self.key("task")}, self.key("task"))
        await ada.do("user_feedback", {"content": "faster", "target": {}, "mode": "steer"}, self.key("feedback"))
        await deliver(self.agents, self.news())
        await bob.leave()
        await self.decide()
        await deliver(self.agents, [self.message("done", {"runId": "r", "status": "completed"})])
        await bob.come()

    def message(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return self.agents.message(kind, self.room.guid, data)

    def news(self) -> list[dict[str, Any]]:
        """A run with a text in pieces, a call and a question."""
        text = {"messageId": "m", "runId": "r", "agentId": "coder"}
        call = {"toolCallId": "t", "runId": "r", "agentId": "coder", "tool": "shell"}
        question = {"approvalId": "q", "agentId": "coder", "runId": "r", "tool": "shell", "args": {"cmd": "ls"}}
        return [
            self.message("run_started", {"runId": "r", "agentId": "coder"}),
            self.message("message", text | {"op": "start"}),
            self.message("message", text | {"op": "delta", "delta": "Hel"}),
            self.message("message", text | {"op": "end", "content": "Hello"}),
            self.message("tool_start", call),
            self.message("project_message", {"content": "has no id of its own"}),
            self.message("approval_needed", question),
        ]

    async def decide(self) -> None:
        """Approve what is asked."""
        wish = {"approvalId": "q", "decision": "approve", "argsDigest": await in_thread(self._question)}
        await self.ada.do("approval", wish, self.key("approval"))

    def _question(self) -> str:
        from apps.agents.models import Approval

        with ours():
            return str(Approval.objects.get(project=self.room, key="q").args_digest)

    async def top(self) -> int:
        """Return the log's end."""
        with ours():
            return max(one.seq for one in await in_thread(self.log))

    def log(self) -> list[Stored]:
        """Return what the database holds of the room."""
        rows = list(ProjectEvent.objects.filter(project=self.room).select_related("project").order_by("seq"))
        found = []
        for row in rows:
            data = json.loads(row.data)
            found.append(
                Stored(
                    str(self.room.guid),
                    row.project.epoch,
                    row.seq,
                    digest(row.type, data),
                    self._made_by(row.type, data),
                )
            )
        return found

    def _made_by(self, kind: str, data: dict[str, Any]) -> str:
        """Return the id of the command that an event comes from."""
        match kind:
            case "task_created":
                return str(data["task"]["title"])
            case "project_message" if data["kind"] == "user":
                return str(data["content"])
            case "approval_resolved":
                return self.key("approval")
        return ""

    def outbox(self) -> list[Promise]:
        rows = OutboxMessage.objects.filter(project=self.room).order_by("id")
        return [Promise(str(row.key), str(self.room.guid), row.state, row.last_error) for row in rows]

    def effects(self) -> list[Effect]:
        known = dict.fromkeys((one["id"], one["projectGuid"]) for one in self.agents.commands())
        return [Effect(key, guid) for key, guid in known]

    async def healed(self) -> None:
        """Return when nothing waits any more and everybody has seen the end."""
        async with asyncio.timeout(HEALED_S):
            with ours():
                while any(one.state in {"pending", "sent"} for one in await in_thread(self.outbox)):  # noqa: ASYNC110 - rows
                    await asyncio.sleep(0.02)
            await asyncio.gather(self.ada.up_to(self.top), self.bob.up_to(self.top))

    async def judged(self) -> Counter[str]:
        """Fail where a promise is broken; return how often each kind of event came."""
        await asyncio.gather(self.ada.go(), self.bob.go())
        with ours():
            log, outbox = await in_thread(self.log), await in_thread(self.outbox)
            kinds = await in_thread(self._kinds)
        found = judge(
            History([self.ada.history, self.bob.history], log, outbox, self.effects(), complaints=self.complaints)
        )
        assert not found, found[:5]
        return kinds

    def _kinds(self) -> Counter[str]:
        """Count the events by what they say; the steps of a promise on its way may be passed over."""
        rows = ProjectEvent.objects.filter(project=self.room).values_list("type", "data")
        found = Counter[str]()
        for kind, data in rows:
            state = json.loads(data).get("state", "")
            if kind != "user_feedback_response" or state in {"received", "delivered"}:
                found[f"{kind} {state}".strip() if kind == "user_feedback_response" else kind] += 1
        return found


class Theatre:
    """Where the scenario is played: people, and a breaker in the walls."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.usual: Counter[str] = Counter()

    async def furnish(self) -> None:
        self.owner, self.ada, self.bob = await in_thread(lambda: [a_person() for _ in range(3)])

    def admit(self, person: Any, room: Any) -> None:
        """Make the person a member who may approve."""
        MembershipService(self.owner.actor).add(guid=room.guid, username=person.username, role=Role.APPROVER)

    def _room(self) -> Any:
        room = a_project(self.owner)
        for person in (self.ada, self.bob):
            self.admit(person, room)
        return room

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[None]:
        """A process of rooms, in this loop."""
        here = manager_here()
        try:
            yield
        finally:
            self.breaker.disarm()
            for connection in list(here.connections.values()):
                await connection.gone()
            await broadcaster.flushed()
            await stop_here()
            draining.end()
            broadcaster._paused_until = 0.0  # the next play is to have a layer from its beginning

    async def play(self, seam: str, number: int, error: Callable[[], BaseException] | None) -> bool:
        """Play once while the ``number``-th call fails; return whether there was such a call.

        Without ``error`` ada's connection breaks at that call, and the call goes on.
        """
        with ours():
            play = Play(await in_thread(self._room), self.ada, self.bob)
        loop = asyncio.get_running_loop()

        def vanish() -> None:
            loop.call_soon_threadsafe(play.ada.vanish)

        try:
            async with asyncio.timeout(60), play.agents:
                self.breaker.arm(seam, number, error or vanish)
                async with self._server(), linked(play.agents, options=OPTIONS):
                    await play.run()
                    fired, calls = self.breaker.fired, self.breaker.calls
                    self.breaker.disarm()
                    await play.healed()
                    kinds = await play.judged()
        except BaseException as failure:
            failure.add_note(
                f"{seam} call {number}: {self.breaker.fired}, {error and error()!r}; {play.complaints[:3]}"
            )
            raise
        with ours():  # or the link tells this room, too, how it stands in all plays to come
            await in_thread(Project.objects.filter(pk=play.room.pk).update, status="archived")
        self.usual = self.usual or kinds
        assert kinds == self.usual, (seam, number, fired, kinds - self.usual, self.usual - kinds)
        return bool(fired) or calls >= number > 0
