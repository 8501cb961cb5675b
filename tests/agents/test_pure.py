"""The parts without I/O: digest, cutting, backoff, offsets, frames, open texts, feedback's order."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents import cutting
from apps.agents.digest import args_digest
from apps.agents.events import FeedbackState
from apps.agents.link import frames
from apps.agents.link.offsets import Offsets
from apps.agents.link.retry import Backoff
from apps.agents.link.texts import LONGEST, OpenTexts
from apps.agents.services.feedback import may_follow

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(TEXT, st.dictionaries(TEXT, JSON, max_size=5))
def test_the_digest_is_that_of_canonical_json(tool, args):
    written = json.dumps({"tool": tool, "args": args}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert args_digest(tool, args) == "sha256:" + hashlib.sha256(written.encode()).hexdigest()
    shuffled = dict(reversed(list(args.items())))
    assert args_digest(tool, shuffled) == args_digest(tool, args)


@given(st.text(max_size=300), st.integers(100, 200))
def test_a_cut_text_keeps_its_ends_and_its_limit(text, longest):
    short = cutting.cut(text, longest)
    assert len(short) <= longest
    assert short == text or (text.startswith(short.split("\n…")[0]) and "left out" in short)


def test_long_arguments_are_cut_text_by_text():
    args = {"path": "a.py", "text": "x" * 50_000, "more": [{"deep": "y" * 9_000}]}
    shown = cutting.cut_args(args)
    assert shown["path"] == "a.py"
    assert len(shown["text"]) <= cutting.SHOWN_ARGUMENT
    assert cutting.cut_args({"small": 1}) == {"small": 1}
    assert set(cutting.cut_args({str(n): "z" * 3_000 for n in range(100)})) == {str(n) for n in range(50)}


def test_backoff_doubles_up_to_its_bound_with_jitter():
    pause = Backoff(0.5, 30, draw=lambda: 1.0)
    assert [pause.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    pause.reset()
    assert pause.next() == 0.5
    assert Backoff(0.5, 30, draw=lambda: 0.0).next() == pytest.approx(0.05)


def test_the_place_is_below_what_is_still_open():
    place = Offsets(resume=10, highest=12)
    assert [place.received(offset) for offset in (11, 12, 13, 14)] == [0] * 4
    place.kept(12)
    assert place.resume == 10
    place.kept(11)
    assert place.resume == 12
    place.kept(14)
    place.kept(13)
    assert place.resume == 14


def test_a_hole_is_a_gap_only_among_new_messages():
    place = Offsets(resume=10, highest=20)
    assert place.received(15) == 0, "what was acknowledged before is not sent again"
    assert place.received(22) == 1
    assert place.gap == "messages 21-21 of the agents-server never came"
    assert place.received(15) == 0, "a repeat is no gap"


def test_a_hole_is_filled_by_what_comes_late_and_the_place_waits_for_it():
    place = Offsets(resume=2, highest=2)
    for offset, more in ((7, 4), (4, -1), (4, 0), (10, 2)):
        assert place.received(offset) == more
        place.kept(offset)
    assert place.resume == 2, "the next hello asks for what is missing"
    assert place.gap == "messages 3-3, 5-6, 8-9 of the agents-server never came"
    for offset in (3, 6, 5, 9, 8):
        assert place.received(offset) == -1
        place.kept(offset)
    assert (place.gap, place.resume) == ("", 10)


def test_more_holes_than_anybody_watches_do_not_hold_the_place_for_ever():
    place = Offsets(resume=0, highest=0)
    for offset in range(2, 5_000, 2):
        place.received(offset)
        place.kept(offset)
    assert 0 < place.resume < 4_998
    assert len(place.gap) < 200


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "malformed_json"),
        ('"\\ud800"', "malformed_json"),
        ("NaN", "malformed_json"),
        ("[" * 3_000, "malformed_json"),
        (b"{}", "malformed_json"),
        ("[]", "invalid_message"),
        ("[1]", "invalid_message"),
        ('{"type":"x","data":[]}', "invalid_field"),
        ('{"type":"x","id":7,"data":{}}', "invalid_field"),
        ('{"type":"x","id":"a b","data":{}}', "invalid_field"),
        ('{"type":"x","projectGuid":"1","data":{}}', "invalid_field"),
        ('{"type":"x","projectGuid":[],"data":{}}', "invalid_field"),
        ('{"type":"x","data":{"a":"\\u0000"}}', "invalid_field"),
        ('{"type":"x","data":{"a":9007199254740993}}', "invalid_field"),
        ('{"type":"x","offset":-1,"data":{}}', "invalid_field"),
        ('{"type":"x","data":' + '{"a":' * 20 + "1" + "}" * 20 + "}", "too_deep"),
        ('{"type":"x","data":{"a":"' + "y" * 5_000 + '"}}', "too_large"),
    ],
)
def test_what_cannot_be_taken_is_named(frame, code):
    [bad] = frames.read_frame(frame, longest=4_096)
    assert isinstance(bad, frames.Bad)
    assert bad.error.code == code


def test_aliases_and_batches_are_read():
    guid = "0193b3f0-0000-7000-8000-000000000000"
    read = frames.read_frame(
        json.dumps([{"type": "a", "payload": {"x": 1}, "project_id": guid}, {"type": "b", "id": "1", "data": {}}]),
        longest=4_096,
    )
    assert [(one.type, one.guid, one.data) for one in read if isinstance(one, frames.Envelope)] == [
        ("a", guid, {"x": 1}),
        ("b", None, {}),
    ]


@given(st.text(max_size=200))
def test_reading_never_raises(raw):
    for one in frames.read_frame(raw, longest=100):
        assert isinstance(one, frames.Bad | frames.Envelope)


def test_open_texts_are_bounded_and_end_with_their_run():
    texts = OpenTexts()
    assert texts.add("p", "r", kind="message", message_id="m", agent_id="a", delta="x" * (LONGEST + 5))
    assert texts.add("p", "r", kind="message", message_id="m", agent_id="a", delta="more")
    [text] = texts.of("p", "r")
    assert len(text.content) == LONGEST
    texts.end("p", "r")
    assert texts.of("p", "r") == []
    assert not texts.add("p", "r", kind="message", message_id="m", agent_id="a", delta="late")
    assert texts.add("other", "r", kind="message", message_id="m", agent_id="a", delta="fine")


def test_feedback_only_goes_forward():
    final = {"applied", "rejected", "expired", "failed"}
    for now, then in itertools.product(FeedbackState, FeedbackState):
        if may_follow(now, then):
            assert now.value not in final
            assert then is not FeedbackState.RECEIVED
            assert not may_follow(then, now)
    assert not may_follow(FeedbackState.CONSUMED, FeedbackState.EXPIRED)
    assert may_follow(FeedbackState.RECEIVED, FeedbackState.APPLIED)
