"""Memory goes back when a crowd has gone or a slow reader was cut, and not for every single end."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from apps.realtime import memory
from apps.realtime.memory import Thrift


def test_a_slow_reader_is_worth_it_once() -> None:
    thrift = Thrift()
    assert not thrift.due(5_000)
    thrift.cut()
    assert thrift.due(5_000)
    assert not thrift.due(5_000)


@pytest.mark.parametrize(
    ("ended", "left", "due"), [(99, 0, False), (100, 0, True), (400, 401, False), (401, 401, True)]
)
def test_of_ends_it_needs_a_crowd(ended: int, left: int, due: bool) -> None:
    thrift = Thrift()
    for _ in range(ended):
        thrift.ended()
    assert thrift.due(left) is due


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_free_memory_between_blocks_in_use_goes_back() -> None:
    blocks = [bytes(8_000) for _ in range(4_000)]
    del blocks[1::2]  # 16 MB, in small pieces
    before = _resident()

    assert memory.give_back()

    assert before - _resident() > 4 * 2**20
    assert len(blocks) == 2_000


def _resident() -> int:
    """Return the bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


def test_without_such_a_function_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_trim", lambda: None)
    assert memory.give_back() is False
