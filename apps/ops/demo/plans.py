"""The plan of a project: published, reviewed, changed; and the tasks that come from it."""

from __future__ import annotations

from apps.agents.link import messages as m
from apps.ops.demo.site import Site
from apps.ops.demo.state import TaskDoc
from apps.projects import events as p

FINAL = frozenset({"done", "cancelled"})
"""Statuses of tasks on which nothing more is done."""


def publish(site: Site, state: str) -> None:
    """Publish the plan as it stands, as a new version of the same plan."""
    doc, brief = site.room.doc, site.brief
    known = {task.key for task in brief.tasks}
    items = [
        p.PlanItem(
            key=task.key,
            title=task.title,
            status=_status(site, task.key, task.stage),
            depends_on=list(task.depends_on),
        )
        for task in brief.tasks
    ]
    items += [
        p.PlanItem(key=task.task_id, title=task.title, status=task.status)
        for task in doc.tasks.values()
        if task.task_id not in known and task.task_id != "plan"
    ]
    with site.room.change() as doc:
        doc.plan.title, doc.plan.state = f"{brief.title}: plan"[:120], state
        site.room.emit(
            m.PlanGenerated(
                plan=m.InPlan(plan_id=doc.plan.plan_id, title=doc.plan.title, items=items, state=p.PlanState(state))
            )
        )


def open_tasks(site: Site) -> None:
    """Put the plan's tasks on the board; those of a stage that people skipped stay away."""
    with site.room.change() as doc:
        for planned in site.brief.tasks:
            if planned.key not in doc.tasks and doc.stages[planned.stage].status != "skipped":
                site.room.open_task(
                    TaskDoc(
                        task_id=planned.key,
                        title=planned.title,
                        description=planned.description,
                        stage=planned.stage,
                        agent_id=planned.agent_id,
                        depends_on=list(planned.depends_on),
                        files=list(planned.files),
                    )
                )


def skip_stage(site: Site, key: str, reason: str) -> list[TaskDoc]:
    """Skip a stage: its tasks that nobody has begun are cancelled, the plan gets a new version; return those tasks."""
    with site.room.change() as doc:
        tasks = [task for task in doc.tasks.values() if task.stage == key and task.source == "plan"]
        dropped = [task for task in tasks if task.status in {"todo", "blocked"}]
        for task in dropped:
            site.room.move_task(task, "cancelled", reason)
        site.room.stage(key, "skipped", doc.stages[key].progress, reason)
        publish(site, doc.plan.state if doc.plan.state in {"inReview", "approved"} else "draft")
    return dropped


def update_stages(site: Site) -> None:
    """Say how the stages stand, from the tasks in them."""
    doc = site.room.doc
    for key, stage in doc.stages.items():
        tasks = [task for task in doc.tasks.values() if task.stage == key and task.source == "plan"]
        counted = [task for task in tasks if task.status != "cancelled"]
        if stage.status == "skipped" or not counted:
            continue
        done = sum(task.status == "done" for task in counted)
        if any(run.waiting and run.task_id in {task.task_id for task in counted} for run in doc.runs.values()):
            status = "waitingUser"
        elif done == len(counted):
            status = "done"
        elif any(task.status == "blocked" for task in counted):
            status = "failed"
        else:
            begun = done or any(task.status != "todo" for task in counted)
            status = "inProgress" if begun else "pending"
        site.room.stage(key, status, done / len(counted))


def ready(site: Site, task: TaskDoc) -> bool:
    """Tell whether everything that the task depends on is out of its way."""
    tasks = site.room.doc.tasks
    return all(key not in tasks or tasks[key].status in FINAL for key in task.depends_on)


def _status(site: Site, key: str, stage: str) -> str:
    task = site.room.doc.tasks.get(key)
    if task is not None and task.status != "cancelled":
        return task.status
    return "skipped" if task is not None or site.room.doc.stages[stage].status == "skipped" else "pending"
