"""Below ``/api/`` every error is JSON in one form, whoever gives it: Django, a middleware, a view of a package."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from apps.core.errors import (
    AutoCodeError,
    Forbidden,
    Internal,
    InvalidMessage,
    NotAuthenticated,
    NotFound,
    RateLimited,
    TooLarge,
    Unavailable,
)

ERRORS: Final[dict[int, type[AutoCodeError]]] = {
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    413: TooLarge,
    429: RateLimited,
    500: Internal,
    503: Unavailable,
}
"""The error that a status stands for where nobody said more; the rest is the request's form."""
OF_THE_BODY: Final = frozenset({"content-type", "content-length", "content-encoding", "content-disposition", "etag"})
"""Headers that go with what is replaced."""


def in_our_form(response: HttpResponseBase) -> HttpResponseBase:
    """Return an error's response as JSON; one that is JSON already stays as it is."""
    if response.headers.get("Content-Type", "").startswith("application/json"):
        return response
    status = response.status_code
    error = ERRORS.get(status, InvalidMessage)(f"{response.reason_phrase}.")
    ours = problem(error, status)
    for name, value in response.headers.items():
        if name.lower() not in OF_THE_BODY:
            ours.headers[name] = value
    ours.cookies.update(response.cookies)
    response.close()
    return ours


def problem(error: AutoCodeError, status: int) -> JsonResponse:
    """Return an error of the API's own form."""
    return JsonResponse(
        {"error": {"code": error.code, "message": error.message, "retryable": error.retryable}}, status=status
    )


@csrf_exempt
async def absent(request: HttpRequest, rest: str = "") -> JsonResponse:
    """Answer for what the API does not have, whatever the method.

    Without it Django would redirect addresses that lack their last slash, and clients would send a POST again as a GET.
    """
    hint = "" if request.path.endswith("/") else " Addresses of the API end with a slash."
    return problem(NotFound(f"There is no such address.{hint}"), 404)
