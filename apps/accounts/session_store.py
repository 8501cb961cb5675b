"""Django's sessions in the database, under a hash of their keys: whoever reads the table cannot be anybody in it."""

from __future__ import annotations

import hashlib
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.utils import timezone


def session_hash(session_key: str) -> str:
    """Return the name of a session that may be stored, logged and sent among processes: it does not open it."""
    return hashlib.sha256(f"autocode.session.{session_key}".encode()).hexdigest()[:40]  # the column's length


class SessionStore(DatabaseSessionStore):
    """The keys themselves have 165 random bits, so a plain hash of one cannot be turned round."""

    def _get_session_from_db(self) -> Any:
        row = None
        if self.session_key is not None:
            stored = session_hash(self.session_key)
            row = self.model.objects.filter(session_key=stored, expire_date__gt=timezone.now()).first()
        if row is None:
            self._session_key = None
        return row

    def exists(self, session_key: str) -> bool:
        return super().exists(session_hash(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        row.session_key = session_hash(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            self.model.objects.filter(session_key=session_hash(key)).delete()

    async def _aget_session_from_db(self) -> Any:
        return await sync_to_async(self._get_session_from_db)()

    async def aexists(self, session_key: str) -> bool:
        return await sync_to_async(self.exists)(session_key)

    async def acreate_model_instance(self, data: dict[str, Any]) -> Any:
        return await sync_to_async(self.create_model_instance)(data)

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)
