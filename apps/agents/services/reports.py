"""What the agents-server believes is open, turned into events where AutoCode believes otherwise."""

from __future__ import annotations

import logging
from uuid import UUID

from apps.agents import events as a
from apps.agents.models import Run
from apps.agents.services.agents import AgentService
from apps.agents.services.runs import RunService
from apps.projects.services.base import Service

logger = logging.getLogger(__name__)


class StatusReportService(Service):
    """Applies status reports. Used by the agents link."""

    def apply(
        self,
        *,
        guid: UUID | str,
        open_run_ids: list[str],
        complete: bool,
        agents: list[a.AgentStatusUpdate] | None = None,
    ) -> list[str]:
        """Record the agents' statuses; if ``complete``, end the runs that the server does not know and return them."""
        with self.log(guid) as log:
            for agent in agents or []:
                AgentService(self.actor).update_status(
                    guid=guid,
                    agent_id=agent.agent_id,
                    status=agent.status,
                    task_id=agent.task_id,
                    activity=agent.activity,
                    progress=agent.progress,
                    context=agent.context,
                )
            known = set(Run.objects.filter(project=log.project, key__in=open_run_ids).values_list("key", flat=True))
            unknown = sorted(set(open_run_ids) - known)
            if unknown:
                logger.warning("the agents-server reports runs that are unknown here: %s", ", ".join(unknown[:20]))
            return RunService(self.actor).end_lost(guid=guid, open_run_ids=set(open_run_ids)) if complete else []
