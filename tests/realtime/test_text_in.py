"""The short way in: only for what is one whole, proper text message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.realtime.frames import text_in

LIMIT = 65_536


def frame(text: bytes, mask: bytes = b"\x12\x00\xff\x7a", first: int = 0x81) -> bytes:
    length = len(text)
    head = bytes([first, 0x80 | length]) if length < 126 else bytes([first, 0xFE]) + length.to_bytes(2, "big")
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))


@given(st.text(max_size=400), st.binary(min_size=4, max_size=4))
def test_what_was_masked_comes_out(text: str, mask: bytes) -> None:
    assert text_in(frame(text.encode(), mask), LIMIT) == text.encode()


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 128, 65_535])
def test_every_length_comes_out(size: int) -> None:
    assert text_in(frame(b"x" * size), LIMIT) == b"x" * size


@given(st.binary(max_size=40))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    found = text_in(data, LIMIT)
    assert found is None or frame(found, data[2:6]) == data


@pytest.mark.parametrize(
    "data",
    [
        frame(b"hello")[:-1], frame(b"hello") + b"x", frame(b"a") + frame(b"b"), frame(b"hello", first=0x01),
        frame(b"hello", first=0xC1), frame(b"hello", first=0x82), frame(b"", first=0x89), frame(b"", first=0x88),
        b"\x81\x05hello", b"\x81\xfe\x00\x05" + bytes(4) + b"hello", b"\x81\xff" + bytes(12), frame(b"\xff\xfe"),
        frame(b"\xed\xa0\x80"), frame(b"x" * 11), b"", b"\x81",
    ],
)  # fmt: skip
def test_everything_else_takes_the_long_way(data: bytes) -> None:
    assert text_in(data, 10) is None
