"""Access tokens (JWT) to identities. The same check for REST and for the WebSocket."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from apps.accounts.identity import Identity
from apps.accounts.models import TokenFamily, User
from apps.core import clock
from apps.core.actor import ActorKind
from apps.core.errors import NotAuthenticated, TokenExpired

logger = logging.getLogger(__name__)

VERSION_CLAIM = "ver"
"""The user's ``access_version`` when the token was made; a raised version ends every older token."""

FAMILY_CLAIM = "fam"
"""The login that the token belongs to."""

LONGEST = 4_096
"""Characters of a token; ours have about 300."""


def refresh_for(user: User, family_id: str) -> RefreshToken:
    """Return a fresh refresh token of a login of ``user``; its access tokens carry the same claims."""
    token: RefreshToken = RefreshToken.for_user(user)
    token[VERSION_CLAIM] = user.access_version
    token[FAMILY_CLAIM] = family_id
    return token


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token says whose signature and time are good."""

    user_id: str
    family: UUID
    version: Any
    token_id: str
    expires_at: dt.datetime


def user_from_token(token: str) -> Identity:
    """Return who the access token stands for.

    Raises ``TokenExpired`` for one that was good once, ``NotAuthenticated`` for every other fault of the token, because
    a signed token may hold claims of any type. A database that does not answer raises its own error.
    """
    found = users_from_tokens([token])[token]
    if isinstance(found, Exception):
        raise found
    return found


def users_from_tokens(tokens: Sequence[str]) -> dict[str, Identity | Exception]:
    """Return ``user_from_token`` of many tokens, with its errors as values. One query."""
    found: dict[str, Identity | Exception] = {}
    claims: dict[str, _Claims] = {}
    for token in tokens:
        try:
            claims[token] = _claims(token)
        except NotAuthenticated as error:
            found[token] = error
    families = TokenFamily.objects.filter(
        pk__in={said.family for said in claims.values()}, user__is_active=True, ended_at=None
    ).select_related("user")
    open_ones = {family.pk: family for family in families} if claims else {}
    for token, said in claims.items():
        family = open_ones.get(said.family)
        if family is None or str(family.user_id) != said.user_id or said.version != family.user.access_version:
            found[token] = NotAuthenticated("The token is no longer valid.")
        else:
            found[token] = identity_of(
                family.user, expires_at=said.expires_at, session_hash=family.login, token_id=said.token_id
            )
    return found


def _claims(token: str) -> _Claims:
    """Return what the token says. Raises ``TokenExpired``, ``NotAuthenticated``."""
    if len(token) > LONGEST:
        raise NotAuthenticated("This is not a token.")
    try:
        claims = AccessToken(token)  # type: ignore[arg-type]
        return _Claims(
            user_id=str(claims["user_id"]),
            family=UUID(claims[FAMILY_CLAIM]),
            version=claims[VERSION_CLAIM],
            token_id=str(claims["jti"]),
            expires_at=dt.datetime.fromtimestamp(int(claims["exp"]), tz=dt.UTC),
        )
    except TokenError as error:
        if _expired(token):
            raise TokenExpired from error
        raise NotAuthenticated("The token is not valid.") from error
    except Exception as error:
        logger.info("a signed token has odd claims: %s", type(error).__name__)
        raise NotAuthenticated("The token is not valid.") from error


def identity_of(
    user: User,
    *,
    expires_at: dt.datetime,
    session_hash: str,
    token_id: str | None = None,
) -> Identity:
    """Return the identity of ``user`` as proved until ``expires_at``."""
    return Identity(
        user_id=str(user.pk),
        username=user.get_username(),
        name=user.shown_name,
        kind=ActorKind(user.kind),
        is_staff=user.is_staff,
        access_version=user.access_version,
        expires_at=expires_at,
        session_hash=session_hash,
        token_id=token_id,
    )


def _expired(token: str) -> bool:
    """Tell whether the only fault is the time: signature and form are checked again without it."""
    try:
        payload = jwt.decode(
            token,
            api_settings.VERIFYING_KEY or api_settings.SIGNING_KEY,
            algorithms=[api_settings.ALGORITHM],
            options={"verify_exp": False, "verify_aud": False},
        )
        return float(payload["exp"]) <= clock.now().timestamp()
    except Exception:  # noqa: BLE001
        return False
