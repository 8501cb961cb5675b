"""The outbox from the link's side: take what is next, settle what was answered. Short transactions, each guarded."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import Min

from apps.agents import commands
from apps.agents.errors import Ignored
from apps.agents.events import FeedbackState
from apps.agents.models import Approval, DeadLetter, OutboxMessage, Run
from apps.agents.models.link import OPEN_STATES, OutboxState
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.lease import guard
from apps.core import clock
from apps.core.actor import SYSTEM
from apps.core.errors import AutoCodeError
from apps.projects.events import LogLevel, ProjectStatus
from apps.projects.models import Project, Task
from apps.projects.services.log import open_log
from apps.projects.services.logs import LogService
from apps.projects.wire import project_view, task_view

logger = logging.getLogger(__name__)

REFUSALS = 20
"""How often a promise may be sent in vain before it is dead."""
LONGEST_PAUSE_S = 60.0


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


def take(lease_epoch: int, *, limit: int) -> list[Parcel]:
    """Lease the next promise of each project (at most ``limit``), the oldest first.

    A project whose last one was not answered yet has no next one: the order within a project is exact. Raises
    ``LeaseLost``.
    """
    with transaction.atomic():
        guard(lease_epoch)
        heads = (
            OutboxMessage.objects.filter(state__in=OPEN_STATES)
            .order_by()
            .values("project_id")
            .annotate(head=Min("id"))
            .values_list("head", flat=True)
        )
        due = OutboxMessage.objects.filter(pk__in=list(heads), state=OutboxState.PENDING.value, due_at__lte=clock.now())
        rows = list(due.select_related("project").order_by("id")[:limit])
        for row in rows:
            row.state, row.sent_at = OutboxState.SENT.value, clock.now()
            row.attempts += 1
            if row.data is None:
                row.data = _project_update(row.project)
            row.save(update_fields=["state", "sent_at", "attempts", "data"])
        return [
            Parcel(key=str(row.key), guid=str(row.project.guid), type=row.type, data=row.data or {}) for row in rows
        ]


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
        settled = OutboxMessage.objects.filter(key=key, state__in=OPEN_STATES, attempts__gt=0).update(
            state=OutboxState.ACKED.value, settled_at=clock.now(), last_error=""
        )
    return bool(settled)


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
        if row.state not in OPEN_STATES:
            return row.state
        row.refusals += 1
        row.last_error = f"{code}: {message}"[:500].replace("\x00", "")
        if retryable and row.refusals < REFUSALS:
            pause = min(LONGEST_PAUSE_S, 0.5 * 2 ** (row.refusals - 1))
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
        rows = OutboxMessage.objects.filter(state=OutboxState.SENT.value)
        if keys is not None:
            rows = rows.filter(key__in=keys)
        return rows.update(state=OutboxState.PENDING.value)


def what_is_open() -> commands.ProjectStatusSync:
    """Return what AutoCode believes is open in all projects at work."""
    projects = Project.objects.exclude(status__in=[ProjectStatus.DRAFT.value, ProjectStatus.ARCHIVED.value])
    found = dict(projects.values_list("pk", "guid"))
    statuses = dict(projects.values_list("pk", "status"))
    runs = _by_project(Run.objects.filter(status="running", project_id__in=found))
    approvals = _by_project(Approval.objects.filter(state="pending", project_id__in=found))
    return commands.ProjectStatusSync(
        projects=[
            commands.SyncProject(
                guid=str(guid),
                status=ProjectStatus(statuses[pk]),
                open_run_ids=runs.get(pk, []),
                pending_approval_ids=approvals.get(pk, []),
            )
            for pk, guid in found.items()
            if pk in statuses
        ]
    )


def _by_project(rows: Any) -> dict[UUID, list[str]]:
    found: dict[UUID, list[str]] = {}
    for project_id, key in rows.order_by("seq").values_list("project_id", "key"):
        found.setdefault(project_id, []).append(key)
    return found


def _project_update(project: Project) -> dict[str, Any]:
    tasks = Task.objects.filter(project=project).order_by("position", "number")
    update = commands.ProjectUpdate(project=project_view(project), tasks=[task_view(task) for task in tasks])
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


def _uuid(key: str) -> UUID:
    """Return the key as a UUID; what is none matches no row."""
    try:
        return UUID(key)
    except ValueError:
        return UUID(int=0)
