"""A person's feedback: to whom it goes, when it is taken, and what is said became of it.

consumed (an agent took it, in a run) → applied with effects, or rejected with the reason. What needs work becomes a
task of the board, so that it survives restarts like all work; what only changes the plan is done at once.
"""

from __future__ import annotations

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.core import ids
from apps.ops.demo import intents, plans
from apps.ops.demo.run import Run
from apps.ops.demo.site import Site
from apps.ops.demo.state import FeedbackDoc, Intent, TaskDoc

_BY_KIND = {"skip_stage": "planner", "empty_test": "tester", "run_tests": "tester", "note": "planner"}


def receive(site: Site, command: m.UserFeedback) -> FeedbackDoc:
    """Keep new feedback for the agent that it concerns."""
    with site.room.change() as doc:
        item = FeedbackDoc(
            feedback_id=command.feedback_id,
            content=command.content,
            mode=command.mode.value,
            agent_id=route(site, command),
            author=command.author.name,
            path=command.target.path,
        )
        doc.feedback[item.feedback_id] = item
    return item


def route(site: Site, command: m.UserFeedback) -> str:
    """Return the agent that the feedback concerns: the one meant, the one at that task or path, or who can do it."""
    doc, target = site.room.doc, command.target
    if target.agent_id in doc.agents:
        return str(target.agent_id)
    if target.run_id in doc.runs:
        return doc.runs[str(target.run_id)].agent_id
    if target.task_id in doc.tasks:
        return doc.tasks[str(target.task_id)].agent_id
    if target.path and (owner := _owner(site, target.path)):
        return owner
    return by_ability(site, intents.recognise(command.content))


def by_ability(site: Site, intent: Intent) -> str:
    """Return the agent that does such things; another one while that one waits for a person."""
    agents = site.room.doc.agents
    first = _BY_KIND.get(intent.kind, "coder-1")
    order = [first, "coder-1", "coder-2", "tester", "planner"]
    return next((agent for agent in order if agent in agents and agents[agent].status != "waiting"), first)


def _owner(site: Site, path: str) -> str | None:
    holder = next((lock.agent_id for lock in site.locks.all() if lock.path == path), None)
    tasks = [task for task in site.room.doc.tasks.values() if path in task.files]
    return holder or (tasks[0].agent_id if tasks else None)


def waiting_for(site: Site, agent_id: str, *, modes: frozenset[str]) -> list[FeedbackDoc]:
    """Return the agent's feedback that nobody has taken yet, oldest first."""
    items = site.room.doc.feedback.values()
    return [item for item in items if item.state == "queued" and item.agent_id == agent_id and item.mode in modes]


async def take(run: Run, item: FeedbackDoc) -> TaskDoc | None:
    """Take feedback in this run: ``consumed``, then at once its end, or a task that is returned."""
    intent = intents.recognise(item.content)
    with run.room.change():
        item.state = "consumed"
        respond(run.site, item, "consumed", run.doc.run_id)
        task = None if intent.kind == "skip_stage" else make_task(run.site, intent, run.agent_id, item)
    if task is not None:
        await run.say(
            f"Feedback from {item.author}: “{_short(item.content)}” — I take it on as *{task.title}*.", again=True
        )
        return task
    await _skip(run, item, intent.args["stage"])
    return None


async def _skip(run: Run, item: FeedbackDoc, key: str) -> None:
    refusal = _why_not_skip(run.site, key)
    if refusal:
        with run.room.change():
            item.state = "rejected"
            respond(run.site, item, "rejected", run.doc.run_id, note=refusal)
        await run.say(f"I cannot skip the {key} stage: {refusal}", again=True)
        return
    with run.room.change():
        dropped = plans.skip_stage(run.site, key, f"skipped as {item.author} asked")
        effects = [["stage", key, "skipped"], ["plan", run.room.doc.plan.plan_id, "new version"]]
        effects += [["task", task.task_id, "cancelled"] for task in dropped]
        item.state = "applied"
        respond(run.site, item, "applied", run.doc.run_id, note=f"the {key} stage is skipped", effects=effects)
    await run.say(f"The **{key}** stage is skipped; the plan has a new version without it.", again=True)


def _why_not_skip(site: Site, key: str) -> str:
    stage = site.room.doc.stages.get(key)
    if stage is None:
        return "this project has no such stage."
    if key != "docs":
        return f"without it there is no checked work; only the docs stage can be skipped, not {key}."
    if stage.status in {"done", "skipped"}:
        return f"it is already {stage.status}."
    return ""


def follow_plan_reason(run: Run, intent: Intent) -> str:
    """Change the plan as the reason of a refusal asks, and return what was done."""
    if intent.kind == "skip_stage" and not _why_not_skip(run.site, intent.args["stage"]):
        plans.skip_stage(run.site, intent.args["stage"], "skipped when the plan was reviewed")
        return f"The {intent.args['stage']} stage is out."
    if intent.text.strip():
        task = make_task(run.site, intent, by_ability(run.site, intent), None)
        return f"I added the task *{task.title}*."
    return "No reason was given, so I changed nothing; please say what you miss."


def make_task(site: Site, intent: Intent, agent_id: str, item: FeedbackDoc | None) -> TaskDoc:
    """Put what a person asks for on the board; it waits for the build where it needs the code to be there."""
    with site.room.change():
        task = TaskDoc(
            task_id=f"task-{ids.new_id()}",
            title=intents.title(intent)[:120],
            description=intent.text[:2000],
            stage="build",
            agent_id=agent_id,
            source="feedback",
            intent=intent,
            feedback_id=item.feedback_id if item else None,
            depends_on=_first_needs(site, intent),
        )
        site.room.open_task(task)
    return task


def _first_needs(site: Site, intent: Intent) -> list[str]:
    """Return the build tasks that must be done before the intent makes sense."""
    unfinished = [task.key for task in site.brief.tasks if task.stage == "build" and not _final(site, task.key)]
    if intent.kind in {"empty_test", "run_tests"}:
        return unfinished
    if intent.kind == "rename" and not site.workspace.search(rf"\b{intent.args['old']}\b"):
        return unfinished
    return []


def _final(site: Site, key: str) -> bool:
    task = site.room.doc.tasks.get(key)
    return task is not None and task.status in plans.FINAL


def respond(
    site: Site,
    item: FeedbackDoc,
    state: str,
    run_id: str | None,
    *,
    note: str = "",
    effects: list[list[str]] | None = None,
) -> None:
    """Say what became of feedback, each state once."""
    found = [a.FeedbackEffect(kind=kind, ref=ref, label=label) for kind, ref, label in effects or []]
    site.room.emit(
        m.FeedbackResponse(
            feedback_id=item.feedback_id, state=state, by_run_id=run_id, note=note[:500], effects=found[:50]
        ),
        key=f"feedback:{item.feedback_id}:{state}",
    )


def settle(run: Run, task: TaskDoc, state: str, note: str) -> None:
    """Say how the feedback behind a task ended; nothing when the task came otherwise."""
    item = run.room.doc.feedback.get(task.feedback_id or "")
    if item is None or item.state in {"applied", "rejected", "failed"}:
        return
    with run.room.change():
        item.state = state
        effects = [*task.effects, ["task", task.task_id, task.title]] if state == "applied" else []
        respond(run.site, item, state, run.doc.run_id, note=note, effects=effects)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 120 else f"{flat[:117]}…"
