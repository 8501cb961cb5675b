"""The brief "a to-do REST API": the people approve the plan before anything is written."""

from __future__ import annotations

from apps.ops.demo.approvals import PublishPlan
from apps.ops.demo.briefs.shape import Brief, PlannedTask, Repair
from apps.ops.demo.opening import OpenTasks
from apps.ops.demo.steps import (
    Await,
    Edit,
    Execute,
    Hold,
    Mail,
    MakeGreen,
    Mirror,
    Pause,
    Read,
    Release,
    Say,
    Search,
    Tests,
    Think,
    Write,
)

_PLANNING = (
    Think(
        "A REST API for a to-do list. The standard library is enough: a WSGI application needs no framework and can be "
        "tested without a socket. Model and routes are two files, so two coders can begin at once."
    ),
    Search("."),
    Say(
        "My plan:\n\n1. **Coder-1**: the model and its store.\n2. **Coder-2**: routes over WSGI — "
        "`GET`, `POST`, `PATCH`, `DELETE`.\n"
        "3. **Tester**: tests by request and answer.\n4. Run, repair, document.\n\n"
        "Nothing is written before you approve it."
    ),
    PublishPlan(),
    OpenTasks(),
    Mail(None, "The plan is approved", "Take your tasks; `todo/__init__.py` is shared, so lock it.", "broadcast"),
)

_MODEL = PlannedTask(
    key="model",
    title="Model and store",
    stage="build",
    agent_id="coder-1",
    files=("todo/model.py",),
    steps=(
        Hold(("todo/__init__.py",)),
        Think("A thing to do has a number, a title and a mark. The store gives out numbers that are never used twice."),
        Write("todo/model.py", "todo/model.py"),
        Write("todo/__init__.py", "todo/init.py"),
        Execute("python -B -c \"from todo.model import Store; print(Store().add('try it').as_json())\""),
        Release(("todo/__init__.py",)),
        Mail(
            "coder-2",
            "The store is there",
            "`Store.add/get/all/remove`; `get` gives None for an unknown number.",
            "reply",
        ),
    ),
)

_API = PlannedTask(
    key="api",
    title="Routes",
    stage="build",
    agent_id="coder-2",
    files=("todo/api.py", "todo/__main__.py"),
    steps=(
        Think("Two routes: the collection and one thing. Errors are exceptions with a status, so routes stay short."),
        Write("todo/api.py", "todo/api.py"),
        Mail("coder-1", "What does get() do?", "For a number that does not exist: None or an exception?", "query"),
        Await("todo/__init__.py", '__all__ = ["application"]', task="model"),
        Edit("todo/__init__.py", '__all__ = ["application"]', '__all__ = ["application"]\n__version__ = "1.0.0"'),
        Write("todo/__main__.py", "todo/main.py"),
        Execute("python -B -m todo --demo", save="demo"),
        Say("It answers:\n\n```text\n{{demo}}\n```"),
    ),
)

_TESTS = PlannedTask(
    key="tests",
    title="Write the tests",
    stage="build",
    agent_id="tester",
    files=("tests/test_api.py", "tests/test_model.py"),
    steps=(
        Think(
            "I test what a client sees: status and body. And what a careless client sends: "
            "blank titles, unknown numbers."
        ),
        Write("pyproject.toml", "common/pyproject.toml"),
        Write("tests/test_api.py", "todo/test_api.py"),
        Write("tests/test_model.py", "todo/test_model.py"),
        Say("Eight tests: six by request and answer, two for the model."),
    ),
)

_RUN = PlannedTask(
    key="suite",
    title="Run the suite",
    stage="test",
    agent_id="tester",
    depends_on=("model", "api", "tests"),
    steps=(Tests(report_to="coder-2"),),
)

_FIX = PlannedTask(
    key="fix",
    title="Make the suite pass",
    stage="test",
    agent_id="coder-2",
    depends_on=("suite",),
    files=("todo/api.py",),
    steps=(
        Read("tests/test_api.py"),
        Search(r"store\.get|title_of"),
        MakeGreen(),
        Mail("tester", "Repaired", "{{tests}}. Unknown numbers and blank titles are refused now.", "reply"),
    ),
)

_DEMO = PlannedTask(
    key="demo",
    title="Try it as a client would",
    stage="test",
    agent_id="coder-1",
    depends_on=("fix",),
    steps=(Pause(0.5), Execute("python -B -m todo --demo", save="demo"), Say("Still well:\n\n```text\n{{demo}}\n```")),
)

_README = PlannedTask(
    key="readme",
    title="Write the README",
    stage="docs",
    agent_id="coder-2",
    depends_on=("fix", "demo"),
    files=("README.md",),
    steps=(
        Write("README.md", "todo/README.md"),
        Say("The README has the routes and a true transcript. `python -m todo` starts the server."),
        Mirror("releases", "todo 1.0.0: a to-do list over HTTP. Tests: {{tests}}."),
    ),
)

BRIEF = Brief(
    key="todo",
    title="To-do REST API",
    words=r"to-?\s?do|rest.{0,10}api",
    planning=_PLANNING,
    tasks=(_MODEL, _API, _TESTS, _RUN, _FIX, _DEMO, _README),
    repairs=(
        Repair(
            symptom="test_an_unknown_todo_is_not_found",
            path="todo/api.py",
            old="        item = self.store.get(ident)\n",
            new=(
                "        item = self.store.get(ident)\n"
                '        if item is None:\n            raise Problem(404, "no such todo")\n'
            ),
            why="`get` gives None for an unknown number and I use it as if it were there; that must be a 404.",
        ),
        Repair(
            symptom="test_a_blank_title_is_refused",
            path="todo/api.py",
            old="    if not isinstance(title, str):\n",
            new="    if not isinstance(title, str) or not title.strip():\n",
            why="A title of blanks is a text, so it passes my check, and then `strip` leaves nothing of it.",
        ),
        Repair(
            symptom="test_an_empty_body_is_refused",
            path="todo/api.py",
            old='    value = json.loads(environ["wsgi.input"].read(size))\n',
            new=(
                "    try:\n"
                '        value = json.loads(environ["wsgi.input"].read(size))\n'
                "    except ValueError:\n"
                '        raise Problem(400, "the body is not JSON") from None\n'
            ),
            why="An empty body is not JSON; the decoder's error must become a 400 instead of ending the request.",
        ),
    ),
    empty_test=("tests/test_empty.py", "todo/test_empty.py"),
    hints={
        "ident": "int",
        "title": "str",
        "done": "bool",
        "status": "int",
        "message": "str",
        "method": "str",
        "environ": "dict",
        "value": "dict",
        "store": "Store | None",
        "as_json()": "dict",
        "add()": "Todo",
        "get()": "Todo | None",
        "all()": "list[Todo]",
        "payload()": "dict",
        "title_of()": "str",
        "route()": "tuple",
        "one()": "tuple",
        "__call__()": "list[bytes]",
    },
    facts={"package": "todo", "demo": ""},
    asks_for_plan=True,
)
