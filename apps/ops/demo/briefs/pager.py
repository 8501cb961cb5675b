"""The brief "a bug to fix in this package": the package, with its real bugs and failing tests, is the input."""

from __future__ import annotations

from apps.ops.demo.approvals import PublishPlan
from apps.ops.demo.briefs.shape import Brief, PlannedTask, Repair
from apps.ops.demo.opening import OpenTasks
from apps.ops.demo.steps import Execute, Mail, MakeGreen, Mirror, Read, Say, Search, Tests, Think, Write

_PLANNING = (
    Think(
        "There is a bug to find. First I put the package as it was given into the workspace, untouched, with its tests."
    ),
    Write("pyproject.toml", "common/pyproject.toml", title="Given input: pyproject.toml"),
    Write("pager/__init__.py", "pager/init.py", title="Given input: pager/__init__.py"),
    Write("pager/pages.py", "pager/pages.py", title="Given input: pager/pages.py"),
    Write("tests/test_pages.py", "pager/test_pages.py", title="Given input: tests/test_pages.py"),
    Say(
        "The package `pager` cuts lists into pages, and its tests fail. We\n\n1. see them fail,\n2. find the cause,\n"
        "3. repair it, while **Tester** writes a test that would have found it,\n4. note it in the changelog.\n"
    ),
    PublishPlan(),
    OpenTasks(),
)

_SEE = PlannedTask(
    key="reproduce",
    title="See the tests fail",
    stage="build",
    agent_id="tester",
    steps=(Tests(report_to="coder-1"),),
)

_READ = PlannedTask(
    key="callers",
    title="Who uses it?",
    stage="build",
    agent_id="coder-2",
    steps=(
        Search(r"\bpage(_count)?\("),
        Read("pager/__init__.py"),
        Say("Only the tests call it, and the docstring promises: *they are counted from 1*. So the tests are right."),
        Mail("coder-1", "The contract", "Pages count from 1; nobody relies on the wrong behaviour.", "reply"),
    ),
)

_FIX = PlannedTask(
    key="fix",
    title="Repair the pages",
    stage="build",
    agent_id="coder-1",
    depends_on=("reproduce",),
    files=("pager/pages.py",),
    steps=(
        Read("tests/test_pages.py"),
        Search(r"number \* size|total // size"),
        Read("pager/pages.py"),
        Think(
            "Two suspects, `number * size` and `total // size`: both are off by one, each in its own way. "
            "I check by running."
        ),
        MakeGreen(),
        Say(
            "Both were off by one:\n\n```python\nstart = (number - 1) * size\n"
            "return -(-total // size)  # rounds up\n```"
        ),
        Mail("tester", "Repaired", "{{tests}}. Does your regression test agree?", "query"),
    ),
)

_REGRESSION = PlannedTask(
    key="regression",
    title="A test that would have found it",
    stage="test",
    agent_id="tester",
    depends_on=("reproduce",),
    files=("tests/test_regression.py",),
    steps=(
        Think(
            "All pages together must be the list, for any length and size. "
            "That one sentence would have found both bugs."
        ),
        Write("tests/test_regression.py", "pager/test_regression.py"),
        Mail("coder-1", "Regression test", "`tests/test_regression.py` is there; it tries 116 combinations.", "reply"),
    ),
)

_SUITE = PlannedTask(
    key="suite",
    title="Run everything",
    stage="test",
    agent_id="tester",
    depends_on=("fix", "regression"),
    steps=(
        MakeGreen(),
        Execute('python -B -c "from pager import page; print([page(list(range(7)), n, 3).items for n in (1, 2, 3)])"'),
    ),
)

_CHANGELOG = PlannedTask(
    key="changelog",
    title="Changelog",
    stage="docs",
    agent_id="coder-2",
    depends_on=("suite", "callers"),
    files=("CHANGELOG.md",),
    steps=(
        Write("CHANGELOG.md", "pager/CHANGELOG.md"),
        Say("The changelog says what was wrong, in words of a user. Tests: **{{tests}}**."),
        Mirror("releases", "pager 1.0.1: two off-by-one errors repaired. Tests: {{tests}}."),
    ),
)

BRIEF = Brief(
    key="pager",
    title="Fix the bug in pager",
    words=r"\bfix\b.{0,80}\b(bug|test|package)|\bbugs?\b.{0,80}\bfix|\bdebug\b|failing test",
    planning=_PLANNING,
    tasks=(_SEE, _READ, _FIX, _REGRESSION, _SUITE, _CHANGELOG),
    repairs=(
        Repair(
            symptom="test_the_first_page_starts|test_all_pages_together",
            path="pager/pages.py",
            old="    start = number * size\n",
            new="    start = (number - 1) * size\n",
            why="Pages are counted from 1, but `number * size` takes page 1 from the second page's place.",
        ),
        Repair(
            symptom="test_the_rest_is_a_page_too|test_the_last_page|test_all_pages_together",
            path="pager/pages.py",
            old="    return total // size\n",
            new="    return -(-total // size)\n",
            why="`//` rounds down and forgets the rest of the list; it has to round up.",
        ),
        Repair(
            symptom="test_an_empty_list",
            path="pager/pages.py",
            old="    return -(-total // size)\n",
            new="    return max(1, -(-total // size))\n",
            why="An empty list has no page at all now; a reader who opens it should see one empty page.",
        ),
    ),
    empty_test=("tests/test_empty.py", "pager/test_empty.py"),
    hints={
        "items": "list",
        "number": "int",
        "pages": "int",
        "total": "int",
        "size": "int",
        "is_last()": "bool",
        "page_count()": "int",
        "page()": "Page",
    },
    facts={"package": "pager"},
)
