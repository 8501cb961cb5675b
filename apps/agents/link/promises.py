"""The promises of one connection: what waits in the outbox is sent, in the exact order of each project.

A look takes what is next and settles what was answered, in one transaction. The first one comes at once; while there
is much to do they come at a pace, and each brings a run of a project's promises, of which one after the other is sent
as the one before it is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, InterfaceError

from apps.agents.link import frames
from apps.agents.link.database import finish, patiently
from apps.agents.link.options import LinkOptions
from apps.agents.services import relay
from apps.agents.services.lease import LeaseLost
from apps.agents.services.relay import Parcel

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.1
"""From one look to the next: a person does not notice, and a busy room's promises share transactions. Where a whole
run was waiting, the next look comes at once."""
STRANGE: Final = 1_000
"""Steps that may wait before answers to what is not on its way are passed over: whatever they meant is sent again."""


@dataclass(slots=True)
class Sent:
    """A promise on its way, since when by the monotonic clock, and whether its one answer has come."""

    since: float
    parcel: Parcel
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a promise, for the settler.

    ``sent`` is what it ends, if that is on its way; ``behind`` are the keys that were taken with it and not sent.
    """

    step: str
    key: str
    code: str = ""
    message: str = ""
    retryable: bool = False
    sent: Sent | None = None
    behind: tuple[str, ...] = ()


class Promises:
    """See the module. ``send`` queues an envelope; ``wake`` is set when there may be something to send."""

    def __init__(
        self,
        options: LinkOptions,
        *,
        lease_epoch: int,
        acks: bool,
        wake: asyncio.Event,
        send: Callable[[dict[str, Any]], None],
        report: Callable[..., Awaitable[None]],
    ) -> None:
        self._options, self._lease_epoch, self._acks = options, lease_epoch, acks
        self._wake, self._send, self._report = wake, send, report
        self._steps: asyncio.Queue[Step] = asyncio.Queue()
        self._on_its_way: dict[str, Sent] = {}
        self._runs: dict[str, deque[Parcel]] = {}
        self._answered: list[str] = []
        self._taking = asyncio.Lock()
        self._looked = 0.0

    # --- what the agents-server says ----------------------------------------------------------------------------

    def has(self, key: str, guid: str | None = None) -> None:
        """The agents-server has this promise; it said so in the name of the project ``guid``, if it named one."""
        sent = self._on_its_way.get(key)
        if sent is None:
            self._strange(Step("acked", key))
        elif self._first_answer(sent, guid):
            if sent.parcel.is_feedback:
                self._steps.put_nowait(Step("acked", key, sent=sent))
            else:
                self._answered.append(key)
                self._wake.set()
            self._go_on(sent.parcel.guid)

    def refuses(self, key: str, code: str, message: str, *, retryable: bool, guid: str | None = None) -> None:
        """It does not take this one, or did not answer: nothing of its project may overtake it."""
        sent = self._on_its_way.get(key)
        if sent is None:
            self._strange(Step("refused", key, code, message, retryable))
        elif self._first_answer(sent, guid):
            behind = tuple(parcel.key for parcel in self._runs.pop(sent.parcel.guid, ()))
            self._steps.put_nowait(Step("refused", key, code, message, retryable, sent, behind))

    def _first_answer(self, sent: Sent, guid: str | None) -> bool:
        """Take the answer, unless there was one: an echo must not let the next one go before its turn."""
        if sent.answered:
            return False
        if guid is not None and guid != sent.parcel.guid:
            logger.warning("the agents-server answered %s in the name of another project", sent.parcel.key)
            return False
        sent.answered = True
        return True

    def _strange(self, step: Step) -> None:
        """Look up later what an answer meant: an earlier connection's promise, or nothing."""
        if not self._holds(step.key) and self._steps.qsize() < STRANGE:
            self._steps.put_nowait(step)

    def _holds(self, key: str) -> bool:
        """Tell whether this connection has the promise: on its way, or leased and still to be sent."""
        return key in self._on_its_way or any(parcel.key == key for run in self._runs.values() for parcel in run)

    def lag(self, lag_ms: int) -> None:
        """How late it answers, to be told in the order of everything else."""
        self._steps.put_nowait(Step("lag", str(lag_ms)))

    # --- out ----------------------------------------------------------------------------------------------------

    async def relay(self) -> None:
        """Send promises as they are made. Raises ``LeaseLost``, database errors."""
        while True:
            self._wake.clear()
            answered, self._answered = self._answered, []
            for key in answered:
                self._on_its_way.pop(key, None)
            free = self._options.in_flight - len(self._on_its_way)
            parcels: list[Parcel] = []
            if answered or free > 0:
                async with self._taking:
                    parcels = await self._take(free, answered)
                    for parcel in parcels:
                        self._runs.setdefault(parcel.guid, deque()).append(parcel)
                self._looked = time.monotonic()
            for guid in {parcel.guid: None for parcel in parcels}:
                self._go_on(guid)
            self._give_up()
            if not parcels or len(parcels) < free:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._options.outbox_poll):
                        await self._wake.wait()
            if len(parcels) < relay.RUN:
                await asyncio.sleep(max(0.0, self._looked + LOOK_S - time.monotonic()))

    async def _take(self, limit: int, answered: list[str]) -> list[Parcel]:
        """Return what ``relay.take`` does, however long the database is away.

        A try that failed may have committed all the same. What it took then nobody would ever send, and its project
        would wait behind it; so the tries after it let go of whatever this connection does not hold.
        """
        take = functools.partial(relay.take, self._lease_epoch, limit=limit, acked=answered)
        try:
            return await finish(take)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("promises cannot be taken, the database fails: %s", error)
        held = [*self._on_its_way, *(parcel.key for run in self._runs.values() for parcel in run)]
        return await patiently(take, held=held)

    def _go_on(self, guid: str) -> None:
        """Send the next one of a project's run, unless one of the project is unanswered."""
        run = self._runs.get(guid)
        if not run or any(sent.parcel.guid == guid and not sent.answered for sent in self._on_its_way.values()):
            return  # where one is: an older promise, dead before, was leased after those behind it
        parcel = run.popleft()
        if not run:
            del self._runs[guid]
        self._on_its_way[parcel.key] = Sent(time.monotonic(), parcel)
        self._send(frames.pack(parcel.type, parcel.data, guid=guid, id=parcel.key))
        if parcel.is_feedback:
            self._steps.put_nowait(Step("sent", parcel.key))
        if not self._acks:
            self.has(parcel.key)

    def _give_up(self) -> None:
        """Count what was not answered in time as refused for the moment: it will be sent again under its id."""
        late = time.monotonic() - self._options.ack_timeout
        for key, sent in list(self._on_its_way.items()):
            if sent.since < late and not sent.answered:
                self.refuses(key, "no_ack", "The agents-server did not answer.", retryable=True)
                del self._on_its_way[key]

    # --- what is written down -----------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Write down the steps of promises, in the order in which they happened. Raises ``LeaseLost``."""
        while True:
            step = await self._steps.get()
            try:
                await self._settle(step)
            except LeaseLost:
                raise
            except Exception:
                # The promise stays as it is and is sent again under its id.
                logger.exception("%s of %s could not be written", step.step, step.key)

    async def _settle(self, step: Step) -> None:
        lease = self._lease_epoch
        match step.step:
            case "sent":
                await patiently(relay.forwarded, lease, step.key)
                return
            case "lag":
                await self._report(lag_ms=int(step.key))
                return
            case "acked":
                await patiently(relay.acked, lease, step.key, by_server=self._acks)
            case _ if step.sent is None:
                async with self._taking:
                    # Meant for an earlier connection: what was leased since would wait and be on its way at once.
                    if not self._holds(step.key):
                        await self._refuse(step)
            case _:
                await self._refuse(step)
                if step.behind:
                    await patiently(relay.give_back, lease, list(step.behind))
        if step.sent is not None and self._on_its_way.get(step.key) is step.sent:
            del self._on_its_way[step.key]
        self._wake.set()

    async def _refuse(self, step: Step) -> None:
        await patiently(
            relay.refused,
            self._lease_epoch,
            step.key,
            code=step.code,
            message=step.message,
            retryable=step.retryable,
        )

    async def leave(self, *, broke: bool) -> None:
        """Write down what is known; what is still on its way waits for the next connection.

        ``broke``: the other side fell silent or fell over, maybe because of what it had not answered.
        """
        while not self._steps.empty():
            await self._settle(self._steps.get_nowait())
        await patiently(relay.take, self._lease_epoch, limit=0, acked=self._answered)
        for key, sent in [(key, sent) for key, sent in self._on_its_way.items() if broke and not sent.answered]:
            why = "The connection broke before it was answered."
            await self._settle(Step("refused", key, "connection_lost", why, retryable=True, sent=sent))
        await patiently(relay.give_back, self._lease_epoch)
