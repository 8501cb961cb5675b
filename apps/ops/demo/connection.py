"""One socket to AutoCode: what is on its way, in order, and how much of it. Knows no project."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from apps.ops.demo.journal import Journal

log = logging.getLogger("demo_agents")

WINDOW = 64
"""Kept entries on their way without an ack; the rest waits in the journal."""

STREAM_BACKLOG = 512
"""Frames waiting for the socket above which stream pieces are dropped: their whole text follows anyway."""

BATCH_BYTES = 48 * 1024
"""A batch stays below AutoCode's default frame limit of 64 KiB; a single longer envelope goes alone."""

RETRY_S = 1.0
"""Seconds before an entry that AutoCode could not take for the moment is sent again."""

RETRIES = 10


class Connection:
    """What goes out on one socket. ``begin`` opens it for entries, after the ``welcome``."""

    def __init__(self, socket: ServerConnection, journal: Journal) -> None:
        self.socket = socket
        self.lease = 0
        self._journal = journal
        self._frames: deque[str] = deque()
        self._wake = asyncio.Event()
        self._sent = -1
        self._in_flight: dict[str, str] = {}
        self._retries: dict[str, int] = {}

    def begin(self, after: int) -> None:
        """Send the kept entries above the offset ``after``, and from now on each new one."""
        self._sent = after
        self.flush()

    def flush(self) -> None:
        """Move entries from the journal to the socket, as far as the window allows."""
        free = WINDOW - len(self._in_flight)
        if self._sent < 0 or free <= 0 or self._sent >= self._journal.last_offset:
            return
        for offset, entry_id, frame in self._journal.pending(self._sent, free):
            self._in_flight[entry_id] = frame
            self._sent = offset
            self._put(frame)
        if len(self._in_flight) < WINDOW:
            self._sent = max(self._sent, self._journal.last_offset)

    def stream(self, envelope: dict[str, Any]) -> None:
        """Send a piece that nobody keeps; dropped while older entries wait, so that it never overtakes them."""
        if 0 <= self._sent >= self._journal.last_offset and len(self._frames) < STREAM_BACKLOG:
            self.reply(envelope)

    def reply(self, envelope: dict[str, Any]) -> None:
        """Send an envelope that is neither kept nor dropped: acks, welcome, pong, errors."""
        self._put(msgspec.json.encode(envelope).decode())

    def acknowledged(self, entry_id: str) -> None:
        """AutoCode has an entry."""
        self._journal.settle(entry_id)
        self._in_flight.pop(entry_id, None)
        self._retries.pop(entry_id, None)
        self.flush()

    def refused(self, entry_id: str, code: str, message: str, *, retryable: bool) -> None:
        """AutoCode did not take an entry: send it again later, or give it up with a word in the log."""
        frame = self._in_flight.get(entry_id)
        tries = self._retries[entry_id] = self._retries.get(entry_id, 0) + 1
        if retryable and frame is not None and tries <= RETRIES:
            asyncio.get_running_loop().call_later(RETRY_S, self._again, entry_id)
            return
        log.warning("AutoCode refused an entry: %s %s %s", code, message, (frame or "")[:300])
        self.acknowledged(entry_id)

    async def write(self) -> None:
        """Write frames until the socket closes. Run as a task of its own."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._frames:
                    await self.socket.send(self._batch())
        except ConnectionClosed:
            return

    async def close(self, code: int, reason: str) -> None:
        """Say why in a frame, then close."""
        error = {"code": "conflict", "message": reason, "retryable": code < 4300}
        try:
            await self.socket.send(msgspec.json.encode({"type": "error", "projectGuid": None, "data": error}).decode())
        except ConnectionClosed:
            return
        await self.socket.close(code, reason)

    def _again(self, entry_id: str) -> None:
        frame = self._in_flight.get(entry_id)
        if frame is not None:
            self._put(frame)

    def _put(self, frame: str) -> None:
        self._frames.append(frame)
        self._wake.set()

    def _batch(self) -> str:
        batch = [self._frames.popleft()]
        size = len(batch[0])
        while self._frames and size + len(self._frames[0]) < BATCH_BYTES:
            batch.append(self._frames.popleft())
            size += len(batch[-1])
        return batch[0] if len(batch) == 1 else f"[{','.join(batch)}]"
