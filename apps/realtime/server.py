"""Our Daphne: a large backlog, readers that are too slow are waited for, and an end that cuts nobody off.

Importing this module imports Twisted and installs its asyncio reactor; only ``manage.py serve`` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

from daphne.cli import CommandLineInterface
from daphne.server import Server, twisted_loop
from django.conf import settings
from twisted.internet import defer, reactor

from apps.realtime import daphne_drain
from apps.realtime.config import config
from apps.realtime.daphne_pressure import writable
from apps.realtime.daphne_protocol import PROTOCOL_OPTIONS, RoomProtocol
from apps.realtime.direct import EXTENSION, Line
from apps.realtime.manager import manager_here

logger = logging.getLogger(__name__)

BACKLOG: Final = 4096  # Daphne's 50 makes the 51st of many simultaneous connections wait a second for its SYN
LINK_RETRY_S: Final = 5.0


class RoomServer(Server):
    """See the module."""

    autocode_drains = True

    def __init__(self, *args: Any, endpoints: list[str], **options: Any) -> None:
        super().__init__(*args, endpoints=[with_backlog(endpoint) for endpoint in endpoints], **options)
        self.ports: list[Any] = []
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
        self.ws_factory.protocol = RoomProtocol
        self.ws_factory.setProtocolOptions(**PROTOCOL_OPTIONS)
        # One turn later: the reactor says "running" before its loop runs, and `_start` needs the running loop.
        reactor.callWhenRunning(twisted_loop.call_soon, self._start)

    def _start(self) -> None:
        manager_here()
        if settings.AUTOCODE_AGENTS_LINK == "embedded" and settings.AUTOCODE_AGENTS_URL:
            self._link = asyncio.ensure_future(self._run_link())
            daphne_drain.last_steps.append(self._end_link)

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

    async def handle_reply(self, protocol: Any, message: Any) -> None:
        """Pass a message on, and make its application wait while the reader does not take what was sent before."""
        await super().handle_reply(protocol, message)
        await writable(self, protocol, message)


def with_backlog(endpoint: str) -> str:
    """Return a Twisted endpoint with our backlog, unless it has one or is not TCP."""
    if not endpoint.startswith(("tcp:", "ssl:")) or "backlog=" in endpoint:
        return endpoint
    return f"{endpoint}:backlog={BACKLOG}"


class Serve(CommandLineInterface):
    """Daphne's command line with all its flags, and our defaults from the settings."""

    description = "Serve AutoCode: pages, API, rooms, and (unless told otherwise) the link to the agents-server."
    server_class = RoomServer

    def __init__(self) -> None:
        super().__init__()
        self.parser.prog = "manage.py serve"
        self.parser.add_argument("--host", dest="host", help="The same as --bind")
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
        """Serve with these arguments; the address comes from the settings unless one is given."""
        given = self.parser.parse_args(args)
        if not (given.unix_socket or given.file_descriptor is not None or given.socket_strings):
            host = [] if given.host else ["--bind", settings.HOST]
            port = [] if given.port is not None else ["--port", str(settings.PORT)]
            args = [*host, *port, *args]
        super().run(args)
