"""Reading what runs used."""

from __future__ import annotations

from uuid import UUID

from apps.agents import events as a
from apps.agents.fold import TotalUsage
from apps.agents.models import ProjectUsage, Run
from apps.agents.wire import struct


def total_usage(project_id: UUID) -> TotalUsage:
    """Return the sum over the project's ended runs."""
    total = ProjectUsage.objects.filter(project_id=project_id).first()
    if total is None:
        return TotalUsage()
    return TotalUsage(**{name: getattr(total, name) for name in TotalUsage.__struct_fields__})


def running_usage(project_id: UUID) -> dict[str, a.UsageTotals]:
    """Return what the open runs used so far, by ``runId``; those that have not told are missing."""
    rows = Run.objects.filter(project_id=project_id, status=a.RunStatus.RUNNING.value, usage__isnull=False)
    return {key: struct(usage, a.UsageTotals) for key, usage in rows.order_by("seq").values_list("key", "usage")}
