"""Run the JavaScript tests of the client."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.client.node import node

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "apps" / "realtime" / "client"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.js")), ids=lambda path: path.name.removesuffix(".test.js"))
def test_javascript(path: Path) -> None:
    done = subprocess.run(
        [node(), "--test", "--test-reporter=tap", str(path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) > 0, "a file without tests proves nothing"


def test_no_file_is_large_and_none_breaks_the_content_security_policy() -> None:
    for path in sorted((SOURCE / "src").glob("*.js")):
        text = path.read_text()
        assert len(text.splitlines()) < 400, path.name
        for banned in (r"\beval\(", r"\bnew Function\b", r"innerHTML", r"document\.write", r"setAttribute\(\"on"):
            assert not re.search(banned, text), f"{path.name}: {banned}"
        for place in re.findall(r"(?:from|import) \"([^\"]+)\"", text):
            assert place.startswith("./"), f"{path.name} imports {place}: the client depends on nothing"
