"""The backend that ``ENGINE`` names; the module's name is Django's wish."""

from __future__ import annotations

from typing import Any, Self

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base, schema

from autocode.postgresql.connection import Connection
from autocode.postgresql.pool import Pool


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Migrations take the time that they need; only for locks they wait no longer than others."""

    def __enter__(self) -> Self:
        super().__enter__()
        if not self.collect_sql:
            self._limit("SET statement_timeout = 0", None)
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: PYI036 - as Django has it, whatever that is
        super().__exit__(*error)
        if not self.collect_sql:
            self._limit("RESET statement_timeout", self.connection.settings_dict["OPTIONS"].get("patience"))

    def _limit(self, statement: str, patience: float | None) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
        self.connection.connection.patience = patience


class DatabaseWrapper(base.DatabaseWrapper):
    """Lends its connections from a ``Pool``.

    ``OPTIONS["pool"]`` holds the arguments of that, absent means none; ``OPTIONS["patience"]`` the seconds that a
    ``Connection`` of the pool waits for an answer.
    """

    SchemaEditorClass = SchemaEditor

    def get_connection_params(self) -> dict[str, Any]:
        """See Django's."""
        parameters: dict[str, Any] = super().get_connection_params()
        parameters.pop("patience", None)
        return parameters

    @property
    def pool(self) -> Pool | None:
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        pools: dict[str, Any] = self._connection_pools  # type: ignore[attr-defined] # Django's own, a class's
        if self.alias not in pools:
            parameters = self.get_connection_params() | {"autocommit": True}

            def connect() -> Connection:
                connection = Connection.connect(**parameters)
                connection.patience = self.settings_dict["OPTIONS"].get("patience")
                connection.on_silence = pools[self.alias].doubt
                self._configure_connection(connection)  # type: ignore[attr-defined] # Django's own
                return connection

            pools.setdefault(self.alias, Pool(connect, **options))  # of two threads the first one's counts
        pool: Pool = pools[self.alias]
        return pool
