"""What a server says to forbidden frames: a close frame with the code that RFC 6455 names, not a reset."""

from __future__ import annotations

import asyncio
import json
from typing import NamedTuple

import pytest

from tests.serve.raw import BINARY, CLOSE, FIN, MASK, PING, TEXT, Raw, frame
from tests.support.browser import envelope

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]

LIMIT = 65_536
"""Bytes of a message."""


class Case(NamedTuple):
    """What is sent, the section that forbids it, and the code of the answer."""

    name: str
    section: str
    sent: bytes
    code: int


PING_COMMAND = json.dumps({"type": "ping", "data": {}, "id": "p"}).encode()

CASES = [
    Case("an unmasked frame", "5.1", frame(FIN | TEXT, PING_COMMAND, masked=False), 1002),
    Case("a reserved bit (RSV1)", "5.2", frame(FIN | 0x40 | TEXT, PING_COMMAND), 1002),
    Case("a reserved bit (RSV2)", "5.2", frame(FIN | 0x20 | TEXT, PING_COMMAND), 1002),
    Case("a reserved bit (RSV3)", "5.2", frame(FIN | 0x10 | TEXT, PING_COMMAND), 1002),
    Case("a reserved data opcode", "5.2", frame(FIN | 0x3, PING_COMMAND), 1002),
    Case("a reserved control opcode", "5.2", frame(FIN | 0xB), 1002),
    Case("a length that is longer written than needed", "5.2", b"\x81\xfe\x00\x05" + MASK + b"hello", 1002),
    Case("a length with its highest bit set", "5.2", b"\x81\xff" + b"\x80" + bytes(7) + MASK, 1002),
    Case("a fragmented ping", "5.5", frame(PING, b"x"), 1002),
    Case("a ping of 126 bytes", "5.5", b"\x89\xfe\x00\x7e" + MASK + b"x" * 126, 1002),
    Case("a continuation of nothing", "5.4", frame(FIN | 0x0, b"tail"), 1002),
    Case("a text in the middle of a text", "5.4", frame(TEXT, b'{"ty') + frame(FIN | TEXT, PING_COMMAND), 1002),
    Case("a close of one byte", "5.5.1", frame(FIN | CLOSE, b"\x03"), 1002),
    Case("a close with a code below 1000", "7.4.2", frame(FIN | CLOSE, (999).to_bytes(2, "big")), 1002),
    Case("a close with 1005", "7.4.1", frame(FIN | CLOSE, (1005).to_bytes(2, "big")), 1002),
    Case("a close with 5000", "7.4.2", frame(FIN | CLOSE, (5000).to_bytes(2, "big")), 1002),
    Case("a close with a reason that is no UTF-8", "5.5.1", frame(FIN | CLOSE, b"\x03\xe8\xff"), 1007),
    Case("a text that is no UTF-8", "8.1", frame(FIN | TEXT, b'"\xc3\x28"'), 1007),
    Case("a text that ends within a character", "8.1", frame(FIN | TEXT, b'"\xe2\x82'), 1007),
    Case("a surrogate in a text", "8.1", frame(FIN | TEXT, b'"\xed\xa0\x80"'), 1007),
    Case("a frame over the limit", "7.4.1", frame(FIN | TEXT, b"x" * (LIMIT + 1)), 1009),
    Case("the head of a frame of a gigabyte", "7.4.1", b"\x81\xff" + (1 << 30).to_bytes(8, "big") + MASK, 1009),
    Case(
        "a message over the limit in small pieces",
        "7.4.1",
        frame(TEXT, b"x" * 40_000) + frame(FIN | 0x0, b"x" * 40_000),
        1009,
    ),
]


async def test_each_violation_is_answered_with_its_close_code(serve, ada):
    server = await serve()
    wrong = {}
    for case in CASES:
        raw = await Raw.open(server.port, ada)
        raw.writer.write(case.sent)
        try:
            code = await raw.closed()
        except (ConnectionError, asyncio.IncompleteReadError) as cut:
            code = 1006
            wrong[case.name] = repr(cut)
        if code != case.code:
            wrong[case.name] = f"{code} instead of {case.code} (RFC 6455, {case.section})"
        raw.writer.write(frame(FIN | CLOSE, (1000).to_bytes(2, "big")))
        await raw.hung_up()
        raw.writer.close()
    assert wrong == {}


async def test_nothing_of_a_forbidden_frame_is_carried_out(serve, browsers, ada, room):
    server = await serve()
    command = json.dumps(envelope("create_task", {"title": "never"}, room, "x")).encode()
    unmasked, reserved = frame(FIN | TEXT, command, masked=False), frame(FIN | 0x40 | TEXT, command)
    for sent in (unmasked, reserved, frame(FIN | 0x3, command)):
        raw = await Raw.open(server.port, ada)
        raw.writer.write(sent + frame(FIN | TEXT, command))
        assert await raw.closed() == 1002
        raw.writer.close()
    tab = await browsers(ada, url=server.url)
    assert (await tab.join(room))["snapshot"]["tasks"] == []


async def test_a_binary_frame_is_an_error_and_no_end(serve, ada):
    raw = await Raw.open((await serve()).port, ada)
    raw.writer.write(frame(FIN | BINARY, b"\x00"))
    error = await raw.next()
    assert (error["type"], error["data"]["code"]) == ("error", "invalid_message")
    raw.writer.write(frame(FIN | PING, b"still there"))
    assert await raw.frame() == (0xA, b"still there")
    raw.writer.close()


async def test_whoever_closes_gets_its_own_code_back_even_in_pieces(serve, ada):
    raw = await Raw.open((await serve()).port, ada)
    for byte in frame(FIN | CLOSE, (4000).to_bytes(2, "big") + "später".encode()):
        raw.writer.write(bytes([byte]))
        await raw.writer.drain()
    assert await raw.closed() in {1000, 4000}
    await raw.hung_up()
    raw.writer.close()
