"""Our Daphne: a large backlog, readers that are too slow are waited for, and an end that cuts nobody off.

Importing this module imports Twisted and installs its asyncio reactor; only ``manage.py serve`` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from daphne.cli import CommandLineInterface
from daphne.http_protocol import WebRequest
from daphne.server import Server, twisted_loop
from django.conf import settings
from twisted.internet import defer
from twisted.internet import reactor as _reactor

from apps.realtime import daphne_drain, daphne_requests, daphne_sockets, daphne_workers
from apps.realtime.config import config
from apps.realtime.daphne_pressure import writable
from apps.realtime.daphne_protocol import PROTOCOL_OPTIONS, RoomProtocol
from apps.realtime.direct import EXTENSION, Line
from apps.realtime.manager import manager_here

reactor: Any = _reactor
logger = logging.getLogger(__name__)

LINK_RETRY_S: Final = 5.0

COLLECTIONS: Final = (10_000, 20, 20)
"""``gc.set_threshold``. A full collection looks at every object of every connection (measured: 270 ms at 5,000) and
finds nothing, since connections are freed as they end. So it may come after 4 million new objects, not 70,000."""


class RoomServer(Server):
    """See the module."""

    def __init__(self, *args: Any, endpoints: list[str], parent: int | None = None, **options: Any) -> None:
        super().__init__(*args, endpoints=[with_backlog(endpoint) for endpoint in endpoints], **options)
        self.ports: list[Any] = []
        # Daphne's own adoption of descriptors knows IPv4 alone.
        self._inherited = [fd for fd in map(daphne_sockets.descriptor_of, endpoints) if fd is not None]
        self.endpoints: list[str] = [one for one in self.endpoints if daphne_sockets.descriptor_of(one) is None]
        self._parent = parent
        self.ready_callable = self._ready
        self._link: asyncio.Task[None] | None = None
        self._link_stop = asyncio.Event()

    def run(self) -> None:
        """Serve until a signal comes; return when everything has ended."""
        super().run()
        daphne_drain.cancel_leftovers(twisted_loop)

    def listen_success(self, port: Any) -> None:
        """Keep the port: draining closes it first."""
        self.ports.append(port)
        super().listen_success(port)

    def _ready(self) -> None:
        daphne_requests.watch(self.http_factory)
        self.ws_factory.setProtocolOptions(**PROTOCOL_OPTIONS)
        self.ws_factory.protocol = RoomProtocol.with_options_of(self.ws_factory)
        for descriptor in self._inherited:
            with daphne_sockets.inherited(descriptor) as listening:
                listening.setblocking(False)
                family = listening.family
                self.listen_success(reactor.adoptStreamPort(listening.fileno(), family, self.http_factory))
        # One turn later: the reactor says "running" before its loop runs, and `_start` needs the running loop.
        reactor.callWhenRunning(twisted_loop.call_soon, self._start)

    def _start(self) -> None:
        manager_here()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTIONS)
        if settings.AUTOCODE_AGENTS_LINK == "embedded" and settings.AUTOCODE_AGENTS_URL:
            self._link = asyncio.ensure_future(self._run_link())
            daphne_drain.last_steps.append(self._end_link)
        if self._parent is not None:
            daphne_workers.tell_parent(self._parent)

    async def _run_link(self) -> None:
        """Keep the link to the agents-server going."""
        from apps.agents.link.handler import AgentCommunicationHandler

        while not self._link_stop.is_set():
            try:
                await AgentCommunicationHandler().run(self._link_stop)
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("the agents link failed and is begun again")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._link_stop.wait(), LINK_RETRY_S)

    async def _end_link(self) -> None:
        self._link_stop.set()
        if self._link is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._link, LINK_RETRY_S)

    def kill_all_applications(self) -> Any:
        """Drain. The reactor goes on until this is done."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(daphne_drain.drain(self)))

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Hand every WebSocket application the line of its connection, for the short way out."""
        if scope["type"] == "websocket" and (line := Line.of(protocol)) is not None:
            scope["extensions"] = {**(scope.get("extensions") or {}), EXTENSION: line}
        return super().create_application(protocol, scope)

    def protocol_disconnected(self, protocol: Any) -> None:
        """Forget a request that became a WebSocket: with its channel it would wait for a garbage collection."""
        super().protocol_disconnected(protocol)
        if isinstance(protocol, WebRequest) and protocol.transport is None:
            reactor.callLater(0, protocol.channel.requests.clear)

    async def handle_reply(self, protocol: Any, message: Any) -> None:
        """Pass a message on, and make its application wait while the reader does not take what was sent before."""
        await super().handle_reply(protocol, message)
        await writable(self, protocol, message)


def with_backlog(endpoint: str) -> str:
    """Return a Twisted endpoint with our backlog, unless it has one or is not TCP."""
    if not endpoint.startswith(("tcp:", "ssl:")) or "backlog=" in endpoint:
        return endpoint
    return f"{endpoint}:backlog={daphne_sockets.BACKLOG}"


class Serve(CommandLineInterface):
    """Daphne's command line with all its flags, and our defaults from the settings."""

    description = "Serve AutoCode: pages, API, rooms, and (unless told otherwise) the link to the agents-server."
    server_class = RoomServer

    def __init__(self, descriptors: Sequence[int] = ()) -> None:
        """Take the listening sockets behind these descriptors as given."""
        super().__init__()
        self._descriptors = descriptors
        self.parser.prog = "manage.py serve"
        self.parser.allow_abbrev = False
        self.parser.add_argument("--host", dest="host", help="The same as --bind")
        self.parser.add_argument("--workers", type=int, metavar="N", help="Keep N processes on the same sockets")
        self.parser.add_argument(
            "--worker-ports", type=int, metavar="FIRST", help="Worker k also listens at 127.0.0.1, port FIRST + k - 1"
        )
        self.parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
        for action in self.parser._actions:  # noqa: SLF001 - argparse has no public way
            if action.dest == "application":
                action.nargs, action.required = "?", False
        frame = config().max_frame_bytes
        self.parser.set_defaults(
            application="autocode.asgi:application",
            server_name="",
            verbosity=0,
            websocket_timeout=-1,  # sockets are rotated by AUTOCODE_SOCKET_MAX_AGE_S, with a code that says so
            websocket_max_message_size=frame,
            websocket_max_frame_size=frame,
        )

    def run(self, args: list[str]) -> None:
        """Serve with these arguments; the address comes from systemd or the settings unless one is given."""
        given = self.parser.parse_args(args)
        if given.workers is not None:
            sys.exit(self._supervise(given, args))
        for descriptor in self._descriptors:
            args = ["--endpoint", f"fd:fileno={descriptor}", *args]
        given = self.parser.parse_args(args)
        if not (given.unix_socket or given.file_descriptor is not None or given.socket_strings):
            host = [] if given.host else ["--bind", settings.HOST]
            port = [] if given.port is not None else ["--port", str(settings.PORT)]
            args = [*host, *port, *args]
        self.server_class = functools.partial(RoomServer, parent=given.parent)  # type: ignore[assignment]
        super().run(args)

    def _supervise(self, given: argparse.Namespace, args: list[str]) -> int:
        """Open what is asked for and keep workers on it; return the exit code."""
        if "InMemory" in settings.CHANNEL_LAYERS["default"]["BACKEND"]:
            self.parser.error("--workers needs a channel layer that the processes share: set AUTOCODE_REDIS_URL")
        if given.workers < 1:
            self.parser.error("--workers needs at least one")
        if given.socket_strings:
            self.parser.error("--workers opens TCP addresses, UNIX sockets and descriptors, not Twisted's endpoints")
        _, rest = addresses().parse_known_args(args)

        def command(link: int, descriptors: Sequence[int]) -> list[str]:
            line = [sys.executable, sys.argv[0], "serve", *rest, "--parent", str(link)]
            for descriptor in descriptors:
                line += ["--endpoint", f"fd:fileno={descriptor}"]
            return line

        try:
            sockets = self._sockets(given)
            ports = [given.worker_ports + number for number in range(given.workers)] if given.worker_ports else []
            own = [[daphne_sockets.tcp("127.0.0.1", port)] for port in ports] or [[]] * given.workers
            return asyncio.run(daphne_workers.Workers(command, sockets, own).run())
        except OSError as error:
            logger.critical("cannot listen: %s", error)
            return 1
        finally:
            if given.unix_socket:
                Path(given.unix_socket).unlink(missing_ok=True)

    def _sockets(self, given: argparse.Namespace) -> list[socket.socket]:
        """Return what the workers listen on. Raises ``OSError``."""
        descriptors = [*self._descriptors, *filter(None, [given.file_descriptor])]
        sockets = [daphne_sockets.inherited(descriptor) for descriptor in descriptors]
        if given.unix_socket:
            sockets.append(daphne_sockets.unix(given.unix_socket))
        if given.host or given.port is not None or not sockets:
            port = settings.PORT if given.port is None else given.port
            sockets.append(daphne_sockets.tcp(given.host or settings.HOST, port))
        return sockets


def addresses() -> argparse.ArgumentParser:
    """Return a parser of the options that the parent of workers keeps for itself."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for names in (
        ("-p", "--port"),
        ("-b", "--bind", "--host"),
        ("-u", "--unix-socket"),
        ("--fd",),
        ("--workers",),
        ("--worker-ports",),
    ):
        parser.add_argument(*names)
    return parser
