"""Removing what is kept for a time only, however much has gathered."""

from __future__ import annotations

import math
from typing import Any, Final

from django.db import models

from apps.core import clock

AT_ONCE: Final = 1_000
"""Rows of one transaction: some tens of milliseconds, so that nobody waits and no statement takes too long."""


def remove(rows: models.QuerySet[Any], *, until: float = math.inf) -> int:
    """Remove ``rows`` with what belongs to them, part after part; return how many went. Safe to run twice at once.

    After the moment ``until`` (of ``clock.monotonic``) no further part is begun.
    """
    gone, primary_keys = 0, rows.order_by().values_list("pk", flat=True)
    while part := list(primary_keys[:AT_ONCE]):
        of_part = rows.model._base_manager.filter(pk__in=part)  # noqa: SLF001 - Django's documented name
        # Not the manager's own: that of the audit trail refuses.
        removed, _ = models.QuerySet.delete(of_part)
        gone += removed
        if not removed or clock.monotonic() >= until:
            break  # somebody else removes the same; or the rest has time
    return gone
