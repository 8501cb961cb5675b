"""What a brief is: what the agents know how to do for it. The scripts are data; what happens is real."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from apps.ops.demo.state import AgentDoc

if TYPE_CHECKING:
    from apps.ops.demo.steps import Step

_FILES = Path(__file__).parent / "files"


@dataclass(frozen=True)
class PlannedTask:
    """A task of the plan: who does it, what must be done before, which files it holds, and its script."""

    key: str
    title: str
    stage: str
    agent_id: str
    steps: tuple[Step, ...]
    depends_on: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Repair:
    """What to change when the tests' output matches ``symptom``; ``why`` is said to the people."""

    symptom: str
    path: str
    old: str
    new: str
    why: str


@dataclass(frozen=True)
class Brief:
    """A kind of project. ``words`` is the regular expression that recognises a brief's text."""

    key: str
    title: str
    words: str
    planning: tuple[Step, ...]
    tasks: tuple[PlannedTask, ...]
    repairs: tuple[Repair, ...] = ()
    empty_test: tuple[str, str] = ("tests/test_empty.py", "")
    """Path and template of a test for empty input."""
    hints: dict[str, str] = field(default_factory=dict)
    """Types by name, for dataclasses and type hints (``rewriting.Hints``)."""
    facts: dict[str, str] = field(default_factory=dict)
    asks_for_plan: bool = False

    def matches(self, text: str) -> bool:
        """Tell whether a project's brief is of this kind."""
        return bool(self.words) and re.search(self.words, text, re.IGNORECASE | re.DOTALL) is not None

    def script(self, key: str) -> tuple[Step, ...]:
        """Return the steps of a planned task. Raises ``KeyError``."""
        if key == "plan":
            return self.planning
        for task in self.tasks:
            if task.key == key:
                return task.steps
        raise KeyError(key)


STAGES = (("plan", "Plan"), ("build", "Build"), ("test", "Test"), ("docs", "Docs"))


def agents() -> list[AgentDoc]:
    """Return the team of a new project; the first one leads."""
    return [
        AgentDoc(agent_id="planner", name="Planner", role="leads, plans, answers", kind="planner"),
        AgentDoc(agent_id="coder-1", name="Coder-1", role="core code"),
        AgentDoc(agent_id="coder-2", name="Coder-2", role="interfaces and docs"),
        AgentDoc(agent_id="tester", name="Tester", role="tests", kind="tester"),
    ]


@cache
def template(name: str) -> str:
    """Return a source template of the package, e.g. ``table/core.py``."""
    return (_FILES / f"{name}.txt").read_text(encoding="utf-8")
