"""Tasks, plans and file locks."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from apps.core import clock
from apps.projects.events import LockMode, PlanState, TaskPriority, TaskStatus
from apps.projects.models.base import WIRE_ID, Row, choices
from apps.projects.models.project import Project


class Task(Row):
    """A work item on the board; ``version`` rises with each change and guards against lost updates."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks", db_index=False)
    key = models.CharField(max_length=WIRE_ID)
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=choices(TaskStatus), default=TaskStatus.TODO.value)
    priority = models.CharField(max_length=10, choices=choices(TaskPriority), default=TaskPriority.NORMAL.value)
    assignee = models.JSONField(null=True, blank=True)
    depends_on = models.JSONField(default=list, blank=True)
    files = models.JSONField(default=list, blank=True)
    branch = models.CharField(max_length=500, blank=True)
    position = models.FloatField(default=0.0)
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering: ClassVar = ["position", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["project", "key"], name="one_task_key"),
            models.UniqueConstraint(fields=["project", "number"], name="one_task_number"),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.title}"


class Plan(Row):
    """A plan of the agents; the newest one counts."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="plans", db_index=False)
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField(help_text="Position of the event that last changed it.")
    version = models.PositiveIntegerField(default=1)
    title = models.CharField(max_length=200)
    format = models.CharField(max_length=20, default="items")
    items = models.JSONField(default=list)
    state = models.CharField(max_length=12, choices=choices(PlanState), default=PlanState.DRAFT.value)
    supersedes_key = models.CharField(max_length=WIRE_ID, blank=True)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_plan_key")]

    def __str__(self) -> str:
        return self.title


class FileLock(Row):
    """A lock on one path of the project's workspace."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="locks")
    path = models.CharField(max_length=500)
    mode = models.CharField(max_length=10, choices=choices(LockMode), default=LockMode.EXCLUSIVE.value)
    holder = models.JSONField()
    task_key = models.CharField(max_length=WIRE_ID, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    acquired_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    waiters = models.JSONField(default=list, blank=True)

    class Meta:
        ordering: ClassVar = ["path", "acquired_at", "id"]

    def __str__(self) -> str:
        return self.path
