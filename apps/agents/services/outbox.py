"""Promises to the agents-server: made in the transaction of their cause, sent by the link."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from apps.agents import commands
from apps.agents.models import OutboxMessage
from apps.agents.models.link import OutboxState
from apps.core import clock
from apps.core.correlation import current_correlation_id
from apps.projects.services import sql
from apps.projects.services.log import ProjectLog

logger = logging.getLogger(__name__)
_TYPES = {kind: name for name, kind in commands.OUTBOUND.items()}
_wakers: list[Callable[[], None]] = []


def enqueue(log: ProjectLog, payload: commands.Outbound, *, ref: str = "") -> None:
    """Promise ``payload`` to the agents-server, with the open log; ``ref`` is the wire id of what it carries."""
    _insert(log, _TYPES[type(payload)], msgspec.to_builtins(payload), ref)


def enqueue_project_update(log: ProjectLog) -> None:
    """Promise that the agents-server learns how the project is now, unless that is promised already.

    An update that was not sent yet is filled when it goes out.
    """
    waiting = OutboxMessage.objects.filter(
        project=log.project, type="project_update", state=OutboxState.PENDING.value, attempts=0, settled_at__isnull=True
    )
    # Locked, so that it is not filled before this transaction's changes can be seen. The link leaves it out meanwhile.
    if waiting.select_for_update().values_list("pk", flat=True):
        transaction.on_commit(wake, robust=True)
    else:
        _insert(log, "project_update", None, "")


def _insert(log: ProjectLog, name: str, data: dict[str, Any] | None, ref: str) -> None:
    transaction.on_commit(wake, robust=True)
    promise = {"project_id": log.project.pk, "type": name, "data": data, "ref": ref}
    sql.insert(OutboxMessage, [promise | {"correlation_id": current_correlation_id()[:64]}])


def drop(project_id: UUID, *, type: str, ref: str) -> None:  # noqa: A002 - the word of the wire
    """Take back a promise that was not sent yet, because its reason is gone. For use inside an open log."""
    OutboxMessage.objects.filter(
        project_id=project_id, type=type, ref=ref, state=OutboxState.PENDING.value, attempts=0, settled_at__isnull=True
    ).update(state=OutboxState.DROPPED.value, settled_at=clock.now())


def wake() -> None:
    """Tell the links of this process that there is something to send. Those of other processes look by themselves."""
    for waker in _wakers:
        with contextlib.suppress(RuntimeError):  # its event loop has just ended
            waker()


def on_wake(waker: Callable[[], None]) -> Callable[[], None]:
    """Call ``waker`` (from any thread) after each commit that promised something; return what takes it back."""
    _wakers.append(waker)
    return lambda: _wakers.remove(waker)
