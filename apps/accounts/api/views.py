"""Logging in with a password for tokens, and who I am."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from django.contrib.auth import authenticate
from msgspec import Meta
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from apps.accounts.api.base import Endpoint
from apps.accounts.api.openapi import described
from apps.accounts.models import User
from apps.accounts.services import TokenService
from apps.accounts.throttling import AddressLoginThrottle, AnonymousThrottle, NameLoginThrottle
from apps.accounts.tokens import LONGEST
from apps.core.errors import NotAuthenticated
from apps.core.events import Struct

TokenText = Annotated[str, Meta(min_length=1, max_length=LONGEST)]


class Credentials(Struct):
    """A username and its password."""

    username: Annotated[str, Meta(min_length=1, max_length=150)]
    password: Annotated[str, Meta(min_length=1, max_length=4_096)]


class RefreshRequest(Struct):
    """A refresh token."""

    refresh: TokenText


class VerifyRequest(Struct):
    """An access or refresh token."""

    token: TokenText


class TokenPair(Struct):
    """An access token for some minutes and a refresh token that is good for one use."""

    access: str
    refresh: str


class TokenFacts(Struct):
    """What a good token stands for. ``kind`` is access or refresh."""

    kind: str
    user_id: str
    expires_at: str


class MeView(Struct):
    """Whoever is logged in."""

    user_id: str
    username: str
    name: str
    kind: str
    is_staff: bool


class _TokenEndpoint(Endpoint):
    """Nobody is logged in yet; what counts is in the body. Sessions play no part, so neither does CSRF."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes: Sequence[type[BaseThrottle]] = (AnonymousThrottle,)

    def get_authenticate_header(self, request: Request) -> str:
        return "Bearer"


class TokenView(_TokenEndpoint):
    """Log in."""

    throttle_classes = (AddressLoginThrottle, NameLoginThrottle)

    @described("logIn", takes=Credentials, returns=TokenPair)
    def post(self, request: Request) -> Response:
        """Exchange a username and a password for an access and a refresh token."""
        given = self.body(Credentials)
        user = authenticate(request, username=given.username, password=given.password)
        if not isinstance(user, User):
            raise NotAuthenticated("Username and password do not match.")
        NameLoginThrottle().forget(given.username)
        access, refresh = TokenService().log_in(user)
        return self.answer(TokenPair(access=access, refresh=refresh))


class TokenRefreshView(_TokenEndpoint):
    """Go on."""

    @described("refreshToken", takes=RefreshRequest, returns=TokenPair)
    def post(self, request: Request) -> Response:
        """Exchange a refresh token, which is then used up, for a new pair."""
        access, refresh = TokenService().rotate(self.body(RefreshRequest).refresh)
        return self.answer(TokenPair(access=access, refresh=refresh))


class TokenVerifyView(_TokenEndpoint):
    """Look at a token."""

    @described("verifyToken", takes=VerifyRequest, returns=TokenFacts)
    def post(self, request: Request) -> Response:
        """Say whether a token is good now, and for whom."""
        kind, user_id, expires_at = TokenService().verify(self.body(VerifyRequest).token)
        return self.answer(TokenFacts(kind=kind, user_id=user_id, expires_at=expires_at))


class TokenBlacklistView(_TokenEndpoint):
    """Log out."""

    @described("blacklistToken", takes=RefreshRequest, status=204)
    def post(self, request: Request) -> Response:
        """Use up a refresh token, so that nobody can go on with it. Its access token ends by itself within minutes."""
        TokenService().revoke(self.body(RefreshRequest).refresh)
        return Response(status=204)


class MeEndpoint(Endpoint):
    """Who I am."""

    @described("getMe", returns=MeView)
    def get(self, request: Request) -> Response:
        """Return whoever is logged in."""
        user = self.user
        return self.answer(
            MeView(
                user_id=str(user.pk),
                username=user.get_username(),
                name=user.shown_name,
                kind=user.kind,
                is_staff=user.is_staff,
            )
        )
