"""The codec: what it takes, what it refuses and by which name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import AutoCodeError, InvalidField, InvalidMessage, MalformedJson, TooDeep, TooLarge
from apps.projects.records import LoggedEvent
from apps.realtime.protocol import Envelope, Refused, decode, error_frame, event_frame, reply_frame

GUID = "0190a0de-0000-7000-8000-000000000000"


def one(frame: str | bytes) -> Envelope:
    (envelope,) = decode(frame)
    assert isinstance(envelope, Envelope), envelope
    return envelope


def refused(frame: str) -> AutoCodeError:
    (envelope,) = decode(frame)
    assert isinstance(envelope, Refused), envelope
    return envelope.error


def test_an_envelope_is_read() -> None:
    frame = json.dumps({"type": "chat", "projectGuid": GUID, "data": {"message": "hi"}, "id": "a1", "timestamp": "now"})
    assert one(frame) == Envelope("chat", GUID, {"message": "hi"}, "a1")


@pytest.mark.parametrize("alias", ["project_guid", "project_id", "projectId", "projectGuid"])
@pytest.mark.parametrize("data", ["payload", "data"])
def test_aliases_are_taken_on_arrival(alias: str, data: str) -> None:
    assert one(json.dumps({"type": "chat", alias: GUID, data: {"x": 1}})) == Envelope("chat", GUID, {"x": 1})


@pytest.mark.parametrize("action", ["subscribe", "unsubscribe"])
def test_the_short_form_becomes_an_envelope(action: str) -> None:
    assert one(json.dumps({"action": action, "topic": "system/stats"})) == Envelope(
        action, None, {"topic": "system/stats"}
    )


def test_a_short_ping_has_no_data() -> None:
    assert one('{"action": "ping"}') == Envelope("ping")


def test_a_batch_is_read_in_order_and_a_bad_one_does_not_spoil_it() -> None:
    first, second, third = decode('[{"type":"ping"}, {"type":"x","surprise":1,"id":"q"}, {"type":"ping","id":"z"}]')
    assert isinstance(first, Envelope)
    assert isinstance(second, Refused)
    assert (second.id, second.error.field) == ("q", "surprise")
    assert isinstance(third, Envelope)
    assert third.id == "z"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("", MalformedJson),
        ("{", MalformedJson),
        ("{'type':'x'}", MalformedJson),
        ('{"type":"x"} {}', MalformedJson),
        ("\ufeff{}", MalformedJson),
        ('{"type":"x","type":"y"}', MalformedJson),
        ('{"data":{"n":NaN}}', MalformedJson),
        ('{"data":{"n":-Infinity}}', MalformedJson),
        ('{"data":{"n":1e400}}', MalformedJson),
        ('{"data":{"n":9007199254740993}}', MalformedJson),
        ('{"data":{"n":' + "9" * 5000 + "}}", MalformedJson),
        ('{"data":{"s":"a\\u0000b"}}', MalformedJson),
        ('{"data":{"\\u0000":1}}', MalformedJson),
        ('{"data":{"s":"\\ud800"}}', MalformedJson),
        ('{"data":{"s":"' + "x" * 32_769 + '"}}', TooLarge),
        ('{"data":{"s":"' + "é" * 16_385 + '"}}', TooLarge),
        ("x" * 65_537, TooLarge),
        (json.dumps({str(n): n for n in range(201)}), TooLarge),
        (json.dumps([{"type": "ping"}] * 65), TooLarge),
        ("[" * 17 + "]" * 17, TooDeep),
        ('{"a":' * 20_000 + "1" + "}" * 20_000, TooLarge),
        ('{"a":' * 8_000 + "1" + "}" * 8_000, TooDeep),
        ("[]", InvalidMessage),
    ],
)
def test_a_bad_frame_is_refused_by_name(frame: str, error: type[AutoCodeError]) -> None:
    with pytest.raises(error) as raised:
        decode(frame)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("frame", "error", "field"),
    [
        ("3", InvalidMessage, None),
        ("{}", InvalidField, "type"),
        ('{"type":3}', InvalidField, "type"),
        ('{"type":"x","extra":1}', InvalidField, "extra"),
        ('{"type":"x","data":[]}', InvalidField, "data"),
        ('{"type":"x","data":{},"payload":{}}', InvalidField, "payload"),
        ('{"type":"x","projectGuid":"nope"}', InvalidField, "projectGuid"),
        ('{"type":"x","projectGuid":7}', InvalidField, "projectGuid"),
        ('{"type":"x","id":"has space"}', InvalidField, "id"),
        ('{"type":"x","id":""}', InvalidField, "id"),
        ('{"type":"x","timestamp":5}', InvalidField, "timestamp"),
        ('{"action":"fly","topic":"x"}', InvalidField, "action"),
        ('{"action":"ping","other":1}', InvalidField, "other"),
    ],
)
def test_a_bad_envelope_names_its_field(frame: str, error: type[AutoCodeError], field: str | None) -> None:
    found = refused(frame)
    assert type(found) is error
    assert found.field == field


def test_sixteen_levels_and_53_bits_are_allowed() -> None:
    assert one('{"type":"x","data":{"a":' + "[" * 14 + "]" * 14 + "}}").data["a"] == [[[[[[[[[[[[[[]]]]]]]]]]]]]]
    assert one('{"type":"x","data":{"n":9007199254740991}}').data["n"] == 2**53 - 1


def test_brackets_in_strings_are_no_depth() -> None:
    assert one('{"type":"x","data":{"s":"' + "[{" * 500 + '\\""}}').data["s"] == "[{" * 500 + '"'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)


@given(json_values.map(json.dumps) | st.text() | st.binary())
def test_the_decoder_raises_nothing_but_our_errors(frame: str | bytes) -> None:
    try:
        for found in decode(frame):
            assert isinstance(found, (Envelope, Refused))
    except AutoCodeError:
        pass


@given(st.text(alphabet='{}[]",:\\0123456789eE+-.truefalsn \x00\ud800é'))
def test_it_raises_nothing_else_for_what_is_nearly_json(frame: str) -> None:
    try:
        decode(frame)
    except AutoCodeError:
        pass


def test_an_event_goes_out_with_its_payload_byte_for_byte() -> None:
    event = LoggedEvent(seq=7, id="e1", type="task_deleted", at="2026-01-01T00:00:00.000Z", data=b'{"b": 1,"a":2}')
    frame = event_frame(GUID, event)
    assert b'"data":{"b": 1,"a":2}' in frame
    assert json.loads(frame) == {
        "type": "task_deleted",
        "projectGuid": GUID,
        "data": {"b": 1, "a": 2},
        "timestamp": "2026-01-01T00:00:00.000Z",
        "id": "e1",
        "seq": 7,
        "topic": f"project:{GUID}/tasks",
    }


def test_an_error_says_what_page_section_6_asks_for() -> None:
    from apps.core.errors import RateLimited

    data: dict[str, Any] = json.loads(error_frame(RateLimited(retry_after_ms=5), guid=GUID, reply_to="c"))
    assert data["replyTo"] == "c"
    assert data["data"] == {
        "code": "rate_limited",
        "message": "Too many messages; wait a moment.",
        "retryable": True,
        "retryAfterMs": 5,
    }


def test_raw_parts_go_into_a_reply_as_they_are() -> None:
    frame = reply_frame("project_joined", {"a": 1}, raw={"snapshot": b'{"z":  1}'})
    assert b'"snapshot":{"z":  1}' in frame
    assert msgspec.json.decode(frame)["data"] == {"a": 1, "snapshot": {"z": 1}}
