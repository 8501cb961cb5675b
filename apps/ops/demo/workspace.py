"""The scratch directory of a project: files, true diffs and real processes, all of them inside it.

Nothing here follows a path out of the directory, and no process outlives its call. Knows no messages.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.agents import events as a

READ_LIMIT = 256 * 1024
"""Bytes read of a file."""

OUTPUT_HEAD, OUTPUT_TAIL = 12_000, 6_000
"""Characters kept of a process's output: its beginning, and its end, where the summary of a test run stands."""

PATCH_LIMIT = 24_000
"""Characters of a patch."""

KILL_S = 2.0
"""Seconds between asking a process group to end and killing it."""

_SKIPPED = {"__pycache__", ".pytest_cache", ".git"}


class Outside(ValueError):  # noqa: N818 - says what is wrong with the path
    """A path that leads out of the workspace."""


@dataclass
class Outcome:
    """How a process ended: ``code`` is its exit code (negative: the signal)."""

    code: int
    output: str
    timed_out: bool = False


class Workspace:
    """The directory ``root``; it is made when it is missing."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()

    def path(self, relative: str) -> Path:
        """Return the place of ``relative``. Raises ``Outside``, also for a link that leads out."""
        if not relative or "\0" in relative or Path(relative).is_absolute():
            raise Outside(f"{relative!r} is not a path inside the workspace")
        place = (self.root / relative).resolve()
        if not place.is_relative_to(self.root):
            raise Outside(f"{relative!r} leads out of the workspace")
        return place

    def read(self, relative: str) -> str:
        """Return a file's text, at most ``READ_LIMIT`` of it. Raises ``Outside``, ``OSError``."""
        with self.path(relative).open("rb") as file:
            return file.read(READ_LIMIT).decode("utf-8", "replace")

    def read_or_empty(self, relative: str) -> str:
        """Return a file's text, or nothing when there is no such file."""
        try:
            return self.read(relative)
        except (OSError, Outside):
            return ""

    def write(self, relative: str, text: str) -> None:
        """Write a file whole: a reader sees the old text or the new one. Raises ``Outside``, ``OSError``."""
        place = self.path(relative)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(place)

    def files(self, suffix: str = "") -> list[str]:
        """Return the relative paths of all files whose names end in ``suffix``, sorted."""
        found = (item for item in self.root.rglob(f"*{suffix}") if item.is_file() and not item.is_symlink())
        names = (item.relative_to(self.root) for item in found)
        return sorted(
            name.as_posix() for name in names if not _SKIPPED & set(name.parts) and not name.name.endswith(".draft")
        )

    def search(self, pattern: str) -> list[str]:
        """Return ``path:line: text`` of every line that matches the regular expression."""
        wanted = re.compile(pattern)
        return [
            f"{name}:{number}: {line.strip()}"
            for name in self.files()
            for number, line in enumerate(self.read_or_empty(name).splitlines(), 1)
            if wanted.search(line)
        ]

    async def execute(self, argv: list[str], *, cwd: str, timeout_s: float, output: Callable[[str], None]) -> Outcome:
        """Run a program to its end, without a shell; ``output`` gets its output (both streams) as it comes.

        The program has a process group of its own, which is killed at the timeout and when this call is cancelled.
        Raises ``Outside``, ``OSError`` (no such program).
        """
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.path(cwd),
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        kept = _Kept()
        timed_out = False
        with _no_survivors(process):
            try:
                async with asyncio.timeout(timeout_s):
                    await _pump(process, kept, output)
                    await process.wait()
            except TimeoutError:
                timed_out = True
                await _end(process)
        return Outcome(process.returncode if process.returncode is not None else -9, kept.text(), timed_out)

    def _environment(self) -> dict[str, str]:
        # The interpreter's directory first, so that "python" in a command means the one that we run.
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
            "HOME": str(self.root),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONHASHSEED": "0",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }


class _Kept:
    """The beginning and the end of a text that may be endless."""

    def __init__(self) -> None:
        self._head = ""
        self._tail = ""
        self._dropped = 0

    def add(self, piece: str) -> None:
        free = OUTPUT_HEAD - len(self._head)
        self._head += piece[:free]
        rest = self._tail + piece[free:] if free < len(piece) else self._tail
        self._dropped += max(0, len(rest) - OUTPUT_TAIL)
        self._tail = rest[-OUTPUT_TAIL:]

    def text(self) -> str:
        gap = f"\n… {self._dropped} characters left out …\n" if self._dropped else ""
        return f"{self._head}{gap}{self._tail}"


async def _pump(process: asyncio.subprocess.Process, kept: _Kept, output: Callable[[str], None]) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    while piece := await process.stdout.read(8192):
        text = piece.decode("utf-8", "replace")
        kept.add(text)
        output(text)


async def _end(process: asyncio.subprocess.Process) -> None:
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(KILL_S):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


@contextmanager
def _no_survivors(process: asyncio.subprocess.Process) -> Iterator[None]:
    try:
        yield
    finally:
        _signal(process, signal.SIGKILL)  # also what the program left running in its group


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def make_diff(path: str, before: str | None, after: str | None) -> a.Diff:
    """Return the true difference of one file; ``None`` means that it does not exist."""
    old, new = (before or "").splitlines(keepends=True), (after or "").splitlines(keepends=True)
    names = ("/dev/null" if before is None else f"a/{path}", "/dev/null" if after is None else f"b/{path}")
    lines = [
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(old, new, *names)
    ]
    counted = lines[2:]
    operation = "add" if before is None else "delete" if after is None else "modify"
    file = a.FileDiff(
        path=path,
        operation=operation,
        added=sum(line.startswith("+") for line in counted),
        removed=sum(line.startswith("-") for line in counted),
    )
    patch = "".join(lines)
    return a.Diff(files=[file], patch=patch if len(patch) <= PATCH_LIMIT else f"{patch[:PATCH_LIMIT]}\n… cut …\n")
