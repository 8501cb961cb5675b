"""The backend that ``ENGINE`` names; the module's name is Django's wish."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base

from autocode.postgresql.pool import Pool


class DatabaseWrapper(base.DatabaseWrapper):
    """Lends its connections from a ``Pool``; ``OPTIONS["pool"]`` holds the arguments of that, absent means none."""

    @property
    def pool(self) -> Pool | None:
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        pools: dict[str, Any] = self._connection_pools  # type: ignore[attr-defined] # Django's own, a class's
        if self.alias not in pools:
            parameters = self.get_connection_params() | {"autocommit": True}

            def connect() -> psycopg.Connection[Any]:
                connection = psycopg.connect(**parameters)
                self._configure_connection(connection)  # type: ignore[attr-defined] # Django's own
                return connection

            pools.setdefault(self.alias, Pool(connect, **options))  # of two threads the first one's counts
        pool: Pool = pools[self.alias]
        return pool
