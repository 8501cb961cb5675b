"""What the services share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from apps.core.actor import Actor
from apps.core.errors import InvalidField
from apps.core.ids import is_key
from apps.projects.services.log import ProjectLog, open_log


class Service:
    """A service acts for one actor; its methods are keyword-only and named for what happens."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def log(self, guid: UUID | str) -> AbstractContextManager[ProjectLog]:
        """Open the project's log for this service's actor. Raises ``NotFound``."""
        return open_log(guid, self.actor)


def text(value: str, *, field: str, longest: int, blank: bool = False) -> str:
    """Return ``value`` when it is a text of at most ``longest`` characters, not blank unless allowed.

    Raises ``InvalidField``. NUL is refused because PostgreSQL cannot store it and SQLite would.
    """
    if "\x00" in value:
        raise InvalidField("NUL characters are not allowed.", field=field)
    if len(value) > longest:
        raise InvalidField(f"At most {longest} characters.", field=field)
    if not blank and not value.strip().strip("\u200b\u200c\u200d\u2060\ufeff"):
        raise InvalidField("This must not be blank.", field=field)
    return value


def key(value: str, *, field: str) -> str:
    """Return ``value`` when it may be an id on the wire. Raises ``InvalidField``."""
    if not is_key(value):
        raise InvalidField("Ids are 1-64 characters of A-Z a-z 0-9 . _ : -", field=field)
    return value


def changed(row: Any, **values: Any) -> dict[str, Any]:
    """Set those of ``values`` that are not None and differ; return what changed, by attribute name."""
    differences = {name: value for name, value in values.items() if value is not None and getattr(row, name) != value}
    for name, value in differences.items():
        setattr(row, name, value)
    return differences
