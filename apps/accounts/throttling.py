"""Guessing passwords is slow: the attempts are counted for the address and for the name that is tried."""

from __future__ import annotations

import hashlib
from typing import Any

from rest_framework.throttling import SimpleRateThrottle


class LoginThrottle(SimpleRateThrottle):
    """Attempts to log in, over REST and by the login page together, at the rate of the scope ``login``."""

    scope = "login"

    def wait_for(self, key: str | None) -> float:
        """Count an attempt under ``key`` (None: not counted); return the seconds to wait, 0 when it is allowed."""
        if key is None or self._allowed(key):
            return 0.0
        return self.wait() or 1.0

    def _allowed(self, key: str) -> bool:
        self.get_cache_key = lambda *_: key  # type: ignore[method-assign]
        request: Any = None
        return self.allow_request(request, request)


class AddressLoginThrottle(LoginThrottle):
    """Attempts from one address: a whole office may sit behind it, so the rate is that of everybody unknown."""

    scope = "anon"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        return address_key(request)


class NameLoginThrottle(LoginThrottle):
    """Attempts at one username, from wherever they come; a good one ends the count."""

    def forget(self, username: str) -> None:
        """Begin anew: whoever knows the password is no guesser."""
        self.cache.delete(name_key(username))

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        data = request.data
        return name_key(data.get("username") if isinstance(data, dict) else None)


def address_key(request: Any) -> str:
    """Return what the attempts of an address are counted under. Headers are not asked: anybody can write them."""
    return f"login:address:{request.META.get('REMOTE_ADDR', '')}"


def name_key(username: Any) -> str | None:
    """Return what the attempts at a name are counted under, or None for what is no name."""
    if not isinstance(username, str):
        return None
    return f"login:name:{hashlib.sha256(username.casefold().encode('utf-8', 'replace')).hexdigest()}"
