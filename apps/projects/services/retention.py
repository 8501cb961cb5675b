"""Retention: the log is kept for a time and up to a length, per project. State is never touched."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import F

from apps.accounts.database_clock import database_now
from apps.core import clock
from apps.core.actor import SYSTEM
from apps.projects.models import Project, ProjectEvent
from apps.projects.services.log import open_log

AT_ONCE: Final = 2_000
"""Events of one transaction: its project waits for it."""


def prune_project(guid: UUID | str, *, until: float = math.inf) -> int:
    """Remove the oldest events beyond ``AUTOCODE_LOG_DAYS`` or ``AUTOCODE_LOG_EVENTS``; return how many went.

    After the moment ``until`` (of ``clock.monotonic``) no further part is begun.
    """
    gone = 0
    while part := _prune_part(guid):
        gone += part
        if clock.monotonic() >= until:
            break
    return gone


def _prune_part(guid: UUID | str) -> int:
    """Remove at most ``AT_ONCE`` of them.

    ``first_seq`` moves with them in the same transaction, so a reader is told ``trimmed`` and never gets a part.
    """
    with open_log(guid, SYSTEM) as log:
        project = log.project
        oldest_moment = database_now() - dt.timedelta(days=settings.AUTOCODE_LOG_DAYS)
        by_count = project.last_seq - settings.AUTOCODE_LOG_EVENTS
        oldest = ProjectEvent.objects.filter(project=project).order_by("seq").values_list("seq", "at")[:AT_ONCE]
        going = list(itertools.takewhile(lambda event: event[0] <= by_count or event[1] < oldest_moment, oldest))
        if not going:
            return 0
        last_gone = going[-1][0]
        gone, _ = ProjectEvent.objects.filter(project=project, seq__lte=last_gone).delete()
        Project.objects.filter(pk=project.pk).update(first_seq=last_gone + 1)
        project.first_seq = last_gone + 1
        return gone


def prune_due(*, until: float = math.inf) -> int:
    """Prune the projects whose log is too long or too old; return how many events went. Cheap when there are none."""
    oldest_moment = database_now() - dt.timedelta(days=settings.AUTOCODE_LOG_DAYS)
    too_long = Project.objects.filter(last_seq__gte=F("first_seq") + settings.AUTOCODE_LOG_EVENTS)
    too_old = ProjectEvent.objects.filter(seq=F("project__first_seq"), at__lt=oldest_moment)
    due = {*too_long.values_list("guid", flat=True), *too_old.values_list("project__guid", flat=True)}
    return sum(prune_project(guid, until=until) for guid in due)


def prune_all() -> int:
    """Prune every project; return how many events went."""
    return sum(prune_project(guid) for guid in Project.objects.values_list("guid", flat=True))
