"""Lists over REST: ``{results, next, previous}`` with a cursor."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import CursorPagination
from rest_framework.response import Response


class CursorPage(CursorPagination):
    """Pages by cursor: stable while rows are added. ``limit`` is clamped to 1-200."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = "-created_at"

    def get_paginated_response(self, data: Any) -> Response:
        """Return one page in AutoCode's form."""
        return Response({"results": data, "next": self.get_next_link(), "previous": self.get_previous_link()})
