"""What every view of the REST API shares."""

from __future__ import annotations

from typing import Any, TypeVar

from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api.parsers import StrictJSONParser
from apps.accounts.api.structs import from_json, to_json
from apps.accounts.models import User
from apps.core.actor import Actor

S = TypeVar("S")


class Endpoint(APIView):
    """A view that takes and returns structs, and acts for whoever is logged in."""

    parser_classes = (StrictJSONParser,)

    @property
    def user(self) -> User:
        """Whoever is logged in; the permission classes have made sure that somebody is."""
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - says so to the type checker; a permission class has checked
        return user

    @property
    def actor(self) -> Actor:
        """The same as the actor of a service call."""
        return self.user.actor

    def body(self, kind: type[S]) -> S:
        """Return the request's body as a ``kind``. Raises what ``StrictJSONParser`` and ``from_json`` raise."""
        return from_json(self.request.data, kind)

    def answer(self, value: Any, status: int = 200) -> Response:
        """Return an answer that holds a struct or a list of them."""
        return Response(to_json(value), status=status)
