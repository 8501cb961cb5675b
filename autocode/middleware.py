"""Middleware of the whole site: correlation ids, the content policy, the form of the API's errors, hosts.

All run sync and async.

Knows HTTP headers; knows no application.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.utils.decorators import sync_and_async_middleware

from apps.core.actor import Actor
from apps.core.addresses import is_address
from apps.core.correlation import correlated
from apps.core.whence import Whence, coming_from
from autocode.api_errors import in_our_form

Sync = Callable[[HttpRequest], HttpResponseBase]
Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

# What a caller may choose as correlation id: it ends up in logs and rows.
CORRELATION_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}\Z")

PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "microphone",
        "payment",
        "usb",
    )
)


TRUSTED_TYPES = "; require-trusted-types-for 'script'; trusted-types autocode"
"""No script of ours makes markup out of text but by the one policy in ``lib/dom.js``."""
FOREIGN_SCRIPTS = ("/admin/", "/api/docs/")
"""Pages whose scripts are Django's and Swagger's, which do."""


@sync_and_async_middleware
def correlation(get_response: Sync | Async) -> Sync | Async:
    """Give each request a correlation id: the caller's ``X-Request-ID`` if it is well formed, else a new one.

    And note where it comes from, for the audit trail.
    """

    def chosen(request: HttpRequest) -> str:
        given = request.headers.get("X-Request-ID", "")
        return given if CORRELATION_ID.match(given) else uuid.uuid4().hex

    if iscoroutinefunction(get_response):
        inner = cast("Async", get_response)

        async def async_middleware(request: HttpRequest) -> HttpResponseBase:
            correlation_id = chosen(request)
            with correlated(correlation_id), coming_from(place_of(request)):
                response = await inner(request)
            response.headers["X-Request-ID"] = correlation_id
            return response

        return async_middleware

    sync_inner = cast("Sync", get_response)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        correlation_id = chosen(request)
        with correlated(correlation_id), coming_from(place_of(request)):
            response = sync_inner(request)
        response.headers["X-Request-ID"] = correlation_id
        return response

    return middleware


def place_of(request: HttpRequest) -> Whence:
    """Return where a request comes from. Who is logged in is looked up only if somebody asks, and by then known."""

    def actor() -> Actor | None:
        user: Any = getattr(request, "user", None)
        return user.actor if user is not None and user.is_authenticated else None

    address = str(request.META.get("REMOTE_ADDR") or "")
    return Whence(address=address, client=request.headers.get("User-Agent", ""), actor=actor)


@sync_and_async_middleware
def content_security(get_response: Sync | Async) -> Sync | Async:
    """Say on every response what a page may load, and refuse the API over plain HTTP where TLS is demanded."""
    if iscoroutinefunction(get_response):
        inner = cast("Async", get_response)

        async def async_middleware(request: HttpRequest) -> HttpResponseBase:
            return protected(request, refusal(request) or await inner(request))

        return async_middleware

    sync_inner = cast("Sync", get_response)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        return protected(request, refusal(request) or sync_inner(request))

    return middleware


def refusal(request: HttpRequest) -> HttpResponseBase | None:
    """Return 403 for an API call without TLS where TLS is demanded, else None.

    Pages are redirected instead (SecurityMiddleware). A redirected API call would go unnoticed although its token
    had crossed the network in the clear (OWASP ASVS 4.1.2).
    """
    if settings.SECURE_SSL_REDIRECT and request.path.startswith("/api/") and not request.is_secure():
        return JsonResponse(
            {"error": {"code": "forbidden", "message": "The API is served over HTTPS only."}}, status=403
        )
    return None


def protected(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Add the headers that are not there yet; a view that needs other ones sets them itself.

    Errors of the API get its form here, behind everything else that can answer.
    """
    if response.status_code >= 400 and request.path.startswith("/api/"):
        response = in_our_form(response)
    headers = response.headers
    headers.setdefault("Content-Security-Policy", content_policy(request))
    headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if request.path.startswith("/api/"):
        headers.setdefault("Cache-Control", "no-store")  # answers are private to whoever asked
    return response


def content_policy(request: HttpRequest) -> str:
    """Return the policy for one request: everything from this origin only, nothing inline, no frames.

    The socket's address is spelt out because older browsers do not count ws:// as 'self'.
    """
    try:
        host = request.get_host()
    except DisallowedHost:
        sockets = ""  # answered with 400 anyway
    else:
        sockets = f" wss://{host}" if request.is_secure() else f" ws://{host}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'{sockets}; manifest-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; "
        "frame-ancestors 'none'" + ("" if request.path.startswith(FOREIGN_SCRIPTS) else TRUSTED_TYPES)
    )


PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class Hosts(CommonMiddleware):
    """Django's look at the host, which lets through who asks how this process is by the machine's own address.

    Probes and scrapers know no name of the site. A page of another site that made its name lead here (DNS rebinding)
    still names itself: an address is nobody's name.
    """

    def process_request(self, request: HttpRequest) -> Any:
        """Return None, or a redirect. Raises ``DisallowedHost``."""
        if request.path in PROBES and is_address(request.META.get("HTTP_HOST", "")):
            return None
        return super().process_request(request)
