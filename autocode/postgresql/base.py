"""The backend that ``ENGINE`` names; the module's name is Django's wish."""

from __future__ import annotations

import contextlib
from typing import Any, Self

from django.db import Error
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base, schema

from autocode.postgresql.connection import Connection
from autocode.postgresql.pool import Pool


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Migrations take the time that they need; only for locks they wait no longer than others."""

    def __enter__(self) -> Self:
        super().__enter__()
        if not self.collect_sql:
            self.connection.connection.patience = None
            with self.connection.cursor() as cursor:
                # Of the transaction where there is one: behind a pooler the session is also somebody else's.
                cursor.execute(f"SET {'LOCAL' if self.atomic_migration else 'SESSION'} statement_timeout = 0")
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: PYI036 - as Django has it, whatever that is
        try:
            super().__exit__(*error)
        finally:
            if not self.collect_sql and self.connection.connection is not None:
                self.connection.connection.patience = self.connection.settings_dict["OPTIONS"].get("patience")
                # It fails within a transaction that is broken, whose end undoes the setting too, and on a connection
                # that is gone.
                with contextlib.suppress(Error), self.connection.cursor() as cursor:
                    cursor.execute("RESET statement_timeout")


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
                connection.on_silence = pool.forget_idle
                self._configure_connection(connection)  # type: ignore[attr-defined] # Django's own
                return connection

            pool = Pool(connect, **options)
            pools.setdefault(self.alias, pool)  # of two threads the first one's counts
        known: Pool = pools[self.alias]
        return known
