"""The user (people, agents and the system in one table, so that authorship needs one key), and logins by tokens."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.crypto import salted_hmac

from apps.core.actor import Actor, ActorKind
from apps.core.ids import uuid7


class User(AbstractUser):
    """A person who logs in, an agent that acts in rooms, or the system itself."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(
        max_length=10, choices=[(kind.value, kind.value) for kind in ActorKind], default=ActorKind.PERSON.value
    )
    display_name = models.CharField(max_length=120, blank=True)
    access_version = models.PositiveIntegerField(default=0, editable=False)
    """Rises when every open access of the user must end: deactivation, new password, log-out everywhere.

    It is a claim of every token and part of every session's hash, so both end with it.
    """

    class Meta:
        ordering: ClassVar = ["username"]

    @property
    def shown_name(self) -> str:
        """What people read: the display name, or the username."""
        return self.display_name or self.username

    @property
    def actor(self) -> Actor:
        """This user as the actor of a service call."""
        return Actor(kind=ActorKind(self.kind), id=str(self.pk), name=self.shown_name)

    def _get_session_auth_hash(self, secret: str | bytes | None = None) -> str:
        """Return what a session must hold to be this user's: Django's hash of the password, and the version in it."""
        mixed = f"{self.password}:{self.access_version}"
        return salted_hmac("apps.accounts.User.session", mixed, secret=secret, algorithm="sha256").hexdigest()


def login_name(family_id: UUID) -> str:
    """Return what open connections of a login by tokens are known by; see ``Identity.session_hash``."""
    return f"tokens.{family_id}"


class TokenFamily(models.Model):
    """One login over REST: the chain of its refresh tokens, of which the last one is good, and their access tokens.

    Every token names its family, so that a log-out ends all of them at once. The tokens themselves are kept nowhere.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    current = models.CharField(max_length=64)
    """The ``jti`` of the refresh token that is good now. Another one was used before: somebody has a copy."""
    created_at = models.DateTimeField()
    used_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    """When the present refresh token ends by itself."""
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=12, blank=True)
    """Why: logout, or reuse of a token that was used up."""

    class Meta:
        ordering: ClassVar = ["-created_at"]
        verbose_name_plural = "token families"

    def __str__(self) -> str:
        return f"{self.user_id} since {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def login(self) -> str:
        """See ``login_name``."""
        return login_name(self.pk)


class AppendOnly(models.QuerySet["AuditEntry"]):
    """Rows that are added and read. The database refuses the rest too, by triggers: this only says so earlier."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError("the audit trail is append-only")

    def delete(self) -> NoReturn:
        raise TypeError("the audit trail is append-only")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("the audit trail is append-only")


class AuditEntry(models.Model):
    """One line of the audit trail. It refers to nothing by key: it must outlive what it tells of."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(db_index=True)
    deed = models.CharField(max_length=30)
    outcome = models.CharField(max_length=8)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=36, blank=True)
    actor_name = models.CharField(max_length=200, blank=True)
    subject = models.CharField(max_length=200, blank=True)
    """The id of what it was done to."""
    subject_name = models.CharField(max_length=200, blank=True)
    project = models.CharField(max_length=36, blank=True)
    address = models.CharField(max_length=200, blank=True)
    client = models.CharField(max_length=200, blank=True)
    correlation_id = models.CharField(max_length=64, blank=True)
    details = models.JSONField(default=dict)

    objects = AppendOnly.as_manager()

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit trail"
        indexes: ClassVar = [models.Index(fields=["actor_id", "-at"]), models.Index(fields=["project", "-at"])]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name} {self.deed} {self.outcome}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert. Raises ``TypeError`` for a row that exists."""
        if not self._state.adding:
            raise TypeError("the audit trail is append-only")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("the audit trail is append-only")
