"""What people decide and what they tell the agents."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.agents.events import ApprovalKind, ApprovalState, DecisionSource, FeedbackMode, FeedbackState, Risk
from apps.core import clock
from apps.projects.models import Project
from apps.projects.models.base import WIRE_ID, Row, choices


class Approval(Row):
    """An agent's question to the people of the room, and the answer, which ``args_digest`` binds to the arguments."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="approvals", db_index=False)
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField()
    run_key = models.CharField(max_length=WIRE_ID, blank=True)
    call_key = models.CharField(max_length=WIRE_ID, blank=True)
    agent_key = models.CharField(max_length=WIRE_ID, blank=True)
    kind = models.CharField(max_length=10, choices=choices(ApprovalKind))
    title = models.CharField(max_length=500, blank=True)
    tool = models.CharField(max_length=500, blank=True)
    args = models.JSONField(default=dict, blank=True)
    args_digest = models.CharField(max_length=80)
    diff = models.JSONField(null=True, blank=True)
    risk = models.CharField(max_length=10, choices=choices(Risk), default=Risk.UNKNOWN.value)
    reasons = models.JSONField(default=list, blank=True)
    allowed = models.JSONField(default=list)
    options = models.JSONField(default=list, blank=True)
    required_role = models.CharField(max_length=12, default="approver")
    quorum = models.PositiveSmallIntegerField(default=1)
    requested_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=choices(ApprovalState), default=ApprovalState.PENDING.value)
    source = models.CharField(max_length=10, choices=choices(DecisionSource), blank=True)
    by = models.JSONField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    edited_args = models.JSONField(null=True, blank=True)
    rule = models.ForeignKey("ApprovalRule", null=True, blank=True, on_delete=models.SET_NULL, related_name="decided")
    decided_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_approval_key")]
        indexes: ClassVar = [
            models.Index(fields=["project", "seq"], name="approval_by_seq"),
            models.Index(
                fields=["expires_at"], name="approval_pending", condition=models.Q(state=ApprovalState.PENDING.value)
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.tool or self.key


class ApprovalVote(Row):
    """One person's consent where several are needed."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="votes", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        ordering: ClassVar = ["created_at"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["approval", "user"], name="one_vote")]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.approval_id}"


class ApprovalRule(Row):
    """A remembered consent. Empty ``run_key``: for the whole project; empty ``args_digest``: for any arguments."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="approval_rules")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    by = models.JSONField(help_text="Who made the rule, as shown.")
    kind = models.CharField(max_length=10, choices=choices(ApprovalKind))
    tool = models.CharField(max_length=500)
    run_key = models.CharField(max_length=WIRE_ID, blank=True)
    args_digest = models.CharField(max_length=80, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["created_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.tool}"


class Feedback(Row):
    """A person's feedback to the agents and what became of it; ``steps`` are the states it reached, as on the wire."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="feedback", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField()
    author = models.JSONField()
    content = models.TextField()
    target = models.JSONField(default=dict, blank=True)
    mode = models.CharField(max_length=10, choices=choices(FeedbackMode))
    rating = models.SmallIntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=choices(FeedbackState), default=FeedbackState.RECEIVED.value)
    run_key = models.CharField(max_length=WIRE_ID, blank=True)
    note = models.CharField(max_length=500, blank=True)
    effects = models.JSONField(default=list, blank=True)
    steps = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        verbose_name_plural = "feedback"
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_feedback_key")]
        indexes: ClassVar = [
            models.Index(fields=["project", "seq"], name="feedback_by_seq"),
            models.Index(fields=["expires_at"], name="feedback_due", condition=models.Q(expires_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.content[:60]
