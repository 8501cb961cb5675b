"""The task board."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Max

from apps.core import clock
from apps.core.errors import Conflict, InvalidField, NotFound
from apps.core.ids import new_id
from apps.projects.events import (
    ActorRef,
    TaskCreated,
    TaskDeleted,
    TaskPriority,
    TasksReset,
    TaskStatus,
    TaskStatusChanged,
    TaskUpdated,
)
from apps.projects.models import Project, Task
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, changed, key, text
from apps.projects.services.log import ProjectLog
from apps.projects.wire import task_view

TITLE = 200
DESCRIPTION = 32_768
TASKS = 2_000
"""Tasks of one project: the board is part of every snapshot."""

_WIRE_NAMES = {"depends_on": "dependsOn"}


class TaskService(Service):
    """Creates, changes, moves, deletes and resets tasks.

    A ``version`` that is given must be the task's present one, else ``Conflict`` (a lost update is refused).
    """

    def create(
        self,
        *,
        guid: UUID | str,
        title: str,
        description: str = "",
        status: TaskStatus = TaskStatus.TODO,
        priority: TaskPriority = TaskPriority.NORMAL,
        assignee: ActorRef | None = None,
        depends_on: list[str] | None = None,
        files: list[str] | None = None,
        branch: str = "",
        task_id: str | None = None,
    ) -> LoggedEvent:
        """Put a task on the board, at the end of its column."""
        with self.log(guid) as log:
            log.require("task.create")
            task_id = new_id() if task_id is None else key(task_id, field="taskId")
            existing = Task.objects.filter(project=log.project)
            if existing.filter(key=task_id).exists():
                raise Conflict("This taskId is taken.", field="taskId")
            if existing.count() >= TASKS:
                raise Conflict(f"A project has at most {TASKS} tasks.")
            task = Task.objects.create(
                project=log.project,
                key=task_id,
                number=self._next_number(log),
                title=text(title, field="title", longest=TITLE).strip(),
                description=text(description, field="description", longest=DESCRIPTION, blank=True),
                status=status.value,
                priority=priority.value,
                assignee=msgspec.to_builtins(assignee) if assignee else None,
                depends_on=self._dependencies(log, task_id, depends_on or []),
                files=self._files(files or []),
                branch=text(branch, field="branch", longest=500, blank=True),
                position=self._end_of(log, status),
            )
            return log.record(TaskCreated(task=task_view(task)))

    def update(
        self,
        *,
        guid: UUID | str,
        task_id: str,
        version: int | None = None,
        title: str | None = None,
        description: str | None = None,
        priority: TaskPriority | None = None,
        assignee: ActorRef | None = None,
        unassign: bool = False,
        depends_on: list[str] | None = None,
        files: list[str] | None = None,
        branch: str | None = None,
        position: float | None = None,
    ) -> LoggedEvent | None:
        """Change fields of a task; None leaves a field. Return the event, or None when nothing changed."""
        with self.log(guid) as log:
            log.require("task.update")
            task = self._task(log, task_id, version)
            difference = changed(
                task,
                title=None if title is None else text(title, field="title", longest=TITLE).strip(),
                description=None
                if description is None
                else text(description, field="description", longest=DESCRIPTION, blank=True),
                priority=None if priority is None else priority.value,
                assignee=None if assignee is None else msgspec.to_builtins(assignee),
                depends_on=None if depends_on is None else self._dependencies(log, task_id, depends_on),
                files=None if files is None else self._files(files),
                branch=None if branch is None else text(branch, field="branch", longest=500, blank=True),
                position=None if position is None else self._position(position),
            )
            if unassign and task.assignee is not None:
                task.assignee = None
                difference["assignee"] = None
            if not difference:
                return None
            self._touch(task)
            return log.record(TaskUpdated(task=task_view(task), changes=_on_the_wire(difference)))

    def set_status(
        self,
        *,
        guid: UUID | str,
        task_id: str,
        status: TaskStatus,
        version: int | None = None,
        position: float | None = None,
        reason: str = "",
    ) -> LoggedEvent | None:
        """Move a task to another column, at ``position`` or at its end. The same column again changes nothing."""
        with self.log(guid) as log:
            log.require("task.move")
            task = self._task(log, task_id, version)
            previous = TaskStatus(task.status)
            if status is previous:
                if position is None:
                    return None
                return self.update(guid=guid, task_id=task_id, position=position)
            task.position = self._end_of(log, status) if position is None else self._position(position)
            task.status = status.value
            self._touch(task)
            reason = text(reason, field="reason", longest=500, blank=True)
            return log.record(
                TaskStatusChanged(task_id=task.key, from_=previous, to=status, reason=reason, task=task_view(task))
            )

    def delete(self, *, guid: UUID | str, task_id: str, version: int | None = None) -> LoggedEvent:
        """Take a task off the board; others no longer depend on it."""
        with self.log(guid) as log:
            log.require("task.delete")
            task = self._task(log, task_id, version)
            number, title = task.number, task.title
            task.delete()
            for other in Task.objects.filter(project=log.project):
                if task_id in other.depends_on:
                    other.depends_on = [wanted for wanted in other.depends_on if wanted != task_id]
                    self._touch(other)
                    changes = {"dependsOn": other.depends_on}
                    log.record(TaskUpdated(task=task_view(other), changes=changes))
            return log.record(TaskDeleted(task_id=task_id, number=number, title=title))

    def reset(self, *, guid: UUID | str, task_ids: list[str] | None = None) -> LoggedEvent | None:
        """Put these tasks (None or empty: all) back to ``todo``; those that are there already stay as they are."""
        with self.log(guid) as log:
            log.require("task.reset")
            tasks = Task.objects.filter(project=log.project).exclude(status=TaskStatus.TODO.value)
            if task_ids:
                tasks = tasks.filter(key__in=task_ids)
            moved = list(tasks)
            if not moved:
                return None
            end = self._end_of(log, TaskStatus.TODO)
            for offset, task in enumerate(moved):
                task.status, task.position = TaskStatus.TODO.value, end + offset
                self._touch(task)
            return log.record(
                TasksReset(
                    scope="some" if task_ids else "all",
                    count=len(moved),
                    task_ids=[task.key for task in moved],
                    tasks=[task_view(task) for task in moved],
                )
            )

    def _task(self, log: ProjectLog, task_id: str, version: int | None) -> Task:
        task = Task.objects.filter(project=log.project, key=task_id).first()
        if task is None:
            raise NotFound("There is no such task.", field="taskId")
        if version is not None and version != task.version:
            raise Conflict("The task has changed in the meantime.", field="version", details={"version": task.version})
        return task

    def _touch(self, task: Task) -> None:
        task.version += 1
        task.updated_at = clock.now()
        task.save()

    def _next_number(self, log: ProjectLog) -> int:
        log.project.task_counter += 1
        Project.objects.filter(pk=log.project.pk).update(task_counter=log.project.task_counter)
        return log.project.task_counter

    def _end_of(self, log: ProjectLog, status: TaskStatus) -> float:
        last = Task.objects.filter(project=log.project, status=status.value).aggregate(Max("position"))
        return float(last["position__max"] or 0.0) + 1.0

    def _position(self, position: float) -> float:
        if not -1e12 < position < 1e12:
            raise InvalidField("Not a position.", field="position")
        return position

    def _files(self, files: list[str]) -> list[str]:
        if len(files) > 200:
            raise InvalidField("At most 200 files.", field="files")
        return [text(path, field="files", longest=500) for path in files]

    def _dependencies(self, log: ProjectLog, task_id: str, depends_on: Iterable[str]) -> list[str]:
        """Return the ids without repeats. Raises ``InvalidField`` for an unknown one or a circle."""
        wanted = list(dict.fromkeys(depends_on))
        if not wanted:
            return []
        graph = dict(Task.objects.filter(project=log.project).values_list("key", "depends_on"))
        unknown = [one for one in wanted if one not in graph]
        if unknown or task_id in wanted:
            raise InvalidField("A task depends on other tasks of the same board.", field="dependsOn")
        graph[task_id] = wanted
        seen: set[str] = set()
        waiting = list(wanted)
        while waiting:
            one = waiting.pop()
            if one == task_id:
                raise InvalidField("Tasks cannot depend on each other in a circle.", field="dependsOn")
            if one not in seen:
                seen.add(one)
                waiting.extend(graph.get(one, []))
        return wanted


def _on_the_wire(difference: dict[str, Any]) -> dict[str, Any]:
    return {_WIRE_NAMES.get(name, name): value for name, value in difference.items()}
