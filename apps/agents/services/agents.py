"""Agents: how they come, what they do, what they write to each other."""

from __future__ import annotations

from uuid import UUID

import msgspec
from django.contrib.auth import get_user_model

from apps.agents import events as a
from apps.agents.errors import Ignored
from apps.agents.models import Agent, AgentMail
from apps.agents.wire import agent_view
from apps.core import clock
from apps.core.actor import ActorKind
from apps.core.errors import InvalidField
from apps.core.events import EventClass
from apps.core.ids import new_id
from apps.projects.records import Ephemeral, LoggedEvent
from apps.projects.services.base import Service, changed, key, text
from apps.projects.services.log import ProjectLog

AGENTS = 500
"""Agents of one project: all of them are part of every snapshot."""


class AgentService(Service):
    """Introduces agents and records what they do. Used by the agents link."""

    def spawn(
        self,
        *,
        guid: UUID | str,
        agent_id: str,
        name: str,
        role: str = "",
        kind: str = "coder",
        model: str = "",
        parent_agent_id: str | None = None,
        branch: str = "",
        workspace: str = "",
        capabilities: list[str] | None = None,
        task_id: str | None = None,
        run_id: str | None = None,
    ) -> LoggedEvent | None:
        """Introduce an agent, or one that comes back (the same ``agent_id``); None when it is here as told already."""
        with self.log(guid) as log:
            log.require("stage.update")
            agent = self._known(log, agent_id)
            new = agent is None
            if agent is None:
                agent = self._new(log, agent_id)
            difference = changed(
                agent,
                name=text(name, field="name", longest=120),
                role=role,
                kind=kind,
                model=model,
                parent_key=parent_agent_id or "",
                branch=branch,
                workspace=workspace,
                capabilities=capabilities or [],
                task_key=task_id or "",
            )
            gone = agent.status in {a.AgentStatus.OFFLINE, a.AgentStatus.STOPPED, a.AgentStatus.FAILED}
            if not new and not difference and not gone:
                return None
            if new or gone:
                agent.status, agent.activity = a.AgentStatus.SPAWNING.value, ""
                agent.progress, agent.context = None, None
            return self._introduce(log, agent, run_id)

    def ensure(self, log: ProjectLog, agent_id: str) -> Agent:
        """Return the agent; one that never introduced itself is introduced by its id."""
        agent = self._known(log, agent_id)
        if agent is None:
            agent = self._new(log, agent_id)
            agent.name = agent_id
            self._introduce(log, agent, None)
        return agent

    def _known(self, log: ProjectLog, agent_id: str) -> Agent | None:
        place = ("agent", agent_id)
        if place not in log.memory:
            agent = Agent.objects.filter(project=log.project, key=agent_id).first()
            if agent is None:
                return None
            log.memory[place] = agent
        found: Agent = log.memory[place]
        return found

    def update_status(
        self,
        *,
        guid: UUID | str,
        agent_id: str,
        status: a.AgentStatus,
        task_id: str | None = None,
        activity: str = "",
        progress: float | None = None,
        context: a.ContextUse | None = None,
    ) -> LoggedEvent | None:
        """Record that the agent's status (or task) changed; in between its activity and progress are news (None)."""
        with self.log(guid) as log:
            log.require("stage.update")
            agent = self.ensure(log, agent_id)
            previous = a.AgentStatus(agent.status)
            news = a.AgentStatusUpdate(
                agent_id=agent_id,
                status=status,
                previous=previous,
                task_id=task_id,
                activity=text(activity, field="activity", longest=500, blank=True),
                progress=progress,
                context=context,
            )
            if status is previous and agent.task_key == (task_id or ""):
                log.emit(Ephemeral(str(log.project.guid), f"agent:{agent_id}", EventClass.LATEST, news))
                return None
            agent.status, agent.task_key, agent.activity = status.value, task_id or "", activity
            agent.progress, agent.context = progress, msgspec.to_builtins(context)
            agent.seen_at = clock.now()
            agent.save()
            return log.record(news)

    def exchange(self, *, guid: UUID | str, messages: list[a.AgentMail], unread: int = 0) -> LoggedEvent:
        """Record messages among agents; those known already (by id) are left out. Raises ``Ignored`` when all are."""
        with self.log(guid) as log:
            log.require("stage.update")
            mail = AgentMail.objects.filter(project=log.project)
            known = set(mail.filter(key__in=[one.id for one in messages]).values_list("key", flat=True))
            fresh = list({one.id: one for one in messages if one.id not in known}.values())
            if not fresh:
                raise Ignored("These messages are known.")
            for one in fresh:
                self.ensure(log, one.from_agent_id)
            event = log.record(a.AgentMessages(messages=fresh, unread=unread))
            AgentMail.objects.bulk_create(
                AgentMail(
                    project=log.project,
                    key=key(one.id, field="id"),
                    seq=event.seq,
                    from_key=one.from_agent_id,
                    to_key=one.to_agent_id or "",
                    kind=one.kind,
                    subject=one.subject,
                    content=one.content,
                )
                for one in fresh
            )
            return event

    def _new(self, log: ProjectLog, agent_id: str) -> Agent:
        if Agent.objects.filter(project=log.project).count() >= AGENTS:
            raise InvalidField(f"A project has at most {AGENTS} agents.", field="agentId")
        user = get_user_model()(username=f"agent-{new_id()}", kind=ActorKind.AGENT.value)
        user.set_unusable_password()
        return Agent(project=log.project, key=key(agent_id, field="agentId"), user=user, seq=log.next_seq)

    def _introduce(self, log: ProjectLog, agent: Agent, run_id: str | None) -> LoggedEvent:
        if agent.user.display_name != agent.name:
            agent.user.display_name = agent.name
            agent.user.save()
            agent.user_id = agent.user.pk
        agent.seen_at = clock.now()
        agent.save()
        return log.record(a.AgentSpawned(agent=agent_view(agent), task_id=agent.task_key or None, run_id=run_id))


class CoordinationService(Service):
    """Passes on who works with whom. Never stored."""

    def update(self, *, guid: UUID | str, picture: a.CoordinationUpdate) -> None:
        """Send the newest picture to the room."""
        with self.log(guid) as log:
            log.require("stage.update")
            log.emit(Ephemeral(str(log.project.guid), "coordination", EventClass.LATEST, picture))
