"""Users in the administration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.audited import AuditedActions
from apps.accounts.forms import LoginForm
from apps.accounts.models import AuditEntry, TokenFamily, User
from apps.accounts.services import AccountService

admin.site.login_form = LoginForm

if TYPE_CHECKING:  # only the stubs know the parameter
    BaseUserAdmin = DjangoUserAdmin[User]
    ModelAdmin = admin.ModelAdmin[Any]
else:
    BaseUserAdmin, ModelAdmin = DjangoUserAdmin, admin.ModelAdmin


@admin.register(User)
class UserAdmin(AuditedActions, BaseUserAdmin):
    """People and agents. A new password or a cleared "active" ends every open access (see ``receivers``).

    Nobody is deleted here: what they wrote would lose its author. Switch them off instead.
    """

    list_display = ("username", "display_name", "kind", "is_staff", "is_active", "last_login")
    list_filter = ("kind", "is_active", "is_staff", "is_superuser", "groups")
    search_fields = ("username", "display_name", "email")
    readonly_fields = ("access_version", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person or agent", {"fields": ("kind", "display_name", "first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Access", {"fields": ("access_version", "last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "display_name", "kind", "usable_password", "password1", "password2"),
            },
        ),
    )
    actions = ("end_all_access",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="End all access (sessions, tokens and sockets)", permissions=["change"])
    def end_all_access(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End every session, token and socket of the chosen users; they may log in again."""
        acting = request.user
        assert isinstance(acting, User)  # noqa: S101 - says so to the type checker; the admin has checked
        service = AccountService(acting.actor)
        users = list(queryset)
        for user in users:
            service.end_all_sessions(user_id=user.pk)
        self.message_user(request, f"Ended all access of {len(users)} users.", messages.SUCCESS)


class ReadOnly(ModelAdmin):
    """Rows to be searched and read."""

    list_per_page = 50
    show_full_result_count = False  # a count over a long table costs more than the page
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly):
    """The audit trail, the newest first."""

    list_display = ("at", "deed", "outcome", "actor_name", "subject_name", "project", "address")
    list_filter = ("deed", "outcome", "actor_kind", "at")
    search_fields = ("actor_name", "actor_id", "subject", "subject_name", "project", "address", "correlation_id")
    date_hierarchy = "at"


@admin.register(TokenFamily)
class TokenFamilyAdmin(ReadOnly):
    """Logins by tokens. They are ended by the action of the user's page."""

    list_display = ("user", "created_at", "used_at", "expires_at", "ended_at", "ended_by")
    list_filter = ("ended_by",)
    search_fields = ("user__username",)
    list_select_related = ("user",)
    exclude = ("current",)
