from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.ops.seeding import PEOPLE, seed


class Command(BaseCommand):
    help = "Make the people and projects of the demo, or what is missing of them. Only where AUTOCODE_DEBUG is on."
    requires_system_checks = []  # part of `./run`, which must start fast; `check` is a command of its own

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--password", default="", help="Password of all of them; else AUTOCODE_DEMO_PASSWORD.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo has well-known users, so it is refused where AUTOCODE_DEBUG is off.")
        password = options["password"] or settings.AUTOCODE_DEMO_PASSWORD
        if not password:
            raise CommandError("Give a password: AUTOCODE_DEMO_PASSWORD or --password. `./run` chooses one.")
        made = seed(password)
        if options["verbosity"] > 0:
            names = ", ".join(person.username for person in PEOPLE)
            self.stdout.write(f"made {', '.join(made)}; people: {names}" if made else "the demo is there already")
