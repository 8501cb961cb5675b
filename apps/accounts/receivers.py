"""A new password, a user who is switched off and one who loses a right of the site end every open access.

As signals of the model and not only in ``AccountService``: Django's own password form, its ``changepassword`` command
and the admin save users too.
"""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from apps.accounts.models import User
from apps.accounts.signals import announce_end

_ENDS_BY = "_access_ends_by"
_WATCHED = frozenset({"password", "is_active", "is_staff", "is_superuser", "kind"})


@receiver(pre_save, sender=User, dispatch_uid="accounts.note_what_ends_access")
def note_what_ends_access(instance: User, update_fields: frozenset[str] | None, **_: Any) -> None:
    """Compare with the row before it is written; one query, and none for saves that touch neither field."""
    setattr(instance, _ENDS_BY, "")
    if instance._state.adding or (update_fields is not None and not _WATCHED & update_fields):  # noqa: SLF001
        return
    before = User.objects.filter(pk=instance.pk).values(*_WATCHED).first()
    if before is None:
        return
    password = before["password"]
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
def end_access(instance: User, **_: Any) -> None:
    """Raise the version in the same transaction, so that no token of before is good after it."""
    reason = getattr(instance, _ENDS_BY, "")
    if not reason:
        return
    User.objects.filter(pk=instance.pk).update(access_version=F("access_version") + 1)
    instance.refresh_from_db(fields=["access_version"])
    announce_end(str(instance.pk), reason)


@receiver(post_delete, sender=User, dispatch_uid="accounts.end_access_of_the_deleted")
def end_access_of_the_deleted(instance: User, **_: Any) -> None:
    """A user who is gone has no access either."""
    announce_end(str(instance.pk), "deleted")
