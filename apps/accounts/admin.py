"""Users in the administration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.forms import LoginForm
from apps.accounts.models import User
from apps.accounts.services import AccountService

admin.site.login_form = LoginForm

if TYPE_CHECKING:  # only the stubs know the parameter
    BaseUserAdmin = DjangoUserAdmin[User]
else:
    BaseUserAdmin = DjangoUserAdmin


@admin.register(User)
class UserAdmin(BaseUserAdmin):
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
