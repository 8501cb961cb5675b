"""All projects of the server: finds the director for a command, and starts and stops them. Knows no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from apps.agents.link import messages as m
from apps.ops.demo import wire
from apps.ops.demo.director import Director
from apps.ops.demo.journal import Journal
from apps.ops.demo.pace import Pace
from apps.ops.demo.room import Room
from apps.ops.demo.state import ProjectDoc


class Hub:
    """The directors by project; ``stream`` is set by the server and takes what may get lost."""

    def __init__(self, journal: Journal, data: Path, pace: Pace) -> None:
        self._journal = journal
        self._data = data
        self._pace = pace
        self._directors: dict[str, Director] = {}
        self._loose: set[asyncio.Task[Any]] = set()
        self.stream: Callable[[dict[str, Any]], None] = lambda _: None

    def start(self) -> None:
        """Take up every project where the process before left it."""
        for doc in self._journal.documents():
            director = self._direct(doc)
            director.recover()
            director.run()

    async def stop(self) -> None:
        """Stop all work as a kill would, but end what runs: the next start finds the same state."""
        self._journal.frozen = True
        await asyncio.gather(*(director.stop() for director in self._directors.values()))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine that nobody waits for."""
        task = asyncio.create_task(work)
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)

    def take(self, guid: str, command: m.Outbound) -> None:
        """Give a command to its project; one that was never heard of begins here."""
        director = self._directors.get(guid) or self._direct(ProjectDoc(guid=guid))
        match command:
            case m.ProjectUpdate():
                director.project_update(command)
            case m.UserFeedback():
                director.user_feedback(command)
            case m.Chat():
                director.chat(command)
            case m.Cancel():
                director.cancel(command)
            case m.ApprovalResponse():
                director.approval_response(command)
            case _:
                raise wire.Refused("unknown_type", "no such command")

    def sync(self, command: m.ProjectStatusSync) -> None:
        """Report on each project that AutoCode names, also on those that are unknown here: nothing is open there."""
        for believed in command.projects:
            director = self._directors.get(believed.guid)
            if director is not None:
                director.report(believed)
                continue
            self._journal.append(wire.pack(m.StatusReport(), believed.guid))
            for approval_id in believed.pending_approval_ids:
                gone = m.ApprovalResolved(
                    approval_id=approval_id, state="cancelled", reason="unknown to the agents-server"
                )
                self._journal.append(wire.pack(gone, believed.guid))

    def _pass_on(self, envelope: dict[str, Any]) -> None:
        # Looked up at each call: the server sets ``stream`` after the hub was made.
        self.stream(envelope)

    def _direct(self, doc: ProjectDoc) -> Director:
        room = Room(doc, self._journal, self._pass_on)
        director = self._directors[doc.guid] = Director(room, self._data, self._pace)
        return director
