"""The task board."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from apps.core.events import Struct
from apps.projects.events import ActorRef, TaskPriority, TaskStatus
from apps.projects.services.tasks import TaskService
from apps.realtime.commands import command
from apps.realtime.context import Context

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Version = Annotated[int, msgspec.Meta(ge=1)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Description = Annotated[str, msgspec.Meta(max_length=32768)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=200)]
Files = Annotated[list[Annotated[str, msgspec.Meta(max_length=500)]], msgspec.Meta(max_length=200)]
Reason = Annotated[str, msgspec.Meta(max_length=500)]


class CreateTask(Struct):
    """Put a task on the board. A ``taskId`` of the sender's own is allowed."""

    title: Title
    description: Description = ""
    status: TaskStatus = TaskStatus.TODO
    priority: TaskPriority = TaskPriority.NORMAL
    assignee: ActorRef | None = None
    depends_on: Ids | None = None
    files: Files | None = None
    branch: Reason = ""
    task_id: Id | None = None


class UpdateTask(Struct):
    """Change fields; those that are absent stay, and ``assignee: null`` unassigns."""

    task_id: Id
    version: Version | None = None
    title: Title | None = None
    description: Description | None = None
    priority: TaskPriority | None = None
    assignee: ActorRef | UnsetType | None = UNSET
    depends_on: Ids | None = None
    files: Files | None = None
    branch: Reason | None = None
    position: float | None = None


class DeleteTask(Struct):
    """Take a task off the board."""

    task_id: Id
    version: Version | None = None


class SetTaskStatus(Struct):
    """Move a task to another column."""

    task_id: Id
    status: TaskStatus
    version: Version | None = None
    position: float | None = None
    reason: Reason = ""


class ResetTasks(Struct):
    """Put these tasks, or all, back to ``todo``."""

    task_ids: Ids | None = None


@command("create_task", CreateTask, needs="task.create")
async def create_task(context: Context, payload: CreateTask) -> Any:
    """Create; the ack names the task."""
    service, fields = TaskService(context.actor), msgspec.structs.asdict(payload)

    def create() -> dict[str, Any]:
        event = service.create(guid=context.guid, **fields)
        return {"seq": event.seq, "taskId": msgspec.json.decode(event.data)["task"]["taskId"]}

    return await context.once(payload, create)


@command("update_task", UpdateTask, needs="task.update")
async def update_task(context: Context, payload: UpdateTask) -> Any:
    """Update."""
    fields = msgspec.structs.asdict(payload)
    if fields["assignee"] is UNSET:
        fields["assignee"] = None
    elif fields["assignee"] is None:
        fields["unassign"] = True
    return await context.once(payload, lambda: TaskService(context.actor).update(guid=context.guid, **fields))


@command("delete_task", DeleteTask, needs="task.delete")
async def delete_task(context: Context, payload: DeleteTask) -> Any:
    """Delete."""
    fields = msgspec.structs.asdict(payload)
    return await context.once(payload, lambda: TaskService(context.actor).delete(guid=context.guid, **fields))


@command("set_task_status", SetTaskStatus, needs="task.move")
async def set_task_status(context: Context, payload: SetTaskStatus) -> Any:
    """Move."""
    fields = msgspec.structs.asdict(payload)
    return await context.once(payload, lambda: TaskService(context.actor).set_status(guid=context.guid, **fields))


@command("reset_tasks", ResetTasks, needs="task.reset")
async def reset_tasks(context: Context, payload: ResetTasks) -> Any:
    """Reset."""
    return await context.once(
        payload, lambda: TaskService(context.actor).reset(guid=context.guid, task_ids=payload.task_ids)
    )
