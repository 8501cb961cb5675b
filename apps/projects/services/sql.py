"""The few statements that every event pays for, without the ORM's making of them.

Making a query costs Django five times what SQLite takes to run it. Fields still prepare their own values, so that the
rows are those that ``Model.save`` would write; signals of models are not sent.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from django.db import DEFAULT_DB_ALIAS, connection, connections, models

M = TypeVar("M", bound=models.Model)

PARAMETERS = 30_000
"""Of one statement: SQLite takes 32,766 since 3.32 (its limits page, SQLITE_MAX_VARIABLE_NUMBER), PostgreSQL 65,535."""


Quick = dict[type, Callable[[Any], Any]]
"""How values of these types get ready for the database; others take Django's way."""

_encode = msgspec.json.Encoder().encode
_UNCHANGED: Quick = dict.fromkeys((str, int, bool, type(None)), lambda value: value)
_PLAIN = (
    models.CharField, models.TextField, models.IntegerField, models.PositiveIntegerField, models.BigIntegerField,
    models.PositiveBigIntegerField, models.BooleanField,
)  # fmt: skip


def _quick(field: Any) -> Quick:
    """Return the short ways of a field. Empty for one that makes its value itself, or has a type of its own."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    if type(target) in _PLAIN:
        return _UNCHANGED
    if type(target) is models.UUIDField:
        return {UUID: key, type(None): _UNCHANGED[type(None)]}
    if type(target) is models.JSONField and target.encoder is None and connection.vendor == "sqlite":
        # As text; psycopg wants to know that it is JSON.
        return {dict: _json, list: _json, type(None): _UNCHANGED[type(None)]}
    if type(target) is models.DateTimeField and not (target.auto_now or target.auto_now_add):
        return {dt.datetime: connection.ops.adapt_datetimefield_value, type(None): _UNCHANGED[type(None)]}
    return {}


def _json(value: Any) -> str:
    return _encode(value).decode()


def insert(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model, with as few statements as the database's limit of parameters allows.

    Rows of a model whose database counts them do not learn their number.
    """
    if not rows:
        return
    database = connections[DEFAULT_DB_ALIAS]  # the proxy would look it up for every value
    head, one, fields = _insertion(type(rows[0]), database.vendor)
    most = PARAMETERS // len(fields)
    with database.cursor() as cursor:
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            values = [
                quick[type(value)](value)
                if quick and type(value := getattr(row, name)) in quick
                else field.get_db_prep_save(field.pre_save(row, add=True), database)
                for row in part
                for field, name, quick in fields
            ]
            cursor.execute(head + ", ".join([one] * len(part)), values)
    for row in rows:
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS  # noqa: SLF001 - as Model.save does


@functools.cache
def _insertion(model: type[models.Model], vendor: str) -> tuple[str, str, list[tuple[Any, str, Quick]]]:
    """Return the statement's head, a row's placeholders, and the fields, with their attributes and short ways."""
    meta, quoted = model._meta, connection.ops.quote_name  # noqa: SLF001 - Django's documented name
    fields = [(field, field.attname, _quick(field)) for field in meta.concrete_fields if field is not meta.auto_field]
    columns = ", ".join(quoted(str(field.column)) for field, _, _ in fields)
    head = f"INSERT INTO {quoted(meta.db_table)} ({columns}) VALUES "  # noqa: S608 - names of our own tables
    return head, f"({', '.join(['%s'] * len(fields))})", fields


@functools.cache
def columns(model: type[models.Model], vendor: str) -> str:
    """Return the model's columns for a SELECT; ``vendor`` only keeps databases apart."""
    return ", ".join(connection.ops.quote_name(str(field.column)) for field in model._meta.concrete_fields)  # noqa: SLF001


def row_of(model: type[M], values: Sequence[Any]) -> M:
    """Return a row of ``columns`` as an instance, as ``Model.objects.raw`` makes it."""
    database = connections[DEFAULT_DB_ALIAS]
    names, converters = _reading(model, database.vendor)
    made = list(values)
    for place, expression, convert in converters:
        made[place] = convert(made[place], expression, database)
    return model.from_db(DEFAULT_DB_ALIAS, names, made)


@functools.cache
def _reading(model: type[models.Model], vendor: str) -> tuple[list[str], list[tuple[int, Any, Any]]]:
    """Return the fields' names, and what their values go through, in order: (place, expression, function)."""
    fields = model._meta.concrete_fields  # noqa: SLF001
    columns = [field.get_col(model._meta.db_table) for field in fields]  # noqa: SLF001
    converters = [
        (place, column, convert)
        for place, column in enumerate(columns)
        for convert in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection))
    ]
    return [field.attname for field in fields], converters


def key(value: UUID) -> Any:
    """Return a UUID as this database takes it."""
    return value if _has_uuids() else value.hex


@functools.cache
def _has_uuids() -> bool:
    return bool(connection.features.has_native_uuid_field)
