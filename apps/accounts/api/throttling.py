"""Guessing passwords is slow: the attempts are counted for the address and for the name that is tried."""

from __future__ import annotations

import hashlib

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class AddressLoginThrottle(SimpleRateThrottle):
    """Attempts from one address. Headers are not asked: a client could write any address into them."""

    scope = "login"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return f"login:address:{request.META.get('REMOTE_ADDR', '')}"


class NameLoginThrottle(SimpleRateThrottle):
    """Attempts at one username, from wherever they come."""

    scope = "login"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        data = request.data
        name = data.get("username") if isinstance(data, dict) else None
        if not isinstance(name, str):
            return None
        return f"login:name:{hashlib.sha256(name.casefold().encode()).hexdigest()}"
