"""A new password, a user who is switched off and one who loses a right of the site end every open access.

As signals of the model and not only in ``AccountService``: Django's own password form, its ``changepassword`` command
and the admin save users too. For the same reason the audit trail hears of accounts, logins and the administration here.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import F
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from apps.accounts import audit
from apps.accounts.audit import Deed
from apps.accounts.models import User
from apps.accounts.signals import announce_end

_ENDS_BY = "_access_ends_by"
_CHANGES = "_changes_for_the_trail"
_WATCHED = frozenset({"password", "is_active", "is_staff", "is_superuser", "kind"})


@receiver(pre_save, sender=User, dispatch_uid="accounts.note_what_ends_access")
def note_what_ends_access(instance: User, update_fields: frozenset[str] | None, **_: Any) -> None:
    """Compare with the row before it is written; one query, and none for saves that touch neither field."""
    setattr(instance, _ENDS_BY, "")
    setattr(instance, _CHANGES, {})
    if instance._state.adding or (update_fields is not None and not _WATCHED & update_fields):  # noqa: SLF001
        return
    before = User.objects.filter(pk=instance.pk).values(*_WATCHED).first()
    if before is None:
        return
    password = before["password"]
    changes = {name: getattr(instance, name) for name in _WATCHED if before[name] != getattr(instance, name)}
    if changes.pop("password", None) and not _only_rehashed(instance):
        changes |= {"password": "changed"}  # that it is another one, never which
    setattr(instance, _CHANGES, changes)
    if before["is_active"] and not instance.is_active:
        setattr(instance, _ENDS_BY, "deactivated")
    elif before["kind"] != instance.kind or any(
        before[right] and not getattr(instance, right) for right in ("is_staff", "is_superuser")
    ):
        # Open connections hold what they were proved with; a lesser user proves it anew.
        setattr(instance, _ENDS_BY, "demoted")
    elif password != instance.password and not _only_rehashed(instance):
        setattr(instance, _ENDS_BY, "password")


def _only_rehashed(user: User) -> bool:
    """Tell whether the same password was hashed anew at a login, as Django does when its hashes become stronger.

    ``set_password`` keeps the plain one in ``_password`` until after the save; the upgrade at login clears it before.
    """
    return user._password is None and user.has_usable_password()  # type: ignore[attr-defined]  # noqa: SLF001


@receiver(post_save, sender=User, dispatch_uid="accounts.end_access")
def end_access(instance: User, created: bool, **_: Any) -> None:  # noqa: FBT001 - Django's argument
    """Raise the version in the same transaction, so that no token of before is good after it."""
    if created:
        audit.account_deed(Deed.ACCOUNT_CREATED, instance, kind=instance.kind, staff=instance.is_staff)
    elif changes := getattr(instance, _CHANGES, None):
        audit.account_deed(Deed.ACCOUNT_CHANGED, instance, **changes)
    reason = getattr(instance, _ENDS_BY, "")
    if not reason:
        return
    User.objects.filter(pk=instance.pk).update(access_version=F("access_version") + 1)
    instance.refresh_from_db(fields=["access_version"])
    announce_end(str(instance.pk), reason)


@receiver(post_delete, sender=User, dispatch_uid="accounts.end_access_of_the_deleted")
def end_access_of_the_deleted(instance: User, **_: Any) -> None:
    """A user who is gone has no access either."""
    audit.account_deed(Deed.ACCOUNT_DELETED, instance)
    announce_end(str(instance.pk), "deleted")


@receiver(user_logged_in, dispatch_uid="accounts.audit_login")
def logged_in(user: User, **_: Any) -> None:
    """Somebody logged in at the page."""
    audit.account_deed(Deed.LOGIN, user, actor=user.actor, by="session")


@receiver(user_logged_out, dispatch_uid="accounts.audit_logout")
def logged_out(user: User | None, **_: Any) -> None:
    """Somebody logged out at the page."""
    if user is not None:
        audit.account_deed(Deed.LOGOUT, user, actor=user.actor, by="session")


@receiver(user_login_failed, dispatch_uid="accounts.audit_login_failed")
def login_failed(credentials: dict[str, Any], **_: Any) -> None:
    """A password did not match, at the page or over REST."""
    audit.refused_login(str(credentials.get("username", "")))


@receiver(post_save, sender=LogEntry, dispatch_uid="accounts.audit_admin")
def changed_in_admin(instance: LogEntry, **_: Any) -> None:
    """A form of the administration was saved."""
    audit.record(
        Deed.ADMIN_CHANGE,
        actor=instance.user.actor,
        subject=str(instance.object_id or ""),
        subject_name=instance.object_repr,
        model=str(instance.content_type or ""),
        change=instance.get_change_message(),
        flag=instance.action_flag,
    )
