"""Every error of the REST API in one form: ``{"error".

{code, message, field?, retryable, retryAfterMs?, details?}}``.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from apps.accounts.audit import refused
from apps.core import errors
from apps.core.errors import AutoCodeError
from apps.projects.aio import not_now

logger = logging.getLogger(__name__)

REQUEST_ERRORS: Final = (BadRequest, SuspiciousOperation, UnreadablePostError)
"""What Django raises in the middle of a view for a request of which it will not read more."""


def error_body(error: AutoCodeError) -> dict[str, Any]:
    """Return the body of an error answer."""
    body: dict[str, Any] = {"code": error.code, "message": error.message, "retryable": error.retryable}
    if error.field is not None:
        body["field"] = error.field
    if error.details is not None:
        body["details"] = error.details
    if error.retry_after_ms is not None:
        body["retryAfterMs"] = error.retry_after_ms
    return {"error": body}


def exception_handler(raised: Exception, context: dict[str, Any]) -> Response | None:
    """Turn every exception of a view into an answer (the hook of Django REST framework).

    Unexpected ones are logged and answered with ``internal``; no text of theirs reaches the client.
    """
    error, status = as_error(raised)
    if isinstance(error, errors.Internal):
        logger.error("a view failed: %s", context.get("view"), exc_info=raised)
    set_rollback()
    request = context.get("request")
    if isinstance(error, errors.Forbidden) and request is not None and request.user.is_authenticated:
        refused(request.user.actor, f"{request.method} {request.path}", why=error.message)
    headers = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, -(-error.retry_after_ms // 1000)))
    if status == 401:
        headers["WWW-Authenticate"] = getattr(raised, "auth_header", None) or "Bearer"
    return Response(error_body(error), status=status, headers=headers)


def as_error(raised: Exception) -> tuple[AutoCodeError, int]:  # noqa: PLR0911 - a table
    """Return the error of ours that stands for ``raised``, and its HTTP status."""
    if isinstance(raised, AutoCodeError):
        return raised, raised.http_status
    if isinstance(raised, Http404):
        return errors.NotFound(), 404
    if isinstance(raised, PermissionDenied):
        return errors.Forbidden(), 403
    if isinstance(raised, REQUEST_ERRORS):
        error = errors.TooLarge() if isinstance(raised, RequestDataTooBig) else errors.InvalidMessage()
        return error, error.http_status
    if isinstance(raised, exceptions.APIException):
        return _from_framework(raised), raised.status_code
    if not_now(raised):
        logger.warning("the database does not answer: %s", raised)
        return errors.Unavailable(retry_after_ms=2_000), 503
    return errors.Internal(), 500


def _from_framework(raised: exceptions.APIException) -> AutoCodeError:  # noqa: PLR0911 - a table
    match raised:
        case exceptions.ValidationError():
            field, text = _first(raised.detail)
            return errors.InvalidField(text, field=field, details={"errors": raised.detail})
        case exceptions.ParseError():
            return errors.MalformedJson()
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            cause = raised.__cause__
            return cause if isinstance(cause, errors.NotAuthenticated) else errors.NotAuthenticated()
        case exceptions.PermissionDenied():
            return errors.Forbidden(str(raised.detail))
        case exceptions.NotFound():
            return errors.NotFound()
        case exceptions.Throttled():
            return errors.RateLimited(retry_after_ms=int((getattr(raised, "wait", None) or 1) * 1000))
        case _:
            return errors.InvalidMessage(str(raised.detail))


def _first(detail: Any, path: str = "") -> tuple[str | None, str]:
    """Return where the first fault lies, with dots, and its text."""
    if isinstance(detail, dict) and detail:
        name, inner = next(iter(detail.items()))
        return _first(inner, f"{path}.{name}" if path else str(name))
    if isinstance(detail, list) and detail:
        return _first(detail[0], path)
    return (path or None), str(detail)
