from __future__ import annotations

from typing import Any

import msgspec
from django.core.management.base import BaseCommand

from apps.realtime.asyncapi import document


class Command(BaseCommand):
    help = "Prints the AsyncAPI document of the socket."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        self.stdout.write(msgspec.json.format(msgspec.json.encode(document()), indent=2).decode())
