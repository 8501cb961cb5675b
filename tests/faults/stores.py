"""The stage on a database of its own, so that breaking it harms no other test."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from apps.accounts.models import User
from tests.faults.conftest import Stage, staged
from tests.support import databases
from tests.support.browser import token_of
from tests.support.services import Postgres, Redis

DURABLE: dict[str, Any] = {"synchronous_commit": "on", "full_page_writes": "on"}
"""What was acknowledged is in the log's file when the server dies; the machine itself does not."""


def migrated(directory: Path) -> Path:
    """Make a cluster whose database has all tables; return its data in ``directory``, to be copied."""
    with Postgres() as postgres:
        with databases.used(databases.at(postgres)):
            databases.migrate()
        postgres.stop()
        return Path(shutil.move(postgres.data, directory / "data"))


def migrated_file(directory: Path) -> Path:
    """Make a SQLite file that has all tables, in ``directory``; return it, to be copied."""
    file = directory / "autocode.sqlite3"
    with databases.used(databases.in_file(file)):
        databases.migrate()
    return file


@contextmanager
def session(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """Give another session at the database, outside of all transactions."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def on_postgres(directory: Path, redis: Redis, postgres: Postgres, **variables: Any) -> AsyncIterator[Stage]:
    """Give the stage on this PostgreSQL."""
    with databases.used(databases.at(postgres)):
        async with staged(directory, redis, **variables) as stage:
            yield stage


def ask(stage: Stage, path: str, *, body: bytes | None = None) -> tuple[int, str]:
    """Ask the first server over HTTP, as its owner; return the status and ``Retry-After``."""
    headers = {"Authorization": f"Bearer {token_of(stage.players[0].user)}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{stage.servers[0].port}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Retry-After", "")


def log_in(stage: Stage) -> int:
    """Log the last player in at the first server, by name and password; return the answer's status."""
    person = stage.players[-1].user
    # The tests' own hasher is not one that servers accept. Sessions of this person end by it.
    User.objects.filter(pk=person.pk).update(
        password=PBKDF2PasswordHasher().encode("secret-pass", "a-salt-of-some-length")
    )
    body = json.dumps({"username": person.username, "password": "secret-pass"}).encode()
    url = f"http://127.0.0.1:{stage.servers[0].port}/api/v1/auth/token/"
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)
