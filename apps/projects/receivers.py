"""The end of a login becomes ``access_changed``, the one signal that open rooms listen to."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver

from apps.accounts.sessions import session_hash
from apps.accounts.signals import access_ended
from apps.projects.records import AccessChange
from apps.projects.signals import access_changed


@receiver(user_logged_out, dispatch_uid="projects.logged_out")
def logged_out(request: Any, user: Any, **_: Any) -> None:
    """One browser session ended; the user's other sessions go on. Sent before Django forgets the session's key."""
    session = getattr(request, "session", None)
    session_key = getattr(session, "session_key", None)
    if user is None or not session_key:
        return
    _tell(AccessChange(user_id=str(user.pk), session_hash=session_hash(session_key), reason="logout"))


@receiver(access_ended, dispatch_uid="projects.access_ended")
def all_access_ended(user_id: str, reason: str, **_: Any) -> None:
    """Every access of the user ended: a new password, deactivation, log-out everywhere."""
    _tell(AccessChange(user_id=user_id, reason=reason))


def _tell(change: AccessChange) -> None:
    access_changed.send_robust(sender=AccessChange, change=change)
