"""A server dies at the worst moment; another one goes on, and nobody can tell from what he sees.

F02, F04, F31 of the fault matrix, and their like. Each point is proved to be reached: the process ends with 137.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest

from apps.agents.models import OutboxMessage
from apps.agents.services.chat import ChatService
from apps.projects.aio import in_thread
from apps.projects.models import ProjectEvent
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from tests.faults.checker import Effect, History, Promise, Stored, judge
from tests.faults.kit import Player, deliver, stored
from tests.faults.office import PATIENCE, Office, Person
from tests.faults.points import DIED, POINTS
from tests.faults.record import counted, figures
from tests.realtime.serving import ROOT, Serving
from tests.support.browser import Browser
from tests.support.factories import a_person

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

SEEN_S = 10.0
"""After which everybody has seen what was stored before the crash. The promise is 2 s on a machine of its own."""
KEPT = 10
"""Events that the sweep leaves."""


class Scene:
    """A victim that holds the link, a survivor, and three people: two of them begin at the victim."""

    def __init__(self, office: Office, flag: Path) -> None:
        self.office, self.flag = office, flag
        self.victim: Serving
        self.survivor: Serving
        self.players: list[Player] = []
        self._playing: list[asyncio.Task[None]] = []
        self.healed_s = 0.0

    async def set(self, point: str) -> None:
        """Start the servers, and let everybody come."""
        office = self.office
        self.victim, self.survivor = await asyncio.gather(
            office.start(CRASH_AT=point, CRASH_FLAG=self.flag), office.start(CRASH_FLAG=self.flag)
        )
        await office.linked()
        urls = [self.victim.url, self.survivor.url]
        for number in range(3):
            person = await in_thread(self._member)
            mine = urls if number < 2 else urls[::-1]
            self.players.append(Player(f"p{number}", person, [office.room], mine, number))
        self._playing = [asyncio.create_task(player.play()) for player in self.players]
        await self.all_see_all()

    def _member(self) -> Any:
        user = a_person()
        owner = self.office.owner.actor
        MembershipService(owner).add(guid=self.office.room.guid, username=user.username, role=Role.CONTRIBUTOR)
        return user

    @property
    def author(self) -> Player:
        return self.players[0]

    async def all_see_all(self) -> None:
        """Return when everybody was shown the end of the log."""
        rows = await in_thread(stored, [self.office.room])
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(player.up_to({rows[-1].project: rows[-1].seq}) for player in self.players))

    async def dies(self, doing: Awaitable[Any]) -> Any:
        """Let the victim die at its point while ``doing`` goes on; return what that returns, when all have seen all."""
        self.flag.touch()
        work = asyncio.ensure_future(doing)
        assert await self.victim.ended() == DIED
        died = time.monotonic()
        result = await asyncio.wait_for(work, PATIENCE)
        await self.all_see_all()
        self.healed_s = time.monotonic() - died
        figures(recovery_s=self.healed_s)
        print(f"\n{self.victim.environment['CRASH_AT']}: everybody had seen all after {self.healed_s:.2f} s")
        assert self.healed_s < SEEN_S
        return result

    async def sweeps(self, point: str) -> int:
        """Let a process of its own remove old events, and die at ``point``; return its exit code."""
        values = {"CRASH_AT": point, "CRASH_FLAG": str(ROOT), "AUTOCODE_LOG_EVENTS": str(KEPT)}  # at once
        process = await asyncio.create_subprocess_exec(
            sys.executable, "manage.py", "prune", cwd=ROOT, env=self.victim.environment | values, stdout=DEVNULL
        )
        return await asyncio.wait_for(process.wait(), PATIENCE)

    async def back_at(self, seq: int) -> tuple[dict[str, Any], list[int]]:
        """Return what somebody is told who comes back from ``seq``, and which events he is sent."""
        async with await Browser.open(self.office.owner, url=self.victim.url) as tab:
            known = await tab.join(self.office.room)
            await tab.command("leave_project", {}, self.office.room)
            tab.received.clear()
            joined = await tab.join(self.office.room, epoch=known["epoch"], lastSeq=seq)
            await tab.command("ping")
            return joined, [one["seq"] for one in tab.received if "seq" in one]

    async def judged(self, swept: Sequence[Stored] = ()) -> History:
        """Fail where a promise is broken; ``swept`` are events that may be gone from the log."""
        for player in self.players:
            player.stop()
        await asyncio.wait(self._playing, timeout=PATIENCE)
        history = await in_thread(self._history)
        known = {one.seq: one for one in (*swept, *history.log)}
        history.log = [known[seq] for seq in sorted(known)]
        found = judge(history)
        figures(**counted(history, found))
        assert not found, found[:5]
        return history

    def _history(self) -> History:
        rows = OutboxMessage.objects.filter(project=self.office.room).order_by("id")
        guid = str(self.office.room.guid)
        known = dict.fromkeys((one["id"], one["projectGuid"]) for one in self.office.agents.commands())
        return History(
            clients=[player.history for player in self.players],
            log=stored([self.office.room]),
            outbox=[Promise(str(row.key), guid, row.state, row.last_error or "waits for its turn") for row in rows],
            effects=[Effect(key, guid) for key, guid in known],
            complaints=self.office.complaints(),
        )

    async def close(self) -> None:
        for player in self.players:
            player.stop()
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)


@pytest.fixture
async def scene(transactional_db: None, tmp_path: Path, private_redis: Any) -> AsyncIterator[Scene]:
    settings = "tests.faults.crashing"
    async with Office(tmp_path, private_redis.url, servers=0, DJANGO_SETTINGS_MODULE=settings) as office:
        made = Scene(office, tmp_path / "now")
        yield made
        await made.close()


def waiting(room: Any) -> int:
    """Count the promises that are not settled."""
    return OutboxMessage.objects.filter(project=room, state__in=["pending", "sent"]).count()


def kinds(room: Any) -> Counter[str]:
    return Counter(ProjectEvent.objects.filter(project=room).values_list("type", flat=True))


@pytest.mark.parametrize("point", ["after_commit", "before_ack"])
async def test_what_was_stored_is_seen_and_its_author_gets_the_first_answer(point: str, scene: Scene) -> None:
    """F02, F04."""
    await scene.set(point)
    first = await scene.author.write(scene.office.room, "before")
    assert "duplicate" not in first
    answer = await scene.dies(scene.author.write(scene.office.room, "during"))
    [made] = [one for one in await in_thread(stored, [scene.office.room]) if one.key == "during"]
    assert (answer["seq"], answer.get("duplicate")) == (made.seq, True)
    after = await scene.author.write(scene.office.room, "after")
    assert after["seq"] == made.seq + 1
    await scene.all_see_all()
    await scene.judged()


async def test_a_request_whose_answer_was_lost_is_answered_alike_and_carried_out_once(scene: Scene) -> None:
    """F04 over REST."""
    await scene.set("before_response")
    room, body = scene.office.room, {"title": "over REST"}
    caller = Person(scene.office.owner, scene.victim.port, rest=True)
    send = await caller.request("tasks/", room, "once", body)

    async def call() -> Any:
        await send()
        with pytest.raises((json.JSONDecodeError, ConnectionError)):  # nothing came
            await caller.answer("once")
        caller.port = scene.survivor.port
        await (await caller.request("tasks/", room, "once", body))()
        return await caller.answer("once")

    answer = await scene.dies(call())
    assert (answer.code, answer.data["title"]) == ("ok", "over REST"), answer
    history = await scene.judged()
    assert [one.key for one in history.log].count("over REST") == 1


@pytest.mark.parametrize("point", ["after_send", "before_mark"])
async def test_what_was_sent_and_not_marked_is_sent_again_and_has_one_effect(point: str, scene: Scene) -> None:
    """F31."""
    await scene.set(point)
    office = scene.office

    async def promise() -> None:
        for number in range(3):
            say = ChatService(office.owner.actor).send
            await in_thread(say, guid=office.room.guid, message=f"word {number}")
        async with asyncio.timeout(PATIENCE):
            while await in_thread(waiting, office.room):
                await office.agents.pause(0.1)

    await scene.dies(promise())
    chats = office.agents.commands("chat")
    counted = Counter(one["data"]["content"] for one in chats)
    assert counted["word 0"] == 2  # it did come again
    assert len({one["id"] for one in chats}) == 3
    assert list(dict.fromkeys(one["data"]["content"] for one in chats)) == ["word 0", "word 1", "word 2"]
    assert [hello["leaseEpoch"] for hello in office.agents.hellos] == sorted(
        {hello["leaseEpoch"] for hello in office.agents.hellos}
    )
    await scene.judged()


@pytest.mark.parametrize("point", ["in_the_middle_of_a_batch", "after_a_batch", "while_a_stream_is_merged"])
async def test_the_agents_news_arrives_whole_and_once(point: str, scene: Scene) -> None:
    await scene.set(point)
    office, guid = scene.office, scene.office.room.guid
    text = {"messageId": "m", "runId": "r", "agentId": "coder"}
    call = {"toolCallId": "t", "runId": "r", "agentId": "coder", "tool": "shell"}
    news = [
        office.agents.message("run_started", guid, {"runId": "r", "agentId": "coder"}),
        office.agents.message("project_message", guid, {"content": "has no id of its own"}),
        office.agents.message("tool_start", guid, call),
        office.agents.message("tool_end", guid, {"toolCallId": "t", "runId": "r", "status": "success"}),
        *(office.agents.message("message", guid, text | {"op": "delta", "delta": f"{n} "}) for n in range(20)),
        office.agents.message("message", guid, text | {"op": "end", "content": "the whole text"}),
        office.agents.message("done", guid, {"runId": "r", "status": "completed"}),
    ]
    await scene.dies(deliver(office.agents, news))
    await scene.judged()
    counted = await in_thread(kinds, office.room)
    once = ("run_started", "project_message", "tool_start", "tool_end", "message", "done")
    assert {kind: counted[kind] for kind in once} == dict.fromkeys(once, 1)
    [message] = await office.stored("message")
    assert message["data"]["content"] == "the whole text"


@pytest.mark.parametrize("point", ["in_the_sweep", "after_the_sweep"])
async def test_a_sweep_that_is_cut_off_removes_all_of_it_or_nothing(point: str, scene: Scene) -> None:
    """Whoever comes back then is told that the log was cut, or gets everything: never a part."""
    room, last = scene.office.room, 3 * KEPT
    await scene.set("after_send")
    while (await scene.author.write(room, f"task-{last}"))["seq"] < 3 * KEPT:
        last += 1
    await scene.all_see_all()
    before = await in_thread(stored, [room])
    top = before[-1].seq

    assert await scene.sweeps(point) == DIED
    gone = point == "after_the_sweep"
    assert (await in_thread(stored, [room]))[0].seq == (top - KEPT + 1 if gone else before[0].seq)
    joined, events = await scene.back_at(1)
    assert joined["recovered"] is not gone
    assert joined.get("reason") == ("trimmed" if gone else None)
    assert events == list(range((joined["lastSeq"] if gone else 1) + 1, top + 1))

    assert await scene.sweeps("") == 0
    assert [one.seq for one in await in_thread(stored, [room])] == list(range(top - KEPT + 1, top + 1))
    assert (await scene.author.write(room, "after"))["seq"] == top + 1
    await scene.all_see_all()
    await scene.judged(before)


def test_no_point_is_without_its_test() -> None:
    """A point that nobody names would be dead code."""
    source = Path(__file__).read_text()
    assert [name for name in POINTS if f'"{name}"' not in source] == []
