"""The values that travel through the signals. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec

from apps.core.events import EventClass, Payload


class LoggedEvent(msgspec.Struct, frozen=True):
    """One durable event. ``data`` is the payload as JSON bytes, exactly as it goes on the wire; ``at`` is RFC 3339."""

    seq: int
    id: str
    type: str
    at: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """News that is never stored.

    ``key`` names the value (class latest) or the stream (class stream): a later one of the same key replaces or
    continues it. ``ends`` on a durable event's side is not needed: the durable event itself ends the stream.
    ``text_field``: for streams, the payload's field that holds the piece (``delta``); ``offset`` is set by the merger.
    """

    guid: str
    key: str
    event_class: EventClass
    payload: Payload


@dataclass(frozen=True, slots=True)
class Position:
    """Where a project's log stands. ``first_seq`` is the oldest event that is still kept."""

    project_id: UUID
    epoch: str
    last_seq: int
    first_seq: int
    access_version: int


@dataclass(frozen=True, slots=True)
class AccessChange:
    """Somebody's access changed.

    In one project (``guid``), in one login (``session_hash``), or everywhere.
    """

    user_id: str
    guid: str | None = None
    session_hash: str | None = None
    reason: str = ""
