"""What `./run` needs before its servers start, in one process because each costs 0.5 s of imports.

Reads the environment of AutoCode. Checks that the port is free and that this is a place for a demo, chooses the demo's
password, migrates, seeds, and prints for the shell, one a line: the data directory, the password, a free port for the
demo agents-server.
Exit codes: 0 ready, 1 cannot start (the reason is on stderr).
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autocode.settings.local")


def refuse(reason: str) -> None:
    """End with ``reason`` on stderr and exit code 1."""
    sys.exit(f"./run: {reason}")


def require_free(host: str, port: int) -> None:
    """Refuse if something listens on ``host:port`` already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server does it: connections of a former run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            refuse(f"cannot listen on {host}:{port}: {error.strerror}. Choose another port:  PORT={port + 1} ./run")


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def migrate() -> None:
    """Bring the database up to date; skips Django's slow command when nothing is missing."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        sys.stderr.write("preparing the database\n")
        call_command("migrate", interactive=False, verbosity=0, skip_checks=True)


def main() -> None:
    """Prepare the demo, as the module says."""
    from autocode.env import ConfigurationError

    try:
        from django.conf import settings

        debug = settings.DEBUG
    except ConfigurationError as problem:
        refuse(str(problem))
    if not debug:
        refuse(
            "AUTOCODE_DEBUG is off, and the demo has well-known users: it is for a desk only.\n"
            "To serve people:  manage.py migrate, then  manage.py serve  with the production settings."
        )
    require_free(settings.HOST, settings.PORT)

    import django
    from django.core.management import call_command

    from autocode.keys import kept_secret

    settings.AUTOCODE_DATA.mkdir(parents=True, exist_ok=True)
    password = settings.AUTOCODE_DEMO_PASSWORD or kept_secret(settings.AUTOCODE_DATA / "demo.password", random_bytes=9)
    settings.AUTOCODE_DEMO_PASSWORD = os.environ["AUTOCODE_DEMO_PASSWORD"] = password
    django.setup()
    migrate()
    call_command("seed_demo", verbosity=0, stdout=sys.stderr)
    sys.stdout.write(f"{settings.AUTOCODE_DATA}\n{password}\n{free_port()}\n")


if __name__ == "__main__":
    main()
