from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.accounts.audit import forget_old
from apps.accounts.services import forget_ended_logins
from apps.projects.services.commands import forget_old_receipts
from apps.projects.services.retention import prune_all


class Command(BaseCommand):
    help = (
        "Remove log events beyond AUTOCODE_LOG_DAYS or AUTOCODE_LOG_EVENTS, receipts of old commands, logins that are"
        " over, and entries of the audit trail beyond AUTOCODE_AUDIT_DAYS."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        events, receipts = prune_all(), forget_old_receipts()
        logins, entries = forget_ended_logins(), forget_old()
        self.stdout.write(
            f"removed {events} events and {receipts} receipts, {logins} logins and {entries} audit entries"
        )
