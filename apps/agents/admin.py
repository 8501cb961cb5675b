"""The administration of agents and their link. What services write is read here, not edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from apps.accounts.audited import AuditedActions
from apps.agents import models
from apps.agents.services.dead_letters import discard, retry
from apps.core.errors import AutoCodeError

if TYPE_CHECKING:  # generic for the type checker alone
    _Admin = admin.ModelAdmin[Any]
    _Inline = admin.TabularInline[Any, Any]
else:
    _Admin, _Inline = admin.ModelAdmin, admin.TabularInline


class ReadOnly(_Admin):
    """Rows that services alone write: to be searched and read."""

    list_per_page = 50
    show_full_result_count = False  # a count over a long table costs more than the page

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(models.Agent)
class AgentAdmin(ReadOnly):
    """Agents by project."""

    list_display = ("name", "key", "project", "status", "kind", "model", "seen_at")
    list_filter = ("status", "kind")
    search_fields = ("name", "key", "project__name")
    list_select_related = ("project",)


@admin.register(models.Run)
class RunAdmin(ReadOnly):
    """Runs, the newest first."""

    list_display = ("key", "agent", "project", "status", "stop_reason", "started_at", "duration_ms")
    list_filter = ("status",)
    search_fields = ("key", "agent__name", "project__name")
    list_select_related = ("agent", "project")
    ordering = ("-started_at",)


@admin.register(models.ToolCall)
class ToolCallAdmin(ReadOnly):
    """Tool calls, the newest first."""

    list_display = ("tool", "title", "run", "project", "status", "risk", "duration_ms", "started_at")
    list_filter = ("status", "kind", "risk")
    search_fields = ("tool", "title", "key", "run__key")
    list_select_related = ("run", "project")
    ordering = ("-started_at",)


class VoteInline(_Inline):
    """Who agreed."""

    model = models.ApprovalVote
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(models.Approval)
class ApprovalAdmin(ReadOnly):
    """Questions and decisions: who, what, when, why."""

    list_display = ("__str__", "project", "risk", "state", "source", "reason", "requested_at", "decided_at")
    list_filter = ("state", "source", "risk", "kind")
    search_fields = ("title", "tool", "key", "project__name")
    list_select_related = ("project",)
    ordering = ("-requested_at",)
    inlines = (VoteInline,)


@admin.register(models.ApprovalRule)
class ApprovalRuleAdmin(ReadOnly):
    """Standing approvals. They are revoked in the room, where everybody sees it."""

    list_display = ("tool", "kind", "project", "user", "run_key", "expires_at", "revoked_at")
    list_filter = ("kind",)
    search_fields = ("tool", "project__name", "user__username")
    list_select_related = ("project", "user")


@admin.register(models.Feedback)
class FeedbackAdmin(ReadOnly):
    """Feedback and what became of it."""

    list_display = ("__str__", "project", "user", "mode", "state", "created_at")
    list_filter = ("state", "mode")
    search_fields = ("content", "key", "project__name", "user__username")
    list_select_related = ("project", "user")
    ordering = ("-created_at",)


@admin.register(models.AgentMail)
class AgentMailAdmin(ReadOnly):
    """Messages among agents."""

    list_display = ("subject", "from_key", "to_key", "kind", "project", "created_at")
    list_filter = ("kind",)
    search_fields = ("subject", "from_key", "to_key", "project__name")
    list_select_related = ("project",)
    ordering = ("-created_at",)


@admin.register(models.ProjectUsage)
class ProjectUsageAdmin(ReadOnly):
    """What projects used."""

    list_display = ("project", "runs", "total_tokens", "total_cost", "currency")
    search_fields = ("project__name",)
    list_select_related = ("project",)


@admin.register(models.OutboxMessage)
class OutboxAdmin(ReadOnly):
    """What the agents-server must learn."""

    list_display = (
        "id",
        "type",
        "project",
        "ref",
        "state",
        "attempts",
        "refusals",
        "created_at",
        "settled_at",
        "last_error",
    )
    list_filter = ("state", "type")
    search_fields = ("key", "ref", "project__name")
    list_select_related = ("project",)
    ordering = ("-id",)


@admin.register(models.InboxReceipt)
class InboxReceiptAdmin(ReadOnly):
    """What was handled."""

    list_display = ("message_id", "type", "outcome", "server", "at")
    list_filter = ("outcome", "type")
    search_fields = ("message_id",)


@admin.register(models.DeadLetter)
class DeadLetterAdmin(AuditedActions, ReadOnly):
    """What could not be handled, with the operator's two answers."""

    list_display = ("id", "direction", "type", "project", "code", "reason", "at", "resolution")
    list_filter = ("direction", "resolution", "code", "type")
    search_fields = ("message_id", "reason", "project__name")
    list_select_related = ("project",)
    actions = ("try_again", "put_aside")

    @admin.action(description="Try again", permissions=["resolve"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[models.DeadLetter]) -> None:
        """Send the chosen promises again, in their order."""
        self._each(request, queryset.order_by("outbox_id"), retry, "will be sent again")

    @admin.action(description="Discard", permissions=["resolve"])
    def put_aside(self, request: HttpRequest, queryset: QuerySet[models.DeadLetter]) -> None:
        """Mark the chosen letters as no longer needed."""
        self._each(request, queryset, discard, "put aside")

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may answer letters: the model's right to change."""
        return bool(request.user.has_perm("agents.change_deadletter"))

    def _each(self, request: HttpRequest, letters: Any, answer: Any, said: str) -> None:
        done = 0
        for letter in letters:
            try:
                answer(letter)
                done += 1
            except AutoCodeError as error:
                self.message_user(request, f"{letter.pk}: {error.message}", messages.WARNING)
        if done:
            self.message_user(request, f"{done} {said}.")


@admin.register(models.LinkLease)
class LinkLeaseAdmin(ReadOnly):
    """Who holds the link."""

    list_display = ("holder", "epoch", "expires_at")


@admin.register(models.LinkStatus)
class LinkStatusAdmin(ReadOnly):
    """How the link stands."""

    list_display = ("state", "since", "server_id", "epoch", "offset", "lag_ms", "gap", "error")
