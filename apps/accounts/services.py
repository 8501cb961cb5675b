"""Changing users: the only place that does, apart from Django's own forms (whose saves ``receivers`` watch)."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import update_last_login
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import RefreshToken

from apps.accounts import audit
from apps.accounts.audit import Deed, Outcome
from apps.accounts.database_clock import database_now
from apps.accounts.models import TokenFamily, User
from apps.accounts.pruning import remove
from apps.accounts.signals import announce_end
from apps.accounts.tokens import FAMILY_CLAIM, VERSION_CLAIM, refresh_for, user_from_token
from apps.core import clock
from apps.core.actor import Actor, ActorKind
from apps.core.errors import NotAuthenticated, NotFound
from apps.core.ids import uuid7


@dataclass(frozen=True, slots=True)
class Person:
    """A person to be made; ``admin`` may use the whole administration."""

    username: str
    display_name: str = ""
    admin: bool = False


class AccountService:
    """Makes people and ends their access. The caller has checked that ``actor`` may."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def ensure_people(self, people: Iterable[Person], *, password: str) -> dict[str, Actor]:
        """Make those of ``people`` who are missing, all with ``password``, and return all of them by username.

        Who exists keeps everything but the password, and that too when the first one's is ``password`` already: a check
        costs a quarter of a second. One query when there is nothing to do.
        """
        wanted = {person.username: person for person in people}
        found = {user.username: user for user in User.objects.filter(username__in=wanted)}
        first = found.get(next(iter(wanted)))
        stale = list(found.values()) if first is None or not first.check_password(password) else []
        missing = [person for name, person in wanted.items() if name not in found]
        if not stale and not missing:
            return {name: user.actor for name, user in found.items()}
        hashed = make_password(password)  # once for all: they share the password, so they may share its hash
        with transaction.atomic():
            for user in stale:
                self._set_hash(user, hashed)
            for person in missing:
                found[person.username] = User.objects.create(
                    username=person.username,
                    display_name=person.display_name,
                    is_staff=person.admin,
                    is_superuser=person.admin,
                    kind=ActorKind.PERSON.value,
                    password=hashed,
                )
        return {name: user.actor for name, user in found.items()}

    def set_password(self, *, user_id: UUID | str, password: str) -> None:
        """Give the user another password; every session, token and socket of before ends. Raises ``NotFound``."""
        with transaction.atomic():
            user = self._locked(user_id)
            user.set_password(password)
            user.save(update_fields=["password"])

    def deactivate(self, *, user_id: UUID | str) -> None:
        """Switch the user off; every session, token and socket ends. Raises ``NotFound``."""
        with transaction.atomic():
            user = self._locked(user_id)
            if user.is_active:
                user.is_active = False
                user.save(update_fields=["is_active"])

    def activate(self, *, user_id: UUID | str) -> None:
        """Switch the user on again; they log in anew. Raises ``NotFound``."""
        with transaction.atomic():
            user = self._locked(user_id)
            if not user.is_active:
                user.is_active = True
                user.save(update_fields=["is_active"])

    def end_all_sessions(self, *, user_id: UUID | str, reason: str = "ended") -> None:
        """End every session, token and socket of the user, who may log in again. Raises ``NotFound``."""
        with transaction.atomic():
            user = self._locked(user_id)
            User.objects.filter(pk=user.pk).update(access_version=F("access_version") + 1)
            audit.account_deed(Deed.ACCESS_ENDED, user, actor=self.actor, why=reason)
            announce_end(str(user.pk), reason)

    def _locked(self, user_id: UUID | str) -> User:
        try:
            return User.objects.select_for_update().get(pk=user_id)
        except User.DoesNotExist:
            raise NotFound from None

    def _set_hash(self, user: User, hashed: str) -> None:
        user.password = hashed
        user.save(update_fields=["password"])
        User.objects.filter(pk=user.pk).update(access_version=F("access_version") + 1)
        announce_end(str(user.pk), "password")


class TokenService:
    """Gives out tokens and takes them back. A refresh token is good for one use, also when two come at once."""

    def log_in(self, user: User) -> tuple[str, str]:
        """Return an access and a refresh token for ``user``, whose password was just checked."""
        with transaction.atomic():
            update_last_login(User, user)
            audit.account_deed(Deed.LOGIN, user, actor=user.actor, by="token")
            return self.begin(user)

    def begin(self, user: User) -> tuple[str, str]:
        """Begin a login and return its first access and refresh token."""
        now, family_id = clock.now(), uuid7()
        refresh = refresh_for(user, str(family_id))
        TokenFamily.objects.create(
            id=family_id, user=user, current=refresh["jti"], created_at=now, used_at=now, expires_at=_end(refresh)
        )
        return str(refresh.access_token), str(refresh)

    def rotate(self, token: str) -> tuple[str, str]:
        """Use up the refresh ``token`` and return a new pair.

        One that was used before is in two hands, and nobody can tell which are the right ones: the whole login ends.
        Raises ``NotAuthenticated``.
        """
        refresh, family = self._checked(token)
        fresh = refresh_for(family.user, str(family.pk))
        # The condition decides between two that come at once; no lock is held while a token is signed.
        rotated = TokenFamily.objects.filter(pk=family.pk, current=refresh["jti"], ended_at=None).update(
            current=fresh["jti"], used_at=clock.now(), expires_at=_end(fresh)
        )
        if not rotated:
            self._end(family, "reuse")
            raise NotAuthenticated("The token was used before; log in again.")
        return str(fresh.access_token), str(fresh)

    def revoke(self, token: str) -> None:
        """End the login of the refresh ``token``: its access tokens and open connections too.

        Raises ``NotAuthenticated`` when it has ended already.
        """
        _, family = self._checked(token)
        self._end(family, "logout")

    def verify(self, token: str) -> tuple[str, str, str]:
        """Return kind (access or refresh), user id and end (RFC 3339) of a token that is good now.

        Raises ``NotAuthenticated``; ``TokenExpired`` for an access token that was good once.
        """
        try:
            refresh, family = self._checked(token)
        except NotAuthenticated:
            identity = user_from_token(token)
            return "access", identity.user_id, clock.to_wire(identity.expires_at)
        if refresh["jti"] != family.current:
            raise NotAuthenticated("The token was used before.")
        return "refresh", str(family.user_id), clock.to_wire(_end(refresh))

    def _checked(self, token: str) -> tuple[RefreshToken, TokenFamily]:
        try:
            refresh = RefreshToken(token)  # type: ignore[arg-type] # annotated for itself, made for text
            families = TokenFamily.objects.filter(
                pk=refresh[FAMILY_CLAIM], user_id=refresh["user_id"], user__is_active=True, ended_at=None
            )
            family = families.select_related("user").first()
            version = refresh[VERSION_CLAIM]
        except (TokenError, KeyError, ValueError, TypeError, OverflowError, ValidationError) as error:
            raise NotAuthenticated("The token is not valid.") from error
        if family is None or version != family.user.access_version:
            raise NotAuthenticated("The token is no longer valid.")
        return refresh, family

    def _end(self, family: TokenFamily, why: str) -> None:
        with transaction.atomic():
            ended = TokenFamily.objects.filter(pk=family.pk, ended_at=None).update(ended_at=clock.now(), ended_by=why)
            if ended:
                reused = why == "reuse"
                audit.account_deed(
                    Deed.TOKEN_REUSED if reused else Deed.LOGOUT,
                    family.user,
                    outcome=Outcome.REFUSED if reused else Outcome.DONE,
                    actor=None if reused else family.user.actor,
                    by="token",
                    login=family.login,
                )
                announce_end(str(family.user_id), why, family.login)


def forget_ended_logins(*, until: float = math.inf) -> int:
    """Remove the families whose last token has ended by itself; return how many went. See ``remove``."""
    return remove(TokenFamily.objects.filter(expires_at__lt=database_now()), until=until)


def _end(refresh: RefreshToken) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(refresh["exp"]), tz=dt.UTC)
