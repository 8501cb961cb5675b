"""SECURITY.md names tests that exist, and for each the guard without which it fails is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.security.guards import GUARDS, UNTAKEN

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def named() -> list[tuple[str, str]]:
    return re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)


def test_every_test_that_the_page_names_exists():
    assert len(named()) > 40
    for file, name in named():
        assert re.search(rf"^(?:async )?def {name}\(", (HERE / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_every_file_of_tests_is_on_the_page():
    for path in HERE.glob("test_*.py"):
        assert path.name in PAGE or path.name == Path(__file__).name, path.name


def test_for_every_test_of_the_page_a_guard_can_be_taken_out():
    guarded = {test for one in GUARDS for test in one.tests}
    assert guarded | UNTAKEN == {f"{file}::{name}" for file, name in named()}
    assert not guarded & UNTAKEN


@pytest.mark.parametrize("one", GUARDS, ids=lambda one: one.what)
def test_the_source_still_has_the_guard(one):
    for file, old, new in one.edits:
        assert (ROOT / file).read_text(encoding="utf-8").count(old) == 1, file
        assert old != new
