"""A frame: what it is in each of its forms, and that it is kept in one of them."""

from __future__ import annotations

import json
import sys

import pytest

from apps.realtime.coalescing import Piece, Shape
from apps.realtime.frames import Frame, of_piece, unencoded


@pytest.mark.parametrize("length", [2, 125, 126, 65_535, 65_536, 200_000])
def test_what_it_says_is_the_same_before_and_after_it_was_framed(length: int) -> None:
    data = b'"' + b"x" * (length - 2) + b'"'
    frame = Frame(data)
    before = frame.data

    assert frame.wire.endswith(data)
    assert before == frame.data == frame.text.encode() == data


def piece() -> Piece:
    return Piece(key="k", shape=Shape.TEXT, type="message", data={"delta": "é" * 5_000}, at="2026-01-01T00:00:00.000Z")


def test_one_that_is_encoded_when_it_leaves_says_the_same() -> None:
    late, soon = unencoded("p", piece(), 1), of_piece("p", piece())

    assert late.wire.endswith(late.data)
    assert json.loads(late.data)["data"] == json.loads(soon.text)["data"]


def test_what_waits_takes_the_memory_that_it_is_counted_with() -> None:
    frames = [Frame(bytes(str(number), "ascii") * 2_000) for number in range(1_000, 1_010)]
    for frame in frames:
        assert frame.wire

    kept = [getattr(frame, slot, None) for frame in frames for slot in Frame.__slots__ if slot != "__weakref__"]

    assert sum(sys.getsizeof(value) for value in kept if isinstance(value, bytes | str)) < 1.1 * sum(
        frame.size for frame in frames
    )
