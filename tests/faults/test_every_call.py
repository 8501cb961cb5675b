"""One call fails, for every call that there is: to the database, the channel layer, the link. Then all goes on.

The idea is SQLite's: a small scenario is played again and again, and the k-th call in it fails, until k is larger than
the scenario. After each fault everybody has recovered by himself, and the checker finds nothing.
``AUTOCODE_TEST_EVERY=1`` tries every k; otherwise a stride is taken, from a place that the printed seed decides.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.models import F

from apps.agents.models import OutboxMessage
from apps.agents.services import relay
from apps.agents.services.chat import ChatService
from apps.projects.aio import in_thread
from apps.projects.models import Membership, Project, ProjectEvent
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from apps.projects.services.messages import MessageService
from apps.realtime import draining
from apps.realtime.broadcaster import broadcaster
from apps.realtime.manager import manager_here, stop_here
from tests.agents.conftest import FAST, linked
from tests.faults.breaker import ERRORS, Breaker, ours
from tests.faults.checker import Client, Effect, History, Outcome, Promise, Sent, Stored, judge
from tests.faults.kit import deliver, digest, noted
from tests.support.agents_server import ScriptedAgents
from tests.support.browser import Browser, Closed, Refused
from tests.support.factories import a_person, a_project

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

STRIDE = {"database": 17, "commit": 1, "layer": 4, "link": 2}
"""In ``./test``. With a stride each call fails in one way, without one in every way."""
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

    def _room(self) -> Any:
        room = a_project(self.owner)
        for person in (self.ada, self.bob):
            admit(self, person, room)
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


@pytest.fixture
async def theatre(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Theatre:
    settings.AUTOCODE_POSITION_CHECK_S = 0.1
    settings.AUTOCODE_ROOM_LINGER_S = 0.2
    settings.AUTOCODE_PRESENCE_LEAVE_S = 0.1
    breaker = Breaker()
    breaker.plant(monkeypatch)
    made = Theatre(breaker)
    await made.furnish()
    await made.play("", 0, AssertionError)  # how it goes when nothing fails
    return made


@pytest.mark.parametrize("seam", ERRORS)
async def test_whichever_call_fails_everybody_recovers(seam: str, theatre: Theatre) -> None:
    seed = int(os.environ.get("AUTOCODE_TEST_SEED") or time.time_ns() % 1_000_000)
    stride = int(os.environ.get("AUTOCODE_TEST_EVERY") or STRIDE[seam])
    number, tried, began = 1 + seed % stride, 0, time.monotonic()
    while True:
        errors = ERRORS[seam] if stride == 1 else [ERRORS[seam][tried % len(ERRORS[seam])]]
        reached = [await theatre.play(seam, number, error) for error in errors]
        tried += sum(reached)
        if not any(reached):
            break
        number += stride
    took = time.monotonic() - began
    print(f"\n{seam}: {tried} calls of about {number} failed, in {took:.1f} s (seed {seed}, stride {stride})")
    assert tried >= 1


async def test_a_client_may_vanish_at_any_moment(theatre: Theatre) -> None:
    """What it had asked for is done or not, and once; a half-done read holds up nobody else."""
    seed = int(os.environ.get("AUTOCODE_TEST_SEED") or time.time_ns() % 1_000_000)
    stride = int(os.environ.get("AUTOCODE_TEST_EVERY") or STRIDE["database"])
    number = 1 + seed % stride
    while await theatre.play("database", number, None):
        number += stride
    print(f"\nada vanished at each {stride}th of about {number} calls (seed {seed})")
    assert number > stride


async def test_a_resync_that_fails_leaves_nobody_deaf(theatre: Theatre, room_in_process: Any) -> None:
    """The client is told that it failed; whatever it does then, it goes on seeing what happens."""
    room, tab, number = room_in_process, await Browser.open(theatre.ada), 0
    await tab.join(room)
    fired = True
    while fired:
        number += 1
        theatre.breaker.arm("database", number, ERRORS["database"][0])
        reply = asyncio.create_task(tab.command("resync", {"afterSeq": 0}, room))
        await asyncio.wait([reply], timeout=0.1)  # only a failure is answered
        fired = reply.done()
        reply.cancel()
        theatre.breaker.disarm()
        with ours():
            await in_thread(say, theatre, room, f"after {number}")
        await tab.until(lambda one, n=number: "seq" in one and one["data"].get("content") == f"after {n}")
    await tab.leave()
    assert number > 1


async def test_a_room_that_begins_anew_leaves_nobody_behind(theatre: Theatre, room_in_process: Any) -> None:
    """The log is another one, and just then the database fails: it is shown anew, or closed to be joined again."""
    room, number, codes = room_in_process, 0, Counter[int]()
    fired = True
    while fired:
        number += 1
        tab = await Browser.open(theatre.ada)
        await tab.join(room)
        epoch = f"other{number}"
        theatre.breaker.arm("database", number, ERRORS["database"][0])
        with ours():
            await in_thread(Project.objects.filter(pk=room.pk).update, epoch=epoch)
        try:
            joined = await tab.next("project_joined")
            assert (joined["data"]["epoch"], joined["data"]["recovered"]) == (epoch, False)
        except Closed as closed:
            codes[closed.code] += 1
        fired = bool(theatre.breaker.fired)
        theatre.breaker.disarm()
        await tab.leave()
    print(f"\n{number - 1} calls failed while the room began anew; closed: {dict(codes)}")
    assert set(codes) == {4103}


async def test_a_right_that_was_lost_unheard_ends_although_the_look_for_it_fails(
    theatre: Theatre, room_in_process: Any
) -> None:
    room, broken = room_in_process, set[str]()
    for number in (1, 2, 3, 1, 2, 3):
        tab = await Browser.open(theatre.bob)
        await tab.join(room)
        await tab.refused("delete_task", {"taskId": "none"}, room)  # what a join looks at after its answer is over
        theatre.breaker.arm("database", number, ERRORS["database"][0])
        with ours():
            await in_thread(lose, theatre.bob, room)
        left = await tab.next("project_left")
        assert left["data"]["reason"] == "removed"
        assert await tab.closed() == 4403
        broken.add(theatre.breaker.fired)
        theatre.breaker.disarm()
        with ours():
            await in_thread(admit, theatre, theatre.bob, room)
        await tab.leave()
    assert any("role" in statement for statement in broken), broken


def lose(person: Any, room: Any) -> None:
    """Take a membership away as another process does whose word of it is lost."""
    with transaction.atomic():
        Membership.objects.filter(project=room, user=person).delete()
        Project.objects.filter(pk=room.pk).update(access_version=F("access_version") + 1)


def admit(theatre: Theatre, person: Any, room: Any) -> None:
    MembershipService(theatre.owner.actor).add(guid=room.guid, username=person.username, role=Role.APPROVER)


def say(theatre: Theatre, room: Any, content: str) -> None:
    MessageService(theatre.owner.actor).post(guid=room.guid, content=content)


@pytest.fixture
async def room_in_process(theatre: Theatre) -> AsyncIterator[Any]:
    """A room, and a server in this loop."""
    with ours():
        room = await in_thread(theatre._room)
    async with theatre._server():
        yield room


async def test_what_was_taken_while_the_answer_to_commit_was_lost_is_sent_all_the_same(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of these promises is in the database, and nobody holds them."""
    with ours():
        room = await in_thread(theatre._room)
    take, lost = relay.take, list[str]()

    def taken(*args: Any, **kwargs: Any) -> Any:
        parcels = take(*args, **kwargs)
        if parcels and not lost:
            lost.extend(parcel.key for parcel in parcels)
            raise OperationalError("the connection was lost while waiting for COMMIT")
        return parcels

    monkeypatch.setattr(relay, "take", taken)
    async with ScriptedAgents() as agents, linked(agents, options=OPTIONS):
        await in_thread(lambda: ChatService(theatre.owner.actor).send(guid=room.guid, message="go on"))
        await agents.command("chat")
        assert lost
        assert [one["id"] for one in agents.commands()][: len(lost)] == lost
        assert len(agents.hellos) == 1
