"""``python -m tests.security``: takes out each guard of SECURITY.md in a copy of the source, and sees its tests fail.

    python -m tests.security                all of them: some minutes
    python -m tests.security --only token   guards whose names hold a word
    python -m tests.security --list         only their names

A test that still passes says nothing about its guard. The exit code is 1 when there is one, or one that did not run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.security.guards import GUARDS, Guard
from tests.support.services import Redis

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 300
"""Of one test; the slowest ends dozens of accesses in two processes, or waits for its own patience to end."""


def main(arguments: list[str]) -> int:
    """Take out what the command line asks for; 0 when every test failed without its guard."""
    options = _parse(arguments)
    chosen = [one for one in GUARDS if options.only in one.what]
    if options.list:
        print(*(one.what for one in chosen), sep="\n")
        return 0
    with Redis() as redis, ThreadPoolExecutor(options.jobs) as threads:
        proofs = threads.map(lambda one: _proofs(one, redis.url), chosen)
        useless = 0
        for one, outcomes in zip(chosen, proofs, strict=True):
            for test, outcome in outcomes:
                useless += outcome != "fails"
                print(f"{outcome:<12} {one.what} · {test}", flush=True)
    print(f"{len(chosen)} guards; tests that do not need theirs: {useless}")
    return 1 if useless or not chosen else 0


def _proofs(one: Guard, redis_url: str) -> list[tuple[str, str]]:
    """Return each test of the guard, and how it ended without it: fails, passes, or what went wrong."""
    with _without(one) as copy:
        return [(test, _outcome(copy, test, redis_url)) for test in one.tests]


@contextmanager
def _without(one: Guard) -> Iterator[Path]:
    """Yield a copy of the source in which the guard is taken out."""
    with tempfile.TemporaryDirectory(prefix="autocode-guards-") as place:
        copy = Path(place)
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, tracked.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        for file, old, new in one.edits:
            text = (copy / file).read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{file} holds {text.count(old)} times {old!r}"
            (copy / file).write_text(text.replace(old, new), encoding="utf-8")
        yield copy


def _outcome(copy: Path, test: str, redis_url: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/security/{test}"]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "autocode.settings.test", "AUTOCODE_TEST_REDIS_URL": redis_url,
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    environment.pop("DATABASE_URL", None)
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "never ends"
    if done.returncode == 0:
        return "passes"
    # A test that cannot even begin (a fixture, an import) says nothing about its guard.
    return "fails" if done.returncode == 1 and re.search(r"\b[1-9]\d* failed", done.stdout) else "does not run"


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="guards whose names hold this")
    parser.add_argument("--jobs", type=int, default=2, help="at once (default 2)")
    parser.add_argument("--list", action="store_true", help="print the names")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
