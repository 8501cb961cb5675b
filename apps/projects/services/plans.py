"""The agents' plans."""

from __future__ import annotations

from uuid import UUID

import msgspec

from apps.core import clock
from apps.core.errors import InvalidField
from apps.projects.events import PlanGenerated, PlanItem, PlanState
from apps.projects.models import Plan
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, key, text
from apps.projects.wire import plan_view

ITEMS = 200


class PlanService(Service):
    """Publishes plans; the newest one counts, a new ``plan_id`` supersedes the one before."""

    def publish(
        self,
        *,
        guid: UUID | str,
        plan_id: str,
        title: str,
        items: list[PlanItem],
        state: PlanState = PlanState.DRAFT,
        format: str = "items",  # noqa: A002 - the word of the wire
    ) -> LoggedEvent:
        """Record a plan or a new version of it."""
        with self.log(guid) as log:
            log.require("stage.update")
            if len(items) > ITEMS:
                raise InvalidField(f"At most {ITEMS} steps.", field="items")
            plan = Plan.objects.filter(project=log.project, key=plan_id).first()
            if plan is None:
                plan = Plan(project=log.project, key=key(plan_id, field="planId"), version=0)
                before = Plan.objects.filter(project=log.project).order_by("-seq").first()
                if before is not None:
                    plan.supersedes_key = before.key
                    Plan.objects.filter(pk=before.pk).update(state=PlanState.SUPERSEDED.value)
            plan.version += 1
            plan.title = text(title, field="title", longest=200)
            plan.items = msgspec.to_builtins(items)
            plan.state, plan.format, plan.at, plan.seq = state.value, format, clock.now(), log.next_seq
            plan.save()
            view = plan_view(plan)
            return log.record(PlanGenerated(plan=view, supersedes=view.supersedes))
