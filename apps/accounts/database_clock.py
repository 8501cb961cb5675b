"""The database's clock: one for all processes, whatever their machines think the time is."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from apps.core import clock


def database_now() -> dt.datetime:
    """Return the present moment, aware, as the database has it. One query on PostgreSQL.

    SQLite asks the machine, and so does this. It is the moment of the call, not that of the transaction's beginning:
    whoever has waited for a lock must not be judged by the time before.
    """
    if connection.vendor != "postgresql":
        return dt.datetime.now(dt.UTC) + clock.shift()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: dt.datetime = cursor.fetchone()[0]
    return found.astimezone(dt.UTC) + clock.shift()
