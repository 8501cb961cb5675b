"""The outbox from the link's side: take what is next, settle what was answered. Short transactions, each guarded."""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.db.models import F, QuerySet

from apps.agents import commands
from apps.agents.cutting import cut_board
from apps.agents.errors import Ignored
from apps.agents.events import FeedbackState
from apps.agents.models import Approval, DeadLetter, OutboxMessage, Run
from apps.agents.models.link import OutboxState
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.lease import guard
from apps.core import clock
from apps.core.actor import SYSTEM
from apps.core.errors import AutoCodeError
from apps.projects.events import LogLevel, ProjectStatus
from apps.projects.models import Project, Task
from apps.projects.services import sql
from apps.projects.services.log import open_log
from apps.projects.services.logs import LogService
from apps.projects.wire import project_view, task_view

logger = logging.getLogger(__name__)

_OUTBOX = OutboxMessage._meta.db_table  # noqa: SLF001 - Django's documented name
_OPEN = "settled_at IS NULL"  # as in the index
_NOT_DUE = f"CASE WHEN promise.state = '{OutboxState.PENDING.value}' AND promise.due_at <= %s THEN 0 ELSE 1 END"
DUE = (
    "SELECT run.place, due.id, due.key, due.type, due.data, project.guid"  # noqa: S608
    f" FROM (SELECT promise.id, promise.project_id,"
    f" SUM({_NOT_DUE}) OVER earlier AS obstacles, ROW_NUMBER() OVER earlier AS place"
    f" FROM {_OUTBOX} AS promise WHERE {_OPEN}"
    f" WINDOW earlier AS (PARTITION BY promise.project_id ORDER BY promise.id)) AS run"
    f" JOIN {_OUTBOX} AS due ON due.id = run.id"
    f" JOIN {Project._meta.db_table} AS project ON project.id = due.project_id"  # noqa: SLF001
    f" WHERE run.project_id NOT IN (SELECT project_id FROM {_OUTBOX}"
    f" WHERE {_OPEN} AND state = '{OutboxState.SENT.value}')"
    f" AND run.obstacles = 0 AND run.place <= %s AND due.state = '{OutboxState.PENDING.value}'"
    f" ORDER BY run.place, run.id LIMIT %s"
)
"""The next promises of each project. Takes the present moment, how many of one project, how many in all."""
_LOCKED = " FOR UPDATE OF due SKIP LOCKED"
"""What another transaction is about to change or to drop waits for the next look, and its project behind it."""
_SETTLE = (
    f"UPDATE {_OUTBOX} SET state = '{OutboxState.ACKED.value}', settled_at = %s, last_error = ''"  # noqa: S608
    f" WHERE {_OPEN} AND attempts > 0 AND key IN"
)

RUN = 16
"""Promises of one project that are leased together."""
REFUSALS = 20
"""How often a promise may be sent in vain before it is dead."""
LONGEST_PAUSE_S = 60.0
SYNCED = 1_000
"""Projects in one sync."""
UPDATE_BYTES = 960 * 1024
"""What a project's update may take of the 1 MiB that servers read; above, its tasks are cut and left out."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A leased promise, ready to send."""

    key: str
    guid: str
    type: str
    data: dict[str, Any]

    @property
    def is_feedback(self) -> bool:
        """Whether a person waits for its receipts."""
        return self.type == "user_feedback"


def take(lease_epoch: int, *, limit: int, acked: Sequence[str] = (), held: Sequence[str] | None = None) -> list[Parcel]:
    """Lease the next promises of each project, at most ``RUN`` of one and ``limit`` in all; each project's in order.

    Each may be sent when the agents-server has the one before it. A project with one that is leased already has no
    next ones: the order within a project is exact. ``acked`` are keys that the agents-server has, of anything but
    feedback (see ``acked``): settled first, in the same transaction. ``held`` are the keys that the caller has of
    those leased before, if it is not sure to have them all: the others wait again. Raises ``LeaseLost``.
    """
    now = clock.now()
    with transaction.atomic():
        guard(lease_epoch)
        if acked:
            _settle(acked)
        if held is not None:
            leased = _leased().exclude(key__in=held)
            leased.update(state=OutboxState.PENDING.value)
        rows = _due(now, limit) if limit > 0 else []
        if rows:
            ids = [row_id for row_id, *_ in rows]
            OutboxMessage.objects.filter(pk__in=ids).update(
                state=OutboxState.SENT.value, sent_at=now, attempts=F("attempts") + 1
            )
        return [
            Parcel(
                key=str(_as_uuid(key)),
                guid=str(_as_uuid(guid)),
                type=kind,
                data=_content(row_id, data),
            )
            for row_id, key, kind, data, guid in rows
        ]


def _leased() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(state=OutboxState.SENT.value, settled_at__isnull=True)


def _due(now: dt.datetime, limit: int) -> list[Any]:
    """Return the next promises (id, key, type, data, guid), locked: of each project all before one that is not free."""
    lock = _LOCKED if connection.features.has_select_for_update_skip_locked else ""
    with connection.cursor() as cursor:
        cursor.execute(DUE + lock, [connection.ops.adapt_datetimefield_value(now), RUN, limit])
        found = cursor.fetchall()
    free: list[Any] = []
    reached: Counter[Any] = Counter()
    for place, *row in found:
        guid = row[-1]
        if place == reached[guid] + 1:
            reached[guid] = place
            free.append(row)
    return free


def _settle(keys: Sequence[str]) -> int:
    """Note that the agents-server has these; return how many that settled. What was never sent is not settled."""
    known = [sql.key(_uuid(key)) for key in keys]
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_SETTLE} ({', '.join(['%s'] * len(known))})",
            [connection.ops.adapt_datetimefield_value(clock.now()), *known],
        )
        return int(cursor.rowcount)


def _content(row_id: int, data: str | None) -> dict[str, Any]:
    """Return what is sent; a ``project_update`` is filled now, and stays as it is from its first try on."""
    if data is not None:
        known: dict[str, Any] = msgspec.json.decode(data)
        return known
    row = OutboxMessage.objects.select_related("project").get(pk=row_id)
    row.data = _project_update(row.project)
    row.save(update_fields=["data"])
    return row.data


def forwarded(lease_epoch: int, key: str) -> None:
    """A promise was written to the socket: a person's feedback is on its way."""
    _advance(lease_epoch, key, FeedbackState.FORWARDED)


def acked(lease_epoch: int, key: str, *, by_server: bool = True) -> bool:
    """The agents-server has it (or, without acks, it was sent). Return whether that settled anything."""
    found = OutboxMessage.objects.filter(key=_uuid(key)).values_list("type", flat=True).first()
    if found is None:
        return False
    with transaction.atomic():
        if found == "user_feedback" and by_server:
            _advance(lease_epoch, key, FeedbackState.DELIVERED)
        else:
            guard(lease_epoch)
        return bool(_settle([key]))


def refused(lease_epoch: int, key: str, *, code: str, message: str, retryable: bool) -> str:
    """The agents-server would not take it (or did not answer). Return the state that it has now.

    Retryable ones are tried again, ever more slowly, ``REFUSALS`` times; then they are dead like the others: a letter
    for the operator, a warning in the room, and a person's feedback has failed.
    """
    row = OutboxMessage.objects.filter(key=_uuid(key)).select_related("project").first()
    if row is None:
        return ""
    with open_log(row.project.guid, SYSTEM) as log:
        guard(lease_epoch)
        row = OutboxMessage.objects.select_related("project").get(pk=row.pk)
        if row.settled_at is not None or not row.attempts:
            return row.state  # it is over, or nobody can know of it
        row.refusals += 1
        row.last_error = f"{code}: {message}"[:500].replace("\x00", "")
        if retryable and row.refusals < REFUSALS:
            # By chance apart: those that were on their way together must not meet whatever broke the link again.
            pause = min(LONGEST_PAUSE_S, 0.5 * 2 ** (row.refusals - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
            row.state, row.due_at = OutboxState.PENDING.value, clock.now() + dt.timedelta(seconds=pause)
            row.save(update_fields=["state", "due_at", "refusals", "last_error"])
            return row.state
        row.state, row.settled_at = OutboxState.DEAD.value, clock.now()
        row.save(update_fields=["state", "settled_at", "refusals", "last_error"])
        DeadLetter.objects.create(
            direction="out",
            project=log.project,
            outbox=row,
            message_id=str(row.key),
            type=row.type,
            code=code[:40],
            reason=row.last_error,
            body=msgspec.json.encode(row.data).decode()[: 16 * 1024],
        )
        if row.type == "user_feedback":
            _step(str(log.project.guid), row.ref, FeedbackState.FAILED, note=row.last_error)
        said = f"The agents-server did not take {row.type}: {row.last_error}"
        LogService(SYSTEM).write(guid=log.project.guid, level=LogLevel.WARNING, source="agents-link", lines=[said])
        return row.state


def give_back(lease_epoch: int, keys: list[str] | None = None) -> int:
    """Make leased promises wait again (all of them, when the link came or went); they keep their ids."""
    with transaction.atomic():
        guard(lease_epoch)
        rows = _leased()
        if keys is not None:
            rows = rows.filter(key__in=keys)
        return rows.update(state=OutboxState.PENDING.value)


def what_is_open() -> list[commands.ProjectStatusSync]:
    """Return what AutoCode believes is open in all projects at work, in parts of ``SYNCED`` projects; at least one."""
    projects = Project.objects.exclude(status__in=[ProjectStatus.DRAFT.value, ProjectStatus.ARCHIVED.value])
    found = dict(projects.values_list("pk", "guid"))
    statuses = dict(projects.values_list("pk", "status"))
    runs = _by_project(Run.objects.filter(status="running", project_id__in=found))
    approvals = _by_project(Approval.objects.filter(state="pending", project_id__in=found))
    believed = [
        commands.SyncProject(
            guid=str(guid),
            status=ProjectStatus(statuses[pk]),
            open_run_ids=runs.get(pk, []),
            pending_approval_ids=approvals.get(pk, []),
        )
        for pk, guid in found.items()
        if pk in statuses
    ]
    starts = range(0, max(1, len(believed)), SYNCED)
    return [commands.ProjectStatusSync(projects=believed[start : start + SYNCED]) for start in starts]


def _by_project(rows: Any) -> dict[UUID, list[str]]:
    found: dict[UUID, list[str]] = {}
    for project_id, key in rows.order_by("seq").values_list("project_id", "key"):
        found.setdefault(project_id, []).append(key)
    return found


def _project_update(project: Project) -> dict[str, Any]:
    tasks = Task.objects.filter(project=project).order_by("position", "number")
    update = commands.ProjectUpdate(project=project_view(project), tasks=[task_view(task) for task in tasks])
    cut_board(update, UPDATE_BYTES)
    built: dict[str, Any] = msgspec.to_builtins(update)
    return built


def _advance(lease_epoch: int, key: str, state: FeedbackState) -> None:
    row = OutboxMessage.objects.filter(key=key, type="user_feedback").select_related("project").first()
    if row is None:
        return
    guid = str(row.project.guid)
    with open_log(guid, SYSTEM):
        guard(lease_epoch)
        _step(guid, row.ref, state)


def _step(guid: str, feedback_id: str, state: FeedbackState, note: str = "") -> None:
    """Move the feedback on; what is further already, or gone, is none of the relay's business."""
    with open_log(guid, SYSTEM) as log:
        try:
            with log.savepoint():
                FeedbackService(SYSTEM).advance(guid=guid, feedback_id=feedback_id, state=state, note=note)
        except Ignored:
            return
        except AutoCodeError:
            logger.warning("feedback %s cannot become %s", feedback_id, state)


def _as_uuid(value: UUID | str) -> UUID:
    """Return what a database gave for a UUID as one."""
    return value if isinstance(value, UUID) else UUID(value)


def _uuid(key: str) -> UUID:
    """Return the key as a UUID; what is none matches no row."""
    try:
        return UUID(key)
    except ValueError:
        return UUID(int=0)
