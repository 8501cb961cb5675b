"""The pure parts: rewriting, phrases, diffs, paths, the journal."""

from __future__ import annotations

import asyncio
import sys
import types

import pytest

from apps.ops.demo import intents, rewriting
from apps.ops.demo.briefs.catalogue import BRIEFS, choose
from apps.ops.demo.briefs.shape import template
from apps.ops.demo.journal import Journal
from apps.ops.demo.locks import Locks
from apps.ops.demo.pace import pieces
from apps.ops.demo.steps import Write
from apps.ops.demo.workspace import Outside, Workspace, make_diff

SOURCE = """\"\"\"Doc.\"\"\"


class Point:
    \"\"\"A point.\"\"\"

    def __init__(self, x, y=0):
        self.x = x
        self.y = y

    def sum(self):
        return self.x + self.y
"""


def test_a_storing_class_becomes_a_dataclass_that_works():
    new = rewriting.to_dataclasses(SOURCE, {"x": "int"})
    assert "    x: int\n    y: int = 0\n" in new
    module = sys.modules["here"] = types.ModuleType("here")
    exec(compile(new, "here", "exec"), module.__dict__)
    assert repr(module.Point(1, 2)) == "Point(x=1, y=2)"
    assert module.Point(1).sum() == 1
    assert rewriting.to_dataclasses(new, {}) == new


@pytest.mark.parametrize("body", ["self.x = x + 1", "self.x = x\n        self.z = 0", "pass"])
def test_a_class_that_does_more_stays(body):
    source = f"class A:\n    def __init__(self, x):\n        {body}\n"
    assert rewriting.to_dataclasses(source, {}) == source


def test_hints_go_where_there_are_none():
    new = rewriting.add_hints("def f(text, n=3, *, é=1):\n    print(text)\n", {"text": "str"})
    assert new == "def f(text: str, n: int=3, *, é=1) -> None:\n    print(text)\n"
    assert rewriting.add_hints(new, {"text": "str"}) == new


def test_a_rename_leaves_strings_and_longer_names_alone():
    assert rewriting.rename("ab = abc + ab('ab')  # ab\n", "ab", "x") == "x = abc + x('ab')  # ab\n"


@pytest.mark.parametrize("brief", BRIEFS, ids=lambda brief: brief.key)
def test_every_python_template_compiles_in_every_style(brief):
    writes = [step for task in brief.tasks for step in task.steps if isinstance(step, Write)]
    writes += [step for step in brief.planning if isinstance(step, Write)]
    for write in writes:
        if write.path.endswith(".py"):
            text = rewriting.add_hints(rewriting.to_dataclasses(template(write.name), brief.hints), brief.hints)
            compile(text, write.path, "exec")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Use dataclasses", "dataclasses"),
        ("please add type annotations", "hints"),
        ("rename a to b", "rename"),
        ("add a test for empty input", "empty_test"),
        ("skip the docs stage", "skip_stage"),
        ("no need for a README", "skip_stage"),
        ("run the tests", "run_tests"),
        ("paint it blue", "note"),
        ("", "note"),
    ],
)
def test_phrases(text, kind):
    assert intents.recognise(text).kind == kind
    assert len(intents.title(intents.recognise(text))) > 0


def test_briefs_are_recognised():
    texts = {
        "pager": "There is a bug to fix in this package",
        "todo": "A to-do REST API",
        "table": "a markdown table formatter",
    }
    assert {key: choose("", text).key for key, text in texts.items()} == {key: key for key in texts}
    assert choose("", "something else").key == "general"
    assert choose("todo", "whatever").key == "todo"


def test_pieces_joined_are_the_text():
    text = "a  b\n\n```python\n  x = 1\n```\n ü "
    assert "".join(pieces(text)) == text


def test_diffs_of_new_and_deleted_files():
    new, gone = make_diff("a.txt", None, "1\n2\n"), make_diff("a.txt", "1\n", None)
    assert (new.files[0].operation, new.files[0].added, new.files[0].removed) == ("add", 2, 0)
    assert "--- /dev/null\n+++ b/a.txt\n" in new.patch
    assert (gone.files[0].operation, gone.files[0].removed) == ("delete", 1)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "link/x", "a\0b"])
def test_paths_stay_inside(tmp_path, path):
    workspace = Workspace(tmp_path / "ws")
    (workspace.root / "link").symlink_to(tmp_path)
    with pytest.raises(Outside):
        workspace.path(path)


async def test_a_program_is_ended_at_its_timeout_with_all_its_children(tmp_path):
    workspace = Workspace(tmp_path)
    heard: list[str] = []
    sleeper = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    script = f"import subprocess, sys; print('on', flush=True); subprocess.run({sleeper})"
    outcome = await workspace.execute(["python", "-c", script], cwd=".", timeout_s=0.8, output=heard.append)
    assert outcome.timed_out
    assert outcome.code != 0
    assert "".join(heard) == "on\n"


async def test_endless_output_is_bounded(tmp_path):
    outcome = await Workspace(tmp_path).execute(
        ["python", "-c", "print('x' * 1000000); print('end')"], cwd=".", timeout_s=20, output=lambda _: None
    )
    assert len(outcome.output) < 20_000
    assert outcome.output.endswith("end\n")


def test_the_journal_counts_on_over_acks_and_restarts(tmp_path):
    journal = Journal(tmp_path / "j")
    first = journal.append({"type": "a"})
    journal.settle(first)
    with pytest.raises(ZeroDivisionError), journal.atomic():
        journal.append({"type": "lost"})
        raise ZeroDivisionError
    journal.append({"type": "b"})
    epoch = journal.epoch
    journal.close()
    again = Journal(tmp_path / "j")
    assert again.epoch == epoch
    assert [row[0] for row in again.pending(0, 10)] == [2]
    again.append({"type": "c"})
    assert again.last_offset == 3
    again.close()


async def test_locks_are_given_in_order():
    locks = Locks(lambda: None)
    await locks.acquire("a", None, ["x", "y"], "")
    order: list[str] = []

    async def want(agent: str, *paths: str) -> None:
        await locks.acquire(agent, None, paths, "")
        order.append(agent)

    tasks = [asyncio.create_task(want("b", "x")), asyncio.create_task(want("c", "x", "z"))]
    await asyncio.sleep(0)
    assert {held.path: held.waiting for held in locks.all()} == {"x": ["b", "c"], "y": []}
    locks.release("a")
    await tasks[0]
    assert order == ["b"]
    locks.release("b")
    await tasks[1]
    assert order == ["b", "c"]
