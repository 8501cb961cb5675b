from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.realtime.typescript import declarations

PLACE = Path(__file__).resolve().parents[2] / "client" / "src" / "wire.d.ts"


class Command(BaseCommand):
    help = "Writes the client's TypeScript declarations from the server's own classes."

    def add_arguments(self, parser: Any) -> None:
        """``--check`` changes nothing."""
        parser.add_argument("--check", action="store_true", help="fail if the file is not current")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        """Write the file, or compare."""
        wanted = declarations()
        current = PLACE.read_text() if PLACE.exists() else ""
        if check and current != wanted:
            raise CommandError(f"{PLACE.name} is not current; run: manage.py client_types")
        if not check and current != wanted:
            PLACE.write_text(wanted)
            self.stdout.write(f"wrote {PLACE}")
