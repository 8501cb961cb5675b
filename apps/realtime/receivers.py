"""The seam between what happens and who is told: the domain's signals to the broadcaster, and rooms to it."""

from __future__ import annotations

from typing import Any

from apps.projects.records import AccessChange, Ephemeral, LoggedEvent
from apps.projects.signals import access_changed, ephemeral_emitted, event_committed
from apps.realtime import ports
from apps.realtime.broadcaster import broadcaster


def connect() -> None:
    """Connect everything. Called once, when the app is ready."""
    ports.plug(broadcaster)
    event_committed.connect(_committed, dispatch_uid="realtime.committed")
    ephemeral_emitted.connect(_emitted, dispatch_uid="realtime.emitted")
    access_changed.connect(_access, dispatch_uid="realtime.access")


def _committed(*, guid: str, events: list[LoggedEvent], **_: Any) -> None:
    broadcaster.publish(guid, events)


def _emitted(*, news: Ephemeral, **_: Any) -> None:
    broadcaster.emit(news)


def _access(*, change: AccessChange, **_: Any) -> None:
    broadcaster.access(change)
