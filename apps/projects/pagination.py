"""Lists over REST: ``{results, next, previous}`` with a cursor."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework import exceptions
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.errors import InvalidField
from apps.core.events import Struct

T = TypeVar("T")
M = TypeVar("M", bound=Model)


class Page(Struct, Generic[T]):
    """One page of a list; ``next`` and ``previous`` are the addresses of its neighbours, or null at the ends."""

    results: list[T]
    next: str | None
    previous: str | None


class CursorPage(CursorPagination):
    """Pages by cursor: stable while rows are added. ``limit`` is at least 1, and 200 when it is more."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = "-created_at"

    def get_page_size(self, request: Request) -> int:
        """Return how many rows to take. Raises ``InvalidField`` for what is no number above 0."""
        given = request.query_params.get("limit")
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdigit() and len(given) <= 9 and int(given) > 0):
            raise InvalidField("A limit is a number above 0.", field="limit")
        return min(int(given), self.max_page_size)

    def paginate_queryset(
        self, queryset: QuerySet[Any, Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        """Return the rows of the page. Raises ``InvalidField`` for a cursor that was not made here."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (exceptions.NotFound, ValidationError, ValueError, TypeError, OverflowError) as error:
            # Its text goes into the query as it stands; what the column cannot take ends up here.
            raise InvalidField("This is not a cursor of this list.", field="cursor") from error

    def decode_cursor(self, request: Request) -> Any:
        """Return the place that the query names, None for the beginning. Raises ``ValueError`` for one not made here.

        REST framework takes what decodes to nothing for the beginning: a client whose cursor was spoilt would read the
        first page again and again.
        """
        given = request.query_params.get(self.cursor_query_param)
        if given:
            parts = parse_qs(b64decode(given, validate=True).decode("ascii"), strict_parsing=True)
            if not parts.keys() <= {"o", "r", "p"}:
                raise ValueError(given)
        return super().decode_cursor(request)

    def get_paginated_response(self, data: Any) -> Response:
        """Return one page in AutoCode's form."""
        return Response({"results": data, "next": self.get_next_link(), "previous": self.get_previous_link()})


def page_of(
    rows: QuerySet[M], request: Request, *, order: Sequence[str], shown: Callable[[M], dict[str, Any]]
) -> Response:
    """Return the page of ``rows`` that ``request`` asks for; the first of ``order`` should be unique."""
    paginator = CursorPage()
    paginator.ordering = tuple(order)  # type: ignore[assignment] # stubs: str; a tuple is what it becomes
    found = paginator.paginate_queryset(rows, request)
    return paginator.get_paginated_response([shown(row) for row in found or []])
