"""Projects in the administration: everything can be seen; what can be changed goes through the services.

A change past them would have no event: rooms would go on showing what is no longer true.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts.audited import AuditedActions
from apps.core.actor import Actor, ActorKind
from apps.core.errors import AutoCodeError
from apps.projects import models
from apps.projects.events import ProjectStatus
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from apps.projects.services.projects import ProjectService
from apps.projects.services.retention import prune_project

if TYPE_CHECKING:  # only the stubs know the parameters
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline


def acting(request: HttpRequest) -> Actor:
    """Return the operator as an actor who needs no membership; the admin has checked the permission."""
    user: Any = request.user
    return Actor(kind=ActorKind.PERSON, id=str(user.pk), name=user.shown_name, trusted=True)


class ReadOnly:
    """Rows that can be looked at only."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipInline(TabularInline):
    """The members; ``ProjectAdmin.save_formset`` carries the changes out."""

    model = models.Membership
    fields = ("user", "role", "read_seq")
    readonly_fields = ("read_seq",)
    autocomplete_fields = ("user",)
    extra = 0


@admin.register(models.Project)
class ProjectAdmin(AuditedActions, ModelAdmin):
    """Rooms. They are made and described in the room itself; members and status can be changed here too."""

    list_display = ("name", "status", "member_count", "last_seq", "created_at", "room")
    list_filter = ("status", "created_at")
    search_fields = ("name", "guid", "memberships__user__username")
    inlines = (MembershipInline,)
    actions = ("start", "pause", "cancel", "prune_log")

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Project]:
        rows: QuerySet[models.Project] = super().get_queryset(request)
        return rows.annotate(members_here=Count("memberships"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in models.Project._meta.fields if field.name != "id"] + ["room"]  # noqa: SLF001

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_readonly_fields(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: models.Project, form: ModelForm[Any], change: bool) -> None:  # noqa: FBT001
        """Write nothing: all fields are shown only, and a save would put back what a service changed meanwhile."""

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001
        """Carry out the changes of the members, each by itself; what cannot be done is said."""
        formset.save(commit=False)
        formset.save_m2m = lambda: None
        service, guid = MembershipService(acting(request)), form.instance.guid
        for gone in formset.deleted_objects:
            self._try(request, partial(service.remove, guid=guid, user_id=gone.user_id))
        for row, fields in formset.changed_objects:
            if "user" in fields:
                self.message_user(request, "A membership stays with its person: remove and add.", messages.ERROR)
                continue
            role = Role.from_word(row.role)
            self._try(request, partial(service.change_role, guid=guid, user_id=row.user_id, role=role))
        for new in formset.new_objects:
            role, username = Role.from_word(new.role), new.user.get_username()
            self._try(request, partial(service.add, guid=guid, username=username, role=role))

    @admin.display(description="members", ordering="members_here")
    def member_count(self, project: Any) -> int:
        """How many members the project has."""
        count: int = project.members_here
        return count

    @admin.display(description="room")
    def room(self, project: models.Project) -> SafeString:
        """A link to the project as people see it."""
        return format_html('<a href="/projects/{}/">open</a>', project.guid)

    def view_on_site(self, obj: models.Project) -> str:
        """Return the address of the room."""
        return f"/projects/{obj.guid}/"

    @admin.action(description="Start or resume", permissions=["change"])
    def start(self, request: HttpRequest, queryset: QuerySet[models.Project]) -> None:
        """Let the agents work."""
        self._set_status(request, queryset, ProjectStatus.IN_PROGRESS)

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[models.Project]) -> None:
        """Let the agents rest."""
        self._set_status(request, queryset, ProjectStatus.PAUSED)

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[models.Project]) -> None:
        """Give the work up."""
        self._set_status(request, queryset, ProjectStatus.CANCELLED)

    @admin.action(description="Remove log events beyond the retention", permissions=["change"])
    def prune_log(self, request: HttpRequest, queryset: QuerySet[models.Project]) -> None:
        """Remove what the settings say is too old; state is never touched."""
        gone = sum(prune_project(project.guid) for project in queryset)
        self.message_user(request, f"Removed {gone} events.", messages.SUCCESS)

    def _set_status(self, request: HttpRequest, queryset: QuerySet[models.Project], status: ProjectStatus) -> None:
        service = ProjectService(acting(request))
        for project in queryset:
            self._try(request, partial(service.set_status, guid=project.guid, status=status))

    def _try(self, request: HttpRequest, wish: Callable[[], object]) -> None:
        try:
            wish()
        except AutoCodeError as error:
            self.message_user(request, error.message, messages.ERROR)


@admin.register(models.Membership)
class MembershipAdmin(ReadOnly, ModelAdmin):
    """Who belongs where; changed on the project's page."""

    list_display = ("user", "project", "role", "read_seq", "created_at")
    list_filter = ("role",)
    search_fields = ("user__username", "project__name")
    list_select_related = ("user", "project")


class StateAdmin(ReadOnly, ModelAdmin):
    """What is part of a room's state."""

    list_select_related = ("project",)
    show_full_result_count = False


@admin.register(models.Stage)
class StageAdmin(StateAdmin):
    """Stages."""

    list_display = ("name", "project", "key", "status", "progress", "position", "version")
    list_filter = ("status",)
    search_fields = ("name", "key", "project__name")


@admin.register(models.Message)
class MessageAdmin(StateAdmin):
    """Messages of every source."""

    list_display = ("project", "seq", "source", "kind", "said_by", "beginning", "created_at")
    list_filter = ("source", "kind", "has_question", "waiting_user_response")
    search_fields = ("content", "key", "project__name")
    ordering = ("-id",)

    @admin.display(description="author")
    def said_by(self, message: models.Message) -> str:
        """The author as shown in the room."""
        return str(message.author.get("name", ""))

    @admin.display(description="text")
    def beginning(self, message: models.Message) -> str:
        """The first words."""
        return message.content[:80]


@admin.register(models.Task)
class TaskAdmin(StateAdmin):
    """The boards."""

    list_display = ("number", "title", "project", "status", "priority", "version", "updated_at")
    list_filter = ("status", "priority")
    search_fields = ("title", "key", "project__name")


@admin.register(models.Plan)
class PlanAdmin(StateAdmin):
    """Plans."""

    list_display = ("title", "project", "key", "state", "version", "at")
    list_filter = ("state",)
    search_fields = ("title", "key", "project__name")


@admin.register(models.FileLock)
class FileLockAdmin(StateAdmin):
    """File locks."""

    list_display = ("path", "project", "mode", "acquired_at", "expires_at")
    list_filter = ("mode",)
    search_fields = ("path", "project__name")


@admin.register(models.Notification)
class NotificationAdmin(ReadOnly, ModelAdmin):
    """Notifications."""

    list_display = ("title", "project", "user", "kind", "severity", "created_at")
    list_filter = ("kind", "severity")
    search_fields = ("title", "user__username", "project__name")
    list_select_related = ("project", "user")
    ordering = ("-id",)


@admin.register(models.ProjectEvent)
class ProjectEventAdmin(StateAdmin):
    """THE LOG: written once, never changed."""

    list_display = ("project", "seq", "type", "actor_kind", "actor_name", "correlation_id", "at")
    list_filter = ("type", "actor_kind")
    search_fields = ("=type", "=actor_name", "=correlation_id", "project__name")
    ordering = ("-id",)


@admin.register(models.CommandReceipt)
class CommandReceiptAdmin(ReadOnly, ModelAdmin):
    """Commands that were carried out, so that a repeat is recognised."""

    list_display = ("command_id", "user", "at")
    list_filter = ("at",)
    search_fields = ("=command_id", "user__username")
    list_select_related = ("user",)
    ordering = ("-id",)
