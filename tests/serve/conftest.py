"""Real server processes on the test's database, and people with a room."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.projects.aio import in_thread
from tests.realtime.serving import Serving
from tests.support.browser import Browser
from tests.support.factories import a_person, a_project

PLENTY = {
    "AUTOCODE_CONNECTIONS_PER_USER": 10_000,
    "AUTOCODE_CONNECTIONS_PER_ADDRESS": 10_000,
    "AUTOCODE_COMMANDS_PER_S": 10_000,
    "AUTOCODE_COMMAND_BURST": 10_000,
    "AUTOCODE_USER_COMMANDS_PER_S": 10_000,
}
"""No limit of one user or address is in the way."""


@pytest.fixture
def serve(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start a server: ``await serve(plain_daphne=…, arguments=[…], AUTOCODE_…=…)``."""
    started: list[Serving] = []

    async def start(*, wait: bool = True, **options: Any) -> Serving:
        options.setdefault("AUTOCODE_DEBUG", "off")  # Django's debug keeps 9000 queries of each thread in memory
        started.append(await in_thread(lambda: Serving(tmp_path, **options)))
        return await started[-1].ready() if wait else started[-1]

    yield start
    for server in started:
        children = workers(server)
        server.stop()
        for child in children:  # they end with their parent, but not before the next test begins
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
    for server in started:
        said = server.log.read_text()
        assert "Traceback" not in said, said


def workers(server: Serving) -> list[int]:
    """Return the process ids of a server's workers."""
    try:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]


@pytest.fixture
async def browsers() -> AsyncIterator[Callable[..., Any]]:
    """Open browsers that are closed at the end: ``await browsers(person, url=…)``."""
    opened: list[Browser] = []

    async def open_one(*args: Any, **options: Any) -> Browser:
        opened.append(await Browser.open(*args, **options))
        return opened[-1]

    yield open_one
    await asyncio.gather(*(browser.leave() for browser in opened), return_exceptions=True)


@pytest.fixture
async def ada(transactional_db: None) -> Any:
    """A person."""
    return await in_thread(a_person, "ada")


@pytest.fixture
async def room(ada: Any) -> Any:
    """Ada's project."""
    return await in_thread(a_project, ada)


async def until(condition: Callable[[], Any], *, patience: float = 15.0) -> Any:
    """Return what ``condition()`` returns once it is true: for what no process announces."""
    async with asyncio.timeout(patience):
        while not (found := await asyncio.to_thread(condition)):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)
    return found
