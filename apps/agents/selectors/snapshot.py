"""The room's snapshot: what a fold of the whole log would give, read from the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from django.db import connection, models, transaction

from apps.agents import fold
from apps.agents.models import Agent, Approval, Feedback, ProjectUsage, Run, ToolCall
from apps.agents.wire import agent_view, approval_view, call_view, feedback_view, run_view
from apps.core import clock
from apps.core.errors import NotFound
from apps.projects import events as p
from apps.projects.models import Project, ProjectEvent
from apps.projects.selectors.room import project_part

M = TypeVar("M", bound=models.Model)


def room_snapshot(project_id: UUID) -> fold.Snapshot:
    """Return everything that the room shows, exact at its ``last_seq``. Takes no lock that a writer waits for.

    One transaction sees one state: on PostgreSQL it is REPEATABLE READ, on SQLite every transaction is. Inside a
    transaction that is already open (a test's, a command's) that one's view is used.

    Raises ``NotFound``.
    """
    with _one_state():
        project = Project.objects.filter(pk=project_id).first()
        if project is None:
            raise NotFound
        part = project_part(project, messages=fold.MESSAGES, notifications=fold.NOTIFICATIONS)
        locks = fold.Locks(version=part.pop("locks_version"), locks=part.pop("locks"))
        return fold.Snapshot(
            epoch=project.epoch, last_seq=project.last_seq, locks=locks, **part, **_agents_part(project)
        )


def _agents_part(project: Project) -> dict[str, Any]:
    runs = Run.objects.filter(project=project).select_related("agent")
    calls = ToolCall.objects.filter(project=project).select_related("run__agent")
    approvals = Approval.objects.filter(project=project)
    feedback = Feedback.objects.filter(project=project)
    return {
        "agents": [agent_view(agent) for agent in Agent.objects.filter(project=project).order_by("seq")],
        "runs": [run_view(run) for run in _window(runs, fold.RUNS, status="running")],
        "tool_calls": [call_view(call) for call in _window(calls, fold.TOOL_CALLS, status="running")],
        "approvals": [approval_view(one) for one in _window(approvals, fold.APPROVALS, state="pending")],
        "feedback": [feedback_view(one) for one in _window(feedback, fold.FEEDBACK)],
        "activity": _activity(project),
        "logs": _logs(project),
        "usage": _usage(project),
    }


def _window(rows: models.QuerySet[M], size: int, **is_open: str) -> list[M]:
    """Return the newest ``size`` rows by ``seq``, oldest first; before them those older ones that are still open."""
    newest = list(rows.order_by("-seq")[:size])
    if is_open and len(newest) == size:
        oldest: Any = newest[-1]
        newest += rows.filter(seq__lt=oldest.seq, **is_open).order_by("-seq")
    return newest[::-1]


def _activity(project: Project) -> list[fold.ActivityItem]:
    rows = ProjectEvent.objects.filter(project=project, type__in=fold.ACTIVITY_TYPES).order_by("-seq")[: fold.ACTIVITY]
    return [
        fold.ActivityItem(
            seq=row.seq, type=row.type, timestamp=clock.to_wire(row.at), data=msgspec.json.decode(row.data)
        )
        for row in reversed(rows)
    ]


def _logs(project: Project) -> list[fold.LogItem]:
    rows = ProjectEvent.objects.filter(project=project, type="log").order_by("-seq")[: fold.LOGS]
    return [
        fold.LogItem(seq=row.seq, at=clock.to_wire(row.at), log=msgspec.json.decode(row.data, type=p.LogLines))
        for row in reversed(rows)
    ]


def _usage(project: Project) -> fold.TotalUsage:
    total = ProjectUsage.objects.filter(project=project).first()
    if total is None:
        return fold.TotalUsage()
    return fold.TotalUsage(**{name: getattr(total, name) for name in fold.TotalUsage.__struct_fields__})


@contextmanager
def _one_state() -> Iterator[None]:
    if connection.in_atomic_block:
        yield
        return
    with _deferred(), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


@contextmanager
def _deferred() -> Iterator[None]:
    """On SQLite begin without the write lock that our settings ask for: a reader must not wait for writers."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    before = connection.transaction_mode  # type: ignore[attr-defined]
    connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connection.transaction_mode = before  # type: ignore[attr-defined]
