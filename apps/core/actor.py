"""Who acts: the identity that every service call carries and every event records."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ActorKind(enum.StrEnum):
    """The three kinds of actor; the same words as ``accounts.User.kind`` and as on the wire."""

    PERSON = "person"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """An identity that was already proved (by a login, a token or the agents link).

    ``id`` is the user's UUID as text (empty for the system itself); ``name`` is what people read;
    ``trusted`` marks AutoCode's own parts and the agents link, which need no membership.
    """

    kind: ActorKind
    id: str
    name: str
    trusted: bool = False


SYSTEM = Actor(kind=ActorKind.SYSTEM, id="", name="AutoCode", trusted=True)
"""AutoCode itself: expiry, retention, start-up."""

AGENTS_SERVER = Actor(kind=ActorKind.SYSTEM, id="", name="agents-server", trusted=True)
"""The agents link, when no single agent is the author."""
