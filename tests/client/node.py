"""Find a Node to run the client's tests with: the one that Playwright's wheel carries, or any from 20 on."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

OLDEST = 20


@functools.cache
def node() -> str:
    """Return the path of a Node. Skips the test without one, except under CI, where it fails."""
    candidates = [os.environ.get("AUTOCODE_TEST_NODE"), *_playwright(), shutil.which("node"), shutil.which("nodejs")]
    for candidate in candidates:
        if candidate and _major(candidate) >= OLDEST:
            return candidate
    if os.environ.get("CI"):
        pytest.fail(f"no Node {OLDEST} or newer: install the locked development requirements (playwright)")
    pytest.skip(f"no Node {OLDEST} or newer")


def _playwright() -> list[str]:
    spec = importlib.util.find_spec("playwright")
    return [str(Path(place) / "driver" / "node") for place in (spec.submodule_search_locations or [] if spec else [])]


def _major(path: str) -> int:
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        return int(told.strip().removeprefix("v").partition(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0
