"""The database: SQLite in one file by default, PostgreSQL with a pool when ``DATABASE_URL`` says so."""

from pathlib import Path
from typing import Any

import environ

from autocode.settings.parts.places import AUTOCODE_DATA, ENVIRONMENT

AUTOCODE_DB_THREADS = ENVIRONMENT.integer("AUTOCODE_DB_THREADS")

# Synchronous NORMAL may lose the last commits when the machine (not the process) loses power, never the file's
# consistency; production on SQLite asks for FULL.
SQLITE_INIT = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON"


def sqlite(path: Path | str, *, init_command: str = SQLITE_INIT) -> dict[str, Any]:
    """Return the settings of a SQLite file.

    IMMEDIATE takes the write lock when a transaction begins: with the default, a transaction that reads and then
    writes fails with "database is locked" instead of waiting (47 of 320 in a trial).
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": None,  # opening the file anew costs as much as the transaction
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": init_command},  # seconds
    }


def postgresql(parsed: dict[str, Any], *, threads: int) -> dict[str, Any]:
    """Return the settings of the PostgreSQL database that ``parsed`` names, with a pool for ``threads`` threads.

    Timeouts bound what one bad query or one lost peer can hold; they are sent with the connection, so that a
    pooler in transaction mode needs ``ignore_startup_parameters = options``.
    """
    limits = {
        "statement_timeout": 5_000,  # ms; migrations have none
        # ms. Who waits for a project's row waits for two locks, its place in the queue and the row: 2 s at most.
        "lock_timeout": 1_000,
        "idle_in_transaction_session_timeout": 15_000,  # ms
    }
    patience = 6  # seconds; a server that answers at all has said by then that a statement took too long
    return parsed | {
        "ENGINE": "autocode.postgresql",
        "CONN_MAX_AGE": 0,  # a pool and persistent connections exclude each other
        "OPTIONS": parsed.get("OPTIONS", {})
        | {
            # Above the threads of the sockets, room for pages and API calls, which bring their own threads.
            "pool": {"size": threads + 8, "timeout": 2},  # seconds
            "patience": patience,
            "connect_timeout": 2,  # seconds, the least that libpq knows
            "keepalives_idle": 30,  # seconds; a peer that is gone without a word is given up after 45
            "keepalives_interval": 5,  # seconds
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,  # ms, for what was sent and is not confirmed
            "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        },
    }


def database(url: str, *, default: Path, threads: int) -> dict[str, Any]:
    """Return the settings of the database at ``url``; an empty one means SQLite at ``default``."""
    if not url:
        return sqlite(default)
    parsed: dict[str, Any] = environ.Env.db_url_config(url)
    if "sqlite" in parsed["ENGINE"]:
        return sqlite(parsed["NAME"])
    return postgresql(parsed, threads=threads) if "postgresql" in parsed["ENGINE"] else parsed


DATABASES = {
    "default": database(
        ENVIRONMENT.text("DATABASE_URL"), default=AUTOCODE_DATA / "autocode.sqlite3", threads=AUTOCODE_DB_THREADS
    )
}
