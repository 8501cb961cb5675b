"""Messages and notifications."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.projects.events import MessageKind, MessageSource, NotificationKind, Severity, TextFormat
from apps.projects.models.base import WIRE_ID, Row, choices
from apps.projects.models.project import Project


class Message(Row):
    """A finished message of any source. ``key`` is its id on the wire; ``html`` was made safe when it was written."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="messages", db_index=False)
    key = models.CharField(max_length=WIRE_ID)
    seq = models.BigIntegerField()
    source = models.CharField(max_length=20, choices=choices(MessageSource))
    kind = models.CharField(max_length=10, choices=choices(MessageKind))
    author = models.JSONField(help_text="The author as shown: kind, id, name, role.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    content = models.TextField()
    html = models.TextField(blank=True)
    format = models.CharField(max_length=10, choices=choices(TextFormat), default=TextFormat.MARKDOWN.value)
    reply_to_key = models.CharField(max_length=WIRE_ID, blank=True)
    run_key = models.CharField(max_length=WIRE_ID, blank=True)
    agent_key = models.CharField(max_length=WIRE_ID, blank=True)
    has_question = models.BooleanField(default=False)
    waiting_user_response = models.BooleanField(default=False)
    redacted = models.BooleanField(default=False)
    duration_ms = models.BigIntegerField(null=True, blank=True)
    extra = models.JSONField(default=dict, blank=True, help_text="Attachments, platform, channel, external id.")

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "key"], name="one_message_key")]
        indexes: ClassVar = [models.Index(fields=["project", "seq"], name="message_by_seq")]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


class Notification(Row):
    """A notice for one person, or for the room when ``user`` is empty."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="notifications", db_index=False)
    seq = models.BigIntegerField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications"
    )
    severity = models.CharField(max_length=10, choices=choices(Severity))
    kind = models.CharField(max_length=10, choices=choices(NotificationKind))
    title = models.CharField(max_length=200)
    body = models.CharField(max_length=500, blank=True)
    link = models.CharField(max_length=500, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        indexes: ClassVar = [models.Index(fields=["project", "seq"], name="notification_by_seq")]

    def __str__(self) -> str:
        return self.title
