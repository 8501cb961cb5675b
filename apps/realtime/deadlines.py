"""When a connection has to do something, or ends. Times of a monotonic clock in seconds; the token's are moments."""

from __future__ import annotations

import datetime as dt
import random

from apps.core import clock
from apps.realtime.close_codes import CloseCode
from apps.realtime.config import Config


class Deadlines:
    """The deadlines of one connection."""

    __slots__ = ("_age", "_expires", "_heard", "_login", "_silence", "_token", "_warn_before", "_warned")

    def __init__(self, settings: Config, now: float) -> None:
        self._silence = settings.heartbeat_s + settings.heartbeat_grace_s
        self._heard = now
        self._login = now + settings.auth_timeout_s
        # Spread, so that a crowd that came together does not go together.
        self._age = now + settings.socket_max_age_s * random.uniform(0.9, 1.1)  # noqa: S311
        self._warn_before = settings.token_warning_s
        self._expires: dt.datetime | None = None
        self._token = False
        self._warned = False

    def heard(self, now: float) -> None:
        """A frame came."""
        self._heard = now

    def logged_in(self, expires_at: dt.datetime, *, token: bool) -> None:
        """A login or a renewal, good until ``expires_at``; ``token`` False is a browser session."""
        self._expires = expires_at
        self._token = token
        self._warned = False

    def _left(self) -> float:
        """Return for how many more seconds the login is good."""
        return float("inf") if self._expires is None else (self._expires - clock.now()).total_seconds()

    def due(self, now: float, logged_in: bool) -> CloseCode | None:  # noqa: FBT001 - the two states of a connection
        """Return why the connection ends now, or None."""
        if not logged_in and now >= self._login:
            return CloseCode.NOT_AUTHENTICATED
        if logged_in and self._left() <= 0:
            return CloseCode.TOKEN_EXPIRED if self._token else CloseCode.SESSION_ENDED
        if now >= self._heard + self._silence:
            return CloseCode.NO_HEARTBEAT
        if now >= self._age:
            return CloseCode.MAXIMUM_AGE
        return None

    def warning(self, now: float) -> dt.datetime | None:
        """Return when the token expires, once, when it is time to say so."""
        if not self._token or self._warned or self._expires is None or self._left() > self._warn_before:
            return None
        self._warned = True
        return self._expires

    def next(self, logged_in: bool) -> float:  # noqa: FBT001
        """Return when to look again."""
        now = clock.monotonic()
        moments = [self._heard + self._silence, self._age]
        if not logged_in:
            moments.append(self._login)
        elif self._expires is not None:
            left = self._left()
            if self._token and not self._warned:
                left -= self._warn_before
            moments.append(now + max(0.0, left))
        return min(moments)
