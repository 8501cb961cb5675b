"""GUARANTEES.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "GUARANTEES.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists():
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 30
    for file, name in named:
        assert re.search(rf"^(?:async )?def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_every_file_of_fault_tests_is_on_the_page():
    for path in (TESTS / "faults").glob("test_*.py"):
        assert f"faults/{path.name}" in PAGE, path.name
