"""What the agents of one project share: the room, the workspace, the locks, the pace and the brief."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.ops.demo.locks import Locks
from apps.ops.demo.pace import Pace
from apps.ops.demo.room import Room
from apps.ops.demo.waiting import Waiting
from apps.ops.demo.workspace import Workspace

if TYPE_CHECKING:
    from apps.ops.demo.briefs.shape import Brief


@dataclass
class Site:
    """Shared by the director, the workers and the runs of a project; ``mirror`` is the demo's outgoing mail tray."""

    room: Room
    workspace: Workspace
    pace: Pace
    brief: Brief
    mirror: Path

    def __post_init__(self) -> None:
        self.locks = Locks(self.locks_changed)
        self.waiting = Waiting()
        self.busy: set[str] = set()
        """Agents that have a run of a task now."""

    def locks_changed(self) -> None:
        """Tell the room who holds which file; and, in passing, who is in whose way."""
        held = self.locks.all()
        if held or self.room.doc.locks_shown:
            with self.room.change() as doc:
                doc.locks_shown = bool(held)
                self.room.emit(
                    m.FileLocksUpdate(
                        locks=[
                            m.InLock(
                                path=lock.path,
                                agent_id=lock.agent_id,
                                task_id=lock.task_id,
                                reason=lock.reason[:500],
                                waiting_agent_ids=lock.waiting,
                            )
                            for lock in held
                        ]
                    )
                )
        self.coordination()

    def coordination(self) -> None:
        """Show who works with whom; a passing picture."""
        doc = self.room.doc
        conflicts = [
            a.Conflict(path=lock.path, agent_ids=[lock.agent_id, *lock.waiting], severity="warning")
            for lock in self.locks.all()
            if lock.waiting
        ]
        working = {run.agent_id: run.task_id for run in doc.runs.values()}
        self.room.stream(
            m.CoordinationUpdate(
                agents=[
                    a.CoordinationAgent(
                        agent_id=agent.agent_id,
                        name=agent.name,
                        status=agent.status,
                        task_id=working.get(agent.agent_id),
                    )
                    for agent in doc.agents.values()
                ],
                edges=[
                    a.CoordinationEdge(from_=pair.split(">")[0], to=pair.split(">")[1], count=count)
                    for pair, count in doc.edges.items()
                ],
                stats={
                    "messages": sum(doc.edges.values()),
                    "locks": len(self.locks.all()),
                    "waiting": sum(len(lock.waiting) for lock in self.locks.all()),
                    "openRuns": len(doc.runs),
                },
                conflicts=conflicts,
            )
        )
