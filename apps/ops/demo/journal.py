"""What must survive a kill: outgoing entries until they are acknowledged, ids seen, and the projects' documents.

One SQLite file in WAL. All writes of one decision belong in one ``atomic`` block: a document never says that something
was sent that is not in the journal, nor the other way round. Knows neither sockets nor what the entries mean.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from apps.core import clock, ids
from apps.ops.demo.state import ProjectDoc

SEEN_KEPT = 200_000
"""Command ids remembered; at twenty commands a second that is nearly three hours of unbroken resending."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, frame TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS once (key TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS projects (guid TEXT PRIMARY KEY, doc BLOB NOT NULL);
"""


class Journal:
    """The file. Used from one thread only; every call returns at once."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing that was committed; only a power cut could, and a demo may.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self.frozen = False
        """Set when the process is about to end: what is written after that is taken back."""
        self._depth = 0
        self._dirty: dict[str, ProjectDoc] = {}
        self.on_commit: Callable[[], None] = lambda: None
        self.epoch = self._constant("epoch")
        self.server_id = self._constant("server_id")
        self.last_offset = self._highest()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Make everything inside one transaction (blocks nest); ``on_commit`` is called after the outermost."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self._write_documents()
            self._db.execute("ROLLBACK" if self.frozen else "COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self.last_offset = self._highest()
            raise
        finally:
            self._depth = 0
            self._dirty.clear()
        if not self.frozen:
            self.on_commit()

    # --- entries ------------------------------------------------------------------------------------------------

    def append(self, envelope: dict[str, Any]) -> str:
        """Keep ``envelope`` to be sent, with the next offset and an id of its own; return the id."""
        with self.atomic():
            offset = self.last_offset + 1
            entry_id = ids.new_id()
            stamped = {**envelope, "id": entry_id, "offset": offset, "timestamp": clock.to_wire(clock.now())}
            frame = msgspec.json.encode(stamped).decode()
            self._db.execute("INSERT INTO entries (position, id, frame) VALUES (?, ?, ?)", (offset, entry_id, frame))
            self.last_offset = offset
        return entry_id

    def pending(self, after: int, limit: int) -> list[tuple[int, str, str]]:
        """Return up to ``limit`` entries above the offset ``after``, in order, as (offset, id, frame)."""
        rows = self._db.execute(
            "SELECT position, id, frame FROM entries WHERE position > ? ORDER BY position LIMIT ?", (after, limit)
        )
        return rows.fetchall()

    def is_pending(self, entry_id: str) -> bool:
        """Tell whether AutoCode has not yet acknowledged this entry."""
        return self._db.execute("SELECT 1 FROM entries WHERE id = ?", (entry_id,)).fetchone() is not None

    def settle(self, entry_id: str) -> None:
        """Forget an entry: AutoCode has it, or has refused it for good."""
        self._db.execute("DELETE FROM entries WHERE id = ?", (entry_id,))

    def settle_up_to(self, offset: int) -> None:
        """Forget every entry up to ``offset``: AutoCode says that it has them."""
        self._db.execute("DELETE FROM entries WHERE position <= ?", (offset,))

    # --- ids ----------------------------------------------------------------------------------------------------

    def was_seen(self, command_id: str) -> bool:
        """Tell whether a command with this id was taken before."""
        return self._db.execute("SELECT 1 FROM seen WHERE id = ?", (command_id,)).fetchone() is not None

    def see(self, command_id: str) -> None:
        """Remember the id of a command; belongs in the transaction of what the command does."""
        row = self._db.execute("INSERT INTO seen (id) VALUES (?)", (command_id,))
        if row.lastrowid and row.lastrowid % 1000 == 0:
            self._db.execute("DELETE FROM seen WHERE number <= ?", (row.lastrowid - SEEN_KEPT,))

    def first(self, key: str) -> bool:
        """Tell whether ``key`` is new, and remember it: for what must happen once over all restarts."""
        return self._db.execute("INSERT OR IGNORE INTO once (key) VALUES (?)", (key,)).rowcount == 1

    def happened(self, key: str) -> bool:
        """Tell whether ``first`` was called with ``key`` before."""
        return self._db.execute("SELECT 1 FROM once WHERE key = ?", (key,)).fetchone() is not None

    # --- documents ----------------------------------------------------------------------------------------------

    def touch(self, doc: ProjectDoc) -> None:
        """Write ``doc`` at the end of this transaction; one outside a transaction is its own."""
        with self.atomic():
            self._dirty[doc.guid] = doc

    def documents(self) -> list[ProjectDoc]:
        """Return all projects."""
        rows = self._db.execute("SELECT doc FROM projects ORDER BY guid")
        return [msgspec.json.decode(row[0], type=ProjectDoc) for row in rows]

    def _write_documents(self) -> None:
        for guid, doc in self._dirty.items():
            self._db.execute("INSERT OR REPLACE INTO projects VALUES (?, ?)", (guid, msgspec.json.encode(doc)))

    def _constant(self, key: str) -> str:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, uuid.uuid4().hex))
        value: str = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]
        return value

    def _highest(self) -> int:
        # The sequence table also knows entries that were acknowledged and deleted, so no offset is used twice.
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        return int(row[0]) if row else 0
