"""Fixtures for every test: a place for data, the private services, a clock that can be moved.

Plain ``pytest`` works too: what ``./test`` has not started is started on first use, and a test whose server is not
installed is skipped on a desk and fails under CI.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TypeVar

import pytest
from django.conf import settings
from django.db import connection, connections

from apps.core import clock as core_clock
from tests.support.services import MissingError, Postgres, Redis, Service


def pytest_configure(config: pytest.Config) -> None:
    """Make the directory of this process's database and workspaces."""
    settings.AUTOCODE_DATA.mkdir(parents=True, exist_ok=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it."""
    shutil.rmtree(settings.AUTOCODE_DATA, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say above the closing line which other steps of ``./test`` failed: the line itself counts only these tests."""
    failed = os.environ.get("AUTOCODE_TEST_FAILED", "")
    if failed:
        terminalreporter.section("failed before these tests", red=True, bold=True)
        terminalreporter.line(failed)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: object) -> Iterator[None]:
    """Let tests empty the audit trail, and end what threads left connected before Django drops the test database.

    PostgreSQL refuses the drop otherwise. The trail's own tests install its guards again.
    """
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        import_module("apps.accounts.migrations.0004_audit_guard").run(connection, "remove")
    yield
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        if connection.vendor == "postgresql":
            connection.ensure_connection()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        connections.close_all()


S = TypeVar("S", bound=Service)


@contextmanager
def running(service: type[S]) -> Iterator[S]:
    """Run a service for the length of the block; skips the test where its program is missing, unless under CI."""
    try:
        with service() as started:
            yield started
    except MissingError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis that all tests share: use a prefix of your own, and never flush it."""
    if url := os.environ.get("AUTOCODE_TEST_REDIS_URL"):
        yield url
        return
    with running(Redis) as redis:
        yield redis.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL that all tests share."""
    if url := os.environ.get("AUTOCODE_TEST_POSTGRES_URL"):
        yield url
        return
    with running(Postgres) as postgres:
        yield postgres.url


@pytest.fixture
def private_redis() -> Iterator[Redis]:
    """A Redis of this test alone, to be killed and started at will."""
    with running(Redis) as redis:
        yield redis


@pytest.fixture
def private_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this test alone, to be killed and started at will (about 1 s)."""
    with running(Postgres) as postgres:
        yield postgres


@pytest.fixture
def move_clock() -> Iterator[Callable[[float], None]]:
    """A function that moves ``apps.core.clock`` forward by some seconds, until the test ends."""
    with ExitStack() as stack:
        yield lambda seconds: stack.enter_context(core_clock.moved(seconds))
