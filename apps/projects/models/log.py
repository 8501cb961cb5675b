"""THE LOG, and the receipts that make commands idempotent."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.core import clock
from apps.core.ids import uuid7
from apps.projects.models.project import Project


class ProjectEvent(models.Model):
    """One durable event. ``data`` is the payload's JSON text as it goes on the wire, so that a replay is byte for byte.

    Rows are written once, by ``ProjectLog`` alone, and removed only by retention from the old end.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    type = models.CharField(max_length=40)
    data = models.TextField()
    at = models.DateTimeField(default=clock.now)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_name = models.CharField(max_length=120, blank=True)
    correlation_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering: ClassVar = ["project", "seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["project", "seq"], name="one_event_seq")]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class CommandReceipt(models.Model):
    """A command that was carried out: its id, what it was (``fingerprint``) and the reply that it got."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    command_id = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    reply = models.JSONField()
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "command_id"], name="one_receipt")]

    def __str__(self) -> str:
        return self.command_id
