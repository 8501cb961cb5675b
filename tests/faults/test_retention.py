"""The log is cut behind those who sleep: they get a snapshot and what follows it, never a part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from apps.core.actor import SYSTEM
from apps.projects.aio import in_thread
from apps.projects.services.log import open_log
from apps.projects.services.retention import prune_project
from apps.projects.services.tasks import TaskService
from tests.faults.checker import Placed
from tests.faults.conftest import Stage
from tests.faults.kit import stored

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

KEPT = 3
"""Events of each log."""


def cut(stage: Stage) -> None:
    """Cut every log, and remember what it held."""
    for room in stage.rooms:
        with open_log(room.guid, SYSTEM):
            stage.gone |= {(one.project, one.seq): one for one in stored([room])}
            prune_project(room.guid)


def go_on(stage: Stage) -> None:
    """Let more happen than the logs keep."""
    service = TaskService(stage.players[0].user.actor)
    for room in stage.rooms:
        for _ in range(2 * KEPT):
            service.create(guid=room.guid, title=str(uuid4()))
    cut(stage)


async def test_who_sleeps_for_too_long_begins_anew(stage: Stage, survives: Callable[..., Any], settings: Any) -> None:
    """F37, with the cutting in the middle of everything: people come back while it happens."""
    settings.AUTOCODE_LOG_EVENTS = KEPT

    async def fault(stage: Stage) -> None:
        await stage.all_there()
        for _ in range(4):
            for line in stage.lines:
                line.hold()
                line.cut()
            await in_thread(go_on, stage)
            for line in stage.lines:
                line.release()
            for _ in range(6):
                await asyncio.sleep(0.1)
                await in_thread(cut, stage)

    history = await survives(fault)
    joins = [one for client in history.clients for one in client.shown if isinstance(one, Placed)]
    firsts = len(stage.players) * len(stage.rooms)
    assert sum(one.anew for one in joins) >= 2 * firsts  # it did happen
