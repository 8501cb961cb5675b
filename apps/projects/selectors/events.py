"""Reading the log: positions, ranges, windows."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from apps.core import clock
from apps.projects.models import Project, ProjectEvent
from apps.projects.records import LoggedEvent, Position

_COLUMNS = ("seq", "id", "type", "at", "data")


def read_events(project_id: UUID, *, after: int, limit: int, max_bytes: int | None = None) -> list[LoggedEvent]:
    """Return the events with ``seq > after`` in order, at most ``limit`` of them.

    With ``max_bytes`` the list ends before the payloads' sum exceeds it (but holds at least one event).
    """
    rows = (
        ProjectEvent.objects.filter(project_id=project_id, seq__gt=after).order_by("seq").values_list(*_COLUMNS)[:limit]
    )
    events: list[LoggedEvent] = []
    size = 0
    for row in rows:
        event = _event(*row)
        size += len(event.data)
        if max_bytes is not None and size > max_bytes and events:
            break
        events.append(event)
    return events


def read_events_before(project_id: UUID, *, before: int, limit: int) -> list[LoggedEvent]:
    """Return the ``limit`` newest events with ``seq < before``, oldest first. For paging back through history."""
    rows = (
        ProjectEvent.objects.filter(project_id=project_id, seq__lt=before)
        .order_by("-seq")
        .values_list(*_COLUMNS)[:limit]
    )
    return [_event(*row) for row in reversed(rows)]


def _event(seq: int, event_id: UUID, type_: str, at: object, data: str) -> LoggedEvent:
    return LoggedEvent(seq=seq, id=str(event_id), type=type_, at=clock.to_wire(at), data=data.encode())  # type: ignore[arg-type]


def positions(project_ids: Collection[UUID]) -> dict[UUID, Position]:
    """Return where the logs of these projects stand: one query for any number of rooms."""
    rows = Project.objects.filter(pk__in=project_ids).values_list(
        "pk", "epoch", "last_seq", "first_seq", "access_version"
    )
    return {
        pk: Position(project_id=pk, epoch=epoch, last_seq=last, first_seq=first, access_version=access)
        for pk, epoch, last, first, access in rows
    }
