"""What AutoCode remembers about the link: its state for the rooms, its place in the agents-server's news."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.agents.models import LinkStatus
from apps.agents.services.lease import guard
from apps.core import clock

_ROW = 1


@dataclass(frozen=True, slots=True)
class Place:
    """How far the news of one agents-server (its epoch) was taken."""

    server_id: str
    epoch: str
    offset: int


def place() -> Place:
    """Return how far the agents-server's news was taken."""
    row = LinkStatus.objects.filter(pk=_ROW).first() or LinkStatus()
    return Place(server_id=row.server_id, epoch=row.epoch, offset=row.offset)


def record(lease_epoch: int, **values: Any) -> bool:
    """Write what is given about the link; return whether its state changed. Raises ``LeaseLost``."""
    with transaction.atomic():
        guard(lease_epoch)
        row, _ = LinkStatus.objects.get_or_create(pk=_ROW)
        changed = "state" in values and row.state != values["state"]
        if changed:
            row.since = clock.now()
        for name, value in values.items():
            setattr(row, name, value)
        row.save()
        return changed
