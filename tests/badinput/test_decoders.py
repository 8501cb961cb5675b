"""Whatever bytes come: every reader of foreign JSON takes them or names the reason, quickly and in little memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.agents import commands
from apps.agents.link import frames as link_frames
from apps.agents.link import messages as link_messages
from apps.agents.link.session import LETTERS_A_MINUTE
from apps.agents.models import DeadLetter
from apps.core.events import catalogue
from apps.projects.records import LoggedEvent
from apps.realtime.commands import COMMANDS
from apps.realtime.frames import text_in
from apps.realtime.jsonscan import scan
from apps.realtime.protocol import Envelope, decode, encode, event_frame, reply_frame
from apps.realtime.replies import REPLIES
from apps.realtime.router import form
from tests.agents.conftest import db, linked, project, server
from tests.badinput.decoders import READERS, agreement, plainly
from tests.badinput.shapes import values_of

__all__ = ["project", "server"]

GUID = "0190a0de-0000-7000-8000-000000000000"
JSON_READERS = ["socket", "link", "rest"]
KIB64 = 65_536

KINDS = sorted({*COMMANDS, *catalogue(), *link_messages.INBOUND, "ack", "nack", "welcome", ""})
FIELDS = sorted(
    {"type", "data", "payload", "id", "projectGuid", "project_id", "action", "topic", "offset", "timestamp"}
    | {field for row in COMMANDS.values() for field in row.payload.__struct_encode_fields__}
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from([*KINDS, GUID, "\x00", "\ud800", 2**53, -(2**53), 10**30, 1e308, "x" * 40_000])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=25,
)
envelopes = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional={
        "data": st.dictionaries(st.sampled_from(FIELDS), values, max_size=5) | values,
        "projectGuid": st.just(GUID) | scalars,
        "id": st.just("a-1") | scalars,
        "offset": scalars,
        "action": st.sampled_from(["ping", "subscribe", "x"]) | values,
        "topic": values,
    },
)
json_like = st.text(alphabet='{}[]",:\\/0123456789eE+-.truefalsnu \t\n\x00\ud800é', max_size=200)


def as_bytes(value: Any) -> bytes:
    """Return JSON that may hold what JSON must not: NaN, lone surrogates, NUL."""
    return json.dumps(value).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good message in which one place was cut out, doubled or replaced."""
    good = as_bytes(draw(envelopes))
    begin = draw(st.integers(0, len(good)))
    end = min(len(good), begin + draw(st.integers(0, 8)))
    middle = draw(st.binary(max_size=6) | st.just(good[begin:end] * 2) | st.just(b""))
    return good[:begin] + middle + good[end:]


inputs = (
    st.binary(max_size=300)
    | json_like.map(lambda text: text.encode(errors="surrogatepass"))
    | values.map(as_bytes)
    | envelopes.map(as_bytes)
    | st.lists(envelopes, max_size=70).map(as_bytes)
    | damaged()
)


@pytest.mark.parametrize("reader", JSON_READERS)
@settings(deadline=None, max_examples=200)
@given(data=inputs)
def test_it_takes_or_names_the_reason(reader: str, data: bytes) -> None:
    READERS[reader](data)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "corpus").iterdir()), ids=lambda path: path.name)
def test_what_the_fuzzing_found_once_is_taken_or_refused(path: Path) -> None:
    for read in READERS.values():
        read(path.read_bytes())


# --- bounded time and memory ------------------------------------------------------------------------------------

BOMBS = {
    "a string without an end, full of quotes": b'"' + b'\\"' * (KIB64 // 2 - 1),
    "quotes": b'"' * KIB64,
    "backslashes": b'"' + b"\\" * (KIB64 - 1),
    "brackets": b"[" * KIB64,
    "braces": b'{"":' * (KIB64 // 4),
    "a string without an end behind brackets": b"[" * 16 + b'"' + b'\\"[' * (KIB64 // 3 - 10),
    "digits": b"9" * KIB64,
    "a fraction": b"0." + b"9" * (KIB64 - 2),
    "an exponent": b"1e" + b"9" * (KIB64 - 2),
    "commas": b"[" + b"1," * (KIB64 // 2 - 1) + b"1]",
    "empty objects": b"[" + b"{}," * (KIB64 // 3 - 1) + b"1]",
    "escapes": b'"' + b"\\u00e9" * (KIB64 // 6 - 1) + b'"',
    "minus": b"-" * KIB64,
    "spaces": b" " * KIB64,
    "keys that are one": b"{" + b'"a":1,' * (KIB64 // 6 - 1) + b'"b":1}',
}


@pytest.mark.parametrize("reader", JSON_READERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_no_64_kib_cost_more_than_they_weigh(reader: str, bomb: str) -> None:
    """The worst of these took 5 s before strings without an end were taken in one go, and 15 ms now."""
    tracemalloc.start()
    before = time.process_time()
    READERS[reader](BOMBS[bomb])
    seconds, (_, peak) = time.process_time() - before, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 1.5
    assert peak < 32 * 2**20


@pytest.mark.parametrize("what", ["1,", "{},", '"",', "[],"])
def test_a_megabyte_from_the_agents_server_is_no_million_messages(what: str) -> None:
    [bad] = link_frames.read_frame("[" + what * (1_000_000 // len(what)) + "1]", longest=2**20)
    assert isinstance(bad, link_frames.Bad)
    assert bad.error.code == "too_large"
    assert len(bad.body) <= 2_000
    assert len(link_frames.read_frame("[" + "1," * (link_frames.BATCH - 1) + "1]", longest=2**20)) == link_frames.BATCH


@pytest.mark.parametrize("form", ["[{}]", '{{"type":"x","data":{}}}', '[1,{{"a":{}}}]'])
def test_no_depth_is_too_deep_to_be_refused(form: str) -> None:
    """Also what is just shallow enough to be read, and too deep to be written again."""
    outcomes = set()
    for depth in (*range(1, 40), *range(900, 1_010)):
        for inner in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            text = form.format(inner)
            outcomes |= {READERS[name](text.encode()) for name in JSON_READERS}
    assert "too_deep" in outcomes


@pytest.mark.django_db(transaction=True)
async def test_the_link_outlives_every_depth(server, project):
    """It ended in a RecursionError before, and again after each reconnection: the message came again as well."""
    async with linked(server):
        await server.connected()
        deepest = range(880, 1_000)
        for depth in deepest:
            await server.raw('{"a":' * depth + "1" + "}" * depth)
        await server.tell("agent_spawned", project.guid, {"agent": {"agentId": "coder", "name": "Coder"}})
    assert len(server.hellos) == 1, "one connection all the while"
    refusals = [one["data"]["code"] for one in server.frames if one["type"] == "error"]
    assert len(refusals) == len(deepest)
    assert set(refusals) <= {"too_deep", "malformed_json"}
    assert await db(DeadLetter.objects.count) == LETTERS_A_MINUTE, "a minute's letters, however many there could be"


# --- two ways, one meaning --------------------------------------------------------------------------------------


def depth_of(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, inner), default=0)
    return 0


@settings(deadline=None, max_examples=250)
@given(inputs)
def test_the_scan_of_bytes_and_the_parsed_value_agree(data: bytes) -> None:
    """What is accepted is what Python's plain parser reads; what is too deep in bytes is too deep as a value."""
    try:
        value = scan(data)
    except Exception as error:
        refusal = error
    else:
        assert value == json.loads(data)
        assert depth_of(value) <= 16
        return
    if getattr(refusal, "code", "") == "too_deep":
        try:
            plain = json.loads(data)
        except (ValueError, RecursionError):
            return
        assert depth_of(plain) > 16


@settings(deadline=None, max_examples=250)
@given(inputs)
def test_socket_and_rest_accept_the_same_json(data: bytes) -> None:
    agreement(data)


frames_in = st.builds(
    lambda first, text, mask, cut, more: (
        bytes([first]) + head(len(text)) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text)) + more
    )[: None if cut == 0 else -cut],
    st.sampled_from([0x81, 0x81, 0x81, 0x01, 0x82, 0xC1, 0x88, 0x89]),
    st.binary(max_size=140) | st.text(max_size=140).map(str.encode),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 3),
    st.just(b"") | st.binary(max_size=3),
)


def head(length: int) -> bytes:
    return bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")


@settings(deadline=None, max_examples=400)
@given(frames_in | st.binary(max_size=150))
def test_the_short_way_in_takes_just_what_the_rfc_reads_as_one_text(data: bytes) -> None:
    assert text_in(data, KIB64) == plainly(data)


# --- round trips ------------------------------------------------------------------------------------------------


SHAPES: dict[str, Any] = (
    {f"command {name}": row.payload for name, row in COMMANDS.items()}
    | {f"event {name}": row.payload for name, row in catalogue().items()}
    | {f"reply {name}": kind for name, kind in REPLIES.items()}
    | {f"from the agents-server {name}": kind for name, kind in link_messages.INBOUND.items()}
    | {f"to the agents-server {name}": kind for name, kind in commands.OUTBOUND.items()}
)


@pytest.mark.parametrize("name", SHAPES)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_every_type_comes_back_as_it_went(name: str, data: st.DataObject) -> None:
    direction, _, type_ = name.rpartition(" ")
    kind = SHAPES[name]
    value = data.draw(values_of(kind))
    went = msgspec.convert(value, kind)
    assert msgspec.convert(msgspec.to_builtins(went), kind) == went
    match direction:
        case "command":
            [come] = decode(encode({"type": type_, "projectGuid": GUID, "data": went, "id": "a"}))
            assert isinstance(come, Envelope)
            assert (come.type, come.project_guid, come.id) == (type_, GUID, "a")
            assert form(kind, come.data) == went
        case "event":
            logged = LoggedEvent(seq=7, id="e", type=type_, at="2026-01-01T00:00:00.000Z", data=encode(went))
            sent = json.loads(event_frame(GUID, logged))
            assert (sent["type"], sent["seq"], sent["projectGuid"]) == (type_, 7, GUID)
            assert msgspec.convert(sent["data"], kind) == went
        case "reply":
            sent = json.loads(reply_frame(type_, went, guid=GUID, reply_to="a"))
            assert (sent["type"], sent["replyTo"]) == (type_, "a")
            assert msgspec.convert(sent["data"], kind) == went
        case _:
            packed = link_frames.pack(type_, went, guid=GUID, id="a")
            [arrived] = link_frames.read_frame(link_frames.encode([packed]), longest=2**20)
            assert isinstance(arrived, link_frames.Envelope)
            assert (arrived.type, arrived.guid, arrived.id) == (type_, GUID, "a")
            assert msgspec.convert(arrived.data, kind) == went
