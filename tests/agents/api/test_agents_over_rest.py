"""Agents, their work and what people tell them, over REST."""

from __future__ import annotations

import pytest

from apps.accounts.models import User
from apps.agents import events as a
from apps.agents.services.agents import AgentService
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.runs import RunService, UsageService
from apps.core.actor import AGENTS_SERVER, SYSTEM
from apps.projects.events import NotificationKind
from apps.projects.models import Project
from apps.projects.services.notifications import NotificationService
from tests.support.api import Answer, Api
from tests.support.factories import a_member, a_person, a_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    """A project in which an agent runs and asks to run a command."""
    project = a_project(name="Shop")
    guid = project.guid
    AgentService(AGENTS_SERVER).spawn(guid=guid, agent_id="coder", name="Coder-1")
    RunService(AGENTS_SERVER).start(guid=guid, run_id="run-1", agent_id="coder")
    ToolCallService(AGENTS_SERVER).start(
        guid=guid, tool_call_id="call-1", run_id="run-1", agent_id="coder", tool="bash", args={"command": "x" * 20_000}
    )
    asks(project)
    return project


def asks(project: Project, approval_id: str = "ask-1", **options: object) -> None:
    ApprovalService(AGENTS_SERVER).request(
        guid=project.guid,
        approval_id=approval_id,
        agent_id="coder",
        run_id="run-1",
        tool="bash",
        args={"command": "pip install httpx"},
        risk=a.Risk.MEDIUM,
        allowed=["approve", "reject", "edit"],
        **options,  # type: ignore[arg-type]
    )


def decide(person: User, project: Project, decision: str = "approve", **body: object) -> Answer:
    [waiting] = [one for one in Api(person).get("approvals/", project).json["results"] if one["approvalId"] == "ask-1"]
    wish = {"decision": decision, "argsDigest": waiting["argsDigest"]} | body
    return Api(person).post("approvals/ask-1/decision/", project, wish)


def test_agents_and_runs_are_listed(project):
    eve = a_member(project, "viewer")
    [agent] = Api(eve).get("agents/", project).json["results"]
    assert (agent["agentId"], agent["name"]) == ("coder", "Coder-1")
    [run] = Api(eve).get("runs/", project).json["results"]
    assert (run["runId"], run["status"]) == ("run-1", "running")
    assert Api(eve).get("runs/?status=failed", project).json["results"] == []
    assert Api(eve).get("runs/?status=asleep", project).field == "status"


def test_a_tool_call_is_had_whole(project):
    eve = a_member(project, "viewer")
    detail = Api(eve).get("tool-calls/run-1/call-1/", project).json
    assert len(detail["args"]["command"]) == 20_000
    assert detail["call"]["toolCallId"] == "call-1"
    assert Api(eve).get("tool-calls/run-1/other/", project).status == 404


def test_what_i_say_reaches_the_room_and_a_page_back_in_time(project):
    bob = a_member(project, "contributor")
    said = [Api(bob).post("messages/", project, {"message": f"**{n}**"}).json for n in range(3)]
    assert "<strong>0</strong>" in said[0]["html"]
    listed = Api(bob).get("messages/", project).json["results"]
    assert [one["messageId"] for one in listed][:3] == [one["messageId"] for one in reversed(said)]
    older = Api(bob).get(f"messages/?before={said[1]['seq']}", project).json["results"]
    assert older[0] == said[0]
    assert Api(bob).get("messages/?before=x", project).field == "before"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": " "}, "message"),
        ({"message": "Hi", "agentId": "nobody"}, "agentId"),
        ({"message": "Hi", "replyToId": "nothing"}, "replyToId"),
        ({"message": "Hi", "onBusy": "shout"}, "onBusy"),
        ({"message": "Hi", "attachments": [{"name": "x", "url": "javascript:alert(1)"}]}, "attachments.url"),
        ({"message": "Hi", "attachments": [{"name": "x", "url": "https://a.example"}] * 11}, "attachments"),
        ({"message": "x" * 32_769}, "message"),
    ],
)
def test_a_bad_message_is_refused(project, body, field):
    bob = a_member(project, "contributor")
    answer = Api(bob).post("messages/", project, body)
    assert (answer.status, answer.code, answer.field) == (400, "invalid_field", field)


def test_a_reply_answers_with_the_same_message_when_it_is_sent_again(project):
    bob = a_member(project, "contributor")
    key = {"Idempotency-Key": "say-1"}
    answers = [Api(bob).post("messages/", project, {"message": "Hi"}, headers=key) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert len(Api(bob).get("messages/", project).json["results"]) == 1


def test_feedback_is_taken_and_listed(project):
    bob = a_member(project, "contributor")
    wish = {"content": "Use dataclasses", "target": {"path": "a.py", "line": 3}, "mode": "queue", "rating": 1}
    sent = Api(bob).post("feedback/", project, wish)
    assert (sent.status, sent.json["state"], sent.json["target"]["line"]) == (201, "received", 3)
    assert Api(bob).get("feedback/", project).json["results"] == [sent.json]
    assert Api(bob).post("feedback/", project, {"content": "x", "rating": 2}).field == "rating"
    assert (
        Api(bob).post("feedback/", project, {"content": "x", "expiresAt": "2001-01-01T00:00:00Z"}).field == "expiresAt"
    )
    assert (
        Api(bob).post("feedback/", project, {"content": "x", "expiresAt": "2099-01-01T00:00:00"}).field == "expiresAt"
    )


def test_a_run_is_asked_to_stop_once(project):
    bob = a_member(project, "contributor")
    assert Api(bob).post("runs/run-1/cancel/", project, {"reason": "Wrong way"}).json == {"asked": True}
    assert Api(bob).post("runs/run-1/cancel/", project, {}).json == {"asked": False}
    assert Api(bob).post("runs/run-9/cancel/", project, {}).status == 404
    assert Api(bob).post("runs/cancel/", project, {"mode": "hard"}).json == {"asked": True}
    RunService(AGENTS_SERVER).finish(guid=project.guid, run_id="run-1", status=a.RunStatus.CANCELLED)
    assert Api(bob).post("runs/run-1/cancel/", project, {}).code == "conflict"


def test_one_decision_wins_and_the_second_learns_whose(project):
    cleo, dan = a_member(project, "approver", "cleo"), a_member(project, "approver", "dan")
    first = decide(cleo, project)
    assert (first.status, first.json["state"], first.json["by"]["name"]) == (200, "approved", "cleo")
    second = decide(dan, project, "reject")
    assert (second.status, second.code) == (409, "already_decided")
    assert second.json["error"]["details"]["by"]["name"] == "cleo"
    assert Api(cleo).get("approvals/?state=pending", project).json["results"] == []


def test_a_decision_is_about_the_arguments_that_were_seen(project):
    cleo = a_member(project, "approver")
    stale = decide(cleo, project, argsDigest="sha256:other")
    assert (stale.status, stale.json["error"]["details"]) == (409, {"reason": "stale"})
    edited = decide(cleo, project, "edit", editedArgs={"command": "pip install httpx==0.27"})
    assert edited.json["editedArgs"] == {"command": "pip install httpx==0.27"}


def test_a_decision_is_refused_after_its_time(project, move_clock):
    cleo = a_member(project, "approver")
    asks(project, "ask-2", expires_in_s=60)
    [waiting] = [o for o in Api(cleo).get("approvals/", project).json["results"] if o["approvalId"] == "ask-2"]
    move_clock(61)
    wish = {"decision": "approve", "argsDigest": waiting["argsDigest"]}
    late = Api(cleo).post("approvals/ask-2/decision/", project, wish)
    assert (late.status, late.code) == (410, "expired")


def test_a_consent_is_remembered_and_taken_back(project):
    cleo = a_member(project, "approver")
    assert decide(cleo, project, remember={"scope": "project", "ttlS": 3600}).status == 200
    [rule] = Api(cleo).get("approval-rules/", project).json["results"]
    assert (rule["tool"], rule["runId"], rule["exact"]) == ("bash", None, False)
    path = f"approval-rules/{rule['ruleId']}/"
    assert [Api(cleo).delete(path, project).status for _ in range(2)] == [204, 404]
    assert Api(cleo).get("approval-rules/", project).json["results"] == []


def test_usage_counts_open_and_ended_runs(project):
    eve = a_member(project, "viewer")
    usage = a.UsageTotals(prompt_tokens=10, completion_tokens=5, total_tokens=15, total_cost="0.12")
    UsageService(AGENTS_SERVER).report(guid=project.guid, run_id="run-1", usage=usage)
    report = Api(eve).get("usage/", project).json
    assert (report["total"]["runs"], report["running"][0]["usage"]["totalCost"]) == (0, "0.12")
    RunService(AGENTS_SERVER).finish(guid=project.guid, run_id="run-1", status=a.RunStatus.COMPLETED)
    report = Api(eve).get("usage/", project).json
    assert (report["total"]["totalTokens"], report["total"]["totalCost"], report["running"]) == (15, "0.12", [])


def test_the_link_is_told(project):
    eve = a_member(project, "viewer")
    assert Api(eve).get("link/", project).json["state"] in {"connected", "reconnecting", "down"}


def test_the_inbox_holds_what_i_may_decide_and_what_is_for_me(project):
    cleo, bob, stranger = a_member(project, "approver"), a_member(project, "contributor"), a_person()
    notices = NotificationService(SYSTEM)
    notices.notify(guid=project.guid, kind=NotificationKind.MENTION, title="For Bob", username=bob.username)
    inbox = Api(cleo).get("inbox/").json
    assert [one["approval"]["approvalId"] for one in inbox["approvals"]] == ["ask-1"]
    assert inbox["approvals"][0]["projectName"] == "Shop"
    inbox = Api(bob).get("inbox/").json
    assert inbox["approvals"] == []
    assert inbox["notifications"][0]["notification"]["title"] == "For Bob"
    assert Api(stranger).get("inbox/").json == {"approvals": [], "notifications": []}


def test_who_left_sees_nothing_of_it_in_the_inbox(project):
    bob = a_member(project, "contributor")
    NotificationService(SYSTEM).notify(
        guid=project.guid, kind=NotificationKind.MENTION, title="For Bob", username=bob.username
    )
    Api(bob).delete(f"members/{bob.pk}/", project)
    assert Api(bob).get("inbox/").json["notifications"] == []
