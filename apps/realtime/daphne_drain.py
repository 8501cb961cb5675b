"""How Daphne ends without cutting anybody off.

Plain Daphne cancels every application on SIGTERM: no close frame, no clean-up. Here listeners close first, sockets
are told to come back (spread over ``AUTOCODE_DRAIN_S``), requests finish, and only what is left after that is
cancelled. Works for our own server and, through ``install``, for ``daphne autocode.asgi:application``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from apps.core import clock
from apps.projects import aio
from apps.realtime import daphne_pressure, draining
from apps.realtime.config import config
from apps.realtime.manager import manager_here, stop_here

logger = logging.getLogger(__name__)

AFTER_S: Final = 5.0  # for requests and clean-ups, after the last socket was told
CANCELLED_S: Final = 2.0
CLOSING_POLL_S: Final = 0.02

last_steps: list[Callable[[], Awaitable[None]]] = []
"""What else has to end, in this order; our own server adds the agents link."""


async def drain(server: Any) -> None:
    """End everything that runs under this Daphne server."""
    logger.info("draining")
    draining.begin()
    for port in _ports(server):
        with contextlib.suppress(Exception):
            stopped = port.stopListening()
            if stopped is not None:
                await stopped.asFuture(asyncio.get_running_loop())
    await manager_here().drain(config().drain_s)
    await _until_done(server, AFTER_S)
    left = _applications(server)
    for application in left:
        application.cancel()
    if left:
        logger.warning("%s applications were cancelled", len(left))
        await asyncio.wait(left, timeout=CANCELLED_S)
    for step in last_steps:
        with contextlib.suppress(Exception):
            await step()
    await stop_here()
    # Threads finish what they do; the loop goes on meanwhile.
    await asyncio.get_running_loop().run_in_executor(None, aio.shut_down)
    logger.info("drained")


def _ports(server: Any) -> list[Any]:
    """Return what listens. Daphne keeps only the deferreds; our server keeps the ports."""
    kept = getattr(server, "ports", None)
    if kept is not None:
        return list(kept)
    from twisted.internet import reactor, tcp, unix

    readers: Any = reactor
    return [reader for reader in readers.getReaders() if isinstance(reader, (tcp.Port, unix.Port))]


def _applications(server: Any) -> list[asyncio.Future[Any]]:
    found = [details.get("application_instance") for details in server.connections.values()]
    return [application for application in found if application is not None and not application.done()]


async def _until_done(server: Any, seconds: float) -> None:
    """Wait for requests, and for connections, which under our own server have no application that runs."""
    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline:
        if running := _applications(server):
            await asyncio.wait(running, timeout=max(0.0, deadline - clock.monotonic()))
        elif manager_here().connections:
            await asyncio.sleep(CLOSING_POLL_S)
        else:
            return


def cancel_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs when the reactor has ended.

    CPython before 3.11.8 crashes at exit when a task waits on an asyncio queue.
    """
    if loop.is_closed() or loop.is_running():
        return
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(Exception):
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=CANCELLED_S))
        loop.run_until_complete(loop.shutdown_asyncgens())


def install() -> None:
    """Make a plain Daphne drain. Does nothing where there is none, or where our own server runs."""
    module = sys.modules.get("daphne.server")
    ours = "apps.realtime.server" in sys.modules
    if ours or module is None or getattr(module.Server, "autocode_drains", False):
        return

    def kill_all_applications(server: Any) -> Any:
        from twisted.internet import defer

        return defer.Deferred.fromFuture(asyncio.ensure_future(drain(server)))

    module.Server.kill_all_applications = kill_all_applications
    module.Server.autocode_drains = True
    daphne_pressure.install(module.Server)
    atexit.register(cancel_leftovers, module.twisted_loop)
