"""The channel layer over Redis: one connection that speaks, one that listens, no task between a message and its room.

Why not ``channels_redis.pubsub``: each message there passes through a command with retries, a stream, two tasks and a
queue on its way to Redis and back, four times the CPU (70-80 µs against 16-20). Here it is written at once and read
straight into whoever wants it. The rest is the libraries': redis-py knows addresses, TLS and logins,
hiredis the protocol. The name of a group's channel and the form of a message are those of ``channels_redis``.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import hiredis
import msgspec
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as Disconnected

logger = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

BACKOFF: Final = (0.0, 0.1, 0.2, 0.5, 1.0)  # seconds
OPEN_S: Final = 3.0
ANSWER_S: Final = 3.0
PING_S: Final = 5.0
"""A listener that heard nothing for so long asks for an answer, and hangs up when none came in the same time again."""

Hear = Callable[[dict[str, Any]], None]


class Line(asyncio.Protocol):
    """An open connection. ``heard`` gets each reply, ``lost`` is called once when the connection has ended."""

    def __init__(self, connection: Any, heard: Callable[[Any], None], lost: Callable[[Line], None]) -> None:
        self._connection, self._heard, self._lost = connection, heard, lost
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001 - redis-py has opened it for us
        self._transport.set_protocol(self)
        self.quiet = False

    @classmethod
    async def open(cls, pool: ConnectionPool, heard: Callable[[Any], None], lost: Callable[[Line], None]) -> Self:
        """Connect and log in. Raises redis-py's errors, ``TimeoutError``."""
        connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]
        async with asyncio.timeout(OPEN_S):
            await connection.connect()
        return cls(connection, heard, lost)

    def say(self, *words: bytes | str) -> None:
        """Send a command."""
        self._transport.write(hiredis.pack_command(words))  # type: ignore[arg-type] # its stub names a tuple of one

    def hang_up(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.quiet = False
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                self._heard(reply)
        except hiredis.ProtocolError:
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        self._connection._writer = None  # noqa: SLF001 - else redis-py would close it once more
        self._lost(self)


class Speaker:
    """Publishes, and hears from Redis that it did."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._line: Line | None = None
        self._connecting = asyncio.Lock()
        self._answers: deque[asyncio.Future[Any]] = deque()
        self._clock: asyncio.TimerHandle | None = None
        self._oldest: asyncio.Future[Any] | None = None

    def publish(self, channel: str, data: bytes) -> asyncio.Future[Any]:
        """Send, at once where there is a connection. Return what ends with Redis's answer or an error of the libraries.

        No answer within ``ANSWER_S``, or within half of it, is an error: the connection is given up.
        """
        if self._line is None:
            return asyncio.ensure_future(self._connect_first(channel, data))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._line.say(b"PUBLISH", channel, data)
        if self._clock is None:
            self._watch()
        return answer

    async def _connect_first(self, channel: str, data: bytes) -> Any:
        async with self._connecting:
            if self._line is None:
                self._line = await Line.open(self._pool, self._heard, self._lost)
        return await self.publish(channel, data)

    def _watch(self) -> None:
        """Look once a while whether the oldest question is still the same: one timer, however much is sent."""
        self._clock = None
        oldest = self._answers[0] if self._answers else None
        if oldest is not None and oldest is self._oldest and self._line is not None:
            self._line.hang_up()
            return
        self._oldest = oldest
        if oldest is not None:
            self._clock = asyncio.get_running_loop().call_later(ANSWER_S / 2, self._watch)

    def _heard(self, reply: Any) -> None:
        answer = self._answers.popleft() if self._answers else None
        if answer is None or answer.done():
            return
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def _lost(self, line: Line) -> None:
        self._line = None
        answers, self._answers = self._answers, deque()
        for answer in answers:
            if not answer.done():
                answer.set_exception(Disconnected("the connection to Redis has ended"))

    def close(self) -> None:
        """Hang up."""
        if self._clock is not None:
            self._clock.cancel()
        if self._line is not None:
            self._line.hang_up()


class Listener:
    """Listens to names, for as long as they are wanted: a connection that ends is made again, with all of them."""

    def __init__(self, pool: ConnectionPool, deliver: Callable[[str, bytes], None]) -> None:
        self._pool, self._deliver = pool, deliver
        self._line: Line | None = None
        self._connecting = asyncio.Lock()
        self._wanted: dict[str, asyncio.Future[None]] = {}
        """Each with what is done when Redis has confirmed it."""
        self._again: asyncio.Task[None] | None = None
        self._clock: asyncio.TimerHandle | None = None

    async def want(self, name: str) -> None:
        """Listen to ``name``; return when Redis has confirmed it. Raises redis-py's errors."""
        known = self._wanted.get(name)
        if known is None:
            known = self._wanted[name] = asyncio.get_running_loop().create_future()
            if self._line is not None:
                self._line.say(b"SUBSCRIBE", name)
        if self._line is None:
            await self._connect()
        await asyncio.shield(self._wanted.get(name, known))

    def unwant(self, name: str) -> None:
        """Listen to it no more."""
        confirmed = self._wanted.pop(name, None)
        if confirmed is not None:
            confirmed.cancel()
            if self._line is not None:
                self._line.say(b"UNSUBSCRIBE", name)

    async def _connect(self) -> None:
        async with self._connecting:
            if self._line is not None or not self._wanted:
                return
            self._line = line = await Line.open(self._pool, self._heard, self._lost)
            line.say(b"SUBSCRIBE", *self._wanted)
            self._watch(line)

    def _watch(self, line: Line) -> None:
        """Find out that the other side is gone though nobody said so."""
        if self._line is not line:
            return
        if line.quiet:
            line.hang_up()
            return
        line.quiet = True
        line.say(b"PING")
        self._clock = asyncio.get_running_loop().call_later(PING_S, self._watch, line)

    def _heard(self, reply: Any) -> None:
        if not isinstance(reply, list) or len(reply) < 3:  # kind, name, and a message or a count
            if isinstance(reply, Exception):
                logger.warning("Redis refuses a subscription: %s", reply)
            return
        kind, name, data = reply[:3]
        if kind == b"message":
            self._deliver(name.decode(), data)
        elif kind == b"subscribe":
            confirmed = self._wanted.get(name.decode())
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)

    def _lost(self, line: Line) -> None:
        if self._line is not line:
            return
        self._line = None
        loop = asyncio.get_running_loop()
        for name, confirmed in self._wanted.items():
            if confirmed.done():
                self._wanted[name] = loop.create_future()
        if self._wanted and (self._again is None or self._again.done()):
            logger.warning("the connection to Redis has ended; it is made again")
            self._again = loop.create_task(self._connect_again(), name="redis listener")

    async def _connect_again(self) -> None:
        attempt = 0
        while self._line is None and self._wanted:
            await asyncio.sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)])
            attempt += 1
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody else would try again
                if attempt == 1:
                    logger.warning("Redis is not reached (%s); it is tried until it is", type(error).__name__)

    def close(self) -> None:
        """Hang up and want nothing more."""
        self._wanted.clear()
        if self._again is not None:
            self._again.cancel()
        if self._clock is not None:
            self._clock.cancel()
        if self._line is not None:
            self._line.hang_up()


class Exchange:
    """The layer in one event loop."""

    def __init__(self, url: str, options: dict[str, Any], prefix: str) -> None:
        pool: ConnectionPool = ConnectionPool.from_url(url, **options)
        self.prefix = prefix
        self.speaker, self.listener = Speaker(pool), Listener(pool, self._deliver)
        self.queues: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self.hearers: dict[str, Hear] = {}
        self.groups: dict[str, set[str]] = {}

    def group(self, name: str) -> str:
        """Return the Redis channel of a group."""
        return f"{self.prefix}__group__{name}"

    def _deliver(self, name: str, data: bytes) -> None:
        try:
            message = _decode(data)
        except msgspec.DecodeError:
            logger.warning("a message on %s cannot be read", name)
            return
        for channel in tuple(self.groups.get(name, ())) or (name,):
            if (hear := self.hearers.get(channel)) is not None:
                hear(message)
            elif (queue := self.queues.get(channel)) is not None:
                queue.put_nowait(message)


class PubSubChannelLayer:
    """A channel layer (the ``groups`` and ``flush`` extensions) for Redis at ``hosts[0]["address"]``."""

    extensions = ("groups", "flush")

    def __init__(self, hosts: list[dict[str, Any]], prefix: str) -> None:
        (host,) = hosts
        self._url = host["address"]
        self._options = {name: value for name, value in host.items() if name != "address"}
        self._prefix = prefix
        self._exchanges: WeakKeyDictionary[asyncio.AbstractEventLoop, Exchange] = WeakKeyDictionary()

    @property
    def _here(self) -> Exchange:
        loop = asyncio.get_running_loop()
        found = self._exchanges.get(loop)
        if found is None:
            found = self._exchanges[loop] = Exchange(self._url, self._options, self._prefix)
        return found

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return the name of a channel that only this process receives."""
        here = self._here
        name = f"{self._prefix}{prefix}{uuid.uuid4().hex}"
        here.queues[name] = asyncio.Queue()
        await here.listener.want(name)
        return name

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel of this process. Raises ``KeyError`` for any other one."""
        return await self._here.queues[channel].get()

    def deliver(self, channel: str, hear: Hear) -> None:
        """Call ``hear`` with each message of a channel from now on, as soon as it is read; ``receive`` gets none."""
        here = self._here
        here.hearers[channel] = hear
        here.queues.pop(channel, None)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to one channel."""
        await self._here.speaker.publish(channel, _encode(message))

    async def group_add(self, group: str, channel: str) -> None:
        """Let a channel of this process hear what is sent to a group."""
        here = self._here
        name = here.group(group)
        here.groups.setdefault(name, set()).add(channel)
        await here.listener.want(name)

    async def group_discard(self, group: str, channel: str) -> None:
        """Let it hear no more of that."""
        here = self._here
        name = here.group(group)
        members = here.groups.get(name)
        if members is None:
            return
        members.discard(channel)
        if not members:
            del here.groups[name]
            here.listener.unwant(name)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every channel in a group, of whichever process. Raises redis-py's errors when Redis is away."""
        await self.group_send_soon(group, message)

    def group_send_soon(self, group: str, message: dict[str, Any]) -> asyncio.Future[Any]:
        """Do the same, beginning at once."""
        here = self._here
        return here.speaker.publish(here.group(group), _encode(message))

    async def flush(self) -> None:
        """Forget everything and close the connections."""
        here = self._exchanges.pop(asyncio.get_running_loop(), None)
        if here is not None:
            here.speaker.close()
            here.listener.close()
