"""Answering a person in the chat: true words about what is going on, files as they are, tests that are really run."""

from __future__ import annotations

import re
from collections.abc import Callable

from apps.ops.demo import feedback, intents, plans, tools
from apps.ops.demo.run import Run
from apps.ops.demo.site import Site
from apps.ops.demo.state import ChatDoc, Intent, TaskDoc
from apps.ops.demo.workspace import Outside

FILE_LIMIT = 4_000
"""Characters of a file shown in the chat."""

GO_ON = re.compile(
    r"^\W*(?:(?:please|ok(?:ay)?|yes)\W+)?(?:go on|go ahead|continue|resume|proceed|carry on|retry)\b", re.IGNORECASE
)

HELP = """I am a demo agent: no language model, fixed abilities, but the work is real. You can write

- `status` or `what are you doing?` — where everybody stands
- `show the plan`, `list the files`, `show file README.md`
- `run the tests` — I really run them
- `use dataclasses`, `add type hints`, `rename X to Y`, `add a test for empty input`, `skip the docs stage`
- `continue` — after somebody stopped us"""


async def answer(run: Run, item: ChatDoc) -> None:
    """Answer in this run; the message is forgotten in the transaction in which its answer is final."""
    low = " ".join(item.content.lower().split())
    intent = intents.recognise(item.content)
    if re.search(r"\b(re-?)?run\b.*\b(tests?|pytest|suite)\b", low):
        outcome = await tools.run_tests(run)
        tail = outcome.output.strip()[-1500:]
        await _final(run, item, f"I ran the tests: **{run.room.doc.facts['tests']}**.\n\n```text\n{tail}\n```")
    elif intent.kind != "note":
        await _as_task(run, item, intent)
    else:
        await _final(run, item, words(run.site, run.agent_id, item, low))


def words(site: Site, agent_id: str, item: ChatDoc, low: str) -> str:
    """Return the answer to anything that needs no work."""
    if item.reply_to_id in site.room.doc.questions:
        return _late_answer(site)
    for pattern, reply in _replies():
        if re.search(pattern, low):
            return reply(site, agent_id, item)
    return (
        f"I did not understand that — I know only fixed phrases (`help` lists them).\n\n{_status(site, agent_id, item)}"
    )


def _replies() -> list[tuple[str, Callable[[Site, str, ChatDoc], str]]]:
    return [
        (GO_ON.pattern.lower(), _going_on),
        (r"\bhelp\b|\bwhat can you\b", lambda *_: HELP),
        (r"\b(what|who).*\b(doing|do you do|working on|up to)\b", _doing),
        (r"\bplan\b", _plan),
        (r"\b(list|which|what)\b.*\bfiles\b|^files\b", _files),
        (r"\b(show|cat|open|print|see|read)\b", _file),
        (r"\b(status|progress|how far|how is it|state|ready|finished)\b", _status),
        (r"\b(thanks?|thank you|great|nice|good job)\b", lambda *_: "You are welcome."),
        (r"^\W*(hi|hello|hey|good (morning|evening|day))\b", _hello),
    ]


async def _final(run: Run, item: ChatDoc, text: str) -> None:
    await run.say(text, reply_to=item.message_id, also=lambda: forget(run.site, item), again=True)


def forget(site: Site, item: ChatDoc) -> None:
    """The message needs no answer any more."""
    with site.room.change() as doc:
        doc.chats.pop(item.message_id, None)


async def _as_task(run: Run, item: ChatDoc, intent: Intent) -> None:
    owner = item.agent_id if item.direct else feedback.by_ability(run.site, intent)

    def put_on_board() -> None:
        forget(run.site, item)
        feedback.make_task(run.site, intent, owner, None)

    name = run.room.doc.agents[owner].name
    text = f"I put *{intents.title(intent)}* on the board; **{name}** takes it as soon as its turn comes."
    await run.say(text, reply_to=item.message_id, also=put_on_board, again=True)


def _hello(site: Site, agent_id: str, item: ChatDoc) -> str:
    return f"Hello {item.author}. {_status(site, agent_id, item)}"


def _going_on(site: Site, agent_id: str, item: ChatDoc) -> str:
    return f"We go on. {_status(site, agent_id, item)}"


def _doing(site: Site, agent_id: str, item: ChatDoc) -> str:
    lines = []
    for agent in site.room.doc.agents.values():
        task = _task_of(site, agent.agent_id)
        me = agent.agent_id == agent_id
        what = f" ({agent.activity})" if agent.status in {"running", "waiting"} and not me else ""
        status = "answering you" if me and not task else agent.status
        lines.append(f"- **{agent.name}**: {status}{f' — *{task.title}*' if task else ''}{what}")
    return "This is what we do right now:\n\n" + "\n".join(lines)


def _status(site: Site, agent_id: str, item: ChatDoc) -> str:
    doc = site.room.doc
    if not doc.started:
        return "The project has not been started, or I do not know its brief; set it in progress and we begin."
    tasks = list(doc.tasks.values())
    done = sum(task.status in plans.FINAL for task in tasks)
    doing = [f"*{task.title}*" for task in tasks if task.status == "doing"]
    stages = ", ".join(f"{stage.name} {stage.status}" for stage in doc.stages.values())
    tests = f" Last test run: {doc.facts['tests']}." if doc.facts.get("tests") else ""
    asked = [approval for approval in doc.approvals.values() if not approval.decision and approval.state == "pending"]
    waits = f" {len(asked)} decision(s) of yours are waited for." if asked else ""
    return (
        f"Project **{doc.name}** is {doc.status}: {done} of {len(tasks)} tasks are finished ({stages})."
        f" Being worked on: {', '.join(doing) or 'nothing'}.{tests}{waits}"
    )


def _plan(site: Site, agent_id: str, item: ChatDoc) -> str:
    doc = site.room.doc
    if not doc.plan.state:
        return "There is no plan yet."
    marks = {"done": "x", "cancelled": "-"}
    rows = []
    for planned in site.brief.tasks:
        task = doc.tasks.get(planned.key)
        skipped = doc.stages[planned.stage].status == "skipped"
        status = task.status if task else "skipped" if skipped else "pending"
        rows.append(f"- [{marks.get(status, ' ')}] {planned.title} ({planned.stage}, {status})")
    return f"The plan is {doc.plan.state}:\n\n" + "\n".join(rows)


def _files(site: Site, agent_id: str, item: ChatDoc) -> str:
    names = site.workspace.files()
    return (
        "The workspace holds:\n\n" + "\n".join(f"- `{name}`" for name in names[:100])
        if names
        else "It is empty so far."
    )


def _file(site: Site, agent_id: str, item: ChatDoc) -> str:
    found = re.search(r"[`'\"]?([\w./-]+\.\w+)[`'\"]?", item.content)
    if not found:
        return "Which file? Say for example `show file README.md`.\n\n" + _files(site, agent_id, item)
    path = found[1]
    if path not in site.workspace.files():
        same_name = [name for name in site.workspace.files() if name.rpartition("/")[2] == path]
        if len(same_name) != 1:
            return f"There is no file `{path}` in the workspace."
        path = same_name[0]
    try:
        text = site.workspace.read(path)
    except (OSError, Outside):
        return f"I cannot read `{path}`."
    cut = "\n… (cut)" if len(text) > FILE_LIMIT else ""
    fence = "`" * 4 if "```" in text else "```"
    language = "python" if path.endswith(".py") else "text"
    return f"`{path}`:\n\n{fence}{language}\n{text[:FILE_LIMIT].rstrip()}{cut}\n{fence}"


def _late_answer(site: Site) -> str:
    return "Thank you — I had gone on with the default already. Write what to change and I put it on the board."


def _task_of(site: Site, agent_id: str) -> TaskDoc | None:
    tasks = site.room.doc.tasks.values()
    return next((task for task in tasks if task.agent_id == agent_id and task.status == "doing"), None)
