"""The lease of the link: at most one process in the cluster speaks to the agents-server.

The row's ``epoch`` rises with each holder. Every transaction of the link calls ``guard`` first, so that a holder that
was thought dead, and was only slow, can no longer write: its transaction commits before the takeover or not at all.
Whether a lease has expired is asked of the database's clock, which is one for all.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from apps.agents.models import LinkLease

_ROW = 1
_HELD = f"SELECT epoch FROM {LinkLease._meta.db_table} WHERE id = %s"  # noqa: S608, SLF001 - no value is in it


class LeaseLost(Exception):  # noqa: N818 - a turn of events, not a fault
    """Another process holds the link now."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a holder got: the epoch that it writes under, and the installation's name."""

    epoch: int
    bridge_id: str


def acquire(holder: str, *, ttl_s: float) -> Lease | None:
    """Take the lease for ``ttl_s`` seconds; None while another holder's has not expired."""
    with transaction.atomic():
        LinkLease.objects.get_or_create(pk=_ROW)
        # The strongest lock, as none of the weaker ones waits for those of guard.
        row = LinkLease.objects.select_for_update().annotate(expired=Q(expires_at__lte=Now())).get(pk=_ROW)
        if row.holder and row.holder != holder and not row.expired:
            return None
        row.epoch += 1
        row.holder, row.expires_at = holder, _after(ttl_s)
        row.save()
        return Lease(epoch=row.epoch, bridge_id=row.bridge_id)


def renew(epoch: int, *, ttl_s: float) -> None:
    """Hold on for another ``ttl_s`` seconds. Raises ``LeaseLost``."""
    if not LinkLease.objects.filter(pk=_ROW, epoch=epoch).update(expires_at=_after(ttl_s)):
        raise LeaseLost


def release(epoch: int) -> None:
    """Let the next one have it at once."""
    LinkLease.objects.filter(pk=_ROW, epoch=epoch).update(holder="", expires_at=Now())


def _after(seconds: float) -> CombinedExpression:
    return Now() + dt.timedelta(seconds=seconds)


def guard(epoch: int) -> None:
    """Make sure that ``epoch`` is still the holder's until this transaction ends. Raises ``LeaseLost``.

    A shared lock of the row's key on PostgreSQL: projects' transactions do not wait for each other, nor the renewal for
    them; only a takeover does. On SQLite a writing transaction is alone anyway.
    """
    lock = " FOR KEY SHARE" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(_HELD + lock, [_ROW])
        row = cursor.fetchone()
    if row is None or row[0] != epoch:
        raise LeaseLost
