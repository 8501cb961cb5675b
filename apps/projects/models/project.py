"""Project, its members and its stages."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.core.ids import new_id, uuid7
from apps.projects.events import ProjectStatus, StageStatus
from apps.projects.models.base import WIRE_ID, Row, choices
from apps.projects.permissions import Role


class Project(Row):
    """A room. Its row is also the lock and the counter of its log.

    ``epoch`` changes only when the log is really lost or rewritten; ``last_seq`` is the newest event's number and
    ``first_seq`` the oldest kept one's; ``access_version`` rises with every change of its members.
    """

    guid = models.UUIDField(unique=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    brief = models.TextField(blank=True, help_text="What the agents are asked to build.")
    status = models.CharField(max_length=20, choices=choices(ProjectStatus), default=ProjectStatus.DRAFT.value)
    status_reason = models.CharField(max_length=500, blank=True)
    epoch = models.CharField(max_length=40, default=new_id, editable=False)
    last_seq = models.BigIntegerField(default=0, editable=False)
    first_seq = models.BigIntegerField(default=1, editable=False)
    access_version = models.BigIntegerField(default=0, editable=False)
    locks_version = models.BigIntegerField(default=0, editable=False)
    task_counter = models.IntegerField(default=0, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    members: models.ManyToManyField[models.Model, Membership] = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="projects"
    )

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class Membership(Row):
    """A user's place in a project and how far they have read its log."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=[(role.word, role.word) for role in Role])
    read_seq = models.BigIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["created_at"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "user"], name="one_membership")]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} in {self.project_id}"


class Stage(Row):
    """One chapter of a project's work; ``key`` is how agents name it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="stages", db_index=False)
    key = models.CharField(max_length=WIRE_ID)
    name = models.CharField(max_length=120)
    position = models.IntegerField(default=0)
    status = models.CharField(max_length=20, choices=choices(StageStatus), default=StageStatus.PENDING.value)
    progress = models.FloatField(default=0.0)
    summary = models.CharField(max_length=500, blank=True)
    failed_reason = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["position", "id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_stage_key")]

    def __str__(self) -> str:
        return self.name
