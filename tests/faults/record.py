"""What a run of the fault tests came to, for the long set: a pytest plugin, and ``figures`` for the tests.

Each line of the file that ``FAULTS_RECORD`` names is one test: its row, outcome, seconds and figures. Without that
variable nothing is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import History, Placed, Violation

_found: dict[str, Any] = {}

LOST, DOUBLED = {"C1", "C3", "C9"}, {"C4", "C6"}
"""Which broken promises of the checker mean that something is missing, or there twice."""


def figures(**found: Any) -> None:
    """Note figures of the running test; a later one of the same name replaces the former."""
    _found.update(found)


def counted(history: History, violations: Iterable[Violation]) -> dict[str, int]:
    """Return what a history amounts to.

    ``expected`` are the events that everybody together had to be shown, ``delivered`` those that were, ``skipped``
    those of which somebody was given the outcome instead (a snapshot); ``lost`` and ``doubled`` count broken promises.
    """
    tops = {(one.project, one.epoch): one.seq for one in sorted(history.log, key=lambda one: one.seq)}
    expected = delivered = skipped = 0
    for client in history.clients:
        at: dict[tuple[str, str], int] = {}
        for one in client.shown:
            place = one.project, one.epoch
            if place not in at:
                expected += max(0, tops.get(place, one.seq) - one.seq)
            elif isinstance(one, Placed):
                skipped += max(0, one.seq - at[place])
            else:
                delivered += one.seq > at[place]
            at[place] = max(one.seq, at.get(place, 0))
    promises = [violation.promise for violation in violations]
    return {
        "commands": len({sent.key for client in history.clients for sent in client.sent}),
        "events": len(history.log),
        "expected": expected,
        "delivered": delivered,
        "skipped": skipped,
        "lost": sum(promise in LOST for promise in promises) + max(0, expected - delivered - skipped),
        "doubled": sum(promise in DOUBLED for promise in promises),
    }


def pytest_runtest_logstart() -> None:
    """A test begins."""
    _found.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down how it ended."""
    path = os.environ.get("FAULTS_RECORD")
    if not path or (report.when != "call" and report.outcome == "passed"):
        return
    line = {"row": report.nodeid, "outcome": report.outcome, "seconds": report.duration} | _found
    if report.outcome == "failed":
        line["why"] = str(report.longrepr)[-3000:]
    with Path(path).open("a") as file:
        file.write(json.dumps(line) + "\n")
