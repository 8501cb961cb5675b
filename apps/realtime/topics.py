"""Topics: the names of streams within a room (``project:<guid>/<topic>``) and of the system's own. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from apps.core.errors import InvalidField, NotFound

SYSTEM_STATS = "system/stats"
"""Live figures of this server; staff only."""

SYSTEM_TOPICS = frozenset({SYSTEM_STATS})


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic: ``guid`` is None for the system's, ``name`` is what stands after the slash."""

    guid: str | None
    name: str

    def __str__(self) -> str:
        return self.name if self.guid is None else room_topic(self.guid, self.name)


def room_topic(guid: str, name: str) -> str:
    """Return the topic ``name`` of a room as it stands on the wire."""
    return f"project:{guid}/{name}"


def parse_topic(text: str, known: frozenset[str]) -> Topic:
    """Return ``text`` as a topic; ``known`` are the names of rooms' topics.

    Raises ``InvalidField`` for a form or a name that does not exist, ``NotFound`` for a project that cannot exist.
    """
    if text in SYSTEM_TOPICS:
        return Topic(None, text)
    prefix, separator, rest = text.partition(":")
    guid, slash, name = rest.partition("/")
    if prefix != "project" or not separator or not slash:
        raise InvalidField("A topic is project:<guid>/<name> or system/stats.", field="topic")
    if name not in known:
        raise InvalidField("There is no such topic.", field="topic")
    try:
        return Topic(str(UUID(guid)), name)
    except ValueError:
        raise NotFound from None
