"""The agents link: one process of the cluster holds it, keeps it up, and gives it back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket as sockets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from apps.agents.link.database import finish
from apps.agents.link.options import SUBPROTOCOL, LinkOptions
from apps.agents.link.retry import Backoff
from apps.agents.link.session import Session
from apps.agents.link.target import addresses_of
from apps.agents.link.texts import OpenTexts
from apps.agents.link.views import LinkViews
from apps.agents.services import lease as leases
from apps.agents.services import link_status, outbox, upkeep
from apps.agents.services.lease import Lease, LeaseLost
from apps.core.cancelling import asked_to_end
from apps.core.ids import new_id
from apps.projects.aio import afterwards, log_failure

logger = logging.getLogger(__name__)

CLOSE_S: Final = 2.0
"""For a close that both sides take part in; after that the socket is cut."""


class _Direct(connect):
    """A connection that goes where it was sent: a redirect would carry the token to wherever it says."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class AgentCommunicationHandler:
    """Keeps both sides in step: promises go out, the agents' news comes in, each exactly once in effect.

    ``run`` is used inside the server process and by ``manage.py agent_link``; any number of processes may run it,
    one at a time speaks. Without a URL it does the upkeep alone.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        acks: bool | None = None,
        options: LinkOptions | None = None,
        name: str = "",
    ) -> None:
        self._url = settings.AUTOCODE_AGENTS_URL if url is None else url
        self._token = settings.AUTOCODE_AGENTS_TOKEN if token is None else token
        self._acks = settings.AUTOCODE_AGENTS_ACKS if acks is None else acks
        self._options = options or LinkOptions()
        # Unique for each instance: a process that comes back must not take its dead predecessor for itself.
        self._name = (name or f"{sockets.gethostname()[:30]}:{os.getpid()}:{new_id()[-12:]}")[:80]
        self._texts = OpenTexts()
        self._wake = asyncio.Event()
        self._good_until = 0.0
        self.state = "down"
        """``down``, ``reconnecting`` or ``connected``; ``down`` also while another process holds the link."""

    async def run(self, stop: asyncio.Event) -> None:
        """Hold the link whenever it is free, until ``stop`` is set. Raises nothing that could end it."""
        loop = asyncio.get_running_loop()
        forget = outbox.on_wake(functools.partial(_wake_up, loop, self._wake))
        pause = Backoff(self._options.standby_poll, self._options.backoff_longest)
        try:
            while not stop.is_set():
                try:
                    asked = time.monotonic()
                    lease = await finish(leases.acquire, self._name, ttl_s=self._options.lease_ttl)
                    self._good_until = asked + self._options.lease_ttl
                    if lease is not None:
                        await self._lead(lease, stop)
                    pause.reset()
                except LeaseLost:
                    logger.warning("the lease of the agents link is lost")
                except (Exception, asyncio.CancelledError) as error:
                    if isinstance(error, asyncio.CancelledError) and asked_to_end():
                        raise
                    log_failure(logger, error, "the agents link starts again")
                    await _sleep(stop, pause.next())
                self.state = "down"
                await _sleep(stop, self._options.standby_poll)
        finally:
            forget()

    async def _lead(self, lease: Lease, stop: asyncio.Event) -> None:
        logger.info("this process holds the agents link (epoch %d)", lease.epoch)
        views = LinkViews()
        parts: list[Coroutine[Any, Any, None]] = [
            self._renew(lease),
            self._every(self._options.upkeep_interval, upkeep.run_once),
            self._every(self._options.prune_interval, upkeep.prune),
            self._every(self._options.view_interval, views.send_changes),
            self._connect_again_and_again(lease),
        ]
        tasks = [asyncio.ensure_future(part) for part in parts]
        stopped = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in [*tasks, stopped]:
                task.cancel()
            await asyncio.gather(*tasks, stopped, return_exceptions=True)
            with contextlib.suppress(Exception):
                await finish(link_status.record, lease.epoch, state="reconnecting")
                await finish(leases.release, lease.epoch)

    async def _renew(self, lease: Lease) -> None:
        """Hold on to the lease; give up in time when the database does not answer."""
        ttl = self._options.lease_ttl
        while True:
            await asyncio.sleep(ttl / 3)
            asked = time.monotonic()
            try:
                await finish(leases.renew, lease.epoch, ttl_s=ttl)
                self._good_until = asked + ttl
            except LeaseLost:
                raise
            except Exception as error:
                logger.warning("the lease of the agents link could not be renewed: %s", error)
                if time.monotonic() + ttl / 3 >= self._good_until:
                    raise LeaseLost from error

    def _may_speak(self) -> bool:
        """Tell whether the lease is surely this process's: one that was frozen must not go on where it stood."""
        return time.monotonic() < self._good_until

    async def _every(self, seconds: float, function: Callable[[], object]) -> None:
        """Call ``function`` in the database pool every so often; its failures are logged and tried again."""
        while True:
            try:
                await finish(function)
            except Exception as error:  # noqa: BLE001 - the next time comes
                log_failure(logger, error, "%s failed", getattr(function, "__qualname__", function))
            await asyncio.sleep(seconds)

    # --- the socket ---------------------------------------------------------------------------------------------

    async def _connect_again_and_again(self, lease: Lease) -> None:
        if not self._url:
            await self._report(lease, state="down", error="no agents-server is configured")
            await asyncio.Event().wait()
        pause = Backoff(self._options.backoff_first, self._options.backoff_longest)
        gone_since = time.monotonic()
        await self._report(lease, state="reconnecting")
        while True:
            error = "the connection was closed"
            session, opened = None, time.monotonic()
            try:
                socket = await self._open()
                try:
                    session = self._session(socket, lease)
                    await session.run()
                finally:
                    await _hang_up(socket)
            except LeaseLost:
                raise
            except ConnectionClosed as closed:
                error = _why(closed)
            except (OSError, WebSocketException, TimeoutError) as failed:
                error = str(failed)[:300] or type(failed).__name__
            except (Exception, asyncio.CancelledError) as failed:  # whatever it is, the link goes on
                if isinstance(failed, asyncio.CancelledError) and asked_to_end():
                    raise
                logger.exception("the session with the agents-server failed")
                error = type(failed).__name__
            if session is not None and self.state == "connected":
                gone_since = time.monotonic()
                if session.welcomed and time.monotonic() - opened > self._options.backoff_first:
                    pause.reset()  # it was more than an open door that closes again
            gone = time.monotonic() - gone_since
            state = "down" if gone > self._options.down_after else "reconnecting"
            await self._report(lease, state=state, error=error)
            wait = pause.next()
            logger.info("the agents-server is not connected (%s); next try in %.1f s", error, wait)
            await asyncio.sleep(wait)

    async def _open(self) -> ClientConnection:
        """Open a socket to the address that was looked at. Raises ``OSError``, ``WebSocketException``."""
        async with asyncio.timeout(self._options.open_timeout):
            addresses, port = await addresses_of(self._url)
        for address in addresses[:-1]:
            with contextlib.suppress(OSError, TimeoutError):
                return await self._connect(address, port)
        return await self._connect(addresses[-1], port)

    def _connect(self, address: str, port: int) -> Awaitable[ClientConnection]:
        options = self._options
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return _Direct(
            self._url,
            host=address,
            port=port,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers=headers,
            max_size=4 * options.frame_bytes,
            compression=None,  # near, and deflate costs more than it saves
            open_timeout=options.open_timeout,
            ping_interval=None,  # the session asks for life itself: it knows when it is the one who does not read
            close_timeout=CLOSE_S,
            proxy=None,
        )

    def _session(self, socket: ClientConnection, lease: Lease) -> Session:
        async def report(**values: Any) -> None:
            await self._report(lease, **values)

        return Session(
            socket,
            options=self._options,
            lease=lease,
            acks=self._acks,
            wake=self._wake,
            texts=self._texts,
            may_speak=self._may_speak,
            report=report,
        )

    async def _report(self, lease: Lease, **values: Any) -> None:
        """Write down how the link stands. A database that is away is no reason to end the link."""
        self.state = values.get("state", self.state)
        try:
            await finish(link_status.record, lease.epoch, **values)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - see above: the next report writes it
            logger.warning("the state of the link could not be written: %s", error)


async def _hang_up(socket: ClientConnection) -> None:
    """Close the socket, whatever the other side does: the library waits without end for one that does not read."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(CloseCode.INTERNAL_ERROR)
    except TimeoutError:
        logger.info("the agents-server takes no part in the close of its socket")
    finally:
        socket.transport.abort()


def _why(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "the connection broke"
    return f"closed with {closed.rcvd.code} {closed.rcvd.reason}".strip()[:300]


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, or wake up to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _wake_up(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set the event from any thread."""

    def wake() -> None:
        if asyncio.get_running_loop() is loop:
            event.set()
        else:
            loop.call_soon_threadsafe(event.set)

    if not afterwards(wake):
        loop.call_soon_threadsafe(event.set)
