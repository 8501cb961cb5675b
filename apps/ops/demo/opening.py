"""The last step of planning: the plan's tasks go on the board."""

from __future__ import annotations

from dataclasses import dataclass

from apps.ops.demo import plans
from apps.ops.demo.run import Run
from apps.ops.demo.steps import Step


@dataclass(frozen=True)
class OpenTasks(Step):
    """Put the plan's tasks on the board."""

    async def perform(self, run: Run) -> None:
        plans.open_tasks(run.site)
        plans.update_stages(run.site)
