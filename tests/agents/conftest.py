"""The link under test: a handler in the test's loop against a scripted agents-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from django.db import connection

from apps.agents.link.handler import AgentCommunicationHandler
from apps.agents.link.options import LinkOptions
from apps.agents.models import OutboxMessage
from apps.agents.services.chat import ChatService
from apps.projects import aio
from tests.support.agents_server import ScriptedAgents
from tests.support.factories import a_person, a_project, owner_of

FAST = LinkOptions(
    open_timeout=2,
    welcome_timeout=0.3,
    backoff_first=0.02,
    backoff_longest=0.1,
    lease_ttl=1.5,
    standby_poll=0.05,
    outbox_poll=0.05,
    view_interval=0.05,
    upkeep_interval=0.05,
)
"""The link's figures, shrunk."""
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ScriptedAgents]:
    async with ScriptedAgents() as server:
        yield server


@asynccontextmanager
async def linked(server: ScriptedAgents, *, options: LinkOptions = FAST, acks: bool = True, **more: Any):
    """Run a handler against the server for the length of the block."""
    stop = asyncio.Event()
    handler = AgentCommunicationHandler(
        url=server.url, token="hush", acks=acks, options=replace(options, **more) if more else options
    )
    task = asyncio.create_task(handler.run(stop))
    try:
        yield handler
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)


async def db(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run database work of a test in the pool."""
    return await aio.in_thread(function, *args, **kwargs)


@pytest_asyncio.fixture
async def project(transactional_db: None) -> Any:
    """A project in progress, owned by ada."""
    return await db(lambda: a_project(a_person("ada")))


async def chat(project: Any, message: str = "go on") -> Any:
    """Say something in a project's room, as its owner."""
    return await db(lambda: ChatService(owner_of(project)).send(guid=project.guid, message=message))


def open_ones(**where: Any) -> int:
    """Return how many promises (or how many of those of ``where``) have not reached an end."""
    return OutboxMessage.objects.filter(state__in=["pending", "sent"], **where).count()


async def settled(server: ScriptedAgents, **where: Any) -> None:
    """Wait until all promises (or those of ``where``) have reached an end."""
    async with asyncio.timeout(20):
        while await db(open_ones, **where):  # another thread's rows: there is no event to wait for
            await server.pause()


@pytest.fixture
def elsewhere() -> Iterator[Callable[..., Future[Any]]]:
    """A function that calls another one in a thread of its own, with a connection of its own."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    with ThreadPoolExecutor() as pool:
        yield lambda function, *args, **kwargs: pool.submit(call, function, *args, **kwargs)


def comes_to_rest(future: Future[Any]) -> None:
    """Wait until the other connection is done or waits for this one."""
    while not future.done():
        with connection.cursor() as cursor:
            cursor.execute(_WAITING)
            if cursor.fetchone()[0]:
                return
