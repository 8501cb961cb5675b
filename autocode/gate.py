"""The outermost ASGI wrapper: what a client's headers may say is settled here, before anything else reads them.

Daphne takes some words of the client for the server's own. Here they lose that meaning for every application behind,
for HTTP and WebSocket alike, so that nobody further in has to remember it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.http.request import split_domain_port, validate_host

if TYPE_CHECKING:
    from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

logger = logging.getLogger(__name__)

ONLY_ONCE: Final = (b"host", b"origin")
"""Headers whose second occurrence could be read by one part and the first by another."""
FORWARDED_PROTO: Final = b"x-forwarded-proto"


def gate(application: ASGI3Application) -> ASGI3Application:
    """Return ``application`` behind the gate.

    - ``root_path`` is emptied: Daphne fills it from the client's ``Daphne-Root-Path``, and Django strips it from the
      path before routing, so a client could make one path look like another to whatever stands in front.
    - Headers with ``_`` in their name are dropped: WSGI's names, which Django uses, cannot tell ``X_Forwarded_Proto``
      from ``X-Forwarded-Proto``, which the proxy in front overwrites.
    - ``X-Forwarded-Proto`` is dropped unless the settings name a proxy that always overwrites it.
    - A socket needs one ``Host``, and one of ours. Django looks at the host of HTTP requests by itself.
    """

    async def gated(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await application(scope, receive, send)
            return
        cleaned: Any = {**scope, "root_path": "", "headers": trusted_headers(scope)}
        if scope["type"] == "websocket" and (problem := refusal(cleaned["headers"])):
            logger.warning("a socket is refused: %s", problem, extra={"address": (scope.get("client") or [""])[0]})
            await send({"type": "websocket.close", "code": 4403, "reason": ""})
            return
        await application(cleaned, receive, send)

    return gated


def trusted_headers(scope: Any) -> list[tuple[bytes, bytes]]:
    """Return the headers that may be read by name."""
    return [
        (name, value)
        for name, value in scope["headers"]
        if b"_" not in name
        and name.lower() != b"daphne-root-path"
        and (settings.SECURE_PROXY_SSL_HEADER is not None or name.lower() != FORWARDED_PROTO)
    ]


def refusal(headers: list[tuple[bytes, bytes]]) -> str:
    """Return why a socket with these headers is not let in, or ``""``."""
    names = [name.lower() for name, _ in headers]
    for name in ONLY_ONCE:
        if names.count(name) > 1:
            return f"more than one {name.decode()}"
    hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
    domain, _ = split_domain_port(hosts[0]) if hosts else ("", "")
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return "its host is not ours"
    return ""
