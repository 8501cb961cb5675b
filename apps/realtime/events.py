"""What a room shows about its viewers, and the server about itself: events that are never stored. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import field

from apps.core.events import EventClass, Payload, Struct, event


class Focus(Struct):
    """What somebody looks at: names of panes, and an agent."""

    panes: list[str] = field(default_factory=list)
    agent_id: str | None = None


class PresenceMember(Struct):
    """Somebody who has the room open; ``tabs`` counts connections, ``since`` is the oldest one's beginning."""

    user_id: str
    username: str
    role: str
    tabs: int
    state: str
    since: str
    focus: Focus | None = None
    typing: bool = False


@event("presence_state", EventClass.LATEST, topic="presence")
class PresenceState(Payload):
    """Everybody who has the room open."""

    members: list[PresenceMember]


@event("presence_diff", EventClass.LATEST, topic="presence")
class PresenceDiff(Payload):
    """Members that came or changed (whole), and the ids of users who left."""

    joined: list[PresenceMember]
    left: list[str]


@event("system_stats", EventClass.LATEST, topic="stats")
class SystemStats(Payload):
    """Live figures of one process; for staff, by the topic ``system/stats``."""

    process: str
    figures: dict[str, Any]
