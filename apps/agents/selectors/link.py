"""Reading the link: how it stands, and what waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Min, Q
from django.db.models.functions import Now

from apps.agents import events as a
from apps.agents.models import DeadLetter, LinkLease, LinkStatus, OutboxMessage
from apps.core import clock
from apps.projects.selectors.access import as_guid


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What an operator watches. ``oldest_s`` seconds since the oldest waiting promise was made."""

    state: str
    since: str
    lag_ms: int | None
    error: str
    gap: str
    queued: int
    sent: int
    oldest_s: float
    dead_letters: int


def link_status() -> LinkStatus:
    """Return how the link stands; a holder that died without a word has lost it when its lease expired."""
    status = LinkStatus.objects.first() or LinkStatus(acks=settings.AUTOCODE_AGENTS_ACKS)
    held_by_now = Q(expires_at__gt=Now())  # by the one clock that all processes share
    lease = LinkLease.objects.annotate(held=held_by_now).values_list("held", "expires_at").first()
    if lease is None or not lease[0]:
        if lease is not None and status.state != a.LinkState.DOWN.value:
            status.since = lease[1]
        status.state = a.LinkState.DOWN.value
    return status


def waiting_counts() -> dict[str, int]:
    """Return how many promises wait, by project; those with none are left out."""
    rows = OutboxMessage.objects.filter(settled_at__isnull=True).values_list("project__guid").order_by()
    return {str(guid): count for guid, count in rows.annotate(Count("pk"))}


def link_view(guid: UUID | str) -> a.AgentsLink:
    """Return the truth about the link for this project: its state, and how much waits here."""
    return link_views([str(as_guid(guid))])[str(as_guid(guid))]


def link_views(guids: Sequence[str]) -> dict[str, a.AgentsLink]:
    """Return ``link_view`` of many projects with two queries."""
    status = link_status()
    waiting = (
        OutboxMessage.objects.filter(project__guid__in=guids, settled_at__isnull=True)
        .values_list("project__guid")
        .order_by()
        .annotate(count=Count("pk"), oldest=Min("created_at"))
    )
    rows = {str(guid): (count, oldest) for guid, count, oldest in waiting}
    now = clock.now()
    views = {}
    for guid in guids:
        count, oldest = rows.get(guid, (0, None))
        views[guid] = a.AgentsLink(
            state=a.LinkState(status.state),
            since=clock.to_wire(status.since),
            queued=count,
            oldest_s=round(max(0.0, (now - oldest).total_seconds()), 1) if oldest else 0.0,
            lag_ms=status.lag_ms,
            gap=status.gap or None,
            acks=status.acks,
        )
    return views


def link_figures() -> LinkFigures:
    """Return the figures of the whole link, for metrics and the operator's page."""
    status = link_status()
    counts = dict(
        OutboxMessage.objects.filter(settled_at__isnull=True).values_list("state").order_by().annotate(Count("pk"))
    )
    oldest = OutboxMessage.objects.filter(settled_at__isnull=True).aggregate(oldest=Min("created_at"))["oldest"]
    return LinkFigures(
        state=status.state,
        since=clock.to_wire(status.since),
        lag_ms=status.lag_ms,
        error=status.error,
        gap=status.gap,
        queued=counts.get("pending", 0),
        sent=counts.get("sent", 0),
        oldest_s=(clock.now() - oldest).total_seconds() if oldest else 0.0,
        dead_letters=DeadLetter.objects.filter(resolved_at=None).count(),
    )
