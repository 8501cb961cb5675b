"""The three readers of foreign JSON behind one face, with what each of them promises.

``read`` is called with bytes as they come from the network, and may only return or raise what the reader documents:
anything else is a defect. The property tests and the fuzzing call the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.accounts.api.parsers import strict_json
from apps.agents.link import dispatch
from apps.agents.link.frames import Bad, read_frame
from apps.agents.link.frames import Envelope as LinkEnvelope
from apps.core.errors import AutoCodeError, InvalidField, MalformedJson, TooDeep, TooLarge
from apps.realtime import handlers
from apps.realtime.commands import COMMANDS
from apps.realtime.frames import text_in
from apps.realtime.jsonscan import scan
from apps.realtime.protocol import Envelope, Refused, decode
from apps.realtime.router import form

handlers.load()

LONGEST = 1_048_576
"""Bytes of the longest frame of the link and of the longest body."""
DOCUMENTED = {"malformed_json", "invalid_message", "invalid_field", "too_large", "too_deep", "unknown_type"}
"""The codes with which a decoder may refuse."""

Outcome = str
"""``ok`` or the code of the refusal."""


def socket(data: bytes) -> Outcome:
    """A client's frame as far as its command's checked payload."""
    try:
        received = decode(data)
    except AutoCodeError as error:
        return documented(error)
    assert received, "a frame says something or is refused"
    outcome = "ok"
    for one in received:
        if isinstance(one, Refused):
            outcome = documented(one.error)
            continue
        assert isinstance(one, Envelope)
        row = COMMANDS.get(one.type)
        if row is None:
            outcome = "unknown_type"
            continue
        try:
            form(row.payload, one.data)
        except AutoCodeError as error:
            outcome = documented(error)
    return outcome


def link(data: bytes) -> Outcome:
    """A frame of the agents-server as far as its checked payload. Frames arrive as text: bytes that are none cannot."""
    outcome = "ok"
    received = read_frame(data.decode(errors="replace"), longest=LONGEST)
    assert received, "a frame says something or is refused"
    for one in received:
        if isinstance(one, Bad):
            outcome = documented(one.error)
            assert len(one.body) <= 16_384
            continue
        assert isinstance(one, LinkEnvelope)
        try:
            dispatch.decode(one.type, one.data)
        except AutoCodeError as error:
            outcome = documented(error)
    return outcome


def rest(data: bytes) -> Outcome:
    """A body of the REST API."""
    try:
        strict_json(data)
    except AutoCodeError as error:
        return documented(error)
    return "ok"


def wire(data: bytes) -> Outcome:
    """Bytes of a socket that are perhaps just one whole text message."""
    found = text_in(data, 65_536)
    if found is None:
        return "the long way"
    assert plainly(data) == found
    return "ok"


def documented(error: AutoCodeError) -> Outcome:
    """Return the error's code; it must be one that a decoder may give, with a text that repeats little."""
    assert error.code in DOCUMENTED, error
    assert len(error.message) <= 500
    assert len(error.field or "") <= 256
    return error.code


def plainly(data: bytes) -> bytes | None:
    """Return the payload if ``data`` is exactly one final, masked, shortest-length UTF-8 text frame: RFC 6455, 5.2."""
    if len(data) < 2 or data[0] != 0x81 or not data[1] & 0x80:
        return None
    length, at = data[1] & 0x7F, 2
    if length >= 126:
        width = 2 if length == 126 else 8
        length, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        if length < (126 if width == 2 else 65_536):
            return None
    mask, masked = data[at : at + 4], data[at + 4 :]
    if len(mask) < 4 or len(masked) != length:
        return None
    payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
    try:
        payload.decode()
    except UnicodeDecodeError:
        return None
    return payload


def outcome(read: Callable[[bytes], Any], data: bytes) -> Any:
    """Return what ``read`` makes of ``data``: a value, or the class of its refusal."""
    try:
        return read(data)
    except AutoCodeError as error:
        return type(error)


def agreement(data: bytes) -> Outcome:
    """One text means one thing on the socket and over REST, beyond limits of size, which differ by design."""
    here, there = outcome(scan, data), outcome(strict_json, data)
    if TooLarge in (here, there) or InvalidField in (here, there):
        return "too large for one of them"
    if {str(here), str(there)} == {str(TooDeep), str(MalformedJson)}:
        return "wrong twice"  # the one looks at the depth first, the other at the grammar
    assert repr(here) == repr(there), (here, there)
    return "ok"


READERS: dict[str, Callable[[bytes], Any]] = {
    "socket": socket,
    "link": link,
    "rest": rest,
    "wire": wire,
    "agreement": agreement,
}
