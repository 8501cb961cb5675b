"""The brief "a Markdown table formatter"; also what the team does when it does not know a brief."""

from __future__ import annotations

from dataclasses import replace

from apps.ops.demo.approvals import AskCommand, PublishPlan
from apps.ops.demo.briefs.shape import Brief, PlannedTask, Repair
from apps.ops.demo.opening import OpenTasks
from apps.ops.demo.steps import (
    Ask,
    Await,
    Edit,
    Execute,
    Hold,
    Log,
    Mail,
    MakeGreen,
    Mirror,
    Pause,
    Read,
    Release,
    Say,
    Search,
    Tell,
    Tests,
    Think,
    Write,
)

_PLANNING = (
    Think(
        "The brief asks for a formatter of Markdown tables. Two parts hardly touch each other: the alignment itself "
        "and the command line. Two coders can work at once; the tester writes the tests from the brief."
    ),
    Search("."),
    Say(
        "Here is how I cut the work:\n\n1. **Coder-1** writes `mdtable/core.py`: split, measure, align.\n"
        "2. **Coder-2** writes the command line around it.\n3. **Tester** writes tests while they do.\n"
        "4. We run the suite, repair what it finds, pack the tool, and write the README from its real output.\n"
    ),
    PublishPlan(),
    OpenTasks(),
    Mail(None, "The plan is out", "Take your tasks; tell each other what you change in shared files.", "broadcast"),
)

_CORE = PlannedTask(
    key="core",
    title="Align the columns",
    stage="build",
    agent_id="coder-1",
    files=("mdtable/core.py",),
    description="Split rows into cells, measure, pad to one width; keep the alignment of each column.",
    steps=(
        Hold(("mdtable/__init__.py",)),
        Think(
            "A table is lines of cells. I split at `|`, find the row of dashes, measure each column and pad. "
            "A small `Column` class keeps width and alignment together."
        ),
        Write("mdtable/core.py", "table/core.py"),
        Write("mdtable/__init__.py", "table/init.py"),
        Execute("python -B -c \"import mdtable; print(mdtable.format_table('|a|bb|\\n|-|-|\\n|1|2|'))\""),
        Say(
            "The core stands:\n\n```python\nfrom mdtable import format_table\n\n"
            'print(format_table("|a|bb|\\n|-|-|\\n|1|2|"))\n```\n\n'
            "- columns keep their alignment\n- long cells are shortened"
        ),
        Release(("mdtable/__init__.py",)),
        Mail("coder-2", "format_table is ready", "Call `format_table(text, limit)`. `__init__` is yours now.", "reply"),
    ),
)

_CLI = PlannedTask(
    key="cli",
    title="Command line",
    stage="build",
    agent_id="coder-2",
    files=("mdtable/cli.py", "mdtable/__main__.py"),
    description="`mdtable [file] [--limit N] [--check]`, standard input when there is no file.",
    steps=(
        Think("The command reads a file or standard input. `--check` makes it useful in a pre-commit hook."),
        Write("mdtable/cli.py", "table/cli.py"),
        Mail("coder-1", "Signature?", "I call `format_table(text, limit)` — is that what you write?", "query"),
        Await("mdtable/__init__.py", '__all__ = ["format_table"]', task="core"),
        Edit("mdtable/__init__.py", '__all__ = ["format_table"]', '__all__ = ["format_table"]\n__version__ = "1.0.0"'),
        Write("mdtable/__main__.py", "table/main.py"),
        Ask(
            "How long may a cell get before it is shortened? "
            "I take **40** characters unless you reply with another number.",
            fact="width",
            default="40",
            pattern=r"\b[1-9]\d{0,2}\b",
        ),
        Edit("mdtable/cli.py", "DEFAULT_LIMIT = 40", "DEFAULT_LIMIT = {{width}}"),
        Execute("python -B -m mdtable --help", save="usage"),
        Say("The command works:\n\n```text\n{{usage}}\n```"),
    ),
)

_TESTS = PlannedTask(
    key="tests",
    title="Write the tests",
    stage="build",
    agent_id="tester",
    files=("tests/test_core.py", "tests/test_cli.py"),
    description="From the brief: widths, alignment, short rows, escaped pipes, the command's exit codes.",
    steps=(
        Think("What can be wrong with a table? Rows that are too short, pipes inside a cell, no row of dashes at all."),
        Write("pyproject.toml", "common/pyproject.toml"),
        Write("tests/test_core.py", "table/test_core.py"),
        Write("tests/test_cli.py", "table/test_cli.py"),
        Log("9 tests written"),
        Say("Nine tests are ready; two of them are nasty on purpose: **short rows** and **escaped pipes**."),
    ),
)

_RUN = PlannedTask(
    key="suite",
    title="Run the suite",
    stage="test",
    agent_id="tester",
    depends_on=("core", "cli", "tests"),
    steps=(Tests(report_to="coder-1"),),
)

_FIX = PlannedTask(
    key="fix",
    title="Make the suite pass",
    stage="test",
    agent_id="coder-1",
    depends_on=("suite",),
    files=("mdtable/core.py",),
    steps=(
        Read("tests/test_core.py"),
        Search(r"len\(rows\[0\]\)|split\("),
        MakeGreen(),
        Mail("tester", "Repaired", "{{tests}}. Thanks for the nasty ones.", "reply"),
    ),
)

_PACK = PlannedTask(
    key="pack",
    title="Pack the tool",
    stage="test",
    agent_id="coder-2",
    depends_on=("fix",),
    files=("make_dist.py",),
    description="One file, `dist/mdtable.pyz`; clean up afterwards.",
    steps=(
        Write("make_dist.py", "table/make_dist.py"),
        Write("example.md", "table/example.md"),
        Execute("python -B make_dist.py"),
        Execute("python -B dist/mdtable.pyz example.md", save="example"),
        AskCommand(
            "rm -rf build",
            ("build",),
            "Delete the build/ directory",
            ("It deletes files and cannot be undone.", "What is in it was packed into dist/mdtable.pyz."),
            otherwise=(Write(".gitignore", "common/gitignore", title="Keep build/ and ignore it in Git instead"),),
        ),
        Execute("python -B dist/mdtable.pyz --help"),
    ),
)

_README = PlannedTask(
    key="readme",
    title="Write the README",
    stage="docs",
    agent_id="coder-2",
    depends_on=("fix", "pack"),
    files=("README.md",),
    steps=(
        Execute("python -B -m mdtable example.md", save="example"),
        Write("README.md", "table/README.md"),
        Say("The README shows the tool's real output:\n\n```text\n{{example}}\n```"),
        Mirror("releases", "mdtable 1.0.0: aligns Markdown tables. Tests: {{tests}}."),
    ),
)

_REVIEW = PlannedTask(
    key="review",
    title="Last check",
    stage="docs",
    agent_id="tester",
    depends_on=("fix", "pack"),
    steps=(Pause(0.5), MakeGreen()),
)

BRIEF = Brief(
    key="table",
    title="Markdown table formatter",
    words=r"markdown.{0,40}table|table.{0,20}format",
    planning=_PLANNING,
    tasks=(_CORE, _CLI, _TESTS, _RUN, _FIX, _PACK, _README, _REVIEW),
    repairs=(
        Repair(
            symptom="test_short_rows_are_padded",
            path="mdtable/core.py",
            old="    count = len(rows[0])\n",
            new=(
                "    count = max(len(row) for row in rows)\n"
                '    rule = rule + ["---"] * (count - len(rule))\n'
                "    for row in rows:\n"
                '        row.extend([""] * (count - len(row)))\n'
            ),
            why="I count columns by the first row and read further than a short row goes; rows must be padded first.",
        ),
        Repair(
            symptom="test_escaped_pipes_stay_in_their_cell",
            path="mdtable/core.py",
            old='line.strip().strip("|").split("|")]',
            new='re.split(r"(?<!\\\\)\\|", line.strip().strip("|"))]',
            why='`split("|")` also cuts at `\\|`, which belongs to the cell; I split only where there is no backslash.',
        ),
        Repair(
            symptom="test_empty_input|test_blank_lines|IndexError: list index out of range",
            path="mdtable/core.py",
            old="    rules = [split_row(line) for line in lines if is_rule(line)]\n",
            new=(
                '    if not lines:\n        return ""\n'
                "    rules = [split_row(line) for line in lines if is_rule(line)]\n"
            ),
            why="Without a single line there is no first row to measure; nothing in must give nothing out.",
        ),
    ),
    empty_test=("tests/test_empty.py", "table/test_empty.py"),
    hints={
        "width": "int",
        "text": "str",
        "line": "str",
        "cell": "str",
        "limit": "int",
        "rows": "list[list[str]]",
        "rule": "list[str]",
        "argv": "list[str] | None",
        "fit()": "str",
        "rule()": "str",
        "split_row()": "list[str]",
        "is_rule()": "bool",
        "alignment()": "str",
        "shorten()": "str",
        "columns_of()": "list[Column]",
        "format_table()": "str",
        "build_parser()": "argparse.ArgumentParser",
        "main()": "int",
    },
    facts={"package": "mdtable", "width": "40", "usage": "", "example": ""},
)

GENERAL = replace(
    BRIEF,
    key="general",
    title="A small text tool",
    words="",
    planning=(
        Tell(
            "I have to be honest: I am a **demo agent** without a language model and do not know how to do this brief. "
            "I can build *a to-do REST API* or *a Markdown table formatter*, and *fix a bug in a package*. "
            "So that you can watch a team at work, we build the table formatter here; everything we do is real. "
            "Write `help` to see what we understand."
        ),
        *_PLANNING,
    ),
)
