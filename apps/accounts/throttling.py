"""Guessing passwords is slow: the attempts are counted for the address and for the name that is tried."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from typing import Any, ClassVar, Final

from django.core.cache.backends.locmem import LocMemCache
from rest_framework.throttling import SimpleRateThrottle

from apps.core import clock
from apps.core.addresses import network_of

logger = logging.getLogger(__name__)

HERE: Final = LocMemCache("throttles", {"OPTIONS": {"MAX_ENTRIES": 100_000}})
"""Where this process counts while the shared cache is away."""
AWAY_S: Final = 5.0
"""For so long a cache that failed is not asked again: each time costs its timeout, and a request waits for it."""


class WindowThrottle(SimpleRateThrottle):
    """Counts in fixed windows by the cache's own increment.

    So attempts that come at once, in many processes, are all counted; REST framework's list of times loses those that
    were read before any was written. At the border of two windows twice the rate may pass.
    """

    num_requests: int
    duration: int
    _away: ClassVar[tuple[Any, float]] = (None, 0.0)
    """The cache that failed last, and until when (``clock.monotonic``) it is left alone."""

    def wait_for(self, key: str | None) -> float:
        """Count an attempt under ``key`` (None: not counted); return the seconds to wait, 0 when it is allowed."""
        if key is None or self.rate is None:
            return 0.0
        seconds, now = self.duration, clock.now().timestamp()
        window = int(now // seconds)
        count = self._counted(f"{key}:{window}", seconds)
        if count <= self.num_requests:
            return 0.0
        if count == self.num_requests + 1:
            self.begins_to_refuse()
        return (window + 1) * seconds - now

    def begins_to_refuse(self) -> None:
        """Hear of the first refusal in a window."""

    def _counted(self, counter: str, seconds: int) -> int:
        """Count one more and return how many there are."""
        if self._is_there():
            try:
                return self._count(self.cache, counter, seconds)
            except Exception as error:  # noqa: BLE001 - every cache fails in its own way
                logger.warning("the cache does not count attempts (%s); this process does", type(error).__name__)
                WindowThrottle._away = self.cache, clock.monotonic() + AWAY_S
        return self._count(HERE, counter, seconds)

    def _is_there(self) -> bool:
        """Tell whether the shared cache is asked."""
        away, until = WindowThrottle._away
        return away is not self.cache or clock.monotonic() >= until

    def _count(self, cache: Any, counter: str, seconds: int) -> int:
        if cache.add(counter, 1, timeout=seconds):
            return 1
        try:
            return int(cache.incr(counter))
        except ValueError:  # it ended in between
            cache.add(counter, 1, timeout=seconds)
            return 1

    def allow_request(self, request: Any, view: Any) -> bool:
        self._wait = self.wait_for(self.get_cache_key(request, view))
        return not self._wait

    def wait(self) -> float | None:
        return self._wait


class AnonymousThrottle(WindowThrottle):
    """Requests of one address that show no login."""

    scope = "anon"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        if request.user and request.user.is_authenticated:
            return None
        return f"anon:{address_key(request)}"


class UserThrottle(WindowThrottle):
    """Requests of one user."""

    scope = "user"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        if not (request.user and request.user.is_authenticated):
            return None
        return f"user:{request.user.pk}"


class LoginThrottle(WindowThrottle):
    """Attempts to log in; that they are too many is written down, once a window."""

    def begins_to_refuse(self) -> None:
        from apps.accounts.audit import Deed, Outcome, record

        record(Deed.LOGIN_SLOWED, outcome=Outcome.REFUSED, counted_by=self.scope)


class AddressLoginThrottle(LoginThrottle):
    """Attempts to log in from one address, over REST and by the login page together.

    A whole office may sit behind it, so the rate is that of everybody unknown.
    """

    scope = "anon"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        return address_key(request)


class NameLoginThrottle(LoginThrottle):
    """Attempts at one username, from wherever they come; a good one ends the count."""

    scope = "login"

    def forget(self, username: str) -> None:
        """Begin anew: whoever knows the password is no guesser."""
        if self.rate is None:
            return
        counter = f"{name_key(username)}:{int(clock.now().timestamp() // self.duration)}"
        for cache in (self.cache, HERE) if self._is_there() else (HERE,):
            try:
                cache.delete(counter)
            except Exception as error:  # noqa: BLE001 - every cache fails in its own way
                logger.warning("the cache does not forget attempts (%s)", type(error).__name__)

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        data = request.data
        return name_key(data.get("username") if isinstance(data, dict) else None)


def address_key(request: Any) -> str:
    """Return what the attempts of an address are counted under. Headers are not asked: anybody can write them."""
    network = network_of(str(request.META.get("REMOTE_ADDR") or ""))
    return f"login:address:{hashlib.sha256(network.encode()).hexdigest()}"


def name_key(username: Any) -> str | None:
    """Return what the attempts at a name are counted under, or None for what is no name."""
    if not isinstance(username, str):
        return None
    # As the login page's form reads it, and without regard to case: no second spelling gets a count of its own.
    spelling = unicodedata.normalize("NFKC", username).casefold().strip()
    return f"login:name:{hashlib.sha256(spelling.encode('utf-8', 'replace')).hexdigest()}"
