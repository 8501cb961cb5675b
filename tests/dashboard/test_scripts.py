"""Run the tests of the page's scripts that need no page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.client.node import node

HERE = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.js")), ids=lambda path: path.name.removesuffix(".test.js"))
def test_javascript(path: Path) -> None:
    done = subprocess.run(
        [node(), "--test", "--test-reporter=tap", str(path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) > 0, "a file without tests proves nothing"
