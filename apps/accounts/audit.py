"""The audit trail: who did what, when, from where, and with what outcome. It is appended to and never changed.

An entry is written in the transaction of its deed, so that there is neither without the other. What was refused is
written by itself, after the deed was rolled back.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import logging
import math
from typing import Any, Final

from django.conf import settings
from django.db import Error

from apps.accounts.database_clock import database_now
from apps.accounts.models import AuditEntry, User
from apps.accounts.pruning import remove
from apps.accounts.throttling import WindowThrottle
from apps.core import clock
from apps.core.actor import SYSTEM, Actor
from apps.core.correlation import current_correlation_id
from apps.core.whence import whence

logger = logging.getLogger(__name__)

LONGEST: Final = 200  # characters of what somebody else may have written


class Deed(enum.StrEnum):
    """What is written down."""

    LOGIN = "login"
    LOGOUT = "logout"
    LOGIN_SLOWED = "login.slowed"
    TOKEN_REUSED = "token.reused"  # noqa: S105 - a deed
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_DELETED = "account.deleted"
    ACCESS_ENDED = "access.ended"
    MEMBER_ADDED = "member.added"
    MEMBER_ROLE = "member.role"
    MEMBER_REMOVED = "member.removed"
    APPROVAL_DECIDED = "approval.decided"
    RULE_REVOKED = "approval.rule_revoked"
    LETTER_RETRIED = "letter.retried"
    LETTER_DISCARDED = "letter.discarded"
    ADMIN_ACTION = "admin.action"
    ADMIN_CHANGE = "admin.change"
    REFUSED = "command.refused"


class Outcome(enum.StrEnum):
    """Whether it was done."""

    DONE = "done"
    REFUSED = "refused"


def record(
    deed: Deed,
    *,
    actor: Actor | None = None,
    outcome: Outcome = Outcome.DONE,
    subject: str = "",
    subject_name: str = "",
    project: str = "",
    **details: Any,
) -> None:
    """Append an entry. ``actor`` None: whoever is logged in where the deed comes from, else the system.

    ``subject`` is the id of what it was done to, ``project`` a guid, ``details`` JSON values and no secrets. Texts of
    others are cut at 200 characters.
    """
    place = whence()
    who = actor or place.actor() or SYSTEM
    AuditEntry.objects.create(
        at=clock.now(),
        deed=deed.value,
        outcome=outcome.value,
        actor_kind=who.kind.value,
        actor_id=who.id,
        actor_name=_cut(who.name),
        subject=_cut(subject),
        subject_name=_cut(subject_name),
        project=project,
        address=_cut(place.address),
        client=_cut(place.client),
        correlation_id=current_correlation_id()[:64],
        details={name: _cut(value) if isinstance(value, str) else value for name, value in details.items()},
    )


def account_deed(deed: Deed, user: User, *, outcome: Outcome = Outcome.DONE, **details: Any) -> None:
    """Append an entry about an account."""
    record(deed, outcome=outcome, subject=str(user.pk), subject_name=user.get_username(), **details)


def refused_login(username: str) -> None:
    """Append a failed login. A name that is nobody's is not written down: it may be a password in the wrong field."""
    user = User.objects.filter(username=username).first()
    if user is not None:
        account_deed(Deed.LOGIN, user, outcome=Outcome.REFUSED)
        return
    digest = hashlib.sha256(f"{settings.SECRET_KEY}:{username}".encode("utf-8", "replace")).hexdigest()[:12]
    record(Deed.LOGIN, outcome=Outcome.REFUSED, subject_name=f"unknown {digest}")


class _RefusalRate(WindowThrottle):
    """Refusals of one user that are written down: a flood of them tells no more than the first ten."""

    rate = "10/min"


def refused(actor: Actor, what: str, *, project: str = "", why: str = "") -> None:
    """Append that ``actor`` was not allowed ``what``; at most ten a minute for one of them.

    Never raises: nothing was done that an entry would have to stand for, and whoever was refused waits for the answer.
    """
    try:
        if not _RefusalRate().wait_for(f"audit:refused:{actor.id}"):
            record(Deed.REFUSED, actor=actor, outcome=Outcome.REFUSED, project=project, what=what, why=why)
    except Error as error:
        logger.warning("the refusal of %s is not written down: %s", what, str(error).strip())
    except Exception:
        logger.exception("the refusal of %s is not written down", what)


def forget_old(*, until: float = math.inf) -> int:
    """Remove the entries that are older than ``AUTOCODE_AUDIT_DAYS``; return how many went. See ``remove``.

    The database refuses to remove any that are younger than 90 days, whoever asks.
    """
    oldest = database_now() - dt.timedelta(days=settings.AUTOCODE_AUDIT_DAYS)
    return remove(AuditEntry.objects.filter(at__lt=oldest), until=until)


def _cut(text: str) -> str:
    clean = "".join(character if character.isprintable() else "\ufffd" for character in text[:LONGEST])
    return clean.encode("utf-8", "replace").decode()
