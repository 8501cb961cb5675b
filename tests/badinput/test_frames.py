"""RFC 6455 in single frames against a running server: what must work, what must end, and with which code.

The 23 plainest violations stand in tests/serve/test_violations.py, hosts and origins in tests/security/test_gate.py,
clients that say nothing there too; here is the rest: fragments, control frames among them, borders of UTF-8, close
codes, lengths, and handshakes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import os
import time
from typing import Any, NamedTuple

import pytest

from tests.badinput.http import Http
from tests.serve.conftest import PLENTY, ada, room, serve
from tests.serve.raw import BINARY, CLOSE, FIN, MASK, PING, TEXT, Raw, frame

__all__ = ["ada", "room", "serve"]

pytestmark = [pytest.mark.processes, pytest.mark.once, pytest.mark.timeout(110)]

CONTINUATION, PONG = 0x0, 0xA
LIMIT = 65_536
PING_COMMAND = b'{"type":"ping","id":"p","data":{"t":1}}'
FORGIVING = {**PLENTY, "DJANGO_SETTINGS_MODULE": "autocode.settings.test"}


def close(code: int, reason: bytes = b"", **options: Any) -> bytes:
    return frame(FIN | CLOSE, code.to_bytes(2, "big") + reason, **options)


def pieces(*parts: bytes, first: int = TEXT) -> bytes:
    """One message in as many frames."""
    kinds = [first, *[CONTINUATION] * (len(parts) - 1)]
    kinds[-1] |= FIN
    return b"".join(frame(kind, part) for kind, part in zip(kinds, parts, strict=True))


def longer(first: int, payload: bytes, width: int) -> bytes:
    """A frame whose length is written in ``width`` bytes, needed or not."""
    return bytes([first, 0x80 | (126 if width == 2 else 127)]) + len(payload).to_bytes(width, "big") + MASK + payload


class Case(NamedTuple):
    row: str
    what: str
    sent: bytes
    code: int


VIOLATIONS = [
    *(Case("W2", f"reserved bit {bit:#x} on a {name}", frame(FIN | bit | kind), 1002)
      for bit in (0x40, 0x20, 0x10) for name, kind in (("ping", PING), ("pong", PONG), ("close", CLOSE))),
    Case("W2", "a reserved bit on a continuation", frame(TEXT, b'{"') + frame(FIN | 0x40, b'"}'), 1002),
    *(Case("W5", f"opcode {kind:#x}", frame(FIN | kind, PING_COMMAND), 1002)
      for kind in (0x4, 0x5, 0x6, 0x7, 0xC, 0xD, 0xE, 0xF)),
    Case("W1", "an unmasked ping", frame(FIN | PING, b"x", masked=False), 1002),
    Case("W1", "an unmasked close", close(1000, masked=False), 1002),
    Case("W1", "an unmasked continuation", frame(TEXT, b'{"') + frame(FIN, b'"}', masked=False), 1002),
    Case("W9", "a continuation of nothing that goes on", frame(CONTINUATION, b"x"), 1002),
    Case("W9", "a continuation after the end", pieces(b'{"type":', b'"ping"}') + frame(FIN, b"x"), 1002),
    Case("W10", "a binary message inside a text", frame(TEXT, b"x") + frame(FIN | BINARY, b"x"), 1002),
    Case("W10", "a text inside a binary message", frame(BINARY, b"x") + frame(FIN | TEXT, b"x"), 1002),
    Case("W11", "a pong of 126 bytes", longer(FIN | PONG, b"x" * 126, 2), 1002),
    Case("W11", "a ping whose length is written in 64 bits", longer(FIN | PING, b"x", 8), 1002),
    Case("W12", "a fragmented pong", frame(PONG, b"x"), 1002),
    Case("W12", "a fragmented close", frame(CLOSE, b"\x03\xe8"), 1002),
    *(Case("W17", f"a close with {code}", close(code), 1002)
      for code in (0, 1, 1004, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5001, 65_535)),
    Case("W19", "a reason of 124 bytes", longer(FIN | CLOSE, b"\x03\xe8" + b"x" * 124, 2), 1002),
    Case("W19", "a reason that ends within a character", close(1000, b"\xe2\x82"), 1007),
    *(Case("W22", f"{text!r}", frame(FIN | TEXT, b'"' + text + b'"'), 1007)
      for text in (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\x80",
                   b"\xbf", b"\xfe", b"\xed\xbf\xbf", b"\xc3")),
    Case("W22", "a character that breaks at a border of fragments", pieces(b'"\xe2\x82', b'x"'), 1007),
    Case("W22", "a surrogate over a border", pieces(b'"\xed', b'\xa0\x80"'), 1007),
    Case("W22", "the last fragment ends within a character", pieces(b'"x', b"\xf0\x9f\x9a"), 1007),
    Case("W22", "a bad first fragment of an unfinished message", frame(TEXT, b"\xff"), 1007),
    Case("W27", "65,535 bytes in a length of 64 bits", longer(FIN | TEXT, b"x" * 65_535, 8), 1002),
    Case("W27", "125 bytes in a length of 16 bits", longer(FIN | TEXT, b"x" * 125, 2), 1002),
    Case("W27", "none in a length of 64 bits", longer(FIN | TEXT, b"", 8), 1002),
    Case("W29", "the head of two gigabytes", b"\x81\xff" + (2**31).to_bytes(8, "big") + MASK, 1009),
    Case("W29", "the head of 2^63 - 1", b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + MASK, 1009),
    Case("W29", "the head of a large fragment", b"\x01\xff" + (2**20).to_bytes(8, "big") + MASK, 1009),
    Case("W31", "limit and one in two", frame(TEXT, b"x" * LIMIT) + frame(FIN, b"x"), 1009),
    Case("W31", "limit and one, in a fragment that goes on", frame(TEXT, b"x") + frame(0, b"x" * LIMIT), 1009),
    Case("W32", "fragments without end and content", frame(TEXT) + frame(CONTINUATION) * 20_000, 1009),
]  # fmt: skip


async def test_each_violation_ends_with_its_code_and_touches_nobody_else(serve, ada, room):
    server = await serve(**FORGIVING)
    other = await Raw.open(server.port, ada)
    wrong = []
    for case in VIOLATIONS:
        raw = await Raw.open(server.port, ada)
        raw.writer.write(case.sent + frame(FIN | TEXT, b'{"type":"create_task","id":"never","data":{"title":"x"}}'))
        found, code = await raw.rest()
        found = [one for one in found if one["type"] != "pong" and one["data"].get("code") != "malformed_json"]
        if code != case.code or found:
            wrong.append(f"{case.row} {case.what}: {code} instead of {case.code} {found}")
        raw.writer.write(close(1000))
        await raw.hung_up()
        raw.writer.close()
        other.writer.write(frame(FIN | PING, b"others"))
        assert await other.frame() == (PONG, b"others"), case
    assert not wrong, "\n".join(wrong)
    assert await answers(other)
    other.writer.close()


async def answers(raw: Raw) -> bool:
    """Tell whether a good command is carried out."""
    raw.send({"type": "subscribe", "id": "good", "data": {"topic": "nowhere"}})
    return bool((await raw.next())["replyTo"] == "good")


GOOD: dict[str, tuple[bytes, list[tuple[int, bytes | None]]]] = {
    "one frame": (frame(FIN | TEXT, PING_COMMAND), [(TEXT, None)]),
    "W24 a fragment for each byte": (pieces(*[bytes([byte]) for byte in PING_COMMAND]), [(TEXT, None)]),
    "W24 characters over borders": (
        pieces(b'{"type":"ping","id":"p","data":{"t":"\xf0\x9f', b"\x9a", b"\x80\xc3", b'\xa9"}}'), [(TEXT, None)]
    ),
    "empty fragments": (pieces(b"", PING_COMMAND, b"", b""), [(TEXT, None)]),
    "pings among fragments": (
        frame(TEXT, PING_COMMAND[:9]) + frame(FIN | PING, b"1") + frame(0, PING_COMMAND[9:20]) + frame(FIN | PING, b"2")
        + frame(FIN | PONG, b"3") + frame(FIN, PING_COMMAND[20:]),
        [(PONG, b"1"), (PONG, b"2"), (TEXT, None)],
    ),
    "a ping within a character": (
        frame(TEXT, b'{"type":"ping","id":"p","data":{"t":"\xe2') + frame(FIN | PING, b"\x82")
        + frame(FIN, b'\x82\xac"}}'),
        [(PONG, b"\x82"), (TEXT, None)],
    ),
    "pings of all sizes": (
        b"".join(frame(FIN | PING, b"\xff" * size) for size in (0, 1, 124, 125)),
        [(PONG, b"\xff" * size) for size in (0, 1, 124, 125)],
    ),
    "W14 pongs that nobody asked for": (
        frame(FIN | PONG) + frame(FIN | PONG, b"x" * 125) + frame(FIN | TEXT, PING_COMMAND), [(TEXT, None)]
    ),
    "two messages in one packet": (frame(FIN | TEXT, PING_COMMAND) * 2, [(TEXT, None), (TEXT, None)]),
    "W30 a message of just the limit": (
        frame(FIN | TEXT, PING_COMMAND + b" " * (LIMIT - len(PING_COMMAND))), [(TEXT, None)]
    ),
    "W31 fragments of just the limit": (
        pieces(PING_COMMAND, b" " * (LIMIT - len(PING_COMMAND) - 1), b" "), [(TEXT, None)]
    ),
    "the largest length in 16 bits": (
        frame(FIN | TEXT, PING_COMMAND + b" " * (65_535 - len(PING_COMMAND))), [(TEXT, None)]
    ),
    "a thousand fragments": (pieces(PING_COMMAND, *[b" "] * 999), [(TEXT, None)]),
}  # fmt: skip


async def test_what_the_rfc_allows_works(serve, ada):
    server = await serve(**FORGIVING)
    for name, how in itertools.product(GOOD, ["at once", "byte by byte"]):
        sent, expected = GOOD[name]
        if how == "byte by byte" and len(sent) > 2_000:
            continue
        raw = await Raw.open(server.port, ada)
        if how == "at once":
            raw.writer.write(sent)
        else:
            for byte in sent:
                raw.writer.write(bytes([byte]))
                await raw.writer.drain()
                await asyncio.sleep(0)
        for opcode, payload in expected:
            async with asyncio.timeout(20):
                got = await raw.frame()
            assert got[0] == opcode, (name, got)
            assert payload is None or got[1] == payload, (name, got)
            if payload is None:
                assert json.loads(got[1])["type"] == "pong", (name, got)
        assert await answers(raw), name
        raw.writer.close()


async def test_the_mask_is_taken_off_whatever_it_is(serve, ada):
    server = await serve(**FORGIVING)
    raw = await Raw.open(server.port, ada)
    for mask in (b"\xff\xff\xff\xff", b"\x00\x01\x02\x03", os.urandom(4)):
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(PING_COMMAND))
        raw.writer.write(bytes([FIN | TEXT, 0x80 | len(masked)]) + mask + masked)
        assert (await raw.next())["type"] == "pong"
    raw.writer.close()


async def test_a_proper_close_is_answered_and_nothing_after_it_is_read(serve, ada):
    server = await serve(**FORGIVING)
    for code in (None, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        raw = await Raw.open(server.port, ada)
        raw.writer.write(frame(FIN | CLOSE) if code is None else close(code, "Ende ✓".encode()))
        raw.writer.write(frame(FIN | TEXT, PING_COMMAND) + frame(FIN | PING, b"late") + frame(FIN | 0xB))
        found, answer = await raw.rest()
        assert (found, answer in {1000, code}) == ([], True), (code, found, answer)
        await raw.hung_up()
        raw.writer.close()


async def test_bytes_that_come_slowly_are_no_sign_of_life(serve, ada):
    """W34, W35: a message has to end within the heartbeat, whatever trickles in, and whatever pings come between."""
    server = await serve(**FORGIVING, AUTOCODE_HEARTBEAT_S=1, AUTOCODE_HEARTBEAT_GRACE_S=1)
    raw = await Raw.open(server.port, ada)
    raw.writer.write(frame(TEXT, b'{"type":'))

    async def trickle() -> None:
        while True:
            raw.writer.write(frame(CONTINUATION, b" ") + frame(FIN | PING, b"x"))
            await asyncio.sleep(0.1)

    trickling = asyncio.create_task(trickle())
    found, code = await raw.rest()
    trickling.cancel()
    assert code == 4104
    assert found[-1]["type"] == "error"


async def test_others_are_served_while_somebody_floods(serve, ada):
    """A packet of thousands of empty frames is work of milliseconds, and not of the connection's lifetime."""
    server = await serve(**FORGIVING)
    flooding, other = [await Raw.open(server.port, ada) for _ in range(2)]
    flooding.writer.write(frame(TEXT) + frame(CONTINUATION) * 50_000)
    began = time.monotonic()
    other.writer.write(frame(FIN | PING, b"x"))
    assert await other.frame() == (PONG, b"x")
    assert time.monotonic() - began < 5
    assert (await flooding.rest())[1] == 1009
    assert await answers(other)


# --- handshakes -------------------------------------------------------------------------------------------------

KEY = base64.b64encode(b"sixteen bytes ok").decode()
UPGRADE = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY,
           "Sec-WebSocket-Version": "13"}  # fmt: skip


def hello(method: str = "GET", target: str = "/ws/", version: str = "1.1", **changed: str | None) -> bytes:
    """A handshake with headers changed (None: left out)."""
    headers = UPGRADE | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


BAD_HANDSHAKES: list[tuple[str, str, bytes, set[int]]] = [
    ("W39", "no Connection", hello(Connection=None), {400}),
    ("W39", "Connection: keep-alive", hello(Connection="keep-alive"), {400}),
    *(("W40", f"version {version}", hello(Sec_WebSocket_Version=version), {400, 426})
      for version in (None, "", "99", "abc", "8", "7", "0", "-13", "13.0", "13, 8")),
    *(("W41", f"key {key!r}", hello(Sec_WebSocket_Key=key), {400})
      for key in (None, "", "AAAA", base64.b64encode(b"x" * 15).decode(), base64.b64encode(b"x" * 17).decode(),
                  "*" * 24, "x" * 24, "x" * 5_000)),
    ("W41", "two keys", hello()[:-2] + f"Sec-WebSocket-Key: {KEY}\r\n\r\n".encode(), {400}),
    ("W41", "two versions", hello()[:-2] + b"Sec-WebSocket-Version: 13\r\n\r\n", {400}),
    *(("W42", f"{method}", hello(method), {400, 405}) for method in ("POST", "PUT", "HEAD", "BREW", "CONNECT")),
    ("W42", "HTTP/1.0", hello(version="1.0"), {400}),
    *(("W44", f"{target}", hello(target=target), {400, 403, 404})
      for target in ("/", "/ws", "/ws/x/", "/ws/%00", "/ws/%ff", "/ws/../ws/", "//ws/", "/ws//", "/WS/", "/api/v1/me/",
                     "/ws/%2e%2e/", "*", "/ws/#x")),
    ("W43", "a token in the address", hello(target="/ws/?token=abc"), {101, 400, 403}),
    *(("W46", f"subprotocols {offered!r}", hello(Sec_WebSocket_Protocol=offered), {400})
      for offered in ("\xe9", "a\x00b")),
    ("W45", "no host", hello(Host=None), {400, 403}),
    ("W45", "an empty host", hello(Host=""), {400, 403}),
    ("W39", "a fragment of a head", hello()[:-4] + b"\r\nnonsense\r\n\r\n", {400}),
]  # fmt: skip


async def test_each_bad_handshake_gets_a_status_and_no_socket(serve, ada):
    server = await serve(**FORGIVING)
    http = Http(server.port, ada)
    wrong = []
    for row, what, sent, allowed in BAD_HANDSHAKES:
        [answer] = await http.raw(sent, method=sent.split(b" ", 1)[0].decode())
        if answer.status not in allowed:
            wrong.append(f"{row} {what}: {answer.status} {answer.body[:80]!r}")
    assert not wrong, "\n".join(wrong)
    assert (await http.call("GET", "/api/v1/me/")).status == 200


async def test_every_way_to_write_a_handshake_is_understood(serve):
    server = await serve(**FORGIVING)
    ways: list[dict[str, Any]] = [
        {"Upgrade": "WebSocket"}, {"Connection": "keep-alive, Upgrade"}, {"Connection": "upgrade"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits, x-unknown"},
        {"Sec_WebSocket_Protocol": "autocode.v1"}, {"Cookie": "sessionid=nonsense"}, {"Content_Length": "0"},
    ]  # fmt: skip
    for changed in ways:
        [answer] = await Http(server.port).raw(hello(**changed))
        assert answer.status == 101, (changed, answer)
        proof = hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert answer.headers["sec-websocket-accept"] == base64.b64encode(proof).decode()
        assert "sec-websocket-extensions" not in answer.headers


async def test_what_comes_with_the_handshake_does_no_harm(serve, ada):
    """W36: a client has to wait for 101. What it sends before may be lost, and the socket goes on."""
    server = await serve(**FORGIVING)
    for early in (frame(FIN | TEXT, b'{"type":"ping","id":"early"}'), frame(FIN | PING, b"early"), b"\x00" * 500):
        http = Http(server.port, ada)
        offered = f"autocode.v1, autocode.jwt.{http.token}"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(hello(Sec_WebSocket_Protocol=offered) + early)
        async with asyncio.timeout(20):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            raw = Raw(reader, writer)
            if early[0]:
                raw.writer.write(frame(FIN | PING, b"later"))
                while await raw.frame() != (PONG, b"later"):
                    pass
        writer.close()


async def test_half_a_handshake_is_forgotten(serve, ada):
    server = await serve(**FORGIVING, AUTOCODE_REQUEST_S=2)
    whole = hello()
    open_ones = []
    for cut in range(1, len(whole), 9):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(whole[:cut])
        await writer.drain()
        if cut % 2:
            writer.close()
        else:
            open_ones.append((reader, writer))
    async with asyncio.timeout(30):
        for reader, writer in open_ones:
            try:
                assert (await reader.read()).startswith((b"", b"HTTP/1.1 400"))
            except ConnectionResetError:
                pass
            writer.close()
    assert await answers(await Raw.open(server.port, ada))
