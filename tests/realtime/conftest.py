"""A process of rooms for each test: one manager in the test's loop, stopped at the end with everything it began."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.test import AsyncClient

from apps.projects.aio import in_thread
from apps.realtime import draining
from apps.realtime.broadcaster import broadcaster
from apps.realtime.manager import WebSocketManager, manager_here, stop_here
from tests.support.browser import Browser, token_of
from tests.support.factories import a_member, a_person, a_project


@pytest.fixture
async def manager(transactional_db: None, settings: Any) -> AsyncIterator[WebSocketManager]:
    """The manager of this test's loop."""
    settings.AUTOCODE_POSITION_CHECK_S = 0.05
    settings.AUTOCODE_ROOM_LINGER_S = 0.2
    settings.AUTOCODE_PRESENCE_LEAVE_S = 0.1
    here = manager_here()
    yield here
    for connection in list(here.connections.values()):
        await connection.gone()
    await broadcaster.flushed()
    await stop_here()
    draining.end()


@pytest.fixture
async def project(manager: WebSocketManager) -> Any:
    """A project in progress, with the owner Ada."""
    return await do(lambda: a_project(a_person("ada")))


@pytest.fixture
async def ada(project: Any) -> Any:
    """The project's owner."""
    return await do(project.members.get, username="ada")


@pytest.fixture
def member(project: Any) -> Callable[..., Any]:
    """Make members: ``await member("viewer")``."""

    async def make(role: str = "contributor", name: str = "") -> Any:
        return await do(a_member, project, role, name)

    return make


@pytest.fixture
async def browsers() -> AsyncIterator[Callable[..., Any]]:
    """Open browsers that are closed at the end: ``await browsers(person, …)``."""
    opened: list[Browser] = []

    async def open_one(*args: Any, **options: Any) -> Browser:
        opened.append(await Browser.open(*args, **options))
        return opened[-1]

    yield open_one
    await asyncio.gather(*(browser.leave() for browser in opened), return_exceptions=True)


async def until(condition: Callable[[], bool], *, patience: float = 3.0) -> None:
    """Return when ``condition()`` holds: for states that nobody announces."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


def do(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return an awaitable that calls ``function`` in a thread, as a view or command would."""
    return in_thread(function, *args, **kwargs)


def bearer(person: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(person)}"}


@pytest.fixture
def api(project: Any, ada: Any) -> Any:
    """``await api("events/", after=3)`` as Ada, with her token."""

    async def get(path: str, person: Any = ada, **query: Any) -> Any:
        return await AsyncClient().get(f"/api/v1/projects/{project.guid}/{path}", query, headers=bearer(person))

    return get


async def body(response: Any) -> Any:
    assert response["Content-Type"].startswith("application/json"), response
    return json.loads(response.content)
