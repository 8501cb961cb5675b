"""The catalogue of bad JSON over a real socket and over REST: one text, one meaning, one named refusal in both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.projects.aio import in_thread
from apps.projects.models import Message, ProjectEvent, Task
from tests.badinput.http import Http
from tests.badinput.rows import NAUGHTY, VALUES, WHOLE, WRONG_TYPES, Text, holding
from tests.serve.conftest import PLENTY, ada, room, serve
from tests.serve.raw import BINARY, FIN, TEXT, Raw, frame

__all__ = ["ada", "room", "serve"]

pytestmark = [pytest.mark.processes, pytest.mark.once, pytest.mark.timeout(110)]

FORGIVING = {
    **PLENTY,
    "DJANGO_SETTINGS_MODULE": "autocode.settings.test",
}
"""No limit is in the way; sockets that send too much rubbish are tried in test_messages.py."""

IN_A_MESSAGE = [Text(one.row, one.what, holding(one.text), one.code) for one in VALUES]
NUMBERS = [Text(one.row, one.what, holding(one.text, type_="mark_read", key="seq"), one.code) for one in WRONG_TYPES]
FIELDS = [
    Text("J21", f"the key {key!r}", json.dumps({"type": "typing", "data": {"on": True, key: 1}}), "invalid_field")
    for key in ("__proto__", "constructor", "toString", "a.b", "$where", "length")
] + [
    Text("J21", f"the key {key!r} on the envelope", json.dumps({"type": "typing", key: {"on": True}}), "invalid_field")
    for key in ("__proto__", "constructor", "prototype", "")
]
SOCKET = [
    Text("W25", "an empty text", ""),
    *WHOLE,
    Text("J22", "an empty array", "[]", "invalid_message"),
    Text("J22", "an array of what is no object", "[true]", "invalid_message"),
    Text("J22", "a batch of 65", json.dumps([{"type": "ping"}] * 65), "too_large"),
    Text("J22", "an array of arrays", "[[[]]]", "invalid_message"),
    *IN_A_MESSAGE,
    *NUMBERS,
    *FIELDS,
]

OF_THE_BODY = {"too_large": {"too_large", "malformed_json", "invalid_field"}}
"""Where REST names it otherwise: bodies may be longer than frames, so the field's limit speaks, or that of keys."""


async def test_each_text_on_a_socket_is_refused_by_name_and_the_socket_lives_on(serve, ada, room):
    server = await serve(**FORGIVING)
    wrong = []
    raw, used = await joined(server, ada, room), 0
    for text in SOCKET:
        if used == 15:  # twenty malformed frames within a minute end a connection
            raw.writer.close()
            raw, used = await joined(server, ada, room), 0
        used += 1
        sent = text.text.encode("utf-8", "surrogatepass")
        raw.writer.write(frame(FIN | TEXT, sent))
        answer = await raw.next()
        code = answer["data"].get("code", answer["type"])
        if code != text.code:
            wrong.append(f"{text}: {code} instead of {text.code}: {answer['data']}")
        if len(json.dumps(answer)) > 1_500:
            wrong.append(f"{text}: the answer repeats {len(json.dumps(answer))} characters")
        raw.send({"type": "subscribe", "id": "still", "data": {"topic": f"project:{room.guid}/tasks"}})
        good = await raw.next()
        if (good["type"], good["replyTo"]) != ("subscribed", "still"):
            wrong.append(f"{text}: the next good message got {good}")
    raw.writer.close()
    assert not wrong, "\n".join(wrong)
    assert not await in_thread(Message.objects.filter(kind="user").exists)


async def joined(server: Any, person: Any, room: Any) -> Raw:
    """Return a logged-in socket in the room, after whatever the join brought."""
    raw = await Raw.open(server.port, person)
    raw.send({"type": "join_project", "projectGuid": str(room.guid), "id": "j", "data": {"topics": ["tasks"]}})
    while (await raw.next()).get("replyTo") != "j":
        pass
    return raw


async def test_each_text_as_a_body_is_refused_by_name(serve, ada, room):
    server = await serve(**FORGIVING)
    http, place = Http(server.port, ada), f"/api/v1/projects/{room.guid}"
    wrong = []
    for target, texts in [
        (f"{place}/commands/", [*WHOLE, *IN_A_MESSAGE, *NUMBERS, *FIELDS[-4:]]),
        (f"{place}/tasks/", [*WHOLE, *(Text(v.row, v.what, f'{{"title":{v.text}}}', v.code) for v in VALUES)]),
    ]:
        for text in texts:
            answer = await http.call("POST", target, text.text.encode("utf-8", "surrogatepass"))
            allowed = {text.code} if "commands" in target else OF_THE_BODY.get(text.code, {text.code})
            if target.endswith("tasks/") and text.what in {"a list 900 deep", "a list that is not closed"}:
                allowed.add("malformed_json")  # here the grammar is read first
            if "commands" in target and text.row == "J22" and answer.code == "invalid_message":
                continue
            if answer.status not in {400, 413} or answer.code not in allowed:
                wrong.append(f"{text} to {target[-10:]}: {answer.status} {answer.code} instead of {text.code}")
    assert not wrong, "\n".join(wrong)
    assert (await http.call("GET", "/api/v1/me/")).status == 200
    assert not await in_thread(Task.objects.exists)


async def test_what_means_the_same_is_the_same(serve, ada, room):
    """J14, J24, J25: another spelling of a key, a number or a text is no other key, number or text."""
    server = await serve(**FORGIVING)
    raw = await Raw.open(server.port, ada)
    spellings: list[tuple[bytes | str, Any]] = [
        (b'{"ty\\u0070e":"pin\\u0067","id":"x","data":{"\\u0074":1}}', 1),
        (b'{"type":"ping","id":"x","data":{"t":-0}}', 0),
        (b'{"type":"ping","id":"x","data":{"t":1.0}}', 1.0),
        (b'{"type":"ping","id":"x","data":{"t":1e2}}', 100.0),
        (b'{"type":"ping","id":"x","data":{"t":9007199254740991}}', 2**53 - 1),
        (b'{"type":"ping","id":"x","data":{"t":"\\ud83d\\ude80\\/"}}', "\U0001f680/"),
        (b' \r\n\t{"type" : "ping" ,"id":"x","data": {"t" :null} } \n', None),
        ('{"type":"ping","id":"x","data":{"t":"' + "x" * 32_768 + '"}}', "x" * 32_768),
        ('{"type":"ping","id":"x","data":{"t":"' + "é" * 16_384 + '"}}', "é" * 16_384),
    ]
    for sent, t in spellings:
        raw.writer.write(frame(FIN | TEXT, sent if isinstance(sent, bytes) else sent.encode()))
        pong = await raw.next()
        assert (pong["type"], pong["replyTo"], pong["data"]["t"]) == ("pong", "x", t), sent[:60]
    raw.writer.close()


async def test_binary_is_no_text_even_when_it_holds_json(serve, ada):
    raw = await Raw.open((await serve()).port, ada)
    for payload in (b"", b'{"type":"ping"}', b"\xff" * 100):
        raw.writer.write(frame(FIN | BINARY, payload))
        answer = await raw.next()
        assert (answer["type"], answer["data"]["code"]) == ("error", "invalid_message")
    raw.writer.close()


async def test_naughty_strings_are_kept_as_they_are(serve, ada, room):
    """J27: sent, returned, logged and replayed, each is the same in every character."""
    server = await serve(**FORGIVING)
    http, place = Http(server.port, ada), f"/api/v1/projects/{room.guid}"
    raw = await joined(server, ada, room)
    kept = {}
    for number, text in enumerate(NAUGHTY):
        title = f"{text} {number}"
        answer = await http.call("POST", f"{place}/tasks/", json.dumps({"title": title}).encode())
        assert answer.status == 201, (text, answer)
        event = await raw.next()
        assert event["data"]["task"] == answer.json
        kept[answer.json["taskId"]] = (title.strip(), answer.json["title"])
        raw.send(
            {"type": "create_task", "projectGuid": str(room.guid), "id": f"n{number}",
             "data": {"title": title, "description": text, "files": [f"x{text}"[:500]]}}
        )  # fmt: skip
        ack, made = await raw.next(), await raw.next()
        assert ack["type"] == "ack", (text, ack)
        assert made["data"]["task"]["description"] == text
        kept[made["data"]["task"]["taskId"]] = (title.strip(), made["data"]["task"]["title"])
    raw.writer.close()
    assert [text for text, answered in kept.values() if text != answered] == []
    snapshot = (await http.call("GET", f"{place}/snapshot/")).json["snapshot"]
    assert {task["taskId"]: task["title"] for task in snapshot["tasks"]} == {
        key: answered for key, (_, answered) in kept.items()
    }
    stored = {task.key: task.title for task in await in_thread(lambda: list(Task.objects.filter(project=room)))}
    assert stored == {key: answered for key, (_, answered) in kept.items()}
    assert await in_thread(ProjectEvent.objects.filter(type="task_created").count) == len(kept)
