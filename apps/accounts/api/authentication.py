"""Who calls the REST API: our access tokens, checked as on the WebSocket, or the session of Django's login."""

from __future__ import annotations

from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from apps.accounts.identity import Identity
from apps.accounts.models import User
from apps.accounts.tokens import user_from_token
from apps.core.errors import NotAuthenticated

SCHEME = "Bearer"


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>``. ``request.auth`` is the ``Identity``.

    A token that is not good is refused even where anybody may call: a client that sends one means to be somebody.
    """

    def authenticate(self, request: Request) -> tuple[User, Identity] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != SCHEME.lower().encode():
            return None
        try:
            if len(words) != 2:
                raise NotAuthenticated("The header is Authorization: Bearer and one token.")
            identity = user_from_token(words[1].decode("ascii", "replace"))
        except NotAuthenticated as error:
            # The cause is what the client is told; REST framework adds WWW-Authenticate to its own exceptions.
            raise exceptions.AuthenticationFailed from error
        user = User.objects.filter(pk=identity.user_id, is_active=True).first()
        if user is None:
            raise exceptions.AuthenticationFailed
        return user, identity

    def authenticate_header(self, request: Request) -> str:
        return SCHEME
