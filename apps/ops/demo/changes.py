"""Doing what people ask for: the work behind feedback, people's tasks and wishes in the chat.

What will change is written into the task before it is changed, so that a process that is killed in between can still
say truly what the feedback caused.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from pathlib import PurePath

from apps.ops.demo import plans, rewriting, shaping, tools
from apps.ops.demo.briefs.shape import template
from apps.ops.demo.run import CannotDo, Run
from apps.ops.demo.state import Intent, TaskDoc
from apps.ops.demo.steps import Step, make_green

NOTES = "NOTES.md"
HEADING = "# Notes\n\nWhat people asked for and this demo agent cannot do by itself.\n\n"


class Noted(CannotDo):
    """The wish was written down, which is all that this agent can do with it."""


@dataclass(frozen=True)
class Change(Step):
    """Do what the intent asks. Raises ``CannotDo`` with an honest reason."""

    intent: Intent

    async def perform(self, run: Run) -> None:
        task = run.task
        if task is None:
            raise CannotDo("a change needs a task")
        match self.intent.kind:
            case "dataclasses" | "hints":
                await _restyle(run, task, self.intent.kind)
            case "rename":
                await _rename(run, task, self.intent.args["old"], self.intent.args["new"])
            case "empty_test":
                await _empty_test(run, task)
            case "run_tests":
                await make_green(run)
                _effect(run, task, "task", task.task_id, run.fill("{{tests}}"))
            case "skip_stage":
                _skip(run, task, self.intent.args["stage"])
            case _:
                await _note(run, task, self.intent.text)


async def _restyle(run: Run, task: TaskDoc, style: str) -> None:
    workspace, hints = run.site.workspace, run.site.brief.hints
    with run.room.change() as doc:
        if style not in doc.styles:
            doc.styles.append(style)
    sources = [path for path in workspace.files(".py") if not path.startswith("tests/")]
    wanted = [
        path for path in sources if shaping.styled(workspace.read(path), style, path, hints) != workspace.read(path)
    ]
    if not wanted and not task.effects:
        if _build_goes_on(run):
            _effect(run, task, "plan", run.room.doc.plan.plan_id, f"files written from now on use {style}")
            await run.say(
                f"There is no code yet that this touches; what is written from now on uses {style}.", again=True
            )
            return
        raise CannotDo(f"nothing to change: no code here that {style} would alter.")
    await _rewrite(run, task, wanted, style)


async def _rewrite(run: Run, task: TaskDoc, wanted: list[str], style: str) -> None:
    for path in wanted:
        _effect(run, task, "file", path, style)
    await run.site.locks.acquire(run.agent_id, task.task_id, wanted, task.title)
    for path in wanted:
        await run.safe_point()
        text = await tools.read(run, path)
        await tools.write(run, path, shaping.styled(text, style, path, run.site.brief.hints))
    await _check(run)


async def _rename(run: Run, task: TaskDoc, old: str, new: str) -> None:
    found = await tools.search(run, rf"\b{old}\b")
    if not task.effects:
        _refuse_rename(run, old, new, found=bool(found))
    wanted = sorted({line.partition(":")[0] for line in found})
    texts = {path: run.site.workspace.read(path) for path in wanted}
    with run.room.change() as doc:
        if [old, new] not in doc.renames:
            doc.renames.append([old, new])
        for path in wanted:
            _effect(run, task, "file", path, f"{old} → {new}")
    await run.site.locks.acquire(run.agent_id, task.task_id, wanted, task.title)
    for path, text in texts.items():
        # Writing a file shapes it, and the rename is now part of the project's shape.
        await tools.write(run, path, text, title=f"Rename {old} to {new} in {path}")
    try:
        await _check(run)
    except CannotDo:
        await _take_back(run, task, [old, new], texts)
        raise


def _refuse_rename(run: Run, old: str, new: str, *, found: bool) -> None:
    modules = {part for path in run.site.workspace.files() for part in PurePath(path).with_suffix("").parts}
    if not rewriting.is_identifier(new):
        raise CannotDo(f"`{new}` cannot be a name in Python.")
    if not found:
        raise CannotDo(f"the name `{old}` does not occur in this workspace.")
    if old in modules or old in dir(builtins) or not rewriting.is_identifier(old):
        raise CannotDo(f"`{old}` names a file or belongs to Python; I rename only names inside the code.")
    if run.site.workspace.search(rf"\b{new}\b"):
        raise CannotDo(f"the name `{new}` is taken already.")


async def _take_back(run: Run, task: TaskDoc, pair: list[str], texts: dict[str, str]) -> None:
    """A rename that breaks the tests is not left behind."""
    with run.room.change() as doc:
        doc.renames.remove(pair)
        task.effects.clear()
    for path, text in texts.items():
        await tools.write(run, path, text, title=f"Take the rename back in {path}")


async def _empty_test(run: Run, task: TaskDoc) -> None:
    path, name = run.site.brief.empty_test
    if run.site.workspace.read_or_empty(path) and not task.effects:
        raise CannotDo(f"there is a test for empty input already: {path}.")
    _effect(run, task, "file", path, "new test")
    await tools.write(run, path, template(name))
    outcome = await tools.run_tests(run, only=path)
    before = run.site.workspace.files(".py")
    texts = {item: run.site.workspace.read(item) for item in before}
    if outcome.code == 0:
        await run.say(f"The test for empty input is in `{path}` and passes: {{{{tests}}}}.", again=True)
        return
    await run.say("The new test fails, so it has found something: {{failing}}.", again=True)
    await make_green(run, outcome)
    for item, text in texts.items():
        if run.site.workspace.read(item) != text:
            _effect(run, task, "file", item, "fixed")


def _skip(run: Run, task: TaskDoc, key: str) -> None:
    stage = run.room.doc.stages.get(key)
    if key != "docs" or stage is None or stage.status in {"done", "skipped"}:
        raise CannotDo(f"the {key} stage cannot be skipped now.")
    plans.skip_stage(run.site, key, "skipped as a person asked")
    _effect(run, task, "stage", key, "skipped")


async def _note(run: Run, task: TaskDoc, text: str) -> None:
    line = f"- {' '.join(text.split())} ({task.task_id})\n"
    notes = run.site.workspace.read_or_empty(NOTES) or HEADING
    if line not in notes:
        _effect(run, task, "file", NOTES, "noted")
        await tools.write(run, NOTES, notes + line)
    words = (
        "I am a small agent with fixed abilities and cannot do this by myself, so I wrote it down in `NOTES.md`. "
        "I can: use dataclasses, add type hints, rename X to Y, add a test for empty input, skip the docs stage, "
        "run the tests."
    )
    await run.say(words, again=True)
    if task.source == "person":
        raise Noted("noted in NOTES.md; a demo agent cannot do more with it")


async def _check(run: Run) -> None:
    """Rerun the tests when the code is complete; before that the test stage will."""
    if _build_goes_on(run):
        await run.say("The build is still going on; the test stage will run the suite.", again=True)
    elif run.site.workspace.files("_test.py") or any(p.startswith("tests/") for p in run.site.workspace.files(".py")):
        await make_green(run)


def _build_goes_on(run: Run) -> bool:
    tasks = run.room.doc.tasks.values()
    build = [task for task in tasks if task.source == "plan" and task.stage in {"plan", "build"}]
    return not build or any(task.status not in plans.FINAL for task in build)


def _effect(run: Run, task: TaskDoc, kind: str, ref: str, label: str) -> None:
    with run.room.change():
        if [kind, ref, label] not in task.effects:
            task.effects.append([kind, ref, label])
