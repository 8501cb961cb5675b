"""The link to the agents-server: what must reach it, what came from it, and who holds it."""

from __future__ import annotations

import enum
from typing import ClassVar

from django.db import models

from apps.core import clock
from apps.core.ids import new_id, uuid7
from apps.projects.models import Project
from apps.projects.models.base import WIRE_ID, choices


class OutboxState(enum.StrEnum):
    """The life of an outbox row."""

    PENDING = "pending"
    """Waits for the link (or for its next try, ``due_at``)."""
    SENT = "sent"
    """Leased: on its way, not yet acknowledged."""
    ACKED = "acked"
    DEAD = "dead"
    """The agents-server refused it for good, or never took it; see its dead letter."""
    DROPPED = "dropped"
    """Not needed any more: expired before it could be sent, or discarded by an operator."""


class OutboxMessage(models.Model):
    """A promise to the agents-server, made in the transaction of its cause.

    ``id`` is the order (rows of one project are made under its lock); ``key`` is the message's id on the wire. ``data``
    is null for a ``project_update`` that was not sent yet: it is filled when it goes out, so it is always the newest.
    ``settled_at`` is null as long as it is pending or sent, and only then: SQLite uses the index for no list of states.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.UUIDField(unique=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="outbox", db_index=False)
    type = models.CharField(max_length=40)
    data = models.JSONField(null=True, blank=True)
    ref = models.CharField(max_length=WIRE_ID, blank=True, help_text="The feedback, approval or message it carries.")
    state = models.CharField(max_length=10, choices=choices(OutboxState), default=OutboxState.PENDING.value)
    attempts = models.PositiveIntegerField(default=0, help_text="How often it was sent.")
    refusals = models.PositiveSmallIntegerField(
        default=0,
        help_text="How often it was sent in vain while the link stood: refused for the moment, or not answered.",
    )
    due_at = models.DateTimeField(default=clock.now)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    correlation_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["project", "id"], name="outbox_open", condition=models.Q(settled_at__isnull=True)),
            models.Index(fields=["settled_at"], name="outbox_ended", condition=models.Q(settled_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.key}"


class InboxReceipt(models.Model):
    """A message of the agents-server that was handled: once for each server (its id and epoch) and message id."""

    id = models.BigAutoField(primary_key=True)
    server = models.CharField(max_length=140)
    message_id = models.CharField(max_length=WIRE_ID)
    type = models.CharField(max_length=40)
    outcome = models.CharField(max_length=10, choices=[(word, word) for word in ("applied", "ignored", "refused")])
    note = models.JSONField(null=True, blank=True, help_text="Why it was ignored or refused.")
    at = models.DateTimeField(default=clock.now, db_index=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["server", "message_id"], name="one_inbox_receipt")]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"


class DeadLetter(models.Model):
    """A message that could not be handled, of either direction, with the reason and the beginning of its text."""

    id = models.BigAutoField(primary_key=True)
    direction = models.CharField(max_length=3, choices=[("in", "in"), ("out", "out")])
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE, related_name="dead_letters")
    outbox = models.ForeignKey(
        OutboxMessage, null=True, blank=True, on_delete=models.SET_NULL, related_name="dead_letters"
    )
    message_id = models.CharField(max_length=WIRE_ID, blank=True)
    type = models.CharField(max_length=40, blank=True)
    code = models.CharField(max_length=40)
    reason = models.CharField(max_length=500)
    body = models.TextField(blank=True, help_text="The message, cut at 16 KiB.")
    at = models.DateTimeField(default=clock.now, db_index=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(
        max_length=10, blank=True, choices=[("retried", "retried"), ("discarded", "discarded")]
    )

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.direction} {self.type} {self.code}"


class LinkLease(models.Model):
    """One row: which process may hold the link. ``epoch`` rises with each; writes of an older one are refused."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    bridge_id = models.CharField(
        max_length=40, default=new_id, help_text="This installation, as the agents-server knows it."
    )
    epoch = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=80, blank=True)
    expires_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.holder} {self.epoch}"


class LinkStatus(models.Model):
    """One row: how the link stands, and how far the agents-server's messages were taken."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    state = models.CharField(max_length=12, default="down")
    since = models.DateTimeField(default=clock.now)
    acks = models.BooleanField(default=True)
    lag_ms = models.IntegerField(null=True, blank=True)
    gap = models.CharField(max_length=200, blank=True)
    error = models.CharField(max_length=500, blank=True)
    server_id = models.CharField(max_length=64, blank=True)
    epoch = models.CharField(max_length=64, blank=True)
    offset = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "link status"

    def __str__(self) -> str:
        return self.state
