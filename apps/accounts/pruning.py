"""Removing what is kept for a time only, however much has gathered."""

from __future__ import annotations

from typing import Any, Final

from django.db import models

AT_ONCE: Final = 2_000
"""Rows of one transaction: some tens of milliseconds, so that nobody waits and no statement takes too long."""


def remove(rows: models.QuerySet[Any], *, at_once: int = AT_ONCE) -> int:
    """Remove ``rows`` with what belongs to them; return how many went. Safe to run twice at once.

    What was removed stays removed when a later part fails.
    """
    gone, primary_keys = 0, rows.order_by().values_list("pk", flat=True)
    while part := list(primary_keys[:at_once]):
        of_part = rows.model._base_manager.filter(pk__in=part)  # noqa: SLF001 - Django's documented name
        # Not the manager's own: that of the audit trail refuses.
        removed, _ = models.QuerySet.delete(of_part)
        gone += removed
        if not removed:
            break  # another one was quicker; nothing is left of this part
    return gone
