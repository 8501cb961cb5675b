"""Messages in good JSON that say something wrong, over a real socket: a named refusal, and the next one is carried out.

What has to do with rights, tokens and other people's ids in whole stands in tests/security and tests/flows; here is
what a client may get wrong.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import pytest

from apps.projects.aio import in_thread
from apps.projects.models import Message, ProjectEvent, Task
from apps.realtime.commands import COMMANDS
from tests.flows.test_rights import furnished
from tests.serve.conftest import PLENTY, browsers, serve
from tests.serve.raw import FIN, TEXT, Raw, frame
from tests.support.browser import Browser, envelope, token_of
from tests.support.factories import a_person, a_project

__all__ = ["browsers", "serve"]

pytestmark = [pytest.mark.processes, pytest.mark.once, pytest.mark.timeout(110)]

FORGIVING = {**PLENTY, "AUTOCODE_FEEDBACKS_PER_S": 10_000, "DJANGO_SETTINGS_MODULE": "autocode.settings.test"}
"""Limits of number are not in the way; those are tried below, each alone."""
SLOW = {"AUTOCODE_COMMANDS_PER_S": 0.01, "AUTOCODE_COMMAND_BURST": 40}
NOBODY = "00000000-0000-4000-8000-000000000000"
ROOM = "{room}"
KIB32 = 32_768


class Case(NamedTuple):
    """A whole message and the refusal: code and field. ``{room}`` stands for the room's guid."""

    row: str
    what: str
    sent: dict[str, Any]
    code: str
    field: str | None = None


def command(row: str, what: str, type_: Any, data: Any, code: str, field: str | None = None, **more: Any) -> Case:  # noqa: PLR0917
    return Case(row, what, {"type": type_, "projectGuid": ROOM, "data": data} | more, code, field)


def field(row: str, type_: str, code: str = "invalid_field", **data: Any) -> Case:
    """A command whose last field is wrong."""
    name, value = list(data.items())[-1]
    return command(row, f"{type_} {name} {json.dumps(value)[:20]}", type_, data, code, name)


def any_of(*values: Any) -> tuple[Any, ...]:
    """Values of all kinds."""
    return values


MINE = {"taskId": "task-1"}

CASES = [
    Case("A1", "no type", {"data": {}}, "invalid_field", "type"),
    *(Case("A1", f"type {type_!r}", {"type": type_}, "invalid_field", "type")
      for type_ in any_of(None, 1, [], {}, True, "")),
    *(Case("A1", f"type {type_[:20]!r}", {"type": type_}, "unknown_type", "type")
      for type_ in ("websocket.disconnect", "websocket_receive", "disconnect", "run", "__init__", "take", "PING",
                    " ping", "ping ", "chat\u200b", "x" * 10_240, "project_joined", "ack", "http.request")),
    *(Case("A2", f"{name} {value!r}", {"type": "typing", "projectGuid": ROOM, name: value}, "invalid_field", name)
      for name, value in (("data", 1), ("data", []), ("data", "x"), ("data", True), ("timestamp", 7), ("seq", 1),
                          ("topic", "x"), ("replyTo", "x"), ("from", "ada"), ("userId", "x"))),
    Case("A2", "the data twice", {"type": "typing", "data": {}, "payload": {}}, "invalid_field", "payload"),
    Case("A2", "the project twice", {"type": "typing", "projectGuid": ROOM, "project_id": ROOM}, "invalid_field",
         "project_id"),
    field("A2", "create_task", title="T", colour="red"),
    field("A2", "create_task", title=None),
    field("A2", "create_task", title={"text": "T"}),
    field("A2", "create_task", title="T", priority=["high"]),
    command("A2", "a field is missing", "create_task", {}, "invalid_field", "title"),
    command("A2", "a field of 30 KiB is unknown", "create_task", {"title": "T", "x" * 30_000: 1}, "invalid_field",
            "x" * 256),
    Case("A2", "a field of 30 KiB on the envelope", {"type": "ping", "x" * 30_000: 1}, "invalid_field", "x" * 256),
    command("A2", "a field inside is unknown", "create_task",
            {"title": "T", "assignee": {"kind": "person", "id": "x", "name": "y", "x" * 200: 1}}, "invalid_field",
            f"assignee.{'x' * 200}"),
    Case("A4", "a command before the join", {"type": "create_task", "projectGuid": "{other}", "data": {"title": "T"}},
         "not_joined"),
    Case("A5", "leaving what was not joined", {"type": "leave_project", "projectGuid": "{other}"}, "not_joined"),
    *(Case("A6", f"{guid!r}"[:40], {"type": "join_project", "projectGuid": guid}, "invalid_field", "projectGuid")
      for guid in any_of("1", "", " ", "' OR 1=1 --", "../../etc", "9" * 40, -1, 10**15, 1.5, True, [], {}, "x" * 300,
                   NOBODY + "\u200b", NOBODY[:-1])),
    Case("A6", "nobody's project", {"type": "join_project", "projectGuid": NOBODY}, "not_found"),
    Case("A6", "somebody's project", {"type": "join_project", "projectGuid": "{foreign}"}, "not_found"),
    Case("A6", "somebody's project in capitals", {"type": "join_project", "projectGuid": "{FOREIGN}"}, "not_found"),
    Case("A6", "no project at all", {"type": "create_task", "data": {"title": "T"}}, "invalid_field", "projectGuid"),
    *(command("A7", f"id {key!r}"[:20], "create_task", {"title": "T"}, "invalid_field", "id", id=key)
      for key in any_of("", " ", "a b", "x" * 65, "x" * 30_000, "\x01", "\u00e9", 7, [], {}, True, "a/b", "a\nb")),
    *(field("A9", "join_project", lastSeq=seq) for seq in any_of(-1, 1.5, "1", True, [], 2**53 - 1 + 0.0)),
    *(field("A9", "resync", afterSeq=seq) for seq in any_of(-1, "0", None, 0.5)),
    *(field("A10", "chat", message=text) for text in any_of("", "   ", "\n\t", "\u200b\u200b", 7, None, [])),
    command("A10", "32 KiB and a character", "chat", {"message": "x" * (KIB32 + 1)}, "too_large", "data.message"),
    field("A11", "update_task", "not_found", taskId="nobody"),
    field("A11", "delete_task", "not_found", taskId="nobody"),
    command("A11", "an old version", "update_task", MINE | {"title": "x", "version": 99}, "conflict"),
    command("A11", "an old version, deleting", "delete_task", MINE | {"version": 99}, "conflict"),
    *(command("A12", f"{decision!r}", "approval", {"approvalId": "ask-1", "argsDigest": "x"} | decision, code)
      for decision, code in (({}, "invalid_field"), ({"decision": "maybe"}, "invalid_field"), ({"approved": 1},
                             "invalid_field"), ({"decision": "approve"}, "conflict"), ({"approved": True}, "conflict"),
                             ({"decision": "approve", "approved": True}, "invalid_field"))),
    command("A12", "an unknown approval", "approval", {"approvalId": "no", "argsDigest": "x", "decision": "approve"},
            "not_found"),
    *(field("A14", "set_task_status", taskId="task-1", status=status)
      for status in ("lost", "", None, 1, "DONE", "done ", ["done"])),
    command("A14", "a task that needs itself", "update_task", MINE | {"dependsOn": ["task-1"]}, "invalid_field",
            "dependsOn"),
    command("A14", "a task that needs nobody", "update_task", MINE | {"dependsOn": ["nobody"]}, "invalid_field",
            "dependsOn"),
    command("A14", "201 needs", "update_task", MINE | {"dependsOn": [f"t{n}" for n in range(201)]}, "invalid_field",
            "dependsOn"),
    *(field("A14", "update_task", taskId="task-1", position=position) for position in (1e300, -1e13, "1", True)),
    *(command("A15", f"an attachment at {url}", "chat", {"message": "m", "attachments": [{"name": "a", "url": url}]},
              "invalid_field") for url in ("javascript:alert(1)", "file:///etc/passwd", "", "data:text/html,x",
                                           "//x/y", "ftp://x/y", "https:/x", "https://" + "x" * 3_000)),
    command("A15", "eleven attachments", "chat",
            {"message": "m", "attachments": [{"name": "a", "url": "https://x/"}] * 11}, "invalid_field", "attachments"),
    field("A16", "typing", on="yes"),
    field("A16", "typing", on=True, userId="somebody"),
    command("A16", "a pane of 10 KiB", "focus", {"panes": ["x" * 10_240]}, "invalid_field", "panes[0]"),
    field("A16", "focus", panes="tasks"),
    *(Case("A17", f"until {moment}", {"type": "user_feedback", "projectGuid": ROOM, "data": {
        "content": "c", "expiresAt": moment}}, "invalid_field", "expiresAt")
      for moment in ("0001-01-01T00:00:00Z", "10000-01-01T00:00:00Z", 10**15, "NaN", "2026-12-01T00:00:00",
                     "2026-12-01T00:00:00+25:00", "2026-02-30T00:00:00Z", "")),
    *(field("A25", "user_feedback", content="c", rating=rating) for rating in (2, -2, 0.5, "1", True)),
    *(Case("A2", f"the short form {short}", short, "invalid_field", name) for short, name in (
        ({"action": "fly"}, "action"), ({"action": None}, "action"), ({"action": ["ping"]}, "action"),
        ({"action": {}}, "action"), ({"action": "ping", "type": "ping"}, "type"), ({"action": "subscribe"}, "topic"),
        ({"action": "subscribe", "topic": 7}, "topic"), ({"action": "subscribe", "topic": "x"}, "topic"),
        ({"action": "subscribe", "topic": "x" * 10_240}, "topic"))),
]  # fmt: skip


async def test_each_is_refused_by_name_and_the_next_is_carried_out(serve, browsers):
    room = await in_thread(furnished)
    owner = room.people["owner"]
    other = await in_thread(a_project, owner)
    foreign = await in_thread(a_project)
    server = await serve(**FORGIVING)
    places = {"{room}": room.ids["guid"], "{other}": str(other.guid), "{foreign}": str(foreign.guid)}
    places["{FOREIGN}"] = places["{foreign}"].upper()
    wrong, tab, used = [], await joined(browsers, server, owner, room), 0
    before = await in_thread(ProjectEvent.objects.count)
    for number, case in enumerate(CASES):
        if used == 15:  # twenty malformed messages within a minute end a connection
            await tab.leave()
            tab, used = await joined(browsers, server, owner, room), 0
        used += 1
        text = json.dumps({"id": f"c{number}"} | case.sent)
        for name, guid in places.items():
            text = text.replace(f'"{name}"', f'"{guid}"')
        await tab.line.send(text)
        error = await tab.until(lambda one: one["type"] == "error" or "replyTo" in one)
        data = error["data"]
        if (data.get("code"), data.get("field")) != (case.code, case.field or data.get("field")):
            wrong.append(f"{case.row} {case.what}: {data} instead of {case.code} {case.field}")
        if len(json.dumps(error)) > 1_500:
            wrong.append(f"{case.row} {case.what}: the answer repeats {len(json.dumps(error))} characters")
        good = await tab.command("subscribe", {"topic": f"project:{room.ids['guid']}/tasks"})
        if good["type"] != "subscribed":
            wrong.append(f"{case.row} {case.what}: the next good message got {good}")
    assert not wrong, "\n".join(wrong)
    assert await in_thread(ProjectEvent.objects.count) == before, "nothing of it was carried out"
    await tab.nothing_more("create_task", "task_created", "project_message")


async def joined(browsers: Any, server: Any, person: Any, room: Any) -> Browser:
    tab: Browser = await browsers(person, url=server.url)
    await tab.join(room.ids["guid"])
    return tab


async def test_every_field_of_every_command_refuses_another_kind(serve, browsers):
    """From the registry: a new command is tried without anybody remembering to."""
    room = await in_thread(furnished)
    server = await serve(**FORGIVING)
    tab = await joined(browsers, server, room.people["owner"], room)
    wrong = []
    for name, row in COMMANDS.items():
        if name == "ping":  # its one field takes anything short
            continue
        for key in row.payload.__struct_encode_fields__:
            for value in any_of({"": {"": [[]]}}, [[[[]]]]):
                reply = await tab.command(name, {key: value}, room.ids["guid"])
                if reply["type"] != "error" or reply["data"]["code"] not in {"invalid_field", "invalid_message"}:
                    wrong.append(f"{name} {key}: {reply}")
    assert not wrong, "\n".join(wrong)


async def test_what_is_done_twice_is_done_once(serve, browsers):
    """A5, A7, A22: joins, leaves and ids."""
    room = await in_thread(furnished)
    owner, guid = room.people["owner"], room.ids["guid"]
    server = await serve(**FORGIVING)
    tab, other = [await joined(browsers, server, owner, room) for _ in range(2)]
    assert (await tab.join(guid))["recovered"] is False
    assert (await tab.command("leave_project", {}, guid))["type"] == "project_left"
    assert (await tab.refused("leave_project", {}, guid))["code"] == "not_joined"
    assert (await tab.refused("create_task", {"title": "T"}, guid))["code"] == "not_joined"
    await tab.join(guid)
    first = await tab.command("create_task", {"title": "T"}, guid, command_id="same")
    again = await tab.command("create_task", {"title": "T"}, guid, command_id="same")
    assert (again["data"]["seq"], again["data"]["duplicate"]) == (first["data"]["seq"], True)
    changed = await tab.command("create_task", {"title": "U"}, guid, command_id="same")
    assert (changed["type"], changed["data"]["code"]) == ("error", "conflict")
    both = await asyncio.gather(
        *(one.command("create_task", {"title": "both"}, guid, command_id="both") for one in (tab, other))
    )
    seqs = {reply["data"]["seq"] for reply in both if reply["type"] == "ack"}
    assert len(seqs) == 1, both
    assert await in_thread(Task.objects.filter(title="both").count) == 1


async def test_a_client_that_says_when_it_was_is_not_believed(serve, browsers):
    """A17: ``timestamp`` is text and no more."""
    room = await in_thread(furnished)
    server = await serve(**FORGIVING)
    tab = await joined(browsers, server, room.people["owner"], room)
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:60+14:00", "yesterday", "", "9" * 100):
        sent = envelope("create_task", {"title": "T"}, room.ids["guid"], "c") | {
            "timestamp": moment,
            "id": f"t{moment}"[:9].replace("+", ""),
        }
        await tab.send(sent)
        event = await tab.next("task_created")
        assert event["timestamp"].startswith("20"), event


async def in_room(server: Any, person: Any, guid: str) -> Raw:
    raw = await Raw.open(server.port, person)
    raw.send(envelope("join_project", {}, guid, "join"))
    while (await raw.next()).get("replyTo") != "join":
        pass
    return raw


def many(count: int, guid: str) -> bytes:
    """So many commands in one write, each in a frame of its own; their ids are their titles: c0, c1, …"""
    commands = [envelope("create_task", {"title": f"c{number}"}, guid, f"c{number}") for number in range(count)]
    return b"".join(frame(FIN | TEXT, json.dumps(one).encode()) for one in commands)


async def test_what_is_too_fast_is_answered_one_by_one(serve):
    """A20: in order as far as the bucket goes, and each of the rest is refused with an answer of its own."""
    room = await in_thread(furnished)
    raw = await in_room(await serve(**SLOW), room.people["owner"], room.ids["guid"])
    raw.writer.write(many(90, room.ids["guid"]))
    answers: dict[str, Any] = {}
    while len(answers) < 90:
        found = await raw.next()
        for one in found if isinstance(found, list) else [found]:
            if one.get("replyTo"):
                assert one["replyTo"] not in answers
                answers[one["replyTo"]] = one["data"].get("code", one["type"])
    done = [key for key, answer in answers.items() if answer == "ack"]
    refused = [key for key, answer in answers.items() if answer == "rate_limited"]
    assert done == [f"c{number}" for number in range(39)], "the join was one of forty"
    assert refused == [f"c{number}" for number in range(39, 90)]
    assert await in_thread(titles) == done


async def test_what_was_not_begun_before_the_close_has_no_answer_and_is_done_when_it_comes_again(serve):
    """It was refused with not_joined before: the rooms of a connection that is closed are left at once."""
    room = await in_thread(furnished)
    server = await serve(**SLOW)
    raw = await in_room(server, room.people["owner"], room.ids["guid"])
    raw.writer.write(many(1_000, room.ids["guid"]))
    found, code = await raw.rest()
    answers = {one["replyTo"]: one["data"].get("code", one["type"]) for one in found if one.get("replyTo")}
    assert code == 4202, "so many beyond the rate end the connection"
    assert set(answers.values()) <= {"ack", "rate_limited"}
    assert [key for key, answer in answers.items() if answer == "rate_limited"] == [f"c{n}" for n in range(39, 100)]
    raw = await in_room(server, room.people["owner"], room.ids["guid"])
    raw.writer.write(many(39, room.ids["guid"]))
    again: dict[str, str] = {}
    while len(again) < 39:
        value = await raw.next()
        again |= {
            one["replyTo"]: one["type"] for one in (value if isinstance(value, list) else [value]) if "replyTo" in one
        }
    assert set(again.values()) == {"ack"}
    assert await in_thread(titles) == [f"c{number}" for number in range(39)], "each once, in order"


def titles() -> list[str]:
    return list(Task.objects.filter(title__startswith="c").order_by("number").values_list("title", flat=True))


async def test_a_command_and_then_nobody(serve, browsers):
    """A21: what was sent before the end was done or not; sending it again finds out, and does it once."""
    room = await in_thread(furnished)
    owner, guid = room.people["owner"], room.ids["guid"]
    server = await serve(**FORGIVING)
    for number in range(8):
        raw = await in_room(server, owner, guid)
        raw.send(envelope("create_task", {"title": "gone"}, guid, f"gone-{number}"))
        await raw.writer.drain()
        if number % 2:
            raw.writer.transport.abort()
        else:
            raw.writer.write(frame(FIN | 0x8, (1000).to_bytes(2, "big")))
            raw.writer.close()
    tab = await joined(browsers, server, owner, room)
    for number in range(8):
        reply = await tab.command("create_task", {"title": "gone"}, guid, command_id=f"gone-{number}")
        while reply["type"] == "error" and reply["data"]["code"] == "duplicate_in_progress":
            reply = await tab.command("create_task", {"title": "gone"}, guid, command_id=f"gone-{number}")
        assert reply["type"] == "ack", reply
    assert await in_thread(Task.objects.filter(title="gone").count) == 8


async def test_a_renewal_with_nonsense_or_as_somebody_else_is_refused(serve, browsers):
    """A19."""
    ada, bob = [await in_thread(a_person, name) for name in ("ada", "bob")]
    tab = await browsers(ada, url=(await serve()).url)
    for token in ("x", "a.b.c", "\u00e9", "Bearer x", "x" * 4_096, "null"):
        assert (await tab.refused("authenticate", {"token": token}))["code"] == "not_authenticated"
    assert (await tab.refused("authenticate", {"token": token_of(bob)}))["code"] == "forbidden"
    assert (await tab.refused("authenticate", {"token": "x" * 4_097}))["code"] == "invalid_field"
    await tab.send(envelope("authenticate", {"token": "x" * 40_000}, None, "a"))
    assert (await tab.next("error"))["data"]["code"] == "too_large"


async def test_twenty_malformed_messages_end_a_connection_with_its_reason(serve):
    raw = await Raw.open((await serve()).port, await in_thread(a_person, "ada"))
    raw.writer.write(frame(FIN | TEXT, b"{") * 40)
    found, code = await raw.rest()
    assert code == 4400
    assert [one["data"]["code"] for one in found] == ["malformed_json"] * 21, "the last one is the reason"
    assert await in_thread(Message.objects.count) == 0
