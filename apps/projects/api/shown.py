"""Small turns between what a request holds, what services take and what an answer shows."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, structs

from apps.core.events import Struct
from apps.projects.records import LoggedEvent


def given(change: Struct) -> dict[str, Any]:
    """Return the fields of ``change`` that were sent, as keyword arguments of a service."""
    return {name: value for name, value in structs.asdict(change).items() if value is not UNSET}


def part_of(event: LoggedEvent, name: str) -> Any:
    """Return one field of an event's payload as JSON values: the after-image that everybody in the room got too."""
    return msgspec.json.decode(event.data)[name]
