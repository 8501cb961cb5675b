"""The catalogue of events: every fact that a room can show, declared once.

A payload class is a msgspec struct with ``@event("name", …)``. Validation, the AsyncAPI document, the TypeScript
types and the tests of the registry are all read from here. Knows JSON shapes; knows neither Django nor sockets.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec


class EventClass(enum.StrEnum):
    """What happens to an event (protocol page, section 2)."""

    DURABLE = "durable"
    """In the log, has a ``seq``, replayed, never dropped."""
    LATEST = "latest"
    """Not stored; only the newest of its key counts."""
    STREAM = "stream"
    """Not stored; pieces merge into one growing frame."""


class Struct(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Base of every shape on the wire: camelCase names, unknown fields refused."""


class Payload(Struct):
    """The ``data`` of one event type."""


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the registry: the wire name, its payload class, its classes and the topic that it belongs to."""

    name: str
    payload: type[Payload]
    classes: frozenset[EventClass]
    topic: str


ROOM: Final = "room"
"""The topic of whatever has none of its own."""

P = TypeVar("P", bound=type[Payload])

_by_name: dict[str, EventType] = {}
_by_payload: dict[type[Payload], EventType] = {}


def event(name: str, *classes: EventClass, topic: str = ROOM) -> Callable[[P], P]:
    """Declare the payload class of the event ``name``.

    ``classes`` are the ways in which it may travel (``message`` is a stream and then durable); ``topic`` is the part
    after the slash of ``project:<guid>/<topic>``.

    Raises ``ValueError`` when the name or the class is declared twice.
    """

    def declare(payload: P) -> P:
        if name in _by_name or payload in _by_payload:
            msg = f"event {name!r} is declared twice"
            raise ValueError(msg)
        row = EventType(name=name, payload=payload, classes=frozenset(classes), topic=topic)
        _by_name[name] = row
        _by_payload[payload] = row
        return payload

    return declare


def topic_of(name: str) -> str:
    """Return the topic of the event ``name``: ``room`` when there is none, as for one that a newer version declares."""
    row = _by_name.get(name)
    return row.topic if row is not None else ROOM


def type_of(payload: Payload) -> EventType:
    """Return the row of this payload's class. Raises ``KeyError`` when the class was never declared."""
    return _by_payload[type(payload)]


def catalogue() -> dict[str, EventType]:
    """Return all declared events by name (a copy)."""
    return dict(_by_name)


def to_builtins(payload: Struct) -> dict[str, Any]:
    """Return ``payload`` as plain JSON values with the names of the wire."""
    built: dict[str, Any] = msgspec.to_builtins(payload)
    return built
