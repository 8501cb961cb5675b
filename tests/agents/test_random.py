"""Any sequence of services replays: random walks over what people and agents may do, also what is refused."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from apps.agents import events as a
from apps.agents.services.agents import AgentService
from apps.agents.services.approval_rules import Remember
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.chat import ChatService
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.reports import StatusReportService
from apps.agents.services.runs import RunService, UsageService
from apps.core.actor import AGENTS_SERVER
from apps.core.errors import AutoCodeError
from apps.projects import events as p
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.plans import PlanService
from apps.projects.services.projects import ProjectService
from apps.projects.services.stages import ProjectStageService
from apps.projects.services.tasks import TaskService
from tests.support.factories import a_person, a_project
from tests.support.replay import assert_replayable

BOT = p.ActorRef(kind="agent", id="bot", name="Bot")


def steps(rng, project, me):
    """Return the possible steps, with arguments from small sets so that they meet each other."""
    us, guid = AGENTS_SERVER, project.guid

    def one(*values):
        return rng.choice(values)

    run, call, agent, task = one("r1", "r2", "r3"), one("1", "2"), one("bot", "bob"), one("t1", "t2", "t3")
    approval = one("a1", "a2", "a3")
    known = project.approvals.filter(key=approval).values_list("args_digest", flat=True).first()
    use = a.UsageTotals(total_tokens=rng.randrange(9), total_cost=one("0.1", "2", "0.00000001"))
    return [
        lambda: AgentService(us).spawn(guid=guid, agent_id=agent, name=one("A", "B")),
        lambda: AgentService(us).update_status(guid=guid, agent_id=agent, status=one(*a.AgentStatus), progress=0.5),
        lambda: RunService(us).start(guid=guid, run_id=run, agent_id=agent),
        lambda: RunService(us).finish(guid=guid, run_id=run, status=one(*a.RunStatus)),
        lambda: RunService(me).cancel(guid=guid, run_id=run, mode=one("soft", "hard")),
        lambda: UsageService(us).report(guid=guid, run_id=run, usage=use),
        lambda: ToolCallService(us).start(guid=guid, tool_call_id=call, run_id=run, agent_id=agent, tool="x"),
        lambda: ToolCallService(us).finish(guid=guid, tool_call_id=call, run_id=run, status=one(*a.ToolStatus)),
        lambda: ApprovalService(us).request(
            guid=guid, approval_id=approval, agent_id=agent, run_id=one(run, None), tool="x", risk=one(*a.Risk)
        ),
        lambda: ApprovalService(me).decide(
            guid=guid,
            approval_id=approval,
            decision=one("approve", "reject"),
            args_digest=one(known or "", "sha256:other"),
            remember=one(None, Remember(scope="project")),
        ),
        lambda: ApprovalService(us).withdraw(guid=guid, approval_id=approval, state=a.ApprovalState.CANCELLED),
        lambda: ApprovalService(us).mark_applied(guid=guid, approval_id=approval),
        lambda: FeedbackService(me).send(guid=guid, content="x", feedback_id=one("f1", "f2", "f3")),
        lambda: FeedbackService(us).advance(guid=guid, feedback_id=one("f1", "f2", "f3"), state=one(*a.FeedbackState)),
        lambda: ChatService(me).send(guid=guid, message=one("hi", "@me", " "), agent_id=one(None, agent)),
        lambda: StatusReportService(us).apply(guid=guid, open_run_ids=[run], complete=one(True, False)),
        lambda: TaskService(me).create(guid=guid, title="T", task_id=task, depends_on=one([], ["t1"])),
        lambda: TaskService(us).set_status(guid=guid, task_id=task, status=one(*p.TaskStatus)),
        lambda: TaskService(me).update(guid=guid, task_id=task, version=one(None, 1), title=one("T", "U")),
        lambda: TaskService(me).delete(guid=guid, task_id=task),
        lambda: TaskService(me).reset(guid=guid),
        lambda: PlanService(us).publish(guid=guid, plan_id=one("p", "q"), title="P", items=[]),
        lambda: ProjectStageService(us).update(guid=guid, stage_key=one("s", "t"), status=one(*p.StageStatus)),
        lambda: FileLockService(us).replace(guid=guid, locks=one([], [Held(path="x", holder=BOT)])),
        lambda: ProjectService(me).set_status(guid=guid, status=one(p.ProjectStatus.PAUSED, p.ProjectStatus.DONE)),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(6))
def test_a_random_walk_replays(seed):
    rng = random.Random(seed)
    owner = a_person(f"me{seed}")
    project = a_project(owner)
    for _ in range(150):
        step = rng.choice(steps(rng, project, owner.actor))
        with suppress(AutoCodeError):
            assert_replayable(project.guid, step)
