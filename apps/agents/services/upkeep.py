"""What time does: questions and feedback expire, locks end, old receipts and settled promises go."""

from __future__ import annotations

import datetime as dt
import logging

from apps.accounts.audit import forget_old
from apps.accounts.database_clock import database_now
from apps.accounts.pruning import remove
from apps.accounts.services import forget_ended_logins
from apps.agents.models import Approval, DeadLetter, Feedback, InboxReceipt, OutboxMessage
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.feedback import FeedbackService
from apps.core import clock
from apps.core.actor import SYSTEM
from apps.projects.models import FileLock
from apps.projects.services.commands import forget_old_receipts
from apps.projects.services.locks import FileLockService
from apps.projects.services.retention import prune_due

logger = logging.getLogger(__name__)

KEPT = dt.timedelta(days=7)
"""How long a repeat of an agents-server's message is recognised, and a settled promise is kept for the admin."""
LETTERS_KEPT = dt.timedelta(days=30)
PRUNE_S = 2.0
"""The end of the link waits for whatever its threads do."""


def run_once() -> int:
    """Do what is due; return how much that was. Cheap when it is nothing; safe to run twice at once."""
    now = database_now()
    touched = 0
    asked = Approval.objects.filter(state="pending", expires_at__lte=now)
    for guid in set(asked.values_list("project__guid", flat=True)):
        touched += len(ApprovalService(SYSTEM).expire_due(guid=guid))
    waiting = Feedback.objects.filter(expires_at__lte=now, state__in=["received", "forwarded", "delivered"])
    for guid in set(waiting.values_list("project__guid", flat=True)):
        touched += len(FeedbackService(SYSTEM).expire_due(guid=guid))
    for guid in set(FileLock.objects.filter(expires_at__lte=now).values_list("project__guid", flat=True)):
        touched += FileLockService(SYSTEM).expire_due(guid=guid) is not None
    return touched


def prune() -> int:
    """Remove what is kept for a time only; return how many rows. After ``PRUNE_S`` the rest is left for next time."""
    now, until = database_now(), clock.monotonic() + PRUNE_S
    before, letters_before = now - KEPT, now - LETTERS_KEPT
    ended = [
        InboxReceipt.objects.filter(at__lt=before),
        OutboxMessage.objects.filter(settled_at__lt=before, state__in=["acked", "dropped"]),
        DeadLetter.objects.filter(at__lt=letters_before),
    ]
    gone = forget_old_receipts(until=until) + prune_due(until=until)
    gone += forget_ended_logins(until=until) + forget_old(until=until)
    return gone + sum(remove(rows, until=until) for rows in ended)
