"""Another database than the test's own, for tests that break it: for this process and the servers that it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections

from apps.projects import aio
from autocode.settings.parts.database import sqlite
from tests.support.services import Postgres


def at(postgres: Postgres) -> dict[str, Any]:
    """Return the settings of a PostgreSQL's database: each piece of work has a connection of its own."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "autocode",
        "USER": "postgres",
        "HOST": "127.0.0.1",
        "PORT": postgres.port,
        "OPTIONS": {"connect_timeout": 5},
    }


def in_file(path: Path) -> dict[str, Any]:
    """Return the settings of a SQLite file."""
    return sqlite(path) | {"CONN_MAX_AGE": 0}


@contextmanager
def used(row: dict[str, Any]) -> Iterator[None]:
    """Make ``row`` the settings of this process's database for the length of the block."""
    before = connections.settings["default"]
    _use(connections.configure_settings({"default": row})["default"])
    try:
        yield
    finally:
        _use(before)


def _use(row: dict[str, Any]) -> None:
    aio.shut_down()  # its threads keep connections
    connections.close_all()
    connections.settings["default"] = row
    with suppress(AttributeError):  # this context has none yet
        del connections["default"]
    ContentType.objects.clear_cache()


def migrate() -> None:
    """Make all tables in the database that is used."""
    call_command("migrate", verbosity=0)
