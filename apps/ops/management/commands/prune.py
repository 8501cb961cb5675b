from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.projects.services.commands import forget_old_receipts
from apps.projects.services.retention import prune_all


class Command(BaseCommand):
    help = "Remove log events beyond AUTOCODE_LOG_DAYS or AUTOCODE_LOG_EVENTS, and receipts of old commands."

    def handle(self, *args: Any, **options: Any) -> None:
        events, receipts = prune_all(), forget_old_receipts()
        self.stdout.write(f"removed {events} events and {receipts} receipts")
