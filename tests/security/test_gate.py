"""Who gets as far as the application: host, origin and the words of a client that servers take for their own."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from autocode.asgi import application
from tests.security.wire import request, spoken, upgrade
from tests.support.browser import session_of

Headers = list[tuple[bytes, bytes]]


def scope_of(kind: str, headers: Headers, **values: Any) -> dict[str, Any]:
    made = {"type": kind, "path": "/ws/" if kind == "websocket" else "/healthz", "raw_path": b"", "query_string": b"",
            "root_path": "", "headers": headers, "client": ("192.0.2.1", 5), "server": ("127.0.0.1", 80)}  # fmt: skip
    if kind == "http":
        made |= {"method": "GET", "http_version": "1.1", "scheme": "http"}
    return made | values


async def first_answer(scope: dict[str, Any]) -> dict[str, Any]:
    """Return the first message of the application."""
    talk = ApplicationCommunicator(application, scope)
    if scope["type"] == "http":
        await talk.send_input({"type": "http.request", "body": b"", "more_body": False})
    else:
        await talk.send_input({"type": "websocket.connect"})
    try:
        return dict(await talk.receive_output(5))
    finally:
        if scope["type"] == "websocket":
            await talk.send_input({"type": "websocket.disconnect", "code": 1001})
        await talk.wait(5)


OURS = (b"host", b"testserver")


async def let_in(*headers: tuple[bytes, bytes]) -> bool:
    return (await first_answer(scope_of("websocket", list(headers))))["type"] == "websocket.accept"


async def test_a_socket_for_our_host_is_let_in(transactional_db):
    assert await let_in(OURS)


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b""],
        [b"evil.example"],
        [b"testserver.evil.example"],
        [b"testserver", b"testserver"],
        [b"evil.example", b"testserver"],
        [b"testserver,evil.example"],
        [b"testserver@evil.example"],
        [b"evil.example/testserver"],
        [b"testserver:80:90"],
        [b"[::1"],
        [b"testserver\xff"],
        [b" testserver"],
    ],
)
async def test_a_socket_for_another_host_is_refused_whoever_asks(transactional_db, hosts, caplog):
    with caplog.at_level(logging.WARNING, "autocode.gate"):
        assert not await let_in(*((b"host", host) for host in hosts))
    assert "a socket is refused" in caplog.text
    assert "evil" not in caplog.text


async def test_a_socket_with_two_origins_is_refused(transactional_db):
    good = (b"origin", b"http://testserver")
    assert await let_in(OURS, good)
    assert not await let_in(OURS, good, good)
    assert not await let_in(OURS, (b"origin", b"http://evil.example"), good)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "", "http://", "https://testserver", "ws://testserver", "http://testserver:81",
        "http://testserver:080", "http://testserver.evil.example", "http://eviltestserver", "http://sub.testserver",
        "http://testserver@evil.example", "http://evil.example@testserver", "http://testserver/", "http://testserver?x",
        "http://testserver#x", "http://testserver\\@evil.example", "http://[testserver", "http://testserver:port",
        "http://testserver.", "HTTP://testserver", "file://", "http://testserver http://evil.example", "//testserver",
    ],
)  # fmt: skip
async def test_only_the_very_origin_of_the_page_may_open_a_socket(transactional_db, origin):
    cookie = (b"cookie", f"{settings.SESSION_COOKIE_NAME}=x".encode())
    assert not await let_in(OURS, (b"origin", origin.encode()), cookie)


async def test_a_trusted_origin_is_one_origin_and_no_pattern(transactional_db, settings):
    settings.AUTOCODE_TRUSTED_ORIGINS = ["https://rooms.example.org", "https://*.example.net", ".example.com"]
    assert await let_in(OURS, (b"origin", b"https://rooms.example.org"))
    for other in (b"http://rooms.example.org", b"https://a.rooms.example.org", b"https://a.example.net",
                  b"https://rooms.example.org:444", b"https://a.example.com"):  # fmt: skip
        assert not await let_in(OURS, (b"origin", other)), other


async def test_a_trusted_proxy_decides_the_scheme_of_an_origin(transactional_db, settings):
    told, origin = (b"x-forwarded-proto", b"https"), (b"origin", b"https://testserver")
    assert not await let_in(OURS, told, origin)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert await let_in(OURS, told, origin)
    assert not await let_in(OURS, (b"x_forwarded_proto", b"https"), origin)


# --- what servers take for their own words ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_the_application_sees_no_root_path_of_a_client(kind):
    seen = await seen_behind_the_gate(scope_of(kind, [OURS], root_path="/ws"))
    assert seen["root_path"] == ""


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_names_that_wsgi_cannot_tell_apart_are_dropped(kind):
    sent = [OURS, (b"X_Forwarded_Proto", b"https"), (b"x_real_ip", b"1.2.3.4"), (b"Daphne-Root-Path", b"/x"),
            (b"x-forwarded-proto", b"https"), (b"accept", b"*/*")]  # fmt: skip
    seen = await seen_behind_the_gate(scope_of(kind, sent))
    assert seen["headers"] == [OURS, (b"accept", b"*/*")]


async def seen_behind_the_gate(scope: dict[str, Any]) -> dict[str, Any]:
    from autocode.gate import gate

    seen: list[dict[str, Any]] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await gate(inner)(scope, None, None)  # type: ignore[arg-type]
    return seen[0]


# --- the same through a real server -------------------------------------------------------------------------------


@pytest.mark.processes
async def test_a_real_server_behind_hostile_bytes(serve):
    server = await serve()
    port = server.port

    async def status(sent: bytes) -> int:
        return (await spoken(port, sent)).status

    assert await status(upgrade()) == 101
    assert await status(upgrade(host=b"evil.example")) == 403
    assert await status(upgrade(host=b"")) in {400, 403}
    assert await status(upgrade(b"Host: localhost")) in {400, 403}
    assert await status(upgrade(b"Origin: http://localhost", b"Origin: http://localhost")) in {400, 403}
    for byte in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85"):
        assert await status(upgrade(b"X-A: a" + byte + b"Origin: http://localhost")) == 400
        assert await status(request("/healthz", b"X-A: a" + byte + b"Cookie: x=1", b"")) == 400
    # The client's Daphne-Root-Path would strip itself from the path, and make another one of it.
    plain = await spoken(port, request("/admin/healthz", b""))
    rooted = await spoken(port, request("/admin/healthz", b"Daphne-Root-Path: /admin", b""))
    assert rooted.status == plain.status != 200
    assert await status(request("/", b"Host: evil.example", b"")) == 400
    assert await status(request("http://evil.example/healthz", b"", host=b"localhost")) == 404
    assert await status(request("/healthz", b"", host=b"evil.example")) == 400
    assert await status(request("/api/v1/me/", b"Content-Length: 1", b"Content-Length: 2", b"")) == 400
    assert await status(request("/api/v1/me/", b"Content-Length: 1", b"Transfer-Encoding: chunked", b"")) == 400
    for version in (b"8", b"99", b"abc"):
        assert await status(upgrade().replace(b"Version: 13", b"Version: " + version)) == 400
    for method in ("POST", "CONNECT", "TRACE"):
        assert await status(upgrade().replace(b"GET", method.encode(), 1)) in {400, 405}
    for path in ("/ws", "/ws/x", "/ws/%00", "/ws/../ws/", "//ws/", "/", "/ws/%2e%2e/"):
        assert await status(upgrade(path=path)) == 403
    assert await status(upgrade(path="/ws/\xff")) == 400
    spoilt = await spoken(port, upgrade(b"Sec-WebSocket-Protocol: caf\xc3\xa9"))
    assert spoilt.status != 101
    for word in (b"Traceback", b"ascii", b"codec", b"Error", b"Daphne", b"Python"):
        assert word not in spoilt.head.split(b"\r\n")[0]
    many = b", ".join(b"p%d" % number for number in range(500))
    assert await status(upgrade(b"Sec-WebSocket-Protocol: " + many)) in {101, 400, 403}


@pytest.mark.processes
async def test_a_cookie_is_no_login_for_the_page_of_another_site(serve, ada):
    from apps.projects.aio import in_thread

    server = await serve()
    cookie = f"Cookie: sessionid={await in_thread(session_of, ada)}".encode()
    ours = f"Origin: http://localhost:{server.port}".encode()
    host = f"localhost:{server.port}".encode()
    assert (await spoken(server.port, upgrade(cookie, ours, host=host))).status == 101
    for origin in (b"http://evil.example", b"null", b"http://localhost", b"https://localhost:%d" % server.port,
                   b"http://sub.localhost:%d" % server.port, b"http://localhost.:%d" % server.port):  # fmt: skip
        assert (await spoken(server.port, upgrade(cookie, b"Origin: " + origin, host=host))).status in {400, 403}


@pytest.mark.processes
async def test_no_answer_says_who_serves(serve):
    server = await serve()
    for sent in (request("/", b""), request("/nowhere", b""), upgrade(), upgrade(host=b"evil"), b"rubbish\r\n\r\n"):
        head = (await spoken(server.port, sent)).head.lower()
        assert b"\r\nserver:" not in head
        assert b"daphne" not in head
        assert b"twisted" not in head
        assert b"autobahn" not in head


@pytest.mark.processes
async def test_a_thousand_visitors_of_nowhere_leave_a_small_log_and_no_traceback(serve):
    server = await serve()
    before = server.log.stat().st_size
    for number in range(1_000):
        wrong = upgrade(host=b"evil.example") if number % 4 == 0 else request(f"/nowhere/{number}", b"")
        assert (await spoken(server.port, wrong if number % 4 < 2 else upgrade(path="/x"))).status in {403, 404}
    grown = server.log.read_text()[before:]
    assert "left_out" in grown
    assert len(grown) < 200_000


@pytest.mark.processes
async def test_a_client_that_says_nothing_or_never_ends_is_hung_up_on(serve):
    server = await serve(AUTOCODE_REQUEST_S=1)

    async def cut(sent: bytes, *, trickle: bytes = b"") -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        try:
            async with asyncio.timeout(20):
                while not reader.at_eof():
                    try:
                        await asyncio.wait_for(reader.read(1), 0.2)
                    except TimeoutError:
                        writer.write(trickle)
        except ConnectionError:
            pass
        finally:
            writer.close()

    body = request("/api/v1/auth/token/", b"Content-Length: 100000", b"", method="POST")
    await asyncio.gather(
        cut(b""),
        cut(b"", trickle=b"G"),
        cut(b"GET / HTTP/1.1\r\n", trickle=b"X: y\r\n"),
        cut(body, trickle=b" "),
        cut(request("/healthz", b""), trickle=b"G"),
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(upgrade())
    await reader.readuntil(b"\r\n\r\n")
    with pytest.raises(TimeoutError):  # a socket is not a request: it outlives all these limits
        await asyncio.wait_for(reader.read(1), 2.5)
    writer.close()
