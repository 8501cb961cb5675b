"""Every service of projects and agents: the log tells all that changed."""

from __future__ import annotations

import pytest

from apps.agents import events as a
from apps.agents.errors import Ignored
from apps.agents.services.agents import AgentService, CoordinationService
from apps.agents.services.approval_rules import Remember
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.chat import ChatService
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.reports import StatusReportService
from apps.agents.services.runs import RunService, UsageService
from apps.core.actor import AGENTS_SERVER
from apps.projects import events as p
from apps.projects.models import Task
from apps.projects.permissions import Role
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.logs import LogService
from apps.projects.services.members import MembershipService
from apps.projects.services.messages import MessageService
from apps.projects.services.notifications import NotificationService
from apps.projects.services.plans import PlanService
from apps.projects.services.projects import ProjectService
from apps.projects.services.stages import ProjectStageService
from apps.projects.services.tasks import TaskService
from tests.support.factories import a_member, a_person, a_project, owner_of
from tests.support.replay import assert_replayable

pytestmark = pytest.mark.django_db

BOT = p.ActorRef(kind="agent", id="coder", name="Coder")
MONEY = a.UsageTotals(prompt_tokens=10, completion_tokens=5, total_tokens=15, total_cost="0.10000001")


class Told:
    """A project whose every service call is checked for replay."""

    def __init__(self) -> None:
        self.owner = a_person("ada").actor
        self.project = a_project(a_person("olga"), start=False)
        MembershipService(self.project_owner).add(guid=self.guid, username="ada", role=Role.OWNER)

    @property
    def project_owner(self):
        return owner_of(self.project, "olga")

    @property
    def guid(self):
        return self.project.guid

    def __call__(self, method, **fields):
        return assert_replayable(self.guid, lambda: method(guid=self.guid, **fields))


@pytest.fixture
def told():
    return Told()


def test_projects_members_and_stages(told):
    projects, members, stages = (
        ProjectService(told.owner),
        MembershipService(told.owner),
        ProjectStageService(told.owner),
    )
    told(projects.update, name="New", brief="Build it")
    told(projects.update, name="New")
    told(projects.set_status, status=p.ProjectStatus.IN_PROGRESS)
    person = a_person("mia")
    told(members.add, username="mia", role=Role.VIEWER)
    told(members.change_role, user_id=person.pk, role=Role.APPROVER)
    told(members.remove, user_id=person.pk)
    told(stages.update, stage_key="build", name="Build", status=p.StageStatus.IN_PROGRESS, progress=0.5)
    told(stages.update, stage_key="plan", position=0)
    told(stages.update, stage_key="build", status=p.StageStatus.DONE, summary="ok")
    told(projects.set_status, status=p.ProjectStatus.ARCHIVED)


def test_messages_of_every_source(told):
    people, agents = MessageService(told.owner), MessageService(AGENTS_SERVER)
    told(people.post, content="*hello* @olga", attachments=[p.AttachmentView(name="a", url="https://example.org")])
    told(agents.post, content="a system line")
    told(agents.agent_say, agent=BOT, agent_id="coder", content="which?", message_id="q", question=True)
    told(people.post, content="this", reply_to_id="q")
    told(agents.finish_text, author=BOT, message_id="m", run_id="r", agent_id="coder", content="text")
    told(agents.finish_thinking, author=BOT, message_id="t", run_id="r", agent_id="coder", content="hm", duration_ms=3)
    told(agents.finish_thinking, author=BOT, message_id="u", run_id="r", agent_id="coder", content="x", redacted=True)
    mirror = {"platform": "irc", "channel_id": "#a", "external_id": "1", "direction": "in"}
    told(agents.mirror, author=BOT, content="hi", **mirror)
    told(agents.mirror, author=BOT, content="hi", **mirror)


def test_windows_of_messages_notices_and_logs(told):
    for number in range(105):
        MessageService(AGENTS_SERVER).post(guid=told.guid, content=f"line {number}")
        NotificationService(AGENTS_SERVER).notify(guid=told.guid, kind=p.NotificationKind.DONE, title="x")
        LogService(AGENTS_SERVER).write(guid=told.guid, level=p.LogLevel.WARNING, source="s", lines=["l"])
    told(MessageService(AGENTS_SERVER).post, content="last")
    told(LogService(AGENTS_SERVER).write, level=p.LogLevel.ERROR, source="s", lines=["last"], run_id="r")
    told(NotificationService(AGENTS_SERVER).notify, kind=p.NotificationKind.STUCK, title="y", username="ada")


def test_tasks_plans_and_locks(told):
    tasks, plans, locks = TaskService(told.owner), PlanService(AGENTS_SERVER), FileLockService(AGENTS_SERVER)
    told(tasks.create, title="One", task_id="one")
    told(tasks.create, title="Two", task_id="two", depends_on=["one"], priority=p.TaskPriority.HIGH)
    told(tasks.update, task_id="two", title="Second", assignee=BOT, position=-1.0)
    told(tasks.update, task_id="two", unassign=True)
    told(tasks.set_status, task_id="two", status=p.TaskStatus.DOING, reason="go")
    told(tasks.set_status, task_id="one", status=p.TaskStatus.DONE, position=4.0)
    told(tasks.reset)
    told(tasks.delete, task_id="one")
    assert Task.objects.get(key="two").depends_on == []
    told(plans.publish, plan_id="a", title="Plan", items=[p.PlanItem(key="1", title="first")])
    told(plans.publish, plan_id="a", title="Plan", items=[], state=p.PlanState.APPROVED)
    told(plans.publish, plan_id="b", title="Other", items=[])
    told(locks.replace, locks=[Held(path="a.py", holder=BOT), Held(path="b.py", holder=BOT, expires_in_s=60)])
    told(locks.replace, locks=[Held(path="a.py", holder=BOT)])
    told(FileLockService(told.owner).release, path="a.py")
    told(locks.replace, locks=[])


def test_agents_and_mail(told):
    agents = AgentService(AGENTS_SERVER)
    told(agents.spawn, agent_id="coder", name="Coder", role="writes", capabilities=["edit"])
    assert told(agents.spawn, agent_id="coder", name="Coder", role="writes", capabilities=["edit"]) is None
    told(agents.spawn, agent_id="tester", name="Tester", parent_agent_id="coder", task_id="t")
    told(agents.update_status, agent_id="coder", status=a.AgentStatus.RUNNING, activity="reads", progress=0.1)
    assert told(agents.update_status, agent_id="coder", status=a.AgentStatus.RUNNING, progress=0.5) is None
    told(agents.update_status, agent_id="coder", status=a.AgentStatus.OFFLINE, context=a.ContextUse(used=1, size=2))
    told(agents.spawn, agent_id="coder", name="Coder", role="writes", capabilities=["edit"])
    told(agents.update_status, agent_id="stranger", status=a.AgentStatus.IDLE)
    mail = a.AgentMail(id="1", from_agent_id="coder", to_agent_id=None, kind="query", subject="s", content="c", at="")
    told(agents.exchange, messages=[mail, mail], unread=1)
    with pytest.raises(Ignored):
        told(agents.exchange, messages=[mail])
    told(
        CoordinationService(AGENTS_SERVER).update,
        picture=a.CoordinationUpdate(agents=[], edges=[], stats={}, conflicts=[]),
    )


def test_a_run_from_start_to_done(told):
    runs, calls, usage = RunService(AGENTS_SERVER), ToolCallService(AGENTS_SERVER), UsageService(AGENTS_SERVER)
    told(runs.start, run_id="r", agent_id="coder", trigger=a.Trigger(kind="chat", id="m"), task_id="t")
    told(calls.start, tool_call_id="1", run_id="r", agent_id="coder", tool="shell", args={"cmd": "ls"},
         locations=[a.Location(path="x", line=2)], risk=a.Risk.LOW)  # fmt: skip
    told(calls.finish, tool_call_id="1", run_id="r", status=a.ToolStatus.SUCCESS, result="x" * 9_000, duration_ms=4,
         diff=a.Diff(files=[a.FileDiff(path="x")], patch="p" * 20_000))  # fmt: skip
    told(calls.finish, tool_call_id="2", run_id="r", status=a.ToolStatus.ERROR, error=a.RunError(code="e", message="m"))
    told(calls.start, tool_call_id="3", run_id="r", agent_id="coder", tool="write", args={"text": "y" * 40_000})
    told(usage.report, run_id="r", usage=MONEY)
    told(runs.cancel, run_id="r")
    told(runs.cancel, run_id="r", mode="hard", reason="now")
    told(runs.finish, run_id="r", status=a.RunStatus.COMPLETED, stop_reason="end")
    with pytest.raises(Ignored):
        told(runs.finish, run_id="r", status=a.RunStatus.FAILED)
    told(runs.start, run_id="s", agent_id="coder")
    told(StatusReportService(AGENTS_SERVER).apply, open_run_ids=[], complete=True)


def test_approvals(told, move_clock):
    asks, decides = ApprovalService(AGENTS_SERVER), ApprovalService(told.owner)
    runs = RunService(AGENTS_SERVER)
    told(runs.start, run_id="r", agent_id="coder")

    def ask(key, **fields):
        fields = {"agent_id": "coder", "run_id": "r", "tool": "shell", "args": {"cmd": key}} | fields
        told(asks.request, approval_id=key, **fields)
        return told.project.approvals.get(key=key).args_digest

    digest = ask("a", risk=a.Risk.LOW, diff=a.Diff(patch="p"))
    remember = Remember(scope="project")
    told(decides.decide, approval_id="a", decision="approve", args_digest=digest, remember=remember)
    told(asks.mark_applied, approval_id="a")
    ask("auto", risk=a.Risk.LOW)
    digest = ask("edit", allowed=["approve", "edit"])
    told(decides.decide, approval_id="edit", decision="edit", args_digest=digest, edited_args={"cmd": "true"})
    digest = ask("two", quorum=2)
    told(decides.decide, approval_id="two", decision="approve", args_digest=digest)
    told(ApprovalService(told.project_owner).decide, approval_id="two", decision="approve", args_digest=digest)
    ask("gone")
    told(asks.withdraw, approval_id="gone", state=a.ApprovalState.SUPERSEDED)
    ask("open", expires_in_s=5)
    ask("left")
    told(decides.revoke_rule, rule_id=told.project.approval_rules.get().pk)
    move_clock(10)
    told(asks.expire_due)
    told(runs.finish, run_id="r", status=a.RunStatus.TIMED_OUT)


def test_feedback_and_chat(told, move_clock):
    feedback, agents = FeedbackService(told.owner), FeedbackService(AGENTS_SERVER)
    told(feedback.send, content="faster", feedback_id="f", rating=1, target=a.FeedbackTarget(path="a.py", line=3))
    for state in ("forwarded", "delivered", "consumed"):
        told(agents.advance, feedback_id="f", state=a.FeedbackState(state), by_run_id="r")
    with pytest.raises(Ignored):
        told(agents.advance, feedback_id="f", state=a.FeedbackState.DELIVERED)
    effect = a.FeedbackEffect(kind="file", ref="a.py")
    told(agents.advance, feedback_id="f", state=a.FeedbackState.APPLIED, note="did", effects=[effect])
    for number in range(55):
        FeedbackService(told.owner).send(guid=told.guid, content=str(number), feedback_id=f"n{number}")
    told(agents.advance, feedback_id="n0", state=a.FeedbackState.REJECTED)
    a_member(told.project, "viewer", "vera")
    told(ChatService(told.owner).send, message="do it @vera @nobody")
    told(AgentService(AGENTS_SERVER).spawn, agent_id="coder", name="Coder")
    told(ChatService(told.owner).send, message="you", agent_id="coder", on_busy="interrupt", message_id="mine")
