"""Snapshot at *a*, folded with the events *a+1 … b*, is the snapshot at *b*: the rule that every service is held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from apps.agents import fold
from apps.agents.selectors.snapshot import room_snapshot
from apps.core.events import catalogue
from apps.projects.models import Project
from apps.projects.records import LoggedEvent
from apps.projects.selectors.events import read_events

R = TypeVar("R")


def recorded(event: LoggedEvent) -> fold.Recorded:
    """Return a log event as the fold takes it."""
    payload = msgspec.json.decode(event.data, type=catalogue()[event.type].payload)
    return fold.Recorded(
        seq=event.seq, type=event.type, at=event.at, payload=payload, data=msgspec.json.decode(event.data)
    )


def as_json(snapshot: fold.Snapshot) -> Any:
    """Return a snapshot as plain JSON values, for comparison."""
    return msgspec.json.decode(msgspec.json.encode(snapshot))


def assert_replayable(guid: UUID | str, action: Callable[[], R]) -> R:
    """Run ``action`` and check that the project's new events turn the snapshot before it into the one after it.

    Also: ``seq`` rises by one. Whatever ``action`` raises is raised again after the check: a
    refusal must leave no trace.
    """
    project_id = Project.objects.values_list("pk", flat=True).get(guid=guid)
    state = room_snapshot(project_id)
    before = as_json(state)
    try:
        return action()
    except Exception:
        assert as_json(room_snapshot(project_id)) == before, "a refusal left a trace"
        raise
    finally:
        after = room_snapshot(project_id)
        events = read_events(project_id, after=state.last_seq, limit=10_000)
        assert [event.seq for event in events] == list(range(state.last_seq + 1, after.last_seq + 1))
        for event in events:
            fold.fold(state, recorded(event))
        assert as_json(state) == as_json(after)
