"""What people did to the board: tasks of their own, tasks that they moved or removed."""

from __future__ import annotations

from apps.ops.demo import feedback, intents, plans
from apps.ops.demo.site import Site
from apps.ops.demo.state import TaskDoc
from apps.projects import events as p


def read_board(site: Site, board: list[p.TaskView], *, whole: bool) -> tuple[list[TaskDoc], list[TaskDoc]]:
    """Take up what the board shows; return (tasks not to be worked on any more, tasks to be done again).

    ``whole``: no task of it was left out.
    """
    stopped: list[TaskDoc] = []
    reopened: list[TaskDoc] = []
    with site.room.change() as doc:
        for view in board:
            known = doc.tasks.get(view.task_id)
            if known is None:
                _take_new(site, view)
                continue
            known.on_board = True
            if _was_closed(known, view):
                stopped.append(known)
            elif _was_reopened(known, view):
                reopened.append(known)
        shown = {view.task_id for view in board}
        for task in list(doc.tasks.values()):
            # A task that AutoCode has shown before and shows no more was deleted by somebody.
            if whole and task.on_board and task.task_id not in shown and task.status not in plans.FINAL:
                task.status, task.reason = "cancelled", "removed from the board"
                stopped.append(task)
    return stopped, reopened


def _take_new(site: Site, view: p.TaskView) -> None:
    """A person's own task that waits for somebody: ours, unless it was given to a person."""
    doc = site.room.doc
    mine = view.assignee is None or (view.assignee.kind == "agent" and view.assignee.id in doc.agents)
    if view.status != p.TaskStatus.TODO or not mine:
        return
    intent = intents.recognise(f"{view.title}\n{view.description}".strip())
    agent_id = view.assignee.id if view.assignee else feedback.by_ability(site, intent)
    doc.tasks[view.task_id] = TaskDoc(
        task_id=view.task_id,
        title=view.title,
        description=view.description,
        stage="build",
        agent_id=agent_id,
        source="person",
        intent=intent,
        depends_on=list(view.depends_on),
        files=[],
        on_board=True,
    )


def _was_closed(task: TaskDoc, view: p.TaskView) -> bool:
    """Follow a person who did or dropped a task that we have not finished."""
    if view.status not in {p.TaskStatus.DONE, p.TaskStatus.CANCELLED} or task.status in plans.FINAL:
        return False
    task.status, task.reason = view.status.value, "closed by a person"
    return True


def _was_reopened(task: TaskDoc, view: p.TaskView) -> bool:
    """Follow a person who moved a finished task back; a board that is older than our own move says nothing."""
    finished = task.status in {"done", "blocked", "review"} and task.settled_at
    if view.status != p.TaskStatus.TODO or not finished or view.updated_at <= task.settled_at:
        return False
    task.status, task.step, task.effects, task.reason = "todo", 0, [], "reopened by a person"
    task.round += 1
    return True
