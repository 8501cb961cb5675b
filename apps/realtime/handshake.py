"""What a client says before anything was accepted: its Origin, its subprotocols, its credentials.

A token rides as a second subprotocol (never echoed, never logged) or in the first message; one in the address is
refused, because addresses end up in logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from django.conf import settings
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port

from apps.core.errors import AutoCodeError, InvalidMessage, NotAuthenticated
from apps.realtime.close_codes import CloseCode
from apps.realtime.protocol import SUBPROTOCOL, TOKEN_PREFIX

_IN_ADDRESS: Final = frozenset({"token", "access", "access_token", "jwt", "auth", "authorization", "bearer"})
_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Handshake:
    """What follows from it. ``allowed`` False: HTTP 403. ``problem``: accept, say why, close."""

    allowed: bool
    subprotocol: str | None = None
    token: str | None = None
    session_key: str | None = None
    problem: tuple[CloseCode, AutoCodeError] | None = None
    address: str = ""
    client: str = ""
    """What the client calls itself."""


def read_handshake(scope: dict[str, Any]) -> Handshake:
    """Return what to do with this connection."""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", [])}
    address = str((scope.get("client") or ["unknown"])[0])
    origin = headers.get(b"origin")
    if origin is not None and not origin_allowed(origin, _scheme(scope, headers), headers.get(b"host", "")):
        return Handshake(allowed=False, address=address)
    offered = [str(name) for name in scope.get("subprotocols") or []]
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    problem: tuple[CloseCode, AutoCodeError] | None = None
    token = next((name[len(TOKEN_PREFIX) :] for name in offered if name.startswith(TOKEN_PREFIX)), None)
    if offered and chosen is None:
        problem = CloseCode.NO_COMMON_SUBPROTOCOL, InvalidMessage(f"This server speaks {SUBPROTOCOL}.")
    elif _token_in(scope.get("query_string", b"")):
        problem = CloseCode.BAD_CREDENTIALS, NotAuthenticated("A token does not belong into an address.")
    # A cookie comes along whoever wrote the page, so it counts only together with an Origin that was checked.
    session_key = None
    if token is None and origin is not None:
        session_key = parse_cookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME) or None
    return Handshake(
        allowed=True,
        subprotocol=chosen,
        token=token,
        session_key=session_key,
        problem=problem,
        address=address,
        client=headers.get(b"user-agent", ""),
    )


def origin_allowed(origin: str, scheme: str, host: str) -> bool:
    """Tell whether a page from ``origin`` may open a socket here: the same origin, or one trusted by name.

    Compared as text, whole: browsers write an origin in one way only (RFC 6454, section 6.2), and every parser has
    its own idea of the rest. ``host`` is one of ours: ``autocode.gate`` lets nothing else come so far.
    """
    domain, port = split_domain_port(host)
    ours = f"{scheme}://{domain}" if port in {"", _PORTS[scheme]} else f"{scheme}://{domain}:{port}"
    return origin == ours or origin in settings.AUTOCODE_TRUSTED_ORIGINS


def _scheme(scope: dict[str, Any], headers: dict[bytes, str]) -> str:
    """Return http or https as the client sees it. Daphne does not say; a trusted proxy does, by its header."""
    proxy = settings.SECURE_PROXY_SSL_HEADER
    if proxy is not None:
        name, secure = proxy
        told = headers.get(name.removeprefix("HTTP_").replace("_", "-").lower().encode(), "")
        return "https" if told.split(",")[0].strip() == secure else "http"
    return "https" if scope.get("scheme") in {"wss", "https"} else "http"


def _token_in(query: bytes) -> bool:
    try:
        names = [name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    except ValueError:
        return False
    return any(name in _IN_ADDRESS or name.startswith(TOKEN_PREFIX) for name in names)
