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
    """One browser session ended; the user's other sessions go on. Sent before Django forgets the session's key.

    The session's row goes first, or a connection that is opened in between would find it.
    """
    session = getattr(request, "session", None)
    session_key = getattr(session, "session_key", None)
    if user is None or session is None or not session_key:
        return
    session.delete()
    _tell(AccessChange(user_id=str(user.pk), session_hash=session_hash(session_key), reason="logout"))


@receiver(access_ended, dispatch_uid="projects.access_ended")
def login_ended(user_id: str, reason: str, session: str | None, **_: Any) -> None:
    """A login by tokens ended, or every access of the user: a new password, deactivation, log-out everywhere."""
    _tell(AccessChange(user_id=user_id, session_hash=session, reason=reason))


def _tell(change: AccessChange) -> None:
    access_changed.send_robust(sender=AccessChange, change=change)
