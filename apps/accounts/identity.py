"""Who is on a connection, and until when. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from apps.core.actor import Actor, ActorKind


@dataclass(frozen=True, slots=True)
class Identity:
    """A proved identity.

    ``expires_at``: when the proof ends (token expiry, session expiry); ``session_hash``: which login it came from, a
    browser session or a family of tokens, in a form that may be logged and sent among processes; ``token_id``: the
    token's ``jti`` (None for sessions).
    """

    user_id: str
    username: str
    name: str
    kind: ActorKind
    is_staff: bool
    access_version: int
    expires_at: dt.datetime
    session_hash: str
    token_id: str | None = None

    @property
    def actor(self) -> Actor:
        """The identity as the actor of a service call."""
        return Actor(kind=self.kind, id=self.user_id, name=self.name)
