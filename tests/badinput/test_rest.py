"""The REST API of a running server against requests that no good client sends: JSON, the documented status, no trace.

The form of bodies as such stands in test_json.py, whatever has to do with rights in tests/security.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple

import pytest

from apps.projects.aio import in_thread
from apps.projects.models import Task
from tests.badinput.http import Http, Response, read_response
from tests.serve.conftest import PLENTY, ada, room, serve
from tests.support.browser import session_of, token_of
from tests.support.factories import a_person, a_project

__all__ = ["ada", "room", "serve"]

pytestmark = [pytest.mark.processes, pytest.mark.timeout(110)]

MIB = 2**20
TASK = b'{"title":"T"}'


class Case(NamedTuple):
    """A request and its answer. ``{room}`` stands for the project's address; code None: no error."""

    row: str
    what: str
    method: str
    target: str
    status: int
    code: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = {}


def task(**fields: Any) -> bytes:
    return json.dumps({"title": "T"} | fields).encode()


def feedback(**fields: Any) -> bytes:
    return json.dumps({"content": "c"} | fields).encode()


def post(row: str, what: str, target: str, body: bytes, status: int, code: str = "", **headers: str) -> Case:  # noqa: PLR0917
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Case(row, what, "POST", target, status, code or None, body, named)


V1, ME, PROJECTS, TASKS, EVENTS = (
    "/api/v1/", "/api/v1/me/", "/api/v1/projects/", "{room}/tasks/", "{room}/events/"
)  # fmt: skip
NOBODY = "00000000-0000-4000-8000-000000000000"

CASES = [
    *(
        Case("R1", f"{value[:12]!r}", "GET", target, 401, "not_authenticated", None, {"Authorization": value})
        for target in (ME, EVENTS, TASKS)
        for value in ("", "Bearer", "Bearer  ", "Basic YTpi", "Token x", "Bearer a b", "Bearer a.b.c", "Bearer \xff",
                      "Bearer " + "a" * 9_000, "bearer null")
    ),
    *(Case("R2", f"{method} {target}", method, target, 405, "invalid_message") for method, target in [
        ("DELETE", PROJECTS), ("PUT", TASKS), ("POST", ME), ("TRACE", ME), ("BREW", ME), ("PATCH", EVENTS),
        ("TRACE", EVENTS), ("POST", "{room}/snapshot/"), ("GET", "{room}/commands/"), ("POST", "/api/schema/"),
        ("POST", "/api/docs/"), ("DELETE", "/api/asyncapi.json"),
    ]),
    post("R2", "a method in a header", PROJECTS, b'{"name":"P"}', 201, X_HTTP_Method_Override="DELETE"),
    *(Case("R2", f"an unknown path, {method}", method, target, 404, "not_found")
      for method in ("GET", "POST", "DELETE", "OPTIONS")
      for target in ("/api/nothing/", V1, "/api/v2/me/", "/api/", "/api/%0a", "/api/v1/me/more/",
                     "/api/v1/projects/x/events/",
                     "/api/v1/me", "/api/v1/projects", "/api/v1/%00/", "/api/v1/%ff/", "/api/v1/me/%00",
                     "/api/v1/../me/", "/api/v1//me/", "/api/schema")),
    *(Case("R4", f"Accept {accept}", "GET", target, 406, "invalid_message", None, {"Accept": accept})
      for target in (ME, TASKS, "/api/schema/")
      for accept in ("text/html", "application/xml", "image/png, text/*;q=0.5", "nonsense")),
    Case("R4", "a format in the query", "GET", f"{ME}?format=html", 404, "not_found"),
    Case("R4", "a format in the query of the schema", "GET", "/api/schema/?format=xml", 404, "not_found"),
    *(post("R5", f"Content-Type {kind!r}", target, b"{}", 415, "invalid_message", Content_Type=kind)
      for target in (PROJECTS, TASKS, "{room}/commands/", "/api/v1/auth/token/")
      for kind in ("", "/", "text/plain", "text/json", "application/problem+json",
                   "application/x-www-form-urlencoded")),
    post("R5", "a header with a control character", PROJECTS, b"{}", 400, "invalid_message", Content_Type="a\x0b"),
    post("R6", "a body over the limit", PROJECTS, b'{"name":"' + b"x" * MIB + b'"}', 413, "too_large"),
    post("R6", "a command over the limit of bodies", "{room}/commands/", b" " * (MIB + 1), 413, "too_large"),
    post("R6", "a command over the limit of frames", "{room}/commands/", b" " * 65_537, 413, "too_large"),
    Case("R6", "a body where none is asked for", "GET", ME, 413, "too_large", b"x" * (2 * MIB)),
    post("R6", "a body said to be gzip", PROJECTS, b"\x1f\x8b\x08\x00" + bytes(20), 400, "malformed_json",
         Content_Encoding="gzip"),
    *(Case("R7", "2,000 parameters", "GET", f"{target}?{'a=1&' * 2_000}", 400, "invalid_message")
      for target in (TASKS, EVENTS)),
    Case("R7", "8 KiB of query", "GET", f"{TASKS}?a={'x' * 8_000}", 200),
    Case("R7", "one parameter twice, the last one wrong", "GET", f"{TASKS}?limit=1&limit=x", 400, "invalid_field"),
    Case("R7", "a parameter as an array", "GET", f"{TASKS}?limit[]=0", 200),
    *(Case("R9", f"limit {limit}", "GET", f"{target}?limit={limit}", 400, "invalid_field")
      for target in (TASKS, EVENTS) for limit in ("0", "-1", "abc", "1.5", "1e3", "%00", "9" * 40, "%D9%A3", "+1")),
    Case("R9", "limit 10^8", "GET", f"{TASKS}?limit=100000000", 200),
    *(Case("R9", f"cursor {cursor}", "GET", f"{target}?cursor={cursor}", 400, "invalid_field")
      for target in (TASKS, "{room}/messages/", PROJECTS)
      for cursor in ("x", "%00", "%ff", "=", "cD1hYmM=", "cD0lMDA=", "bz0tMQ==")),
    *(Case("R10", f"?{query}", "GET", f"{TASKS}?{query}", 200)
      for query in ("ordering=password", "order_by=__class__", "search=%25", "project__owner__password=x", "fields=*")),
    post("R11", "an unknown field", TASKS, task(colour="red"), 400, "invalid_field"),
    post("R11", "an unknown field of 500 KiB", TASKS, task(**{"x" * 500_000: 1}), 400, "invalid_field"),
    post("R11", "a field that only the server sets", TASKS, task(number=7), 400, "invalid_field"),
    post("R11", "a nested write", TASKS, task(assignee={"kind": "person", "id": "x", "name": "y", "password": "z"}),
         400, "invalid_field"),
    *(Case("R12", f"If-Match {value}", "PATCH", "{room}/tasks/one/", 400, "invalid_field", b'{"title":"x"}',
           {"If-Match": value}) for value in ('"a"', 'W/"1"', '"1", "2"', "-1", "9" * 30)),
    Case("R12", "an old If-Match", "PATCH", "{room}/tasks/one/", 409, "conflict", b'{"title":"x"}',
         {"If-Match": '"99"'}),
    *(post("R15", "a task of nowhere", f"/api/v1/projects/{guid}/tasks/", TASK, 404, "not_found")
      for guid in (NOBODY, "x", "%00", "..", "%F0%9F%9A%80", "1", "' OR 1=1 --".replace(" ", "%20"), NOBODY + "0")),
    post("R16", "2,001 at once", "{room}/tasks/reset/", json.dumps({"taskIds": ["t"] * 2_001}).encode(), 400,
         "invalid_field"),
    *(post("R17", f"a name like {name[:6]!r}", PROJECTS, json.dumps({"name": name}).encode(), 400, "invalid_field")
      for name in ("", "   ", "\t\n", "\u200b\u200b", "n" * 257)),
    post("R17", "a name with NUL", PROJECTS, b'{"name":"a\\u0000b"}', 400, "malformed_json"),
    *(post("R17", "a name that is kept", PROJECTS, json.dumps({"name": name}).encode(), 201)
      for name in ("\u05e9\u05dc\u05d5\u05dd", "<b>bold</b>", "e\u0301", "\u00e9")),
    *(post("R19", f"until {moment}", "{room}/feedback/", feedback(expiresAt=moment), 400, "invalid_field")
      for moment in ("2026-02-31T00:00:00Z", "2026-12-01T00:00:00", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
                     "tomorrow", "", 0, "2026-12-01T25:00:00Z", "2016-12-31T23:59:60Z", "0001-01-01T00:00:00+14:00")),
    *(post("R20", f"rating {rating!r}", "{room}/feedback/", feedback(rating=rating), 400, "invalid_field")
      for rating in (2, -2, 2**31, -(2**31), 2**53 - 1, 0.5, "1", True)),
    *(post("R20", f"rating {rating}", "{room}/feedback/", b'{"content":"c","rating":%d}' % rating, 400,
           "malformed_json")
      for rating in (2**53, 2**63, -(2**63) - 1, 10**400)),
    *(post("R20", f"position {at}", "{room}/tasks/one/status/", f'{{"status":"doing","position":{at}}}'.encode(), 400,
           code)
      for at, code in (("1e12", "invalid_field"), ("1e999", "malformed_json"), ("NaN", "malformed_json"))),
    *(Case("R20", f"version {version}", "DELETE", f"{{room}}/tasks/one/?version={version}", 400, "invalid_field")
      for version in ("-1", "1.0", "abc", "9" * 30, "%00")),
    *(post("A7", f"Idempotency-Key {key[:8]!r}", target, body, 400, "invalid_field", Idempotency_Key=key)
      for target, body in ((TASKS, TASK), ("{room}/commands/", b'{"type":"create_task","data":{"title":"T"}}'))
      for key in ("", "a b", "x" * 65, "x" * 9_000, "\xe9", "\x01", "a,b", "{}")),
    *(Case("R24", f"Host {host[:12]!r}", "GET", target, 400, "invalid_message", None, {"Host": host})
      for target in (ME, EVENTS, "/api/nothing/") for host in ("evil.example", "", "local host", "\xff", "a" * 300)),
    Case("R25", "a Range", "GET", ME, 200, None, None, {"Range": "bytes=0-1"}),
    Case("R25", "If-None-Match: *", "GET", ME, 200, None, None, {"If-None-Match": "*"}),
    post("R25", "Expect: 100-continue", PROJECTS, b'{"name":"P"}', 201, Expect="100-continue"),
    post("R29", "a password of a megabyte", "/api/v1/auth/token/", json.dumps(
        {"username": "ada", "password": "p" * (MIB - 100)}).encode(), 400, "invalid_field"),
    post("R29", "a password with NUL", "/api/v1/auth/token/", b'{"username":"ada","password":"\\u0000"}', 400,
         "malformed_json"),
    post("R29", "a twin of the name", "/api/v1/auth/token/", '{"username":"аda","password":"secret-pass"}'.encode(),
         401, "not_authenticated"),
    *(Case("R30", f"?{query}", "GET", f"{EVENTS}?{query}", 400, "invalid_field")
      for query in ("after=-1", "after=x", "after=1.0", "after=%00", "after=" + "9" * 30, "wait=-1", "wait=x",
                    "before=0", "after=1&before=2", "after=%2B1", "after=1-", "before=--1")),
    *(Case("R30", f"?{query}", "GET", f"{EVENTS}?{query}", 200)
      for query in ("after=0&wait=1000000", "after=9007199254740991", "epoch=%00", "epoch=nonsense", "limit=1000000")),
    *(Case("R30", f"Last-Event-ID {value!r}", "GET", "{room}/events/stream/", 400, "invalid_field", None,
           {"Last-Event-ID": value}) for value in ("x", "a:b", ":", "1:" + "9" * 17, "a:-1")),
]  # fmt: skip


async def test_each_is_answered_in_our_form_and_leaves_no_trace(serve, ada, room):
    server = await serve(**PLENTY)
    http, place = Http(server.port, ada), f"/api/v1/projects/{room.guid}"
    await http.call("POST", f"{place}/tasks/", task(taskId="one"))
    wrong = []
    for case in CASES:
        answer = await http.call(case.method, case.target.replace("{room}", place), case.body, case.headers)
        code = answer.code if case.code or answer.status >= 400 or answer.kind != "application/json" else None
        if (answer.status, code) != (case.status, case.code):
            wrong.append(f"{case.row} {case.what}: {case.target} gave {answer.status} {code} {answer.body[:160]!r}")
        if code and len(answer.body) > 2_000:
            wrong.append(f"{case.row} {case.what}: the answer repeats {len(answer.body)} bytes")
        if (after := await http.call("GET", ME)).status != 200:
            wrong.append(f"{case.row} {case.what}: the next good request got {after}")
    assert not wrong, "\n".join(wrong)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert '"logger": "django.request"' not in "".join(line for line in log.splitlines() if '"ERROR"' in line)


RAW: list[tuple[str, str, bytes, set[int]]] = [
    ("R6", "a negative length", b"Content-Length: -1\r\n\r\n{}", {400}),
    ("R6", "a length in words", b"Content-Length: two\r\n\r\n{}", {400}),
    ("R6", "two lengths", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {400}),
    ("R6", "a length and chunks", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    ("R6", "an unknown encoding", b"Transfer-Encoding: smoke\r\n\r\n{}", {400, 501}),
    ("R6", "a chunk of no size", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", {400}),
    ("R6", "a chunk of a negative size", b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n", {400}),
    ("R6", "more than anybody takes", b"Content-Length: 99999999999\r\n\r\n", {413}),
    ("R6", "no length and no body", b"Content-Type: application/json\r\n\r\n", {400}),
    ("R7", "a head of 40 KiB", b"X: " + b"y" * 40_000 + b"\r\n\r\n", {0, 400, 431}),
    ("R7", "a thousand headers", b"".join(b"X%d: y\r\n" % n for n in range(1_000)) + b"\r\n", {400, 431}),
    ("R1", "two Authorizations", b"Authorization: Bearer x\r\n\r\n", {401}),
    ("W39", "a header without a colon", b"nonsense\r\n\r\n", {400}),
    ("W39", "a space before a colon", b"Accept : */*\r\n\r\n", {400}),
    ("W39", "a NUL in a header", b"X: a\x00b\r\n\r\n", {400}),
    ("R24", "a second host", b"Host: evil.example\r\n\r\n", {400}),
]


async def test_each_violation_of_http_ends_with_a_status_and_never_with_500(serve, ada):
    server = await serve()
    http = Http(server.port, ada)
    head = b"POST /api/v1/projects/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n" % http.token.encode()
    lines = {
        "W45 TLS": b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(40) + b"\r\n\r\n",
        "W45 HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/9.9": b"GET /api/v1/me/ HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "no version": b"GET /api/v1/me/\r\n\r\n",
        "a method that is no ASCII": b"G\xc3\x89T /api/v1/me/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a path that is no ASCII": b"GET /api/v1/\xe9/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a query that is no ASCII": b"GET /api/v1/me/?\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "control characters": b"\x00\x01\x02\r\n\r\n",
        "a line of 70 KiB": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    }
    wrong = []
    for name, sent, allowed in [
        *((f"{row} {what}", head + rest, allowed) for row, what, rest, allowed in RAW),
        *((name, sent, {0, 400, 405, 505}) for name, sent in lines.items()),
    ]:
        [answer] = await http.raw(sent)
        if answer.status not in allowed or (answer.body and answer.kind != "application/json"):
            wrong.append(f"{name}: {answer}")
        assert (await http.call("GET", ME)).status == 200, name
    assert not wrong, "\n".join(wrong)


async def test_a_body_without_end_is_not_kept(serve, ada):
    """Twisted would write it to a file for as long as the request may take: gigabytes."""
    server = await serve()
    http = Http(server.port, ada)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    kind = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    writer.write(http.head("POST", PROJECTS, kind))
    chunk, sent = b"10000\r\n" + b" " * 0x10000 + b"\r\n", 0
    try:
        async with asyncio.timeout(60):
            while sent < 256 * MIB:
                writer.write(chunk)
                await writer.drain()
                sent += 0x10000
    except (ConnectionError, OSError):
        pass
    assert sent < 64 * MIB, "what the kernels hold between us, and no more"
    answer = await read_response(reader)
    assert (answer.status, answer.code if answer.status else "") in {(413, "too_large"), (0, "")}
    writer.close()
    assert (await http.call("GET", ME)).status == 200


async def test_answers_come_in_the_order_of_the_requests(serve, ada, room):
    server = await serve()
    http, place = Http(server.port, ada), f"/api/v1/projects/{room.guid}"
    targets = [ME, f"{place}/events/", "/api/nothing/", f"{place}/tasks/?limit=x", ME]
    kept = {"Connection": "keep-alive"}
    sent = b"".join(http.head("GET", target, kept) for target in targets)
    answers = await http.raw(sent, expected=len(targets))
    assert [answer.status for answer in answers] == [200, 200, 404, 400, 200]
    assert [("userId" in answer.json, "results" in answer.json) for answer in answers] == [
        (True, False), (False, True), (False, False), (False, False), (True, False)
    ]  # fmt: skip


async def test_whoever_leaves_in_the_middle_has_done_it_or_not(serve, ada, room):
    server = await serve()
    http, target = Http(server.port, ada), f"/api/v1/projects/{room.guid}/tasks/"
    for number in range(12):
        body = task(taskId=f"t{number}")
        given = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Idempotency-Key": f"k{number}"}
        sent = http.head("POST", target, given) + body
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent if number % 3 else sent[: -len(body) // 2])
        await writer.drain()
        writer.transport.abort()
    for number in range(12):
        answer = await http.call("POST", target, task(taskId=f"t{number}"), {"Idempotency-Key": f"k{number}"})
        assert answer.status == 201, answer
    assert await in_thread(Task.objects.filter(project=room).count) == 12


async def test_of_two_parallel_wishes_for_one_id_one_is_granted(serve, ada, room):
    server = await serve()
    http, target = Http(server.port, ada), f"/api/v1/projects/{room.guid}/tasks/"
    for number in range(5):
        body = task(taskId=f"only-{number}")
        statuses = [answer.status for answer in await asyncio.gather(*(http.call("POST", target, body) for _ in "abc"))]
        assert sorted(statuses) == [201, 409, 409]


async def test_a_hundred_polls_wait_together(serve, ada, room):
    server = await serve(**PLENTY)
    http, place = Http(server.port, ada), f"/api/v1/projects/{room.guid}"
    top = (await http.call("GET", f"{place}/events/")).json["lastSeq"]
    polls = [asyncio.create_task(http.call("GET", f"{place}/events/?after={top}&wait=25")) for _ in range(100)]
    before = time.monotonic()
    await http.call("GET", ME)
    await http.call("POST", f"{place}/tasks/", TASK)
    answers = await asyncio.gather(*polls)
    assert {answer.status for answer in answers} == {200}
    assert all(answer.json["lastSeq"] > top for answer in answers)
    assert time.monotonic() - before < 25, "they were woken and did not wait for their time"


async def test_the_token_says_who_it_is_and_not_the_cookie(serve, ada, room):
    server = await serve()
    eve = await in_thread(a_person, "eve")
    session = await in_thread(session_of, eve)
    for target in (ME, f"/api/v1/projects/{room.guid}/events/"):
        answer = await Http(server.port, ada).call("GET", target, None, {"Cookie": f"sessionid={session}"})
        assert answer.status == 200, answer
    both = {"Cookie": f"sessionid={session}", "Authorization": "Bearer broken"}
    assert (await Http(server.port).call("GET", ME, None, both)).status == 401


async def test_nobody_elses_page_is_granted_anything(serve, ada):
    http = Http((await serve()).port, ada)
    for method in ("OPTIONS", "GET"):
        foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = await http.call(method, ME, None, foreign)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_errors_are_json_for_developers_too(serve, ada):
    """With AUTOCODE_DEBUG Django answers with pages of its own."""
    http = Http((await serve(AUTOCODE_DEBUG="on")).port, ada)
    for method, target, headers, status in [
        ("GET", "/api/nothing/", {}, 404),
        ("POST", "/api/v1/me", {}, 404),
        ("GET", ME, {"Host": "evil.example"}, 400),
        ("GET", f"{PROJECTS}?{'a=1&' * 2_000}", {}, 400),
    ]:
        answer: Response = await http.call(method, target, None, headers)
        assert (answer.status, answer.kind) == (status, "application/json"), answer
        assert {"code", "message", "retryable"} <= answer.json["error"].keys()


async def test_a_stranger_learns_nothing_from_bad_input(serve, ada, room):
    eve = await in_thread(a_person, "eve")
    other = await in_thread(a_project, await in_thread(a_person, "bob"))
    server = await serve()
    http = Http(server.port, eve)
    for case in CASES:
        if "{room}" not in case.target or case.status != 400 or case.row in {"R24", "R7"}:
            continue
        place = f"/api/v1/projects/{other.guid}"
        there = await http.call(case.method, case.target.replace("{room}", place), case.body, case.headers)
        nowhere = await http.call(
            case.method, case.target.replace("{room}", f"/api/v1/projects/{NOBODY}"), case.body, case.headers
        )
        assert (there.status, there.body) == (nowhere.status, nowhere.body), case
    assert token_of(eve)
