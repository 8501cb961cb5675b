"""What the views of a room share: the access first, then the body, then a service; and writes that may be repeated."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework.response import Response

from apps.accounts.api.base import Endpoint
from apps.accounts.api.openapi import described, in_path, query
from apps.accounts.api.structs import to_json
from apps.core.errors import InvalidField, NotFound
from apps.core.ids import is_key
from apps.projects.pagination import page_of
from apps.projects.selectors.access import Access, access_to, as_guid
from apps.projects.services.commands import once

M = TypeVar("M", bound=Model)

ROOM: Final = (403, 404)
"""Errors of everything in a room."""
WRITE: Final = (400, 403, 404, 409)
"""Errors of a write in a room."""
PAGE: Final = (
    query("cursor", {"type": "string"}, "Where the page begins: as in next and previous."),
    query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 50},
        "Rows of a page; 200 when it is more.",
    ),
)
IF_MATCH: Final = re.compile(r'"?(?P<version>[0-9]{1,9})"?\Z')

__all__ = ["PAGE", "ROOM", "WRITE", "RoomEndpoint", "WritingEndpoint", "described", "in_path", "integer", "query"]


class WritingEndpoint(Endpoint):
    """A view whose writes a client may send twice: the header ``Idempotency-Key`` names the wish."""

    def carry_out(self, function: Callable[[], Any], *, status: int = 200, keyed_by: Any = None) -> Response:
        """Answer with what ``function`` returns (a struct or JSON values), or with what it returned the first time.

        ``keyed_by`` (JSON values) is what the key stands for besides method, address and body. Raises ``Conflict`` for
        a key that was used for something else.
        """
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return self.answer(function(), status)
        if not is_key(key):
            raise InvalidField("A key is 1-64 characters of A-Z a-z 0-9 . _ : -", field="Idempotency-Key")
        command = f"{self.request.method} {self.request.get_full_path()}"
        data = [self.request.data, keyed_by]
        reply, repeated = once(self.actor, key, command, data, lambda: {"body": to_json(function())})
        return Response(reply["body"], status=status, headers={"Idempotency-Replayed": "true"} if repeated else None)


class RoomEndpoint(WritingEndpoint):
    """A view below ``projects/{guid}/``."""

    def access(self, guid: str, action: str = "project.view") -> Access:
        """Return the caller's access. Raises ``NotFound`` and ``Forbidden``, before any body is looked at."""
        return access_to(str(self.user.pk), guid, action)

    def page(self, rows: QuerySet[M], view: Callable[[M], Any], *, order: tuple[str, ...] = ("-id",)) -> Response:
        """Return one page of ``rows``, each as ``view`` shows it."""
        return page_of(rows, self.request, order=order, shown=lambda row: to_json(view(row)))

    def known_id(self, value: str) -> str:
        """Return a part of the path that names something. Raises ``NotFound`` for what can be nobody's id."""
        if not is_key(value):
            raise NotFound
        return value

    def user_id(self, value: str) -> UUID:
        """Return a part of the path that names a user. Raises ``NotFound``."""
        return as_guid(value)

    def version(self, given: int | None = None) -> int | None:
        """Return the version that the caller has seen, from the body, ``?version=`` or ``If-Match``; None: any.

        Raises ``InvalidField`` for another form, and when two of them differ.
        """
        found = {given, integer(self.request.query_params.get("version"), "version"), self._if_match()} - {None}
        if len(found) > 1:
            raise InvalidField("The versions differ.", field="version")
        return found.pop() if found else None

    def _if_match(self) -> int | None:
        header = self.request.headers.get("If-Match")
        if header is None or header.strip() == "*":
            return None
        matched = IF_MATCH.match(header.strip())
        if matched is None:
            raise InvalidField('If-Match is a version in quotes, like "3".', field="If-Match")
        return int(matched["version"])


def integer(text: str | None, field: str) -> int | None:
    """Return a query parameter as a number from 0 up, or None when it is absent.

    Raises ``InvalidField``, also beyond 53 bits.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) < 2**53):
        raise InvalidField("A number from 0 up.", field=field)
    return int(text)
