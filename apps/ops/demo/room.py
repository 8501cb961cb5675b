"""A project's room as the agents see it: the document, and every word that is said into it.

``change`` is the only way to write: what is changed and what is said about it are one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.ops.demo import wire
from apps.ops.demo.journal import Journal
from apps.ops.demo.state import AgentDoc, ProjectDoc, TaskDoc
from apps.projects import events as p

Stream = Callable[[dict[str, Any]], None]


class Room:
    """One project: ``doc`` is its memory, ``emit`` keeps a word until AutoCode has it, ``stream`` does not."""

    def __init__(self, doc: ProjectDoc, journal: Journal, stream: Stream) -> None:
        self.doc = doc
        self.journal = journal
        self._stream = stream

    @contextmanager
    def change(self) -> Iterator[ProjectDoc]:
        """Change the document and say so, all or nothing."""
        with self.journal.atomic():
            yield self.doc
            self.journal.touch(self.doc)

    def emit(self, payload: msgspec.Struct, *, key: str | None = None) -> str | None:
        """Say something that must arrive. With ``key`` it is said once over all restarts; returns the entry's id."""
        with self.change():
            if key is not None and not self.journal.first(f"{self.doc.guid}/{key}"):
                return None
            return self.journal.append(wire.pack(payload, self.doc.guid))

    def said(self, key: str) -> bool:
        """Tell whether something was emitted with this ``key``."""
        return self.journal.happened(f"{self.doc.guid}/{key}")

    def stream(self, payload: msgspec.Struct) -> None:
        """Say something that may get lost."""
        self._stream(wire.pack(payload, self.doc.guid))

    def stable_id(self, *parts: str) -> str:
        """Return an id that is the same whenever it is made from the same parts."""
        digest = hashlib.sha256("/".join((self.doc.guid, *parts)).encode()).hexdigest()
        return f"{parts[0]}-{digest[:20]}"

    # --- agents -------------------------------------------------------------------------------------------------

    def agent_status(self, agent_id: str, status: str, activity: str = "", task_id: str | None = None) -> None:
        """Say what an agent is doing: kept when its status changes, else a passing word."""
        agent = self.doc.agents[agent_id]
        update = m.AgentStatusUpdate(
            agent_id=agent_id, status=a.AgentStatus(status), task_id=task_id, activity=activity[:500]
        )
        if agent.status == status:
            agent.activity = activity
            self.stream(update)
            return
        with self.change():
            agent.status, agent.activity = status, activity
            self.emit(update)

    def spawn(self, agent: AgentDoc) -> None:
        """Introduce an agent."""
        with self.change() as doc:
            doc.agents[agent.agent_id] = agent
            parent = None if agent.agent_id == "planner" else "planner"
            self.emit(
                m.AgentSpawned(
                    agent=m.InAgent(
                        agent_id=agent.agent_id,
                        name=agent.name,
                        role=agent.role,
                        kind=agent.kind,
                        model="demo (rules, no language model)",
                        parent_agent_id=parent,
                        workspace=f"workspaces/{doc.guid}",
                        capabilities=["read", "edit", "execute", "search"],
                    )
                )
            )

    # --- tasks and stages ---------------------------------------------------------------------------------------

    def open_task(self, task: TaskDoc) -> None:
        """Put a task on the board."""
        with self.change() as doc:
            doc.tasks[task.task_id] = task
            self.emit(
                m.TaskCreated(
                    task=m.InTask(
                        task_id=task.task_id,
                        title=task.title[:120],
                        description=task.description,
                        status=p.TaskStatus(task.status),
                        assignee_agent_id=task.agent_id,
                        depends_on=[key for key in task.depends_on if key in doc.tasks],
                        files=task.files,
                    )
                )
            )

    def move_task(self, task: TaskDoc, status: str, reason: str = "") -> None:
        """Move a task to another column; nothing when it is there already."""
        if task.status == status:
            return
        with self.change():
            task.status, task.reason = status, reason
            self.emit(m.TaskStatusChanged(task_id=task.task_id, to=p.TaskStatus(status), reason=reason[:500]))

    def stage(self, key: str, status: str, progress: float, summary: str | None = None) -> None:
        """Say how a stage stands; nothing when that is known."""
        stage = self.doc.stages[key]
        wanted = (status, round(progress, 3), stage.summary if summary is None else summary)
        if (stage.status, stage.progress, stage.summary) == wanted and self.said(f"stage:{key}"):
            return
        with self.change():
            stage.status, stage.progress, stage.summary = wanted
            self.journal.first(f"{self.doc.guid}/stage:{key}")
            self.emit(
                m.ProjectStageUpdate(
                    stage=m.InStage(
                        key=key,
                        name=stage.name,
                        position=list(self.doc.stages).index(key),
                        status=p.StageStatus(status),
                        progress=stage.progress,
                        summary=stage.summary[:500],
                    )
                )
            )

    def status(self, status: str, reason: str) -> None:
        """Change the project's status; nothing when it is that already."""
        if self.doc.status == status:
            return
        with self.change() as doc:
            doc.status = status
            doc.status_entry = self.emit(m.ProjectStatusChange(status=p.ProjectStatus(status), reason=reason[:500]))

    # --- words --------------------------------------------------------------------------------------------------

    def say(self, agent_id: str, content: str, *, key: str, question: bool = False, reply_to: str | None = None) -> str:
        """An agent's word to the people, once for each ``key``; returns its message id."""
        message_id = self.stable_id("msg", key)
        self.emit(
            m.AgentMessage(
                agent_id=agent_id, content=content, message_id=message_id, question=question, reply_to_id=reply_to
            ),
            key=f"say:{key}",
        )
        return message_id

    def log(self, level: str, lines: list[str], source: str, run_id: str | None = None) -> None:
        """Log lines: kept from warning up."""
        payload = m.LogLines(level=p.LogLevel(level), lines=lines[:200], source=source, run_id=run_id)
        if level in {"warning", "error"}:
            self.emit(payload)
        else:
            self.stream(payload)

    def notify(self, kind: str, title: str, body: str, severity: str, *, key: str) -> None:
        """Ring a bell for the room."""
        self.emit(
            m.Notification(
                kind=p.NotificationKind(kind), title=title[:120], body=body[:500], severity=p.Severity(severity)
            ),
            key=f"notify:{key}",
        )
