"""Cursor, merging, limits, topics, presence: no Django, no network, no clock."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import InvalidField, NotFound
from apps.core.events import EventClass
from apps.projects.events import RunText
from apps.projects.records import Ephemeral
from apps.realtime.close_codes import MEANINGS, Advice, CloseCode, advice
from apps.realtime.coalescing import MOST_KEPT, Kept, Piece, Shape, fold_text, merge, merge_all
from apps.realtime.cursor import AHEAD, Cursor
from apps.realtime.frames import of_piece
from apps.realtime.limits import Buckets, Strikes, TokenBucket
from apps.realtime.members import Entry, Members, members_of
from apps.realtime.streams import LONGEST, PIECE, StreamMerger
from apps.realtime.topics import parse_topic

GUID = "0190a0de-0000-7000-8000-000000000000"
AT = "2026-01-01T00:00:00.000Z"


# --- cursor ---------------------------------------------------------------------------------------------------------


@given(st.permutations(range(1, 30)), st.data())
def test_any_order_of_arrival_comes_out_in_order_and_once(order: list[int], data: st.DataObject) -> None:
    cursor: Cursor[int] = Cursor(0)
    repeats = data.draw(st.lists(st.sampled_from(order), max_size=10))
    out: list[tuple[int, int]] = []
    for seq in [*order, *repeats]:
        out += cursor.offer([(seq, seq)])
    assert out == [(seq, seq) for seq in range(1, 30)]
    assert not cursor.behind


def test_a_hole_is_known_by_an_arrival_or_by_the_logs_position() -> None:
    cursor: Cursor[str] = Cursor(5)
    assert cursor.offer([(7, "b")]) == []
    assert cursor.behind
    assert cursor.offer([(6, "a")]) == [(6, "a"), (7, "b")]
    cursor.notice(9)
    assert cursor.behind
    cursor.reset(20)
    assert (cursor.seq, cursor.behind) == (20, False)


def test_what_waits_behind_a_hole_is_bounded() -> None:
    cursor: Cursor[int] = Cursor(0)
    cursor.offer([(seq, seq) for seq in range(2, AHEAD * 3)])
    assert len(cursor._ahead) == AHEAD
    assert len(cursor.offer([(1, 1)])) == AHEAD + 1


# --- merging --------------------------------------------------------------------------------------------------------


def text_piece(key: str, delta: str, offset: int) -> Piece:
    return Piece("message", key, Shape.TEXT, {"messageId": key, "runId": "r", "delta": delta, "offset": offset}, AT)


texts = st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=4), st.booleans()), max_size=30)


@given(texts, st.integers(1, 7))
def test_folding_merged_pieces_gives_what_folding_the_raw_ones_gives(
    steps: list[tuple[str, str, bool]], every: int
) -> None:
    raw: list[Piece] = []
    so_far = {"a": "", "b": ""}
    for key, delta, anew in steps:
        offset = 0 if anew else len(so_far[key])
        so_far[key] = delta if offset == 0 else so_far[key] + delta
        raw.append(text_piece(key, delta, offset))
    merged: list[Piece] = []
    for start in range(0, len(raw), every):
        merged += merge_all(raw[start : start + every])
    for pieces in (raw, merged):
        state = {"a": "", "b": ""}
        for piece in pieces:
            state[piece.key] = fold_text(state[piece.key], piece)
        assert state == so_far
    kept = Kept()
    for piece in merged:
        kept.add(piece)
    assert {piece.key: piece.text for piece in kept.pieces()} == {piece.key: so_far[piece.key] for piece in raw}


def test_a_piece_that_does_not_follow_is_not_merged_and_not_applied() -> None:
    assert merge(text_piece("a", "x", 0), text_piece("a", "y", 5)) is None
    assert fold_text("x", text_piece("a", "y", 5)) == "x"


def test_a_text_is_missed_where_somebody_may_still_have_it() -> None:
    kept = Kept()
    assert kept.lacks(text_piece("a", "y", 1))
    assert not kept.lacks(text_piece("a", "x", 0))
    kept.add(text_piece("a", "x", 0))
    assert not kept.lacks(text_piece("a", "y", 1))
    assert kept.lacks(text_piece("a", "z", 2))
    assert not kept.lacks(Piece("usage", "u", Shape.LATEST, {"n": 1}, AT))
    for number in range(MOST_KEPT):
        kept.add(text_piece(f"b{number}", "x", 0))
    assert not kept.lacks(text_piece("a", "y", 1)), "forgotten, here and everywhere: asking brings nothing"


def test_the_newest_value_counts() -> None:
    old, new = (Piece("usage", "u", Shape.LATEST, {"n": n}, AT) for n in (1, 2))
    assert merge(old, new) is new


def test_lines_are_appended_and_not_kept() -> None:
    old, new = (Piece("log", "l", Shape.LINES, {"lines": [n]}, AT) for n in "ab")
    merged = merge(old, new)
    assert merged is not None
    assert merged.data["lines"] == ["a", "b"]
    kept = Kept()
    kept.add(merged)
    assert kept.pieces() == []


members_steps = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), max_size=12)


@given(members_steps, st.integers(1, 5))
def test_merged_differences_of_presence_do_what_the_single_ones_do(steps: list[tuple[str, int]], every: int) -> None:
    raw = []
    for user, tabs in steps:
        member = {"userId": user, "since": "1", "tabs": tabs}
        data = {"joined": [member], "left": []} if tabs else {"joined": [], "left": [user]}
        raw.append(Piece("presence_diff", "presence_diff:", Shape.MEMBERS, data, AT))
    one, other = Members(), Members()
    for piece in raw:
        one.apply(piece.data)
    for start in range(0, len(raw), every):
        for piece in merge_all(raw[start : start + every]):
            other.apply(piece.data)
    assert one.all() == other.all()


def test_frames_of_one_key_merge_without_being_encoded() -> None:
    merged = of_piece(GUID, text_piece("a", "x", 0)).merged(of_piece(GUID, text_piece("a", "y", 1)))
    assert merged is not None
    assert merged._data is None
    assert b'"delta":"xy"' in merged.data


# --- the publisher's merger -----------------------------------------------------------------------------------------


def news(delta: str, message: str = "m") -> Ephemeral:
    payload = RunText(message_id=message, run_id="r", agent_id="a", delta=delta)
    return Ephemeral(guid=GUID, key=f"message:{message}", event_class=EventClass.STREAM, payload=payload)


def test_the_first_piece_goes_at_once_and_later_ones_with_the_window() -> None:
    merger = StreamMerger()
    assert [piece.text for piece in merger.add(news("He"), AT)] == ["He"]
    assert merger.add(news("llo"), AT) == []
    assert merger.add(news(" you"), AT) == []
    (merged,) = merger.flush()
    assert (merged.text, merged.offset) == ("llo you", 2)
    assert merger.flush() == []
    assert [(piece.text, piece.offset) for piece in merger.add(news("!"), AT)] == [("!", 9)]
    (whole,) = merger.so_far()
    assert (whole.text, whole.offset) == ("Hello you!", 0)


@pytest.mark.parametrize(
    ("type_", "data"),
    [("message", b'{"messageId":"m","runId":"r"}'), ("done", b'{"runId":"r"}')],
)
def test_a_fact_ends_a_stream(type_: str, data: bytes) -> None:
    merger = StreamMerger()
    merger.add(news("Hello"), AT)
    merger.ended_by("done", b'{"runId":"another"}')
    assert merger.so_far()
    merger.ended_by(type_, data)
    assert merger.so_far() == []


@given(st.lists(st.text(max_size=50), min_size=1, max_size=40), st.randoms())
def test_what_viewers_and_latecomers_see_is_the_whole_text(deltas: list[str], dice: random.Random) -> None:
    merger, seen = StreamMerger(), ""
    for delta in deltas:
        for piece in merger.add(news(delta), AT):
            seen = fold_text(seen, piece)
        if dice.random() < 0.3:
            for piece in merger.flush():
                seen = fold_text(seen, piece)
            late = ""
            for piece in merger.so_far():
                late = fold_text(late, piece)
            assert late == seen
    for piece in merger.flush():
        seen = fold_text(seen, piece)
    assert seen == "".join(deltas)


def test_a_text_so_far_that_everybody_has_is_not_news() -> None:
    def piece(delta: str, offset: int) -> Piece:
        data = {"runId": "r", "messageId": "m", "delta": delta, "offset": offset}
        return Piece(type="message", key="message:r:m", shape=Shape.TEXT, data=data, at=AT)

    kept = Kept()
    assert not kept.knows(piece("Hello", 0))
    kept.add(piece("Hello", 0))
    kept.add(piece(" you", 5))
    assert kept.knows(piece("Hello", 0))
    assert kept.knows(piece("Hello you", 0))
    assert not kept.knows(piece("Hello you there", 0)), "more than is known"
    assert not kept.knows(piece("Begun anew", 0))
    assert not kept.knows(piece(" there", 9)), "what follows is always news"


def test_streams_that_never_end_are_forgotten_from_the_oldest() -> None:
    kept = Kept()
    for number in range(MOST_KEPT + 3):
        data = {"runId": "r", "toolCallId": f"c{number}", "delta": "x", "offset": 0}
        kept.add(Piece(type="tool_output", key=f"tool_output:r:c{number}", shape=Shape.TEXT, data=data, at=AT))
    assert len(kept.pieces()) == MOST_KEPT
    assert kept.text("tool_output:r:c2") == ""
    assert kept.text(f"tool_output:r:c{MOST_KEPT + 2}") == "x"


def test_a_stream_without_end_takes_bounded_memory_and_bounded_frames() -> None:
    merger, seen = StreamMerger(), ""
    for _ in range(30):
        for piece in [*merger.add(news("x" * 50_000), AT), *merger.flush()]:
            assert len(piece.text) <= PIECE
            seen = fold_text(seen, piece)
    assert sum(len(piece.text) for piece in merger.so_far()) <= LONGEST
    assert seen == "".join(piece.text for piece in merger.so_far())


# --- limits, codes, topics, members ---------------------------------------------------------------------------------


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(0.0) == 100
    assert bucket.take(0.05) == 50
    assert bucket.take(0.1) == 0


def test_buckets_of_idle_users_are_forgotten() -> None:
    now = 0.0
    buckets = Buckets(10, 10, lambda: now, forget_above=5)
    for user in "abcde":
        buckets.take(user)
    now = 100.0
    buckets.take("f")
    assert set(buckets._buckets) == {"f"}


def test_strikes_count_within_a_window() -> None:
    strikes = Strikes(2, 10.0)
    assert [strikes.add(at) for at in (0, 1, 12, 13)] == [False, False, False, False]
    assert strikes.add(14)


def test_every_close_code_says_what_to_do() -> None:
    assert set(MEANINGS) == set(CloseCode)
    expected = {41: Advice.RECONNECT, 42: Advice.BACK_OFF, 43: Advice.RENEW_TOKEN, 44: Advice.STOP}
    assert all(advice(code) is expected[code // 100] for code in CloseCode)
    assert advice(1006) is Advice.RECONNECT


def test_topics_are_parsed() -> None:
    known = frozenset({"tasks"})
    assert str(parse_topic(f"project:{GUID}/tasks", known)) == f"project:{GUID}/tasks"
    assert parse_topic("system/stats", known).guid is None
    for wrong in ("tasks", "project:/tasks/x", f"project:{GUID}/none", "system/secrets", f"room:{GUID}/tasks"):
        with pytest.raises(InvalidField):
            parse_topic(wrong, known)
    with pytest.raises(NotFound):
        parse_topic("project:nobody/tasks", known)


def test_tabs_of_one_user_are_one_member() -> None:
    tabs = [
        Entry("u", "ada", "owner", "2026-01-01T00:00:00.000Z", 100.0, panes=[], focused=1.0),
        Entry("u", "ada", "owner", "2026-01-02T00:00:00.000Z", 100.0, panes=["tasks"], focused=0.5, typing_until=60.0),
        Entry("v", "bob", "viewer", "2026-01-02T00:00:00.000Z", 40.0),
    ]
    (ada,) = members_of(tabs, now=50.0).values()
    assert (ada.tabs, ada.since, ada.state, ada.typing) == (2, "2026-01-01T00:00:00.000Z", "active", True)
    assert ada.focus is not None
    assert ada.focus.panes == ["tasks"]
    assert members_of(tabs[:1], now=50.0)["u"].state == "idle"
    assert members_of(tabs, now=70.0)["u"].typing is False
