from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.agents.models import DeadLetter
from apps.agents.services.dead_letters import retry
from apps.core.errors import AutoCodeError


class Command(BaseCommand):
    help = "Sends again what the agents-server refused for good: the letters with these numbers, or all of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("numbers", nargs="*", type=int, help="numbers of dead letters; none means all unresolved")

    def handle(self, *args: Any, **options: Any) -> None:
        letters = DeadLetter.objects.filter(direction="out", resolved_at=None).order_by("outbox_id")
        if options["numbers"]:
            letters = letters.filter(pk__in=options["numbers"])
        again = 0
        for letter in letters:
            try:
                retry(letter)
                again += 1
            except AutoCodeError as error:
                self.stderr.write(f"{letter.pk}: {error.message}")
        self.stdout.write(f"{again} will be sent again.")
