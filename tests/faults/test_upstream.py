"""The agents-server is away, slow, mad or forgetful while people talk to it; each word has one effect, in order."""

from __future__ import annotations

import asyncio
import html
import time
from collections import Counter

import pytest
from django.test import Client

from apps.agents.models import DeadLetter, OutboxMessage
from apps.core import clock
from apps.projects.aio import in_thread
from tests.faults.checker import Outcome
from tests.faults.scene import Scene
from tests.faults.upstream import Arrival, open_promises
from tests.support.factories import a_person, a_project

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


def repeats(scene: Scene) -> list[Arrival]:
    """Return the commands that came again after the agents-server had acted on them."""
    return [arrival for arrival in scene.upstream.arrivals if not arrival.new]


def administration(path: str, form: dict[str, str] | None = None) -> str:
    """Return a page of the administration as an operator sees it, or what it says after a form."""
    client = Client()
    client.force_login(a_person(is_staff=True, is_superuser=True))
    answer = client.get(path) if form is None else client.post(path, form, follow=True)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


@pytest.mark.parametrize("way", ["refuses", "hangs up"])
async def test_f21_while_it_is_away_words_are_kept_and_the_room_knows(scene: Scene, way: str) -> None:
    upstream, watcher, room = scene.upstream, scene.people[0], scene.rooms[0]
    await scene.begin(down_after=2.0)
    if way == "refuses":
        await upstream.stop()
    else:
        upstream.refuse = 1013
        upstream.sockets[-1].transport.abort()
    gone = await watcher.sees_link(room, lambda link: link["state"] != "connected")
    before, tries, since = len(upstream.arrivals), len(upstream.opened), time.monotonic()
    await scene.talk(3)
    assert {sent.outcome for sent in watcher.history.sent} == {Outcome.OK}
    waiting = await watcher.sees_link(room, lambda link: link["queued"] >= 8)
    assert waiting["oldestS"] >= 0
    assert waiting["since"] >= gone["since"]
    await watcher.sees_link(room, lambda link: link["state"] == "down")
    states = {one["state"] for one in watcher.told(room, "user_feedback_response")}
    assert states == {"received"}
    assert len(upstream.arrivals) == before
    upstream.refuse = None
    if way == "refuses":
        await upstream.start()
    else:
        assert 0 < len(upstream.opened) - tries <= 4 + (time.monotonic() - since) / 0.1  # a tenth of the longest pause
    back = await watcher.sees_link(room, lambda link: link["state"] == "connected" and not link["queued"])
    assert back["since"] > waiting["since"]
    await scene.settled()
    states = {one["state"] for one in watcher.told(room, "user_feedback_response")}
    assert states == {"received", "forwarded", "delivered"}
    await scene.judged()


async def test_f22_a_slow_project_holds_up_no_other_and_nothing_comes_twice(scene: Scene) -> None:
    upstream, slow, quick = scene.upstream, scene.rooms[:2], scene.rooms[2:]
    await scene.begin()
    held = {str(room.guid) for room in slow}
    upstream.on_command = lambda frame: ["hold"] if frame["projectGuid"] in held else ["ack"]
    first = len(upstream.arrivals)
    await upstream.stop()
    await scene.talk(9, slow)
    await upstream.start()
    await upstream.until(lambda: len(upstream.held) == len(slow))
    await scene.talk(4, quick)
    await scene.settled(quick)
    late = [arrival for arrival in upstream.arrivals[first:] if arrival.project in held]
    assert sorted(arrival.project for arrival in late) == sorted(held)  # the next one waits for the answer
    await asyncio.sleep(2.0)
    assert len([arrival for arrival in upstream.arrivals[first:] if arrival.project in held]) == len(late)
    upstream.on_command = lambda frame: ["ack"]
    await upstream.let_go()
    await scene.settled()
    assert upstream.most_unacknowledged[0] == 1
    assert not repeats(scene)
    await scene.judged()


async def test_f22_what_is_on_its_way_at_once_is_bounded(scene: Scene) -> None:
    upstream = scene.upstream
    await scene.begin()
    upstream.on_command = lambda frame: ["hold"]
    many = await in_thread(lambda: [a_project() for _ in range(40)])
    await upstream.until(lambda: len(upstream.held) >= 32)
    await asyncio.sleep(1.0)
    assert upstream.most_unacknowledged == (1, 32)
    upstream.on_command = lambda frame: ["ack"]
    await upstream.let_go()
    await scene.settled(many)
    assert len({arrival.project for arrival in upstream.arrivals}) == len(many) + len(scene.rooms)
    assert not repeats(scene)


FINE = ["ack"]
ENDINGS = {
    "acts and is cut off": [["act", "break"], FINE, FINE, FINE],
    "is cut off before it acts": [["break"], FINE, FINE, FINE],
    "acks and closes": [["ack", "close"], FINE, FINE, FINE],
    "acks and is cut off": [["ack", "break"], FINE, FINE, FINE],
    "acks thrice, or refuses for the moment": [["ack", "ack", "ack"], ["nack!"], FINE],
}
"""What it does, in turn, to a project's commands when they come for the first time."""


@pytest.mark.parametrize("ending", ENDINGS)
async def test_f24_however_an_answer_ends_there_is_one_effect(scene: Scene, ending: str) -> None:
    upstream, turns = scene.upstream, ENDINGS[ending]
    await scene.begin()
    seen: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()

    def answer(frame: dict[str, str]) -> list[str]:
        if frame["id"] in seen:
            return FINE
        seen[frame["id"]] = turns[counts[frame["projectGuid"]] % len(turns)]
        counts[frame["projectGuid"]] += 1
        return seen[frame["id"]]

    upstream.on_command = answer
    await scene.talk(1)
    await scene.talk(1)
    await scene.settled()
    struck = [words for words in seen.values() if words != FINE]
    assert len(struck) >= 4
    assert upstream.most_unacknowledged[0] == 1
    if turns[0][-1] in {"break", "close"}:
        assert len(upstream.hellos) >= 3
    if turns[0][0] == "act":
        assert len(repeats(scene)) >= len(struck)
    await scene.judged()


async def test_f24_a_server_that_never_acknowledges_gets_the_same_again_and_acts_once(scene: Scene) -> None:
    upstream = scene.upstream
    await scene.begin(ack_timeout=0.5)
    upstream.on_command = lambda frame: ["act"]
    await scene.talk(2)
    await upstream.until(lambda: len(repeats(scene)) >= len(scene.rooms))
    why = await in_thread(
        lambda: set(OutboxMessage.objects.exclude(last_error="").values_list("last_error", flat=True))
    )
    assert why == {"no_ack: The agents-server did not answer."}
    upstream.on_command = lambda frame: ["ack"]
    await scene.settled()
    await scene.judged()


NOISE: list[str | bytes] = [
    "{", b"\x00\x01", "[]", '"text"', "[" * 5_000, "1", "null", '{"type": 3}', '{"data": {}}', "x" * 2_000_000,
    '{"type": "ack", "data": {"id": 7}}', '{"type": "nack", "data": {}}', '{"type": "pong", "data": {"t": "x"}}',
    '{"type": "welcome", "data": {"offset": "x"}}',
]  # fmt: skip
"""Frames that are read and refused."""
FATAL = {
    "bytes that are no UTF-8": (b"\x81\x02\xff\xfe", 1007),
    "a reserved bit": (b"\xc1\x02{}", 1002),
    "a reserved opcode": (b"\x83\x02{}", 1002),
    "10 MiB": (b"\x81\x7f" + (10 * 2**20).to_bytes(8, "big"), 1009),
}
"""What no WebSocket may send, and the code with which the link closes."""


async def test_f25_noise_is_counted_and_changes_no_room(scene: Scene) -> None:
    upstream, room = scene.upstream, scene.rooms[0]
    await scene.begin()
    before = {one.key for one in (await scene.history()).log}
    talking = asyncio.create_task(scene.talk(3))
    strange = [
        upstream.message("ack", room.guid, {"id": "00000000-0000-4000-8000-000000000000"}, id=None),
        upstream.message("nack", room.guid, {"id": "no-id-at-all", "retryable": True}, id=None),
        upstream.message("agent_message", room.guid, {"agentId": "x"}),
        upstream.message("agent_message", room.guid, {"agentId": "x", "content": "y" * 40_000}),
        upstream.message("no_such_type", room.guid, {}),
        upstream.message("agent_message", "00000000-0000-4000-8000-000000000000", {"agentId": "x", "content": "y"}),
    ]
    for _ in range(5):
        for frame in NOISE:
            await upstream.raw(frame)
        await upstream.send(*strange)
    for envelope in strange[2:]:
        assert (await upstream.answer(envelope["id"]))["type"] == "nack"
    await upstream.report(upstream.word(room, "a good one after it"))
    await upstream.all_acknowledged()
    await talking
    await scene.settled()
    assert len(upstream.hellos) == 1  # the link bore it
    history = await scene.judged()
    said = {sent.key for person in scene.people for sent in person.history.sent}
    assert {one.key for one in history.log} - before - said == {"a good one after it"}


@pytest.mark.parametrize("kind", FATAL)
async def test_f25_what_no_websocket_may_send_closes_with_its_code(scene: Scene, kind: str) -> None:
    upstream, (frame, code) = scene.upstream, FATAL[kind]
    await scene.begin()
    talking = asyncio.create_task(scene.talk(3))
    for number in range(2):
        upstream.sockets[-1].transport.write(frame)
        await upstream.connected(number + 2)
    await talking
    await scene.settled()
    assert upstream.codes[:2] == [code, code]
    await scene.judged()


async def test_f25_a_server_that_sends_nothing_but_rubbish_is_asked_ever_more_seldom(scene: Scene) -> None:
    upstream = scene.upstream
    await scene.begin(backoff_longest=2.0)
    upstream.on_hello = lambda socket: socket.transport.write(FATAL["a reserved bit"][0])
    upstream.sockets[-1].transport.abort()
    started, since = len(upstream.opened), time.monotonic()
    await scene.talk(2)
    await asyncio.sleep(2.0)
    assert 1 < len(upstream.opened) - started <= 6 + (time.monotonic() - since) / 0.2  # a tenth of the longest pause
    upstream.on_hello = lambda socket: None
    await scene.settled()
    await scene.judged()


async def test_f26_news_that_come_three_times_happen_once(scene: Scene) -> None:
    upstream = scene.upstream
    await scene.begin()
    talking = asyncio.create_task(scene.talk(2))
    for number in range(12):
        words = [upstream.word(room, f"news-{number}-{room.guid}") for room in scene.rooms]
        await upstream.report(*words, *words)
        if number % 4 == 3:
            upstream.sockets[-1].transport.abort()  # what was not acknowledged comes again by itself
            await upstream.connected(len(upstream.hellos) + 1)
        else:
            await upstream.report(*words)
    await upstream.all_acknowledged()
    await talking
    await scene.settled()
    history = await scene.judged()
    assert sum(one.key.startswith("news-") for one in history.log) == 12 * len(scene.rooms)


async def test_f27_a_hole_is_told_asked_for_and_closed_when_it_is_filled(scene: Scene) -> None:
    upstream, watcher, room = scene.upstream, scene.people[0], scene.rooms[0]
    await scene.begin()
    words = [upstream.word(room, f"news-{number}") for number in range(1, 8)]
    syncs = len(upstream.commands("project_status_sync"))
    await upstream.report(*words[:2], words[4])
    told = await watcher.sees_link(room, lambda link: link.get("gap"))
    assert told["gap"] == "messages 3-4 of the agents-server never came"
    await upstream.until(lambda: len(upstream.commands("project_status_sync")) > syncs)
    upstream.sockets[-1].transport.abort()
    await upstream.connected(2)
    assert upstream.hellos[1]["resume"]["offset"] == 2  # what is missing is asked for
    await upstream.report(*words[2:5])
    await upstream.report(words[6])
    await watcher.sees_link(room, lambda link: link.get("gap"))
    await upstream.report(words[5])
    await watcher.sees_link(room, lambda link: link["state"] == "connected" and not link.get("gap"))
    await scene.talk(1)
    await scene.settled()
    history = await scene.judged()
    assert [one.key for one in history.log if one.key.startswith("news-")] == [
        f"news-{number}" for number in (1, 2, 5, 3, 4, 7, 6)
    ]  # fmt: skip


async def test_a_server_that_lost_its_memory_begins_anew_and_one_that_went_back_is_told(scene: Scene) -> None:
    upstream, watcher, room = scene.upstream, scene.people[0], scene.rooms[0]
    await scene.begin()
    for epoch in ("one", "two"):
        await scene.talk(1)
        await upstream.report(*(upstream.word(room, f"news-{epoch}-{number}") for number in range(3)))
        await upstream.all_acknowledged()
        await scene.settled()
        await upstream.stop()
        if epoch == "one":
            upstream.forget("two")
        else:
            upstream.offset = 1
        await upstream.start()
        await upstream.connected(len(upstream.hellos) + 1)
    assert [hello["resume"] for hello in upstream.hellos[1:3]] == [
        {"epoch": "one", "offset": 3}, {"epoch": "two", "offset": 3},
    ]  # fmt: skip
    link = await watcher.sees_link(room, lambda link: link.get("gap"))
    assert link["gap"] == "the agents-server has gone back; it lost messages"
    await scene.talk(1)
    await scene.settled()
    history = await scene.judged()
    assert sum(one.key.startswith("news-") for one in history.log) == 6


async def refusing_the_poison(scene: Scene, words: list[str]) -> None:
    """Let one feedback be answered with ``words`` while the others talk, and see that it alone is in trouble."""
    upstream, (sick, *well) = scene.upstream, scene.rooms
    upstream.on_command = lambda frame: words if frame["data"].get("content") == "poison" else ["ack"]
    await scene.people[1].say(sick, "user_feedback", "poison")
    for _ in range(2):
        await scene.talk(1, well)
        await scene.settled(well)


async def test_f32_what_breaks_the_server_parks_its_project_alone(scene: Scene) -> None:
    upstream, (sick, *_) = scene.upstream, scene.rooms
    await scene.begin()
    await refusing_the_poison(scene, ["break"])
    await scene.talk(1, [sick])
    row = await in_thread(lambda: OutboxMessage.objects.get(type="user_feedback", data__content="poison"))
    await upstream.until(lambda: sum(arrival.key == str(row.key) for arrival in upstream.arrivals) >= 2)
    page = await in_thread(administration, f"/admin/agents/outboxmessage/?q={row.key}")
    assert "connection_lost: The connection broke before it was answered." in page
    assert await in_thread(open_promises, [sick]) > 1  # what is behind it waits
    await scene.people[0].sees_link(sick, lambda link: link["queued"] > 1)
    upstream.on_command = lambda frame: ["ack"]  # somebody repaired it
    await in_thread(lambda: OutboxMessage.objects.filter(pk=row.pk).update(due_at=clock.now()))  # its pause is over
    await scene.settled()
    await scene.judged()


async def test_f32_what_the_server_refuses_for_good_is_a_letter_that_can_be_sent_again(scene: Scene) -> None:
    upstream, watcher, (sick, *_) = scene.upstream, scene.people[0], scene.rooms
    await scene.begin()
    await refusing_the_poison(scene, ["nack"])
    await scene.talk(1, [sick])
    await scene.settled()
    letter = await in_thread(DeadLetter.objects.get)
    page = await in_thread(administration, "/admin/agents/deadletter/")
    assert "no: not this" in page
    states = [
        one["state"] for one in watcher.told(sick, "user_feedback_response") if one["feedback"]["content"] == "poison"
    ]
    assert states == ["received", "forwarded", "failed"]
    upstream.on_command = lambda frame: ["ack"]
    await in_thread(
        administration, "/admin/agents/deadletter/", {"action": "try_again", "_selected_action": str(letter.pk)}
    )
    await scene.settled()
    history = await scene.judged()
    [promise] = [one for one in history.outbox if one.command == "poison"]
    assert promise.state == "acked"


async def test_f29_a_line_that_is_silent_is_noticed_and_nothing_counts_as_delivered(scene: Scene) -> None:
    upstream, watcher, room = scene.upstream, scene.people[0], scene.rooms[0]
    await scene.begin(ping_interval=1.0, ping_timeout=1.5, open_timeout=1.0)
    settled = await in_thread(lambda: OutboxMessage.objects.filter(state="acked").count())
    arrived = len(upstream.arrivals)
    scene.line.hold()
    await scene.talk(3)
    gone = await watcher.sees_link(room, lambda link: link["state"] != "connected")
    assert gone["queued"] > 0
    assert await in_thread(lambda: OutboxMessage.objects.filter(state="acked").count()) == settled
    assert len(upstream.arrivals) == arrived
    scene.line.release()
    await watcher.sees_link(room, lambda link: link["state"] == "connected" and not link["queued"])
    await scene.settled()
    await scene.judged()
