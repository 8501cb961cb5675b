"""One connection to the agents-server, from hello to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection

from apps.agents import commands
from apps.agents.link import control, dispatch, frames, inbox
from apps.agents.link.database import finish, patiently
from apps.agents.link.frames import INTEGER
from apps.agents.link.inbox import Item
from apps.agents.link.lanes import Lanes
from apps.agents.link.offsets import Offsets
from apps.agents.link.options import PROTOCOL, LinkOptions
from apps.agents.link.texts import OpenTexts
from apps.agents.services import link_status, relay
from apps.agents.services.inbox import REFUSED, Outcome
from apps.agents.services.lease import Lease, LeaseLost
from apps.core.errors import AutoCodeError
from apps.core.ids import new_id

logger = logging.getLogger(__name__)

LETTERS_A_MINUTE = 60
"""Unreadable frames that are kept; more of them are only counted."""


SETTLE_S = 0.02
"""How long the receipt for a promise with nothing behind it may wait for company."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A step of a promise, for the settler: sent, acked, refused or given back."""

    step: str
    key: str
    code: str = ""
    message: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A promise on its way.

    Since when, by the monotonic clock; whether a person waits for its receipts; whether more waits behind it.
    """

    since: float
    feedback: bool
    more: bool


class Session:
    """Speaks on one open socket until it closes, the lease is lost, or it is cancelled.

    ``wake`` is set when there may be something to send; ``report`` is awaited with what changed about the link.
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
        report: Callable[..., Awaitable[None]],
    ) -> None:
        self._socket, self._options, self._lease = socket, options, lease
        self._acks, self._wake, self._texts, self._report = acks, wake, texts, report
        self._server, self._server_id, self._epoch = "", "", ""
        self._offsets = Offsets(0, 0)
        self._lanes: Lanes | None = None
        self._steps: asyncio.Queue[Settled] = asyncio.Queue()
        self._in_flight: dict[str, Sent] = {}
        self._acked: list[str] = []
        self._settling: asyncio.TimerHandle | None = None
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sync_now = asyncio.Event()
        self._letters: list[float] = []
        self._saved_offset = -1
        self.welcomed = False

    async def run(self) -> None:
        """Speak. Raises ``ConnectionClosed`` at the end of the socket, ``LeaseLost``, database errors."""
        await patiently(relay.give_back, self._lease.epoch)
        rest = await self._greet()
        lanes = self._lanes = Lanes(
            self._options,
            server=self._server,
            lease_epoch=self._lease.epoch,
            texts=self._texts,
            answer=self._answer,
        )
        tasks = [
            asyncio.ensure_future(part)
            for part in (self._read(rest), self._write(), self._relay(), self._settle(), self._beat(), self._sync())
        ]
        try:
            done, _ = await asyncio.wait([*tasks, lanes.failure], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await lanes.close()
            await self._leave()

    async def _leave(self) -> None:
        """Write down what is settled already; what is still on its way waits for the next connection."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._options.leave_timeout):
                while not self._steps.empty():
                    await self._settle_one(self._steps.get_nowait())
                await patiently(relay.take, self._lease.epoch, limit=0, acked=self._acked)
                await patiently(relay.give_back, self._lease.epoch)
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
            for message in self._parse(await self._socket.recv()):
                await self._take(message)

    async def _take(self, message: frames.Envelope | frames.Bad) -> None:
        if isinstance(message, frames.Bad):
            await self._bury(message)
        elif not self._own_word(message):
            await self._news(message)

    def _own_word(self, message: frames.Envelope) -> bool:
        """Handle a word of the link itself; False for a message about a project."""
        data = message.data
        match message.type:
            case "ack":
                if (ack := self._convert(data, control.Ack)) is not None:
                    self._has(ack.id)
            case "nack":
                if (nack := self._convert(data, control.Nack)) is not None:
                    step = Settled("refused", nack.id, nack.code or "refused", nack.message, nack.retryable)
                    self._settled(step)
            case "ping":
                self._say("pong", {"t": data.get("t")})
            case "pong":
                beat = self._convert(data, control.Beat)
                if beat is not None and beat.t is not None:
                    lag = round(time.monotonic() * 1000 - beat.t)
                    self._lag(lag)
            case "error":
                logger.warning("the agents-server says: %s", str(data)[:500])
            case "welcome":
                self._late_welcome(data)
            case _:
                return False
        return True

    def _lag(self, lag: int) -> None:
        if 0 <= lag < 600_000:  # ten minutes: anything else is not our own clock
            self._steps.put_nowait(Settled("lag", str(lag)))

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
            gap = self._offsets.received(envelope.offset)
            if gap:
                logger.warning("%s", gap)
                self._sync_now.set()
                await self._report(gap=gap[:200])
        if self._lanes is not None:
            await self._lanes.put(item)

    async def _bury(self, bad: frames.Bad) -> None:
        """Answer what cannot be read, and keep some of it for the operator."""
        error = bad.error
        logger.warning("the agents-server sent something unreadable: %s", error.message)
        if bad.id is not None:
            self._nack(bad.id, error.code, error.message, guid=None)
        else:
            self._say("error", {"code": error.code, "message": error.message, "retryable": False})
        now = time.monotonic()
        self._letters = [at for at in self._letters if at > now - 60]
        if len(self._letters) >= LETTERS_A_MINUTE:
            return
        self._letters.append(now)
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
        """Write answers, many together when they come together. A batch stays below a server's usual frame limit."""
        while True:
            batch = [await self._outgoing.get()]
            while not self._outgoing.empty() and len(batch) < 100:
                batch.append(self._outgoing.get_nowait())
            await self._socket.send(frames.encode(batch))

    async def _relay(self) -> None:
        """Send promises, one of each project at a time, as they are made."""
        while True:
            self._wake.clear()
            acked, self._acked = self._acked, []
            if self._settling is not None:
                self._settling.cancel()
                self._settling = None
            for key in acked:
                self._in_flight.pop(key, None)
            free = self._options.in_flight - len(self._in_flight)
            parcels = []
            if acked or free > 0:
                parcels = await patiently(relay.take, self._lease.epoch, limit=free, acked=acked)
            for parcel in parcels:
                self._in_flight[parcel.key] = Sent(time.monotonic(), parcel.is_feedback, parcel.more)
                envelope = frames.pack(parcel.type, parcel.data, guid=parcel.guid, id=parcel.key)
                await self._socket.send(frames.encode([envelope]))
                if parcel.is_feedback:
                    self._steps.put_nowait(Settled("sent", parcel.key))
                if not self._acks:
                    self._has(parcel.key)
            self._give_up()
            if not parcels or len(parcels) < free:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._options.outbox_poll):
                        await self._wake.wait()

    def _has(self, key: str) -> None:
        """The agents-server has a promise. Most are settled by the next look for what is to be sent.

        That look comes at once when something waited behind it, and otherwise soon: the next promise brings it earlier.
        """
        sent = self._in_flight.get(key)
        if sent is None or sent.feedback:
            self._settled(Settled("acked", key))
            return
        self._acked.append(key)
        if sent.more:
            self._wake.set()
        elif self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(SETTLE_S, self._wake.set)

    def _give_up(self) -> None:
        """Count what was not answered in time as refused for the moment: it will be sent again under its id."""
        late = time.monotonic() - self._options.ack_timeout
        for key, sent in list(self._in_flight.items()):
            if sent.since < late and key not in self._acked:
                del self._in_flight[key]
                self._settled(Settled("refused", key, "no_ack", "The agents-server did not answer.", retryable=True))

    def _settled(self, step: Settled) -> None:
        self._steps.put_nowait(step)

    async def _settle(self) -> None:
        """Write down the steps of promises, in the order in which they happened."""
        while True:
            step = await self._steps.get()
            try:
                await self._settle_one(step)
            except LeaseLost:
                raise
            except Exception:
                # The promise stays as it is and is sent again under its id.
                logger.exception("%s of %s could not be written", step.step, step.key)

    async def _settle_one(self, step: Settled) -> None:
        lease = self._lease.epoch
        match step.step:
            case "sent":
                await patiently(relay.forwarded, lease, step.key)
                return
            case "lag":
                await self._report(lag_ms=int(step.key))
                return
            case "acked":
                await patiently(relay.acked, lease, step.key, by_server=self._acks)
            case _:
                await patiently(
                    relay.refused, lease, step.key, code=step.code, message=step.message, retryable=step.retryable
                )
        self._in_flight.pop(step.key, None)
        self._wake.set()

    # --- time ---------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            self._say("ping", {"t": time.monotonic() * 1000})
            await asyncio.sleep(self._options.ping_interval)
            await self._save_offset()

    async def _save_offset(self) -> None:
        if self._offsets.resume != self._saved_offset:
            self._saved_offset = self._offsets.resume
            await patiently(link_status.record, self._lease.epoch, offset=self._offsets.resume)

    async def _sync(self) -> None:
        """Tell what AutoCode believes is open: now, every few minutes, and after a gap."""
        while True:
            self._sync_now.clear()
            believed: commands.ProjectStatusSync = await patiently(relay.what_is_open)
            self._outgoing.put_nowait(frames.pack("project_status_sync", believed, id=new_id()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.sync_interval):
                    await self._sync_now.wait()
