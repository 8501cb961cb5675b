"""WebSocketService: one connection from its accept to its close.

Frames are read as they come: pings are answered at once, commands wait in a bounded queue for the one worker of the
connection, so that a slow command blocks neither the heartbeat nor the end. Whatever happens, the clean-up runs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from apps.accounts.identity import Identity
from apps.accounts.sessions import user_from_session
from apps.core import clock
from apps.core.addresses import network_of
from apps.core.correlation import correlated
from apps.core.errors import (
    AutoCodeError,
    Forbidden,
    Internal,
    InvalidMessage,
    NotAuthenticated,
    RateLimited,
    TokenExpired,
    Unavailable,
    UnknownType,
)
from apps.core.ids import new_id
from apps.core.whence import Whence, coming_from
from apps.projects.aio import in_thread, log_failure
from apps.realtime import draining, metrics, ports
from apps.realtime.close_codes import MEANINGS, CloseCode, because
from apps.realtime.commands import COMMANDS, Rate
from apps.realtime.context import Context
from apps.realtime.deadlines import Deadlines
from apps.realtime.direct import EXTENSION, DirectOutlet, Line
from apps.realtime.frames import Frame, Frames
from apps.realtime.handlers.session import Ping
from apps.realtime.handshake import Handshake, read_handshake
from apps.realtime.joined import heartbeat
from apps.realtime.limits import Strikes, TokenBucket
from apps.realtime.manager import manager_here
from apps.realtime.outlet import CLOSED, Outlet, QueueOutlet
from apps.realtime.protocol import Envelope, Refused, decode, error_frame, plain, reply_frame
from apps.realtime.replies import Authenticated, Pong
from apps.realtime.router import form
from apps.realtime.sockets import NO_ROOMS, SocketRooms
from apps.realtime.viewers import Viewer

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Work = Callable[[], Awaitable[None]]

GONE_PATIENCE: Final = 10.0  # seconds from our close to the end, if the server never tells of it


class WebSocketService:
    """See the module. It is the ``Owner`` of its viewers."""

    __slots__ = (
        "_bad", "_commands", "_excess", "_feedbacks", "_hello", "_line", "_pings", "_send", "_slow", "_task", "_whence",
        "_work", "_worker", "address", "closing", "deadlines", "id", "identity", "manager", "network", "outlet",
        "rooms", "wake_at",
    )  # fmt: skip

    def __init__(self, scope: dict[str, Any], send: Send) -> None:
        self.manager = manager_here()
        self.id = new_id()
        self.identity: Identity | None = None
        self.closing = False
        self.rooms: SocketRooms = SocketRooms(self)
        self._send = send
        self._task = asyncio.current_task()
        """What serves the connection; None once the server hands messages over without one."""
        settings = self.manager.config
        now = clock.monotonic()
        self._hello: Handshake | None = read_handshake(scope)
        self.address = self._hello.address
        self.network = network_of(self.address)
        self._whence = Whence(address=self.address, client=self._hello.client)
        self.deadlines = Deadlines(settings, now)
        self.wake_at = now
        self._commands = TokenBucket(settings.commands_per_s, settings.command_burst, now)
        self._feedbacks: TokenBucket | None = None
        self._pings = TokenBucket(settings.pings_per_s, 10, now)
        self._bad = Strikes(settings.bad_frames, settings.bad_frames_window_s)
        self._excess = Strikes(settings.excess_commands, 10.0)
        self._slow = False
        self._work: deque[Work] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._line: Line | None = (scope.get("extensions") or {}).get(EXTENSION)
        self.outlet: Outlet = self._outlet(send, settings.outbound_bytes)

    def _outlet(self, send: Send, limit: int) -> Outlet:
        """Return the short way out under our own server, the queue under any other."""
        if self._line is not None:
            return DirectOutlet(self._line, send, limit=limit, on_overflow=self.too_slow)
        return QueueOutlet(send, limit=limit, on_overflow=self.too_slow)

    def too_slow(self) -> None:
        """Cut the connection: its client does not read what waits for it."""
        self._slow = True
        self.close(CloseCode.TOO_SLOW)

    @property
    def who(self) -> Identity:
        """Who is logged in. Raises ``NotAuthenticated``."""
        if self.identity is None:
            raise NotAuthenticated
        return self.identity

    @property
    def waiting(self) -> int:
        """Bytes that wait for this connection's reader."""
        return self.outlet.waiting

    # --- life ---------------------------------------------------------------------------------------------------

    async def run(self, receive: Receive) -> None:
        """Serve the connection until it is gone, or until our own server hands its messages over directly."""
        handed_over = False
        try:
            await receive()  # websocket.connect
            hello, self._hello = self._hello, None
            if hello is None or not hello.allowed:
                await self._send({"type": "websocket.close", "code": 4403})
                return
            await self._send({"type": "websocket.accept", "subprotocol": hello.subprotocol})
            self.manager.add(self)
            if await self._welcome(hello):
                logger.debug("connected", extra={"connection": self.id, "address": self.address})
                if self._line is not None:
                    self._task, handed_over = None, True
                    self._line.hand_over(self)
                    return
            while (message := await receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                self.take(message["bytes"] if text is None else text, binary=text is None)
            self.ended(message.get("code"))
        except asyncio.CancelledError:
            if not self.closing:
                raise
        finally:
            if not handed_over:
                self._clean_up()

    def ended(self, code: int | None) -> None:
        """The connection is gone."""
        logger.debug("disconnected", extra={"connection": self.id, "code": code})
        self._clean_up()

    def _clean_up(self) -> None:
        """Leave everything, and let go of whatever refers back: a connection dies here, not in a garbage collection."""
        self.closing = True
        if self._worker is not None:
            self._worker.cancel()
        self.outlet.stop()
        self.rooms.leave_all()
        self.manager.remove(self)
        if self._slow:
            self.manager.thrift.cut()
        self.outlet, self.rooms = CLOSED, NO_ROOMS
        self._line = self._task = self._worker = self._work = None

    async def _welcome(self, hello: Handshake) -> bool:
        """Log in with what the handshake brought; return whether the connection goes on."""
        settings = self.manager.config
        if draining.is_draining():
            self.drain()
        elif hello.problem is not None:
            self.close(*hello.problem)
        elif self.manager.by_address[self.network] > settings.connections_per_address:
            self.close(CloseCode.TOO_MANY_CONNECTIONS, RateLimited("Too many connections from this address."))
        elif hello.token is not None or hello.session_key is not None:
            await self._log_in(hello)
        self._plan_wake()
        return not self.closing

    async def _log_in(self, hello: Handshake) -> None:
        try:
            if hello.token is not None:
                identity = await self.manager.reads.identity(hello.token)
            else:
                identity = await in_thread(user_from_session, hello.session_key or "")
            self.put(Frame(reply_frame("authenticated", plain(await self.authenticated(identity)))))
        except NotAuthenticated as error:
            if hello.token is None:
                return  # an old cookie is no offence: the page may still show a token
            self._refuse_login(error)
        except AutoCodeError as error:
            self.close(CloseCode.TOO_MANY_CONNECTIONS, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is logged in by it
            log_failure(logger, error, "the login cannot be checked")
            self.close(CloseCode.OVERLOADED, Unavailable(retry_after_ms=2_000))

    def _refuse_login(self, error: AutoCodeError, reply_to: str | None = None) -> None:
        code = CloseCode.TOKEN_EXPIRED if isinstance(error, TokenExpired) else CloseCode.BAD_CREDENTIALS
        self.close(code, error, reply_to)

    async def authenticated(self, identity: Identity) -> Authenticated:
        """Take a proved identity: log in, or renew for the same user.

        Raises ``Forbidden`` for another user, ``RateLimited`` when the user has too many connections.
        """
        if self.identity is not None and self.identity.user_id != identity.user_id:
            raise Forbidden("This connection belongs to another user.")
        mine = self.manager.by_user[identity.user_id]
        if self not in mine and len(mine) >= self.manager.config.connections_per_user:
            raise RateLimited("Too many connections of this user.", details={"limit": len(mine)})
        mine.add(self)
        self.identity = identity
        self.deadlines.logged_in(identity.expires_at, token=identity.token_id is not None)
        self._plan_wake()
        return Authenticated(
            user_id=identity.user_id,
            username=identity.username,
            expires_at=clock.to_wire(identity.expires_at),
            heartbeat=heartbeat(self.manager.config),
        )

    async def gone(self) -> None:
        """End the connection without a word, and return when it has ended. For tests and the last end."""
        self.closing = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=GONE_PATIENCE)

    # --- in -----------------------------------------------------------------------------------------------------

    def take(self, payload: str | bytes, *, binary: bool) -> None:
        """Take one frame. Nothing here waits."""
        if self.closing:
            return
        self.deadlines.heard(clock.monotonic())
        metrics.FRAMES_IN.inc()
        try:
            if binary:
                raise InvalidMessage("Send JSON as text frames, not as binary ones.")
            metrics.BYTES_IN.inc(len(payload))
            envelopes = decode(payload, limit=self.manager.config.max_frame_bytes)
        except AutoCodeError as error:
            self._bad_frame(error)
            return
        for envelope in envelopes:
            self._take_one(envelope)

    def _take_one(self, envelope: Envelope | Refused) -> None:
        if self.closing:  # an earlier envelope of the frame was one too many
            return
        if isinstance(envelope, Refused):
            self._bad_frame(envelope.error, envelope.id)
        else:
            self._take(envelope)

    def _bad_frame(self, error: AutoCodeError, reply_to: str | None = None) -> None:
        if self._bad.add(clock.monotonic()):
            self.close(CloseCode.MALFORMED, error)
            return
        self.put(Frame(error_frame(error, reply_to=reply_to)))

    def _take(self, envelope: Envelope) -> None:
        row, now = COMMANDS.get(envelope.type), clock.monotonic()
        if row is not None and row.rate is Rate.PING:
            wait = self._pings.take(now)
            if not wait:
                self._ping(envelope)
        else:
            wait = self._commands.take(now)
            if not wait and row is not None and row.rate is Rate.FEEDBACK:
                wait = self._feedback_bucket(now).take(now)
            if not wait and not self._begin(lambda: self._carry_out(envelope)):
                wait = 1_000
        if wait:
            self._too_many(envelope, wait)

    def _feedback_bucket(self, now: float) -> TokenBucket:
        if self._feedbacks is None:
            rate = self.manager.config.feedbacks_per_s
            self._feedbacks = TokenBucket(rate, rate, now)
        return self._feedbacks

    def _too_many(self, envelope: Envelope, wait: int) -> None:
        error = RateLimited(retry_after_ms=wait)
        if self._excess.add(clock.monotonic()):
            self.close(CloseCode.RATE_LIMITED, RateLimited(retry_after_ms=max(wait, 5_000)), envelope.id)
            return
        self.put(Frame(error_frame(error, guid=envelope.project_guid, reply_to=envelope.id)))

    def _ping(self, envelope: Envelope) -> None:
        try:
            data = self.pong(form(Ping, envelope.data).t)
        except AutoCodeError as error:
            self.put(Frame(error_frame(error, reply_to=envelope.id)))
            return
        self.put(Frame(reply_frame("pong", data, reply_to=envelope.id)))

    def pong(self, t: Any) -> Pong:
        """Return the answer to a ping."""
        return Pong(t=t, server_time=clock.to_wire(clock.now()), rooms=self.rooms.positions())

    def _begin(self, work: Work) -> bool:
        """Carry out ``work`` after everything before it; return False when too much waits already."""
        if self._work is None:
            self._work = deque()
        if len(self._work) >= self.manager.config.command_queue:
            return False
        self._work.append(work)
        if self._worker is None:
            self._worker = asyncio.create_task(self._carry_on(), name="worker")
        return True

    async def _carry_on(self) -> None:
        """Carry out what waits, one after the other. An idle connection keeps neither task nor queue.

        What still waits when the connection is closed stays without an answer, so that the client sends it again: the
        rooms have been left, and a command would be refused for what the client has not done.
        """
        while self._work and not self.closing:
            try:
                await self._work.popleft()()
            except Exception as error:  # noqa: BLE001 - what waits behind it goes on
                log_failure(logger, error, "a connection's work failed")
        self._work = self._worker = None

    async def _carry_out(self, envelope: Envelope) -> None:
        place = self.rooms.places.get(envelope.project_guid or "")
        context = Context(
            envelope=envelope,
            command_id=envelope.id or new_id(),
            identity=self.identity,
            turns=self.manager.turns,
            service=self,
            room=place[0] if place else None,
            viewer=place[1] if place else None,
        )
        with correlated(context.command_id), coming_from(self._whence), ports.reply_first():
            try:
                row, data = await self.manager.router.carry_out(context)
            except AutoCodeError as error:
                self._failed(envelope, error)
                return
            if row.reply is not None and data is not None:
                frame = reply_frame(row.reply, plain(data), guid=envelope.project_guid, reply_to=envelope.id)
                self.put(Frame(frame))

    def _failed(self, envelope: Envelope, error: AutoCodeError) -> None:
        if envelope.type == "authenticate" and self.identity is None:
            if isinstance(error, NotAuthenticated):
                self._refuse_login(error, envelope.id)
                return
            if isinstance(error, RateLimited):
                self.close(CloseCode.TOO_MANY_CONNECTIONS, error, envelope.id)
                return
        if isinstance(error, UnknownType):
            self._bad_frame(error, envelope.id)
            return
        if isinstance(error, Internal):
            logger.warning("command %s was answered with internal", envelope.type[:64])
        self.put(Frame(error_frame(error, guid=envelope.project_guid, reply_to=envelope.id)))

    # --- out ----------------------------------------------------------------------------------------------------

    @property
    def put(self) -> Callable[[Frame], None]:
        """Sends a frame; see ``Outlet``."""
        return self.outlet.put

    @property
    def put_all(self) -> Callable[[Frames], None]:
        """Sends frames that came together; see ``Outlet``."""
        return self.outlet.put_all

    def close(self, code: CloseCode, error: AutoCodeError | None = None, reply_to: str | None = None) -> None:
        """Say why and close. Returns at once; the second call does nothing."""
        if self.closing:
            return
        last = None
        if code is not CloseCode.TOO_SLOW:
            last = Frame(error_frame(error or because(code), reply_to=reply_to))
        self._close(code, last)

    def drain(self) -> None:
        """Ask the client to come back later, and close."""
        if not self.closing:
            retry = random.randint(200, 2_000)  # noqa: S311 - spreads clients, hides nothing
            frame = reply_frame("server_draining", {"retryAfterMs": retry})
            self._close(CloseCode.DRAINING, Frame(frame))

    def _close(self, code: CloseCode, last: Frame | None) -> None:
        self.closing = True
        metrics.CLOSES.labels(str(int(code))).inc()
        logger.info("closing: %s", MEANINGS[code], extra={"connection": self.id, "code": int(code)})
        self.wake_at = clock.monotonic() + GONE_PATIENCE
        # Rooms first: a connection that is being closed must not delay or count as anybody.
        self.rooms.leave_all()
        self.manager.spawn(self.outlet.close(code, last))

    def session_ended(self) -> None:
        """The user logged out elsewhere, or was disabled."""
        self.close(CloseCode.SESSION_ENDED, NotAuthenticated("You were logged out."))

    # --- time ---------------------------------------------------------------------------------------------------

    def on_time(self, now: float) -> None:
        """A deadline may be over; called by the manager's clock."""
        if self.closing:
            if self._task is not None:
                self._task.cancel()
            elif self._line is not None:
                self._line.hang_up()
            return
        due = self.deadlines.due(now, self.identity is not None)
        if due is None:
            warning = self.deadlines.warning(now)
            if warning is not None:
                self.put(Frame(reply_frame("token_expiring", {"expiresAt": clock.to_wire(warning)})))
            self._plan_wake()
        else:
            self.close(due, TokenExpired() if due is CloseCode.TOKEN_EXPIRED else None)

    def _plan_wake(self) -> None:
        if not self.closing:
            self.wake_at = self.deadlines.next(self.identity is not None)

    # --- what rooms say (Owner) ---------------------------------------------------------------------------------

    def access_lost(self, viewer: Viewer, error: AutoCodeError) -> None:
        """See ``Owner``."""
        self.rooms.lost(viewer, error)

    def access_changed(self, viewer: Viewer) -> None:
        """See ``Owner``."""
        self.rooms.role_changed(viewer)

    def position_lost(self, viewer: Viewer, reason: str) -> None:
        """See ``Owner``."""
        guid = next((guid for guid, (_, known) in self.rooms.places.items() if known is viewer), None)
        if guid is None:
            return
        wanted = guid
        if not self._begin(lambda: self.rooms.rejoin(viewer, wanted, reason)):
            self.close(CloseCode.POSITION_LOST)
