"""What the REST API takes and gives of a project, beyond the views of the wire. Limits are those of the services."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from apps.core.events import Struct
from apps.projects.events import ProjectStatus, ProjectView, TaskPriority, TaskStatus, TaskView
from apps.projects.services.projects import BRIEF, DESCRIPTION, NAME
from apps.projects.services.tasks import DESCRIPTION as TASK_DESCRIPTION
from apps.projects.services.tasks import TITLE

Reason = Annotated[str, Meta(max_length=500)]
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Version = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Path = Annotated[str, Meta(min_length=1, max_length=500)]
Position = Annotated[float, Meta(gt=-1e12, lt=1e12)]
RoleWord = Annotated[str, Meta(pattern=r"^(viewer|contributor|approver|maintainer|owner)$")]


class ProjectCardView(Struct):
    """One line of my project list. ``unread`` counts events since I last read."""

    project: ProjectView
    role: str
    unread: int
    read_seq: int
    last_seq: int


class ProjectDetail(Struct):
    """A project and my place in it; ``epoch`` and ``lastSeq`` are where its log stands."""

    project: ProjectView
    role: str
    permissions: list[str]
    epoch: str
    last_seq: int
    read_seq: int


class NewProject(Struct):
    """A project to be made; with ``start`` the agents begin at once."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME)]
    description: Annotated[str, Meta(max_length=DESCRIPTION)] = ""
    brief: Annotated[str, Meta(max_length=BRIEF)] = ""
    start: bool = False


class ProjectChange(Struct):
    """Fields to be changed; those that are left out stay."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME)] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=DESCRIPTION)] | UnsetType = UNSET
    brief: Annotated[str, Meta(max_length=BRIEF)] | UnsetType = UNSET


class StatusChange(Struct):
    """Where the project should stand."""

    status: ProjectStatus
    reason: Reason = ""


class Assignee(Struct):
    """Who should do a task: a member by user id, or an agent by ``agentId``."""

    kind: Annotated[str, Meta(pattern=r"^(person|agent)$")]
    id: Key
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    role: Annotated[str, Meta(max_length=120)] = ""


class NewTask(Struct):
    """A task to be put on the board. ``taskId`` may be chosen by the caller."""

    title: Annotated[str, Meta(min_length=1, max_length=TITLE)]
    description: Annotated[str, Meta(max_length=TASK_DESCRIPTION)] = ""
    status: TaskStatus = TaskStatus.TODO
    priority: TaskPriority = TaskPriority.NORMAL
    assignee: Assignee | None = None
    depends_on: Annotated[list[Key], Meta(max_length=200)] = []
    files: Annotated[list[Path], Meta(max_length=200)] = []
    branch: Annotated[str, Meta(max_length=500)] = ""
    task_id: Key | None = None


class TaskChange(Struct):
    """Fields to be changed; those that are left out stay. ``assignee`` null takes the task from whoever had it."""

    version: Version | UnsetType = UNSET
    title: Annotated[str, Meta(min_length=1, max_length=TITLE)] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=TASK_DESCRIPTION)] | UnsetType = UNSET
    priority: TaskPriority | UnsetType = UNSET
    assignee: Assignee | UnsetType | None = UNSET
    depends_on: Annotated[list[Key], Meta(max_length=200)] | UnsetType = UNSET
    files: Annotated[list[Path], Meta(max_length=200)] | UnsetType = UNSET
    branch: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class TaskMove(Struct):
    """The column of a task, and its place there (left out: the end)."""

    status: TaskStatus
    version: Version | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    reason: Reason = ""


class TasksToReset(Struct):
    """Which tasks go back to ``todo``; left out or empty: all."""

    task_ids: Annotated[list[Key], Meta(max_length=2000)] = []


class TasksWereReset(Struct):
    """The tasks that moved, as they are now."""

    count: int
    tasks: list[TaskView]


class MemberView(Struct):
    """A member of the project."""

    user_id: str
    username: str
    name: str
    role: str
    since: str


class NewMember(Struct):
    """A person to be added, by username."""

    username: Annotated[str, Meta(min_length=1, max_length=150)]
    role: RoleWord


class RoleChange(Struct):
    """Another role."""

    role: RoleWord


class LockRelease(Struct):
    """The path whose lock is taken away from its holder."""

    path: Path


class ReadTo(Struct):
    """How far I have read."""

    seq: Annotated[int, Meta(ge=0, le=2**53 - 1)]


class ReadCursor(Struct):
    """Where my read cursor is now."""

    read_seq: int
