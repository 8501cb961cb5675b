"""Agents, their runs and what they call."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.agents.events import AgentStatus, Risk, RunStatus, ToolKind, ToolStatus
from apps.core import clock
from apps.projects.models import Project
from apps.projects.models.base import WIRE_ID, Row, choices


class Agent(Row):
    """An agent of one project; ``key`` is its ``agentId``, ``user`` the identity under which it acts.

    Status, activity, progress and context are those of the last durable event: what moves in between is never stored.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="agents", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="agents")
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField(help_text="Position of its first event.")
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=500, blank=True)
    kind = models.CharField(max_length=500, blank=True)
    model = models.CharField(max_length=500, blank=True)
    parent_key = models.CharField(max_length=WIRE_ID, blank=True)
    branch = models.CharField(max_length=500, blank=True)
    workspace = models.CharField(max_length=500, blank=True)
    capabilities = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=10, choices=choices(AgentStatus), default=AgentStatus.SPAWNING.value)
    task_key = models.CharField(max_length=WIRE_ID, blank=True)
    activity = models.CharField(max_length=500, blank=True)
    progress = models.FloatField(null=True, blank=True)
    context = models.JSONField(null=True, blank=True)
    seen_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_agent_key")]

    def __str__(self) -> str:
        return self.name


class Run(Row):
    """One piece of work of one agent; it ends exactly once."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="runs")
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=choices(RunStatus), default=RunStatus.RUNNING.value)
    trigger = models.JSONField()
    task_key = models.CharField(max_length=WIRE_ID, blank=True)
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    stop_reason = models.CharField(max_length=500, blank=True)
    error = models.JSONField(null=True, blank=True)
    tool_totals = models.JSONField(null=True, blank=True)
    usage = models.JSONField(null=True, blank=True, help_text="What it reported last; part of the room at its end.")
    duration_ms = models.BigIntegerField(null=True, blank=True)
    cancel_mode = models.CharField(max_length=4, blank=True, help_text="How it was asked to stop: soft or hard.")

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_run_key")]
        indexes: ClassVar = [
            models.Index(fields=["project", "seq"], name="run_by_seq"),
            models.Index(fields=["project"], name="run_open", condition=models.Q(status=RunStatus.RUNNING.value)),
        ]

    def __str__(self) -> str:
        return self.key


class ToolCall(Row):
    """One tool call; ``key`` is unique within its run only.

    ``args``, ``result`` and ``patch`` are whole (``result`` up to 64 KiB); ``shown_args``, ``shown_result`` and
    ``diff`` are cut, as the room's events carry them.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tool_calls", db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tool_calls", db_index=False)
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField()
    tool = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=choices(ToolKind), default=ToolKind.OTHER.value)
    title = models.CharField(max_length=500, blank=True)
    args = models.JSONField(default=dict, blank=True)
    shown_args = models.JSONField(default=dict, blank=True)
    args_digest = models.CharField(max_length=80)
    locations = models.JSONField(default=list, blank=True)
    risk = models.CharField(max_length=10, choices=choices(Risk), default=Risk.UNKNOWN.value)
    approval_key = models.CharField(max_length=WIRE_ID, blank=True)
    status = models.CharField(max_length=10, choices=choices(ToolStatus), default=ToolStatus.RUNNING.value)
    result = models.TextField(blank=True)
    shown_result = models.TextField(blank=True)
    result_size = models.BigIntegerField(default=0)
    truncated = models.BooleanField(default=False)
    error = models.JSONField(null=True, blank=True)
    diff = models.JSONField(null=True, blank=True)
    patch = models.TextField(blank=True)
    duration_ms = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "key"], name="one_call_key")]
        indexes: ClassVar = [
            models.Index(fields=["project", "seq"], name="call_by_seq"),
            models.Index(fields=["project"], name="call_open", condition=models.Q(status=ToolStatus.RUNNING.value)),
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.key}"


class AgentMail(Row):
    """A message among agents."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="agent_mail", db_index=False)
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField()
    from_key = models.CharField(max_length=WIRE_ID)
    to_key = models.CharField(max_length=WIRE_ID, blank=True)
    kind = models.CharField(max_length=10)
    subject = models.CharField(max_length=500, blank=True)
    content = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["project", "seq", "id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_mail_key")]

    def __str__(self) -> str:
        return f"{self.from_key} to {self.to_key or 'all'}"


class ProjectUsage(models.Model):
    """The sum over a project's ended runs. Money is a decimal as text: SQLite would round a number."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="usage")
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    total_tokens = models.BigIntegerField(default=0)
    total_cost = models.CharField(max_length=40, default="0")
    currency = models.CharField(max_length=3, default="USD")
    runs = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "project usage"

    def __str__(self) -> str:
        return f"{self.total_cost} {self.currency}"
