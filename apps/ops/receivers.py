"""What operations does when something happens in a room: the demo begins with its first visitor."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.conf import settings

from apps.ops.seeding import begin, begins_when_opened
from apps.projects.aio import in_thread
from apps.projects.signals import room_opened

logger = logging.getLogger(__name__)
_begun: set[asyncio.Task[None]] = set()


def connect() -> None:
    """Watch the rooms where the demo is allowed. Called once a process, when Django is ready."""
    if settings.DEBUG and settings.AUTOCODE_DEMO_PASSWORD:
        room_opened.connect(_opened, dispatch_uid="demo begins")


def _opened(guid: str, **_: Any) -> None:
    if begins_when_opened(guid):
        task = asyncio.get_running_loop().create_task(in_thread(begin, guid))
        _begun.add(task)
        task.add_done_callback(_ended)


def _ended(task: asyncio.Task[None]) -> None:
    _begun.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the demo project did not begin", exc_info=error)
