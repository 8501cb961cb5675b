"""The tool calls of an agent: read, write, edit, search, execute. Each is real, and shows itself truthfully.

All raise ``ToolFailed`` when they fail; the call has then ended as ``error`` in the room.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apps.agents import events as a
from apps.ops.demo import shaping
from apps.ops.demo.run import Call, Run, ToolFailed
from apps.ops.demo.workspace import Outcome, Outside, make_diff

TIMEOUT_S = 60.0
"""Real seconds after which a program is ended."""

BEAT_S = 1.7
"""Story seconds before a call does its work, so that a viewer sees it begin."""

PYTEST = "python -B -m pytest -q -p no:cacheprovider --rootdir=."

_COUNTS = re.compile(r"\b(\d+ (?:passed|failed|errors?|skipped)(?:, \d+ (?:passed|failed|errors?|skipped))*)")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


async def read(run: Run, path: str) -> str:
    """Read a file and return its text."""
    async with run.call("read_file", "read", f"Read {path}", {"path": path}, paths=(path,)) as call:
        await run.site.pace.pause(BEAT_S)
        try:
            call.result = run.site.workspace.read(path)
        except (OSError, Outside) as error:
            raise ToolFailed(in_words(error, path), code="not_found") from None
        return call.result


async def write(run: Run, path: str, text: str, *, title: str | None = None) -> None:
    """Write a whole file in the project's style, under its lock."""
    text = shaping.shape(run.room.doc, path, run.fill(text), run.site.brief.hints)
    async with _locked(run, path):
        before = run.site.workspace.read_or_empty(path)
        verb = "Rewrite" if before else "Write"
        await _change(run, path, before, text, title=title or f"{verb} {path}", tool="write_file")


async def edit(run: Run, path: str, old: str, new: str, *, title: str | None = None) -> None:
    """Replace one piece of a file under its lock; a piece that was replaced before is fine."""
    old, new = shaping.snippet(run.room.doc, run.fill(old)), shaping.snippet(run.room.doc, run.fill(new))
    async with _locked(run, path):
        before = run.site.workspace.read_or_empty(path)
        after: str | None
        if old in before and (new not in before or old not in new):
            after = before.replace(old, new, 1)
        else:
            after = before if new in before else None
        await _change(run, path, before, after, title=title or f"Edit {path}", tool="edit_file")


async def search(run: Run, pattern: str) -> list[str]:
    """Search all files for a regular expression; return ``path:line: text``."""
    async with run.call("search", "search", f"Search for {pattern}", {"pattern": pattern}) as call:
        await run.site.pace.pause(BEAT_S)
        try:
            found = run.site.workspace.search(pattern)
        except re.error as error:
            raise ToolFailed(f"not a regular expression: {error}", code="invalid") from None
        call.result = "\n".join(found[:200]) or "no match"
        return found


async def execute(run: Run, command: str, *, title: str | None = None, may_fail: bool = False) -> Outcome:
    """Run a program in the workspace and return how it ended; a call whose exit code is not 0 ends as an error.

    Unless ``may_fail``, that raises ``ToolFailed``.
    """
    args = {"command": command, "cwd": "."}
    async with run.call("execute", "execute", title or f"Run {command}", args, risk="medium") as call:
        await run.site.pace.pause(BEAT_S)
        outcome = await perform(run, call, shlex.split(command), ".")
    if outcome.code != 0 and not may_fail:
        raise ToolFailed(f"`{command}` ended with exit code {outcome.code}")
    return outcome


async def run_tests(run: Run, *, only: str = "") -> Outcome:
    """Run the test suite, remember its counts as the fact ``tests``, and warn in the log when tests fail."""
    what = f" {only}" if only else ""
    outcome = await execute(run, f"{PYTEST}{what}", title=f"Run pytest -q{what}", may_fail=True)
    counts = _COUNTS.findall(outcome.output)
    with run.room.change() as doc:
        doc.facts["tests"] = counts[-1] if counts else f"exit code {outcome.code}"
        doc.facts["failing"] = ", ".join(f"`{name}`" for name in failing(outcome)[:10]) or "none"
    if outcome.code != 0:
        run.room.log("warning", [f"tests: {doc.facts['tests']}", *failing(outcome)[:20]], "pytest", run.doc.run_id)
    else:
        run.room.log("info", [f"tests: {doc.facts['tests']}"], "pytest", run.doc.run_id)
    return outcome


def failing(outcome: Outcome) -> list[str]:
    """Return the names of the tests that failed."""
    return [name.partition("::")[2] or name for name in _FAILED.findall(outcome.output)]


async def perform(run: Run, call: Call, argv: list[str], cwd: str) -> Outcome:
    """Run ``argv`` inside the open ``call``, streaming its output; the call's status tells how it ended."""
    program = [sys.executable, *argv[1:]] if argv[0] == "python" else argv
    try:
        outcome = await run.site.workspace.execute(program, cwd=cwd, timeout_s=TIMEOUT_S, output=run.output)
    except (OSError, Outside) as error:
        raise ToolFailed(in_words(error, argv[0]), code="cannot_run") from None
    call.result = outcome.output or f"(no output, exit code {outcome.code})"
    if outcome.timed_out:
        call.status, call.error = "timedOut", a.RunError(code="timeout", message=f"still running after {TIMEOUT_S:g} s")
    elif outcome.code != 0:
        call.status, call.error = "error", a.RunError(code="exit_code", message=f"exit code {outcome.code}")
    return outcome


def in_words(error: Exception, what: str) -> str:
    """Return what went wrong without a path of this machine."""
    return f"{what}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)


@asynccontextmanager
async def _locked(run: Run, path: str) -> AsyncIterator[None]:
    """Hold the file for the block, and afterwards only if the agent held it before."""
    locks, mine = run.site.locks, run.site.locks.holds(run.agent_id, path)
    if mine:
        yield
        return
    task_id = run.task.task_id if run.task else None
    await locks.acquire(run.agent_id, task_id, [path], "one change")
    try:
        yield
    finally:
        locks.release(run.agent_id, [path])


async def _change(run: Run, path: str, before: str, after: str | None, *, title: str, tool: str) -> None:
    args = {"path": path} if after is None else {"path": path, "characters": len(after)}
    async with run.call(tool, "edit", title, args, paths=(path,)) as call:
        await run.site.pace.pause(BEAT_S)
        if after is None:
            raise ToolFailed(f"the text to replace is not in {path}", code="not_found")
        try:
            run.site.workspace.write(path, after)
        except (OSError, Outside) as error:
            raise ToolFailed(in_words(error, path), code="cannot_write") from None
        call.diff = make_diff(path, before or None, after)
        changed = call.diff.files[0]
        call.result = f"{path}: +{changed.added} −{changed.removed}" if before != after else f"{path}: unchanged"
