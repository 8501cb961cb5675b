from __future__ import annotations

import asyncio
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.realtime import daphne_sockets
from apps.realtime.collected import HINT, uncollected


class Command(BaseCommand):
    help = "Serves AutoCode under Daphne; takes all of Daphne's options."
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Hand the arguments over to Daphne's own parser."""
        self._serve(argv[2:])

    def add_arguments(self, parser: Any) -> None:
        """For ``call_command``."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        """For ``call_command``."""
        self._serve(list(options["arguments"]))

    def _serve(self, arguments: list[str]) -> None:
        if missing := uncollected():
            self.stderr.write(f"serve: {len(missing)} files of the pages are missing. {HINT}")
            sys.exit(1)
        if settings.AUTOCODE_UVLOOP:
            # Before Daphne is imported: its module makes the loop.
            try:
                import uvloop
            except ImportError:
                self.stderr.write("uvloop is not installed; going on without it")
            else:
                asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        # Before Twisted is imported: it takes these variables out of the environment and listens to none of them.
        descriptors = daphne_sockets.from_systemd()
        from apps.realtime.server import Serve

        Serve(descriptors).run(arguments)
