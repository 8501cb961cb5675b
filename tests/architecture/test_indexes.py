"""An index is paid with every write: none of ours may say what another one says as well."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection

from apps.agents.models import OutboxMessage
from apps.agents.services import relay
from apps.core import clock


@pytest.mark.django_db
@pytest.mark.parametrize("model", [m for m in apps.get_models() if m.__module__.startswith("apps.")])
def test_no_index_is_the_beginning_of_another(model):
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, model._meta.db_table)
    # Of a partial index only the columns are told, not the condition: those of Meta are left to whoever wrote them.
    written = {index.name for index in model._meta.indexes if index.condition}
    indexes = {
        name: tuple(one["columns"]) for name, one in found.items() if one["columns"] and (one["index"] or one["unique"])
    }
    plain = {name: columns for name, columns in indexes.items() if name not in written and not name.endswith("_like")}
    twice = [
        (name, longer)
        for name, columns in plain.items()
        for longer, more in plain.items()
        if longer != name and more[: len(columns)] == columns and (len(more) > len(columns) or longer > name)
    ]
    assert not twice


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL reads a small table without any index")
def test_open_promises_are_found_without_reading_the_settled_ones():
    open_ones = OutboxMessage.objects.filter(settled_at__isnull=True)
    assert "outbox_open" in open_ones.filter(project_id="0190a0de-0000-7000-8000-000000000000").explain()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {relay.DUE}", [connection.ops.adapt_datetimefield_value(clock.now()), 1, 1])
        plan = " ".join(str(row) for row in cursor.fetchall())
    assert "outbox_open" in plan
