"""The fuzzing finds what is there to be found: a failure behind steps that only coverage leads to, and a slow one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.badinput.fuzz import Finding, Fuzzer


def deep(data: bytes) -> int:
    """Fail on what no chance hits in one step: four bytes, each on a line of its own."""
    steps = 0
    if data[:1] == b"[":
        steps += 1
        if data[1:2] == b"{":
            steps += 1
            if data[2:3] == b":":
                steps += 1
                if data[3:4] == b",":
                    raise KeyError(steps)
    return steps


def slow(data: bytes) -> None:
    """Take more than a second for many quotes."""
    if data.count(b'"') > 5_000:
        end = time.process_time() + 1.1
        while time.process_time() < end:
            pass


def fuzzed(read: Callable[[bytes], Any]) -> Finding:
    fuzzer = Fuzzer("test", read, random.Random(3))
    fuzzer.try_one(b'"x"')
    fuzzer.run(60, findings=1)
    (finding,) = fuzzer.findings.values()
    return finding


def test_it_is_led_by_what_was_reached(tmp_path: Path) -> None:
    finding = fuzzed(deep)
    assert finding.what.startswith("KeyError")
    assert finding.data == b"[{:,", "and made small"
    assert finding.save(tmp_path).read_bytes() == b"[{:,"


def test_it_knows_what_is_slow() -> None:
    assert fuzzed(slow).what.startswith("took")
