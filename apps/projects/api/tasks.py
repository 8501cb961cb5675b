"""The task board."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, structs
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.openapi import IDEMPOTENCY_KEY
from apps.accounts.api.structs import to_json
from apps.projects.api.base import PAGE, ROOM, WRITE, RoomEndpoint, described, in_path, query
from apps.projects.api.bodies import Assignee, NewTask, TaskChange, TaskMove, TasksToReset, TasksWereReset
from apps.projects.api.shown import given, part_of
from apps.projects.events import ActorRef, TaskView
from apps.projects.pagination import Page
from apps.projects.records import LoggedEvent
from apps.projects.selectors import lists
from apps.projects.services.tasks import TaskService
from apps.projects.wire import task_view

_TASK_ID = in_path("task_id", "The task's ``taskId``.")
_IF_MATCH = query(
    "version", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "The version that I have seen; or If-Match."
)


class TasksEndpoint(RoomEndpoint):
    """The board."""

    @described("listTasks", returns=Page[TaskView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the tasks by number."""
        return self.page(lists.tasks(self.access(guid).project_id), task_view, order=("number",))

    @described("createTask", takes=NewTask, returns=TaskView, status=201, errors=WRITE, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, guid: str) -> Response:
        """Put a task on the board, at the end of its column."""
        access = self.access(guid, "task.create")
        new = structs.asdict(self.body(NewTask))
        new["assignee"] = _actor(new["assignee"])
        service = TaskService(self.actor)
        return self.carry_out(lambda: part_of(service.create(guid=access.guid, **new), "task"), status=201)


class TaskEndpoint(RoomEndpoint):
    """One task. Its ``ETag`` is its version."""

    @described("getTask", returns=TaskView, errors=ROOM, parameters=[_TASK_ID])
    def get(self, request: Request, guid: str, task_id: str) -> Response:
        """Return the task."""
        task = lists.task(self.access(guid).project_id, self.known_id(task_id))
        return _tagged(self.answer(task_view(task)))

    @described(
        "updateTask",
        takes=TaskChange,
        returns=TaskView,
        errors=WRITE,
        parameters=[_TASK_ID, _IF_MATCH, IDEMPOTENCY_KEY],
    )
    def patch(self, request: Request, guid: str, task_id: str) -> Response:
        """Change fields of the task; with a version that is not the present one nothing is changed (409)."""
        access, task_id = self.access(guid, "task.update"), self.known_id(task_id)
        change = self.body(TaskChange)
        wanted = given(change)
        wanted["version"] = self.version(None if change.version is UNSET else change.version)
        if "assignee" in wanted:
            wanted["unassign"] = wanted["assignee"] is None
            wanted["assignee"] = _actor(wanted["assignee"])
        service = TaskService(self.actor)

        def update() -> Any:
            event = service.update(guid=access.guid, task_id=task_id, **wanted)
            return self.after(access.project_id, task_id, event)

        return _tagged(self.carry_out(update, keyed_by=wanted["version"]))

    @described("deleteTask", status=204, errors=WRITE, parameters=[_TASK_ID, _IF_MATCH, IDEMPOTENCY_KEY])
    def delete(self, request: Request, guid: str, task_id: str) -> Response:
        """Take the task off the board; others no longer depend on it."""
        access, task_id, version = self.access(guid, "task.delete"), self.known_id(task_id), self.version()
        service = TaskService(self.actor)

        def delete() -> None:
            service.delete(guid=access.guid, task_id=task_id, version=version)

        return self.carry_out(delete, status=204, keyed_by=version)

    def after(self, project_id: Any, task_id: str, event: LoggedEvent | None) -> Any:
        """Return the task as it is after ``event``, or as it was when nothing changed."""
        return part_of(event, "task") if event else to_json(task_view(lists.task(project_id, task_id)))


class TaskStatusEndpoint(TaskEndpoint):
    """The column of a task."""

    http_method_names = ("post", "options")

    @described(
        "setTaskStatus",
        takes=TaskMove,
        returns=TaskView,
        errors=WRITE,
        parameters=[_TASK_ID, _IF_MATCH, IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, guid: str, task_id: str) -> Response:
        """Move the task to another column."""
        access, task_id = self.access(guid, "task.move"), self.known_id(task_id)
        wish = self.body(TaskMove)
        wanted = given(wish)
        wanted["version"] = self.version(None if wish.version is UNSET else wish.version)
        service = TaskService(self.actor)

        def move() -> Any:
            event = service.set_status(guid=access.guid, task_id=task_id, **wanted)
            return self.after(access.project_id, task_id, event)

        return _tagged(self.carry_out(move, keyed_by=wanted["version"]))


class TasksResetEndpoint(RoomEndpoint):
    """Starting over."""

    @described("resetTasks", takes=TasksToReset, returns=TasksWereReset, errors=WRITE, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, guid: str) -> Response:
        """Put these tasks, or all, back to ``todo``."""
        access = self.access(guid, "task.reset")
        which = self.body(TasksToReset)
        service = TaskService(self.actor)

        def reset() -> Any:
            event = service.reset(guid=access.guid, task_ids=which.task_ids)
            tasks = part_of(event, "tasks") if event else []
            return {"count": len(tasks), "tasks": tasks}

        return self.carry_out(reset)


def _actor(assignee: Assignee | None) -> ActorRef | None:
    return ActorRef(**structs.asdict(assignee)) if assignee else None


def _tagged(response: Response) -> Response:
    response["ETag"] = f'"{response.data["version"]}"'
    return response
