"""One connection to the agents-server, from hello to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from apps.agents import commands
from apps.agents.link import control, dispatch, frames, inbox
from apps.agents.link.database import finish, patiently
from apps.agents.link.frames import INTEGER
from apps.agents.link.inbox import Item
from apps.agents.link.lanes import Lanes
from apps.agents.link.offsets import Offsets
from apps.agents.link.options import PROTOCOL, LinkOptions
from apps.agents.link.promises import Promises
from apps.agents.link.texts import OpenTexts
from apps.agents.services import link_status, relay
from apps.agents.services.inbox import REFUSED, Outcome
from apps.agents.services.lease import Lease, LeaseLost
from apps.core.errors import AutoCodeError
from apps.core.ids import new_id

logger = logging.getLogger(__name__)

LONGEST_LAG_MS = 600_000
LETTERS_A_MINUTE = 60
"""Unreadable frames that are kept; more of them are only counted."""
LEAVES = frozenset({1000, 1001, 1012, 1013, 4101})
"""Codes of a server that goes because it wants to, and not because of what it was sent."""
FRAME_BYTES = 256 * 1024
"""Messages are sent together up to this size: what a usual server refuses is four times that."""


class Silent(OSError):  # noqa: N818 - a turn of events, not a fault
    """The agents-server is not heard any more: the line is dead, or it hangs, maybe on what it was sent."""


class Session:
    """Speaks on one open socket until it closes, the lease is lost, or it is cancelled.

    ``wake`` is set when there may be something to send; ``may_speak`` is asked before each frame whether the lease is
    still this process's; ``report`` is awaited with what changed about the link.
    """

    def __init__(
        self,
        socket: ClientConnection,
        *,
        options: LinkOptions,
        lease: Lease,
        acks: bool,
        wake: asyncio.Event,
        texts: OpenTexts,
        may_speak: Callable[[], bool],
        report: Callable[..., Awaitable[None]],
    ) -> None:
        self._socket, self._options, self._lease = socket, options, lease
        self._acks, self._wake, self._texts = acks, wake, texts
        self._may_speak, self._report = may_speak, report
        self._server, self._server_id, self._epoch = "", "", ""
        self._offsets = Offsets(0, 0)
        self._lanes: Lanes | None = None
        self._promises: Promises | None = None
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._read_on = asyncio.Event()
        self._sync_now = asyncio.Event()
        self._letters: list[float] = []
        self._saved_offset = -1
        self._heard, self._listens = 0, False
        self.welcomed = False

    async def run(self) -> None:
        """Speak. Raises ``ConnectionClosed`` at the end of the socket, ``Silent``, ``LeaseLost``, database errors."""
        await patiently(relay.give_back, self._lease.epoch)
        rest = await self._greet()
        lanes = self._lanes = Lanes(
            self._options,
            server=self._server,
            lease_epoch=self._lease.epoch,
            texts=self._texts,
            answer=self._answer,
        )
        promises = self._promises = Promises(
            self._options,
            lease_epoch=self._lease.epoch,
            acks=self._acks,
            wake=self._wake,
            send=self._outgoing.put_nowait,
            report=self._report,
        )
        parts = (
            self._read(rest),
            self._write(),
            promises.relay(),
            promises.settle(),
            self._beat(),
            self._watch(),
            self._sync(),
        )
        tasks = [asyncio.ensure_future(part) for part in parts]
        broke = False
        try:
            done, _ = await asyncio.wait([*tasks, lanes.failure], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ConnectionClosed as closed:
            broke = self.welcomed and (closed.rcvd is None or closed.rcvd.code not in LEAVES)
            raise
        except Silent:
            broke = self.welcomed
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await lanes.close()
            await self._leave(promises, broke=broke)

    async def _leave(self, promises: Promises, *, broke: bool) -> None:
        """Write down what is settled already; what is still on its way waits for the next connection."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._options.leave_timeout):
                await promises.leave(broke=broke)
                await self._save_offset()

    # --- hello --------------------------------------------------------------------------------------------------

    async def _greet(self) -> list[frames.Envelope | frames.Bad]:
        """Say hello and wait for the welcome; return what else came meanwhile."""
        place = await patiently(link_status.place)
        hello = control.Hello(
            bridge_id=self._lease.bridge_id,
            protocol=PROTOCOL,
            lease_epoch=self._lease.epoch,
            resume=control.Resume(epoch=place.epoch, offset=place.offset),
        )
        await self._socket.send(frames.encode([frames.pack("hello", hello)]))
        welcome, rest = await self._welcome()
        self.welcomed = welcome is not None
        if welcome is None:
            # It knows no hello, or is slow: it is taken for the one of the last time, so that its repeats are seen.
            welcome = control.Welcome(server_id=place.server_id, epoch=place.epoch, offset=INTEGER)
        self._server_id, self._epoch = welcome.server_id[:64], welcome.epoch[:64]
        self._server = f"{self._server_id}/{self._epoch}"
        same = (place.server_id, place.epoch) == (self._server_id, self._epoch)
        offset, gap = (place.offset, "") if same else (0, "")
        if same and welcome.offset < place.offset:
            offset, gap = welcome.offset, "the agents-server has gone back; it lost messages"
        self._offsets = Offsets(offset, welcome.offset)
        self._acks = self._acks and welcome.acks
        await self._report(
            state="connected", acks=self._acks, error="", gap=gap, server_id=self._server_id, epoch=self._epoch,
            offset=offset,
        )  # fmt: skip
        return rest

    async def _welcome(self) -> tuple[control.Welcome | None, list[frames.Envelope | frames.Bad]]:
        """Return the welcome and what came besides; None when there was none in time.

        News that comes before it waits: until then nobody knows whose ids these are.
        """
        rest: list[frames.Envelope | frames.Bad] = []
        with contextlib.suppress(TimeoutError):
            patience = self._options.welcome_timeout
            async with asyncio.timeout(patience if self._acks else min(1.0, patience)):
                while len(rest) < self._options.backlog:
                    messages = self._parse(await self._socket.recv())
                    for index, message in enumerate(messages):
                        if isinstance(message, frames.Envelope) and message.type == "welcome":
                            return self._convert(message.data, control.Welcome), rest + messages[index + 1 :]
                        rest.append(message)
        return None, rest

    def _late_welcome(self, data: dict[str, Any]) -> None:
        """Begin anew when the server turns out to be another one than it was taken for."""
        welcome = self._convert(data, control.Welcome)
        if welcome is not None and (welcome.server_id[:64], welcome.epoch[:64]) != (self._server_id, self._epoch):
            raise OSError("the agents-server introduced itself too late")

    # --- reading ------------------------------------------------------------------------------------------------

    def _parse(self, raw: str | bytes) -> list[frames.Envelope | frames.Bad]:
        return frames.read_frame(raw, longest=self._options.frame_bytes)

    async def _read(self, rest: list[frames.Envelope | frames.Bad]) -> None:
        for message in rest:
            await self._take(message)
        while True:
            self._listens = True
            raw = await self._socket.recv()
            self._listens = False
            self._heard += 1
            for message in self._parse(raw):
                await self._take(message)

    async def _take(self, message: frames.Envelope | frames.Bad) -> None:
        if self._outgoing.qsize() > self._options.backlog:
            # It writes and does not read its answers: it is slowed down, or what it is owed grows without end.
            self._read_on.clear()
            await self._read_on.wait()
        if isinstance(message, frames.Bad):
            await self._bury(message)
        elif not self._own_word(message):
            await self._news(message)

    def _own_word(self, message: frames.Envelope) -> bool:
        """Handle a word of the link itself; False for a message about a project."""
        data, promises = message.data, self._promises
        assert promises is not None  # noqa: S101 - nothing is read before there are some
        match message.type:
            case "ack":
                if (ack := self._convert(data, control.Ack)) is not None:
                    promises.has(ack.id, message.guid)
            case "nack":
                if (nack := self._convert(data, control.Nack)) is not None:
                    code = nack.code or "refused"
                    promises.refuses(nack.id, code, nack.message, retryable=nack.retryable, guid=message.guid)
            case "ping":
                self._say("pong", {"t": data.get("t")})
            case "pong":
                if (lag := self._lag(data)) is not None:
                    promises.lag(lag)
            case "error":
                logger.warning("the agents-server says: %s", str(data)[:500])
            case "welcome":
                self._late_welcome(data)
            case _:
                return False
        return True

    def _lag(self, data: dict[str, Any]) -> int | None:
        """Return how many milliseconds ago we sent the ping of this pong, or None when that is none of ours."""
        beat = self._convert(data, control.Beat)
        if beat is None or beat.t is None:
            return None
        lag = round(time.monotonic() * 1000 - beat.t)
        return lag if 0 <= lag < LONGEST_LAG_MS else None

    def _convert(self, data: dict[str, Any], kind: type[Any]) -> Any:
        """Return a control message, or None when it has the wrong form: that is the server's affair."""
        try:
            return msgspec.convert(data, kind)
        except msgspec.ValidationError as error:
            logger.warning("the agents-server sent an odd %s: %s", kind.__name__.lower(), error)
            return None

    async def _news(self, envelope: frames.Envelope) -> None:
        item = Item(envelope)
        try:
            item.message = dispatch.decode(envelope.type, envelope.data)
        except AutoCodeError as error:
            item.error = error
        if envelope.offset is not None:
            missing = self._offsets.received(envelope.offset)
            if missing:
                await self._tell_gap(wider=missing > 0)
        if self._lanes is not None:
            await self._lanes.put(item)

    async def _tell_gap(self, *, wider: bool) -> None:
        """Say what is missing, and ask for the truth; say too when it came after all."""
        gap = self._offsets.gap
        if wider:
            logger.warning("%s", gap)
            self._sync_now.set()
        await self._report(gap=gap[:200])

    async def _bury(self, bad: frames.Bad) -> None:
        """Answer what cannot be read, and keep some of it for the operator."""
        error = bad.error
        if bad.id is not None:
            self._nack(bad.id, error.code, error.message, guid=None)
        else:
            self._say("error", {"code": error.code, "message": error.message, "retryable": False})
        now = time.monotonic()
        self._letters = [at for at in self._letters if at > now - 60]
        if len(self._letters) >= LETTERS_A_MINUTE:
            return
        self._letters.append(now)
        logger.warning("the agents-server sent something unreadable: %s", error.message)
        try:
            await finish(inbox.bury, bad.id or "", bad.type, error, bad.body, lease_epoch=self._lease.epoch)
        except LeaseLost:
            raise
        except Exception:
            logger.exception("a dead letter could not be kept")

    def _answer(self, handled: list[tuple[Item, Outcome]]) -> None:
        """Acknowledge what is committed."""
        for item, outcome in handled:
            envelope = item.envelope
            if envelope.offset is not None:
                self._offsets.kept(envelope.offset)
            if envelope.id is None:
                continue
            if outcome.outcome == REFUSED:
                self._nack(envelope.id, outcome.code, outcome.message, guid=envelope.guid)
            else:
                self._outgoing.put_nowait(frames.pack("ack", {"id": envelope.id}, guid=envelope.guid))

    def _nack(self, message_id: str, code: str, message: str, *, guid: str | None) -> None:
        data = control.Nack(id=message_id, code=code, message=message)
        self._outgoing.put_nowait(frames.pack("nack", data, guid=guid))

    def _say(self, kind: str, data: dict[str, Any]) -> None:
        self._outgoing.put_nowait(frames.pack(kind, data))

    # --- writing ------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Write what waits, many together when they come together, in frames that a server takes.

        Raises ``Silent`` when the server reads nothing for too long.
        """
        waiting = self._outgoing
        following = b""
        while True:
            batch = [following or frames.encoded(await waiting.get())]
            size, following = len(batch[0]), b""
            while not waiting.empty() and len(batch) < 100:
                following = frames.encoded(waiting.get_nowait())
                size += len(following)
                if size > FRAME_BYTES:
                    break
                batch.append(following)
                following = b""
            if not self._may_speak():
                raise LeaseLost
            try:
                async with asyncio.timeout(self._options.write_timeout):
                    await self._socket.send(frames.joined(batch))
            except TimeoutError:
                raise Silent("the agents-server does not read what it is sent") from None
            if waiting.qsize() <= self._options.backlog:
                self._read_on.set()

    # --- time ---------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            self._say("ping", {"t": time.monotonic() * 1000})
            await asyncio.sleep(self._options.ping_interval)
            await self._save_offset()

    async def _watch(self) -> None:
        """Ask for life, and hang up where there is none: raises ``Silent``.

        Any frame that was read meanwhile is life. Where we do not listen ourselves, because the database is slow, the
        answer lies behind what waits to be read.
        """
        while True:
            await asyncio.sleep(self._options.ping_interval)
            heard = self._heard
            try:
                async with asyncio.timeout(self._options.ping_timeout):
                    await (await self._socket.ping())  # sending it takes for ever, too, where nobody reads
            except TimeoutError:
                if self._listens and self._heard == heard:
                    raise Silent("the agents-server does not answer a ping") from None

    async def _save_offset(self) -> None:
        if self._offsets.resume != self._saved_offset:
            self._saved_offset = self._offsets.resume
            await patiently(link_status.record, self._lease.epoch, offset=self._offsets.resume)

    async def _sync(self) -> None:
        """Tell what AutoCode believes is open: now, every few minutes, and after a gap."""
        while True:
            self._sync_now.clear()
            believed: list[commands.ProjectStatusSync] = await patiently(relay.what_is_open)
            for part in believed:
                self._outgoing.put_nowait(frames.pack("project_status_sync", part, id=new_id()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.sync_interval):
                    await self._sync_now.wait()
