"""What the agents' services raise beyond the common tree."""

from __future__ import annotations

from apps.core.errors import Conflict


class Ignored(Conflict):
    """News that came too late or twice: it changes nothing and the room stays as it is. The text says why."""

    default_message = "This came too late and changes nothing."


class Stale(Conflict):
    """A decision about arguments that are no longer the asked ones; ``details`` is ``{"reason": "stale"}``."""

    default_message = "The arguments have changed since you looked. Look again before you decide."

    def __init__(self, message: str = "") -> None:
        super().__init__(message, field="argsDigest", details={"reason": "stale"})
