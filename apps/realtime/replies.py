"""What the server answers, and what it says to one connection: the shapes on the wire. Pure.

``@reply("name")`` declares one; the documents and the TypeScript types are generated from the list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from apps.agents.events import AgentsLink
from apps.agents.fold import Snapshot
from apps.core.events import Struct
from apps.realtime.events import PresenceMember

S = TypeVar("S", bound=type[Struct])

REPLIES: dict[str, type[Struct]] = {}


def reply(name: str) -> Callable[[S], S]:
    """Declare the payload class of the reply or direct message ``name``."""

    def declare(shape: S) -> S:
        REPLIES[name] = shape
        return shape

    return declare


class Heartbeat(Struct):
    """Ping every ``interval_ms`` (give or take 10 %); after interval + grace without a frame the socket is dead."""

    interval_ms: int
    grace_ms: int


@reply("authenticated")
class Authenticated(Struct):
    """Who is on this connection, until when; also the answer to a renewal."""

    user_id: str
    username: str
    expires_at: str
    heartbeat: Heartbeat | None = None


@reply("project_joined")
class ProjectJoined(Struct):
    """A room was joined, or its state must be taken anew.

    ``recovered``: the events after the client's ``lastSeq`` follow; otherwise ``reason`` (first_join, epoch_changed,
    trimmed, too_many) and a ``snapshot`` that is exact at ``last_seq``.
    """

    epoch: str
    last_seq: int
    recovered: bool
    role: str
    permissions: list[str]
    user_id: str
    username: str
    read_seq: int
    presence: list[PresenceMember]
    heartbeat: Heartbeat
    reason: str | None = None
    link: AgentsLink | None = None
    snapshot: Snapshot | None = None


@reply("project_left")
class ProjectLeft(Struct):
    """No frame of this project follows. ``reason``: left, or removed."""

    reason: str


@reply("subscribed")
class Subscribed(Struct):
    """The topics of this connection now. ``last_seq`` is the room's position for a topic of a room."""

    topics: list[str]
    last_seq: int | None = None


@reply("unsubscribed")
class Unsubscribed(Struct):
    """The topics of this connection now."""

    topics: list[str]


@reply("ack")
class Ack(Struct):
    """A command was carried out. ``duplicate``: it had been before, and this is what it was answered then.

    ``seq`` is the position of the event that it caused, if it caused one.
    """

    seq: int | None = None
    duplicate: bool = False
    message_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    approval_id: str | None = None


@reply("pong")
class Pong(Struct):
    """``t`` as it came; ``rooms`` has the last position of each joined room."""

    t: Any
    server_time: str
    rooms: dict[str, int]


@reply("error")
class ErrorNotice(Struct):
    """About a command or the connection, never the result of a run (protocol page, section 6)."""

    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None
    field: str | None = None
    details: dict[str, Any] | None = None


@reply("token_expiring")
class TokenExpiring(Struct):
    """Send ``authenticate`` with a new token before ``expires_at``."""

    expires_at: str


@reply("server_draining")
class ServerDraining(Struct):
    """The server is about to close this socket; come back after ``retry_after_ms``."""

    retry_after_ms: int
