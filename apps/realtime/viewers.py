"""Who looks at a room: a socket, an event stream or a long poll. To the room they are all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from apps.core.errors import AutoCodeError
from apps.projects.permissions import Role
from apps.realtime.frames import Frame, Frames


class Owner(Protocol):
    """What a connection does with what a room tells it. Nothing here may block or raise."""

    @property
    def put(self) -> Callable[[Frame], None]:
        """Sends a frame. A property, so that an owner can offer its outlet's own method: one call less a delivery."""

    @property
    def put_all(self) -> Callable[[Frames], None]:
        """Sends frames that came together."""

    def access_lost(self, viewer: Viewer, error: AutoCodeError) -> None:
        """The user may no longer see the room; the viewer is detached already."""

    def access_changed(self, viewer: Viewer) -> None:
        """The role in ``viewer`` is a new one."""

    def position_lost(self, viewer: Viewer, reason: str) -> None:
        """The room starts anew; the viewer is detached and has to join again."""


@dataclass(slots=True, eq=False)
class Viewer:
    """One connection's place in one room.

    ``joined``: gets every durable event; otherwise (only subscribed) those of its ``topics``. ``topics`` None means
    all news that is never stored, else that of these topics. ``seq`` is the last durable event that it was given.
    """

    owner: Owner
    connection_id: str
    user_id: str
    username: str
    role: Role
    read_seq: int = 0
    joined: bool = True
    topics: set[str] | None = None
    seq: int = 0
    present: bool = field(default=False)
    """Whether the viewer counts in the room's presence."""
    put: Callable[[Frame], None] = field(init=False)
    """The owner's ``put``, kept here: a broadcast asks for it once a viewer."""

    def __post_init__(self) -> None:
        self.put = self.owner.put

    def wants_event(self, topic: str) -> bool:
        """Tell whether a durable event of ``topic`` is for this viewer."""
        return self.joined or (self.topics is not None and topic in self.topics)

    def wants_piece(self, topic: str) -> bool:
        """Tell whether news of ``topic`` is for this viewer."""
        return self.topics is None or topic in self.topics
