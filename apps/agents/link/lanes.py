"""What arrived, in one lane for each project: in order inside a lane, several lanes at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from apps.agents.link import inbox, streams
from apps.agents.link import messages as m
from apps.agents.link.database import finish
from apps.agents.link.inbox import Item
from apps.agents.link.options import LinkOptions
from apps.agents.link.retry import Backoff
from apps.agents.link.texts import OpenTexts
from apps.agents.services import link_status
from apps.agents.services.inbox import REFUSED, Outcome
from apps.agents.services.lease import LeaseLost
from apps.core.errors import InvalidField
from apps.projects.selectors.projects import existing_guids

logger = logging.getLogger(__name__)
R = TypeVar("R")
Answer = Callable[[list[tuple[Item, Outcome]]], None]

APPLIED_PIECE = Outcome("applied")

GLOBAL = ""
"""The lane of messages that name no project."""
ALONE_AFTER = 3
TRIES = 20
"""How often one message may fail alone, on a database that answers others, before it is refused."""


class Lanes:
    """Takes items in the order of their arrival, writes them, and hands back what became of them."""

    def __init__(
        self, options: LinkOptions, *, server: str, lease_epoch: int, texts: OpenTexts, answer: Answer
    ) -> None:
        self._options, self._server, self._lease, self._texts = options, server, lease_epoch, texts
        self._answer = answer
        self._queues: dict[str, deque[Item]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(options.lanes)
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._projects: set[str] = set()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def put(self, item: Item) -> None:
        """Add an item to its lane; waits while too much is waiting.

        A report about all projects is written after everything before it, and before this returns.
        """
        guid = item.envelope.guid or GLOBAL
        if guid not in self._workers and guid in self._projects and streams.is_piece(item.message):
            self._pass_on(guid, item)  # nothing is before it
            return
        if guid == GLOBAL and isinstance(item.message, m.StatusReport):
            # It tells what is open at its place among all messages: it must not meet a lane that is behind or ahead.
            await self._idle.wait()
            self._add(guid, item)
            await self._idle.wait()
            return
        await self._room.wait()
        self._add(guid, item)

    async def close(self) -> None:
        """Stop: what is being written is finished, the rest will be sent again by the agents-server."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if not self.failure.done():
            self.failure.cancel()

    def _add(self, guid: str, item: Item) -> None:
        self._queues.setdefault(guid, deque()).append(item)
        self._count(1)
        if guid not in self._workers:
            self._workers[guid] = asyncio.create_task(self._work(guid))

    def _count(self, change: int) -> None:
        self._waiting += change
        if self._waiting:
            self._idle.clear()
        else:
            self._idle.set()
        if self._waiting >= self._options.backlog:
            self._room.clear()
        elif self._waiting <= self._options.backlog // 2:
            self._room.set()

    async def _work(self, guid: str) -> None:
        queue = self._queues[guid]
        try:
            while queue:
                await self._step(guid, queue)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the session raises it
            if not self.failure.done():
                self.failure.set_exception(error)
        finally:
            # No await between the last look at the queue and this: ``put`` starts a new worker afterwards.
            del self._workers[guid]
            if not queue:
                self._queues.pop(guid, None)

    async def _step(self, guid: str, queue: deque[Item]) -> None:
        if streams.is_piece(queue[0].message):
            await self._piece(guid, queue[0])
            queue.popleft()
            self._count(-1)
            return
        batch: list[Item] = []
        for item in queue:
            if len(batch) >= self._options.batch or streams.is_piece(item.message):
                break
            batch.append(item)
        answers = await self._written(guid, batch)
        done = [queue.popleft() for _ in answers]
        self._count(-len(done))
        self._answer(list(zip(done, answers, strict=True)))

    async def _piece(self, guid: str, item: Item) -> None:
        if guid in self._projects or (guid and await self._exists(guid)):
            self._projects.add(guid)
            self._pass_on(guid, item)
        else:
            self._answer([(item, Outcome(REFUSED, "not_found", "There is no such project."))])

    def _pass_on(self, guid: str, item: Item) -> None:
        streams.emit(guid, item.message, self._texts)
        self._answer([(item, APPLIED_PIECE)])

    async def _exists(self, guid: str) -> bool:
        return bool(await self._retried(guid, lambda: existing_guids([UUID(guid)])))

    async def _written(self, guid: str, batch: list[Item]) -> list[Outcome]:
        failures = 0

        def write() -> list[Outcome]:
            nonlocal failures
            # After some failures one at a time, so that one that the database cannot take does not hold up the others.
            part = batch if failures < ALONE_AFTER else batch[:1]
            if failures >= TRIES:
                part[0].error = InvalidField("The database does not take this message.")
            try:
                return self._apply(guid, part)
            except LeaseLost:
                raise
            except Exception:
                link_status.place()  # raises when the database is away for everybody: that is not the message's fault
                failures += 1
                raise

        return await self._retried(guid, write)

    def _apply(self, guid: str, part: list[Item]) -> list[Outcome]:
        if guid == GLOBAL:
            return [self._write_global(part[0])]
        answers = inbox.apply_batch(part, guid=guid, server=self._server, lease_epoch=self._lease, texts=self._texts)
        return [outcome for _, outcome in answers]

    def _write_global(self, item: Item) -> Outcome:
        if item.error is not None:
            return inbox.refuse(item, server=self._server, lease_epoch=self._lease)
        return inbox.apply_report(item, server=self._server, lease_epoch=self._lease, texts=self._texts)

    async def _retried(self, guid: str, function: Callable[[], R]) -> R:
        """Return what ``function`` returns, however long the database is away. Raises ``LeaseLost``."""
        pause = Backoff(0.1, self._options.database_retry)
        while True:
            try:
                async with self._slots:
                    return await finish(function)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - the message is tried again, and refused by `write` in the end
                if pause.failures % 10 == 0:
                    logger.warning("project %s: messages wait, the database fails: %s", guid or "-", error)
            await asyncio.sleep(pause.next())
