"""The few statements that every event pays for, without the ORM's making of them.

Making a query costs Django five times what SQLite takes to run it. Fields still prepare their own values, so that the
rows are those that ``Model.save`` would write; signals of models are not sent.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from django.db import DEFAULT_DB_ALIAS, connection, connections, models

M = TypeVar("M", bound=models.Model)

PARAMETERS = 30_000
"""Of one statement: SQLite takes 32,766 since 3.32 (its limits page, SQLITE_MAX_VARIABLE_NUMBER), PostgreSQL 65,535."""


Values = Mapping[str, Any]
"""A new row: values by the names of a model's attributes. An instance would cost more than the statement."""
Quick = dict[type, Callable[[Any], Any]]
"""How values of these types get ready for the database; others take Django's way."""
_Field = tuple[Any, str, Callable[[], Any], Quick]
"""A field, its attribute, what it is when nobody says, and its short ways."""

_encode = msgspec.json.Encoder().encode
_UNCHANGED: Quick = dict.fromkeys((str, int, bool, type(None)), lambda value: value)
_PLAIN = (
    models.CharField, models.TextField, models.IntegerField, models.PositiveIntegerField, models.BigIntegerField,
    models.PositiveBigIntegerField, models.BooleanField,
)  # fmt: skip


def _quick(field: Any) -> Quick:
    """Return the short ways of a field. Empty for one that has a type of its own."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    if type(target) in _PLAIN:
        return _UNCHANGED
    if type(target) is models.UUIDField:
        native = connection.features.has_native_uuid_field
        return {UUID: _UNCHANGED[str] if native else _hex, type(None): _UNCHANGED[type(None)]}
    if type(target) is models.JSONField and target.encoder is None and connection.vendor == "sqlite":
        # As text; psycopg wants to know that it is JSON.
        return {dict: _json, list: _json, type(None): _UNCHANGED[type(None)]}
    if type(target) is models.DateTimeField:
        return {dt.datetime: connection.ops.adapt_datetimefield_value, type(None): _UNCHANGED[type(None)]}
    return {}


def _hex(value: UUID) -> str:
    return value.hex


def _json(value: Any) -> str:
    return _encode(value).decode()


def insert(model: type[models.Model], rows: Sequence[Values]) -> None:
    """Insert new rows of ``model``, with as few statements as the database's limit of parameters allows.

    A row holds values by the names of attributes (``project_id``); what it leaves out has the field's default. Raises
    ``TypeError`` for names that the model has not, and for a model with a field that only saving fills (``auto_now``).
    """
    if not rows:
        return
    database = connections[DEFAULT_DB_ALIAS]  # the proxy would look it up for every value
    head, one, fields, names = _insertion(model, database.vendor)
    for row in rows:
        if not row.keys() <= names:
            raise TypeError(f"{model.__name__} has no {', '.join(sorted(row.keys() - names))}")
    most = PARAMETERS // len(fields)
    with database.cursor() as cursor:
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            values = [
                quick[type(value)](value)
                if type(value := row[name] if name in row else default()) in quick
                else field.get_db_prep_save(value, database)
                for row in part
                for field, name, default, quick in fields
            ]
            cursor.execute(head + ", ".join([one] * len(part)), values)


@functools.cache
def _insertion(model: type[models.Model], vendor: str) -> tuple[str, str, list[_Field], frozenset[str]]:
    """Return the statement's head, a row's placeholders, the fields, and the names of their attributes."""
    meta, quoted = model._meta, connection.ops.quote_name  # noqa: SLF001 - Django's documented name
    fields = [field for field in meta.concrete_fields if field is not meta.auto_field]
    for field in fields:
        if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
            raise TypeError(f"{meta.label}.{field.name} is filled by saving alone")
    columns = ", ".join(quoted(str(field.column)) for field in fields)
    head = f"INSERT INTO {quoted(meta.db_table)} ({columns}) VALUES "  # noqa: S608 - names of our own tables
    places = f"({', '.join(['%s'] * len(fields))})"
    ready = [(field, field.attname, field.get_default, _quick(field)) for field in fields]
    return head, places, ready, frozenset(field.attname for field in fields)


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
    return value if _has_uuids(connections[DEFAULT_DB_ALIAS].vendor) else value.hex


@functools.cache
def _has_uuids(vendor: str) -> bool:
    return bool(connection.features.has_native_uuid_field)
