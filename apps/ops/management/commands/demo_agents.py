"""``manage.py demo_agents``: run the demo agents-server, to which AutoCode connects."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.ops.demo.serve import add_arguments, main


class Command(BaseCommand):
    help = "Run the demo agents-server: a small coding agent without a language model that does real work."
    requires_system_checks = []  # it touches neither the database nor the settings, and must start fast

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(main(argparse.Namespace(**options)))
