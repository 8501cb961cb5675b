"""Approvals are decisions: bound to a digest, one winner, in time, by somebody who may."""

from __future__ import annotations

import threading

import msgspec
import pytest
from django.db import connection

from apps.agents import events as a
from apps.agents.digest import args_digest
from apps.agents.errors import Stale
from apps.agents.models import Approval, ApprovalRule, OutboxMessage
from apps.agents.selectors.work import approvals_waiting_for
from apps.agents.services.approval_rules import Remember
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.runs import RunService
from apps.agents.services.upkeep import run_once
from apps.core.actor import AGENTS_SERVER
from apps.core.errors import AlreadyDecided, Expired, Forbidden, InvalidField, NotFound
from apps.projects.models import ProjectEvent
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from tests.support.factories import a_member, a_person, a_project, owner_of

pytestmark = pytest.mark.django_db


class Question:
    """A project with an open question."""

    def __init__(self, project=None, key="q", **fields):
        self.project = project or a_project()
        self.key = key
        fields = {"agent_id": "coder", "tool": "shell", "args": {"cmd": "rm x"}, "risk": a.Risk.LOW} | fields
        ApprovalService(AGENTS_SERVER).request(guid=self.project.guid, approval_id=key, **fields)

    @property
    def row(self):
        return Approval.objects.get(project=self.project, key=self.key)

    def decide(self, decision="approve", *, by=None, digest=None, **fields):
        actor = by.actor if by else owner_of(self.project)
        return ApprovalService(actor).decide(
            guid=self.project.guid,
            approval_id=self.key,
            decision=decision,
            args_digest=digest or self.row.args_digest,
            **fields,
        )

    def answers(self):
        rows = OutboxMessage.objects.filter(project=self.project, type="approval_response", ref=self.key)
        return [row.data for row in rows]


def test_a_decision_reaches_the_agent_with_its_digest():
    question = Question()
    question.decide(reason="fine")
    [answer] = question.answers()
    assert answer["decision"] == "approve"
    assert answer["argsDigest"] == args_digest("shell", {"cmd": "rm x"})
    assert answer["by"]["role"] == "owner"


def test_the_second_decision_learns_of_the_first():
    question = Question()
    question.decide("reject")
    with pytest.raises(AlreadyDecided) as refused:
        question.decide("approve")
    details = refused.value.details or {}
    assert (details["decision"], details["by"]["kind"]) == ("reject", "person")
    assert details["at"]
    assert len(question.answers()) == 1


def test_another_digest_is_stale_and_changes_nothing():
    question = Question()
    with pytest.raises(Stale) as refused:
        question.decide(digest=args_digest("shell", {"cmd": "rm y"}))
    assert refused.value.details == {"reason": "stale"}
    assert question.row.state == "pending"


def test_a_decision_too_late_is_expired_and_time_means_no(move_clock):
    question = Question(expires_in_s=60)
    move_clock(60)
    with pytest.raises(Expired):
        question.decide()
    assert run_once() == 1
    assert (question.row.state, question.row.source) == ("expired", "timeout")
    assert [answer["decision"] for answer in question.answers()] == ["expired"]
    with pytest.raises(Expired):
        question.decide()


def test_who_may_decide():
    question = Question(required_role="maintainer")
    with pytest.raises(Forbidden):
        question.decide(by=a_member(question.project, "approver"))
    with pytest.raises(NotFound):
        question.decide(by=a_person())
    question.decide(by=a_member(question.project, "maintainer"))


def test_a_contributor_may_decide_what_asks_for_a_contributor():
    question = Question(required_role="contributor")
    with pytest.raises(Forbidden):
        question.decide(by=a_member(question.project, "viewer"))
    question.decide(by=a_member(question.project, "contributor"))


def test_an_edit_replaces_the_arguments_and_both_stay():
    question = Question(allowed=["approve", "reject", "edit"])
    with pytest.raises(InvalidField):
        question.decide("edit")
    question.decide("edit", edited_args={"cmd": "ls"})
    assert (question.row.args, question.row.edited_args) == ({"cmd": "rm x"}, {"cmd": "ls"})
    assert question.answers()[0]["argsDigest"] == args_digest("shell", {"cmd": "ls"})


NUMBERS = {"big": 1e16, "bigger": -1.5e300, "none": -0.0, "small": 1e-05, "list": [0.1, 1.0, 5e-324, {"max": 2**53}]}


def test_the_digest_of_numbers_is_the_one_that_was_decided():
    question = Question(args=NUMBERS)
    question.decide(digest=args_digest("shell", NUMBERS))
    assert question.answers()[0]["argsDigest"] == args_digest("shell", NUMBERS)


def test_edited_numbers_are_sent_as_their_digest_says():
    question = Question(allowed=["edit"])
    question.decide("edit", edited_args=NUMBERS)
    [answer] = question.answers()
    sent = msgspec.json.decode(msgspec.json.encode(answer["editedArgs"]))
    assert {name: float(sent[name]) for name in ("big", "bigger", "none", "small")}.items() <= NUMBERS.items()
    assert answer["argsDigest"] == args_digest("shell", sent)


def test_an_edit_that_was_not_offered_is_refused():
    with pytest.raises(InvalidField):
        Question().decide("edit", edited_args={})


def test_two_must_agree_where_two_are_asked_for():
    question = Question(quorum=2)
    question.decide()
    assert question.row.state == "pending"
    with pytest.raises(AlreadyDecided):
        question.decide()
    question.decide(by=a_member(question.project, "approver"))
    assert question.row.state == "approved"


@pytest.mark.parametrize("how", ["removed", "demoted", "deactivated"])
def test_the_consent_of_who_may_no_longer_decide_does_not_count(how):
    question = Question(quorum=2)
    project, owner = question.project, owner_of(question.project)
    gone, second, third = (a_member(project, "approver") for _ in range(3))
    question.decide(by=gone)
    if how == "removed":
        MembershipService(owner).remove(guid=project.guid, user_id=gone.pk)
    elif how == "demoted":
        MembershipService(owner).change_role(guid=project.guid, user_id=gone.pk, role=Role.CONTRIBUTOR)
    else:
        type(gone).objects.filter(pk=gone.pk).update(is_active=False)
    told = question.decide(by=second)
    assert question.row.state == "pending"
    assert "(1 of 2)" in told.data.decode()
    question.decide(by=third)
    assert question.row.state == "approved"


def test_a_consent_counts_again_with_its_givers_role():
    question = Question(quorum=2)
    project, owner = question.project, owner_of(question.project)
    first, second = (a_member(project, "approver") for _ in range(2))
    question.decide(by=first)
    for role in (Role.CONTRIBUTOR, Role.APPROVER):
        MembershipService(owner).change_role(guid=project.guid, user_id=first.pk, role=role)
        if role is Role.CONTRIBUTOR:
            question.decide(by=second)
    assert question.row.state == "pending"
    question.decide(by=first)
    assert question.row.state == "approved"


def test_one_no_is_enough():
    question = Question(quorum=3)
    question.decide()
    question.decide("reject", by=a_member(question.project, "approver"))
    assert question.row.state == "rejected"


def test_a_rule_answers_the_next_one_until_it_is_revoked():
    question = Question()
    question.decide(remember=Remember(scope="project"))
    again = Question(question.project, "again", args={"cmd": "other"})
    assert (again.row.state, again.row.source) == ("approved", "rule")
    assert again.row.rule == ApprovalRule.objects.get()
    types = list(ProjectEvent.objects.filter(project=question.project).values_list("type", flat=True))
    assert types[-2:] == ["approval_needed", "approval_resolved"]
    ApprovalService(owner_of(question.project)).revoke_rule(guid=question.project.guid, rule_id=again.row.rule_id)
    assert Question(question.project, "third").row.state == "pending"


@pytest.mark.parametrize("risk", ["critical", "unknown"])
def test_what_is_dangerous_is_asked_for_every_time(risk):
    question = Question(risk=a.Risk(risk))
    with pytest.raises(InvalidField):
        question.decide(remember=Remember(scope="project"))
    assert question.row.state == "pending"
    safe = Question(question.project, "safe")
    safe.decide(remember=Remember(scope="project"))
    assert Question(question.project, "again", risk=a.Risk(risk)).row.state == "pending"


def test_a_rule_covers_its_tool_its_run_and_its_time_only(move_clock):
    project = a_project()
    RunService(AGENTS_SERVER).start(guid=project.guid, run_id="r", agent_id="coder")
    Question(project, run_id="r").decide(remember=Remember(scope="run", match="exact", ttl_s=60))
    assert Question(project, "same", run_id="r").row.state == "approved"
    assert Question(project, "b", run_id="r", args={"cmd": "other"}).row.state == "pending"
    assert Question(project, "c", run_id="r", tool="write").row.state == "pending"
    assert Question(project, "d", run_id="s").row.state == "pending"
    move_clock(61)
    assert Question(project, "e", run_id="r").row.state == "pending"


def test_a_rule_ends_with_its_makers_rights():
    project = a_project()
    approver = a_member(project, "approver")
    Question(project).decide(by=approver, remember=Remember(scope="project"))
    MembershipService(owner_of(project)).remove(guid=project.guid, user_id=approver.pk)
    assert Question(project, "again").row.state == "pending"


def test_the_end_of_a_run_withdraws_its_questions():
    project = a_project()
    RunService(AGENTS_SERVER).start(guid=project.guid, run_id="r", agent_id="coder")
    question = Question(project, run_id="r")
    RunService(AGENTS_SERVER).finish(guid=project.guid, run_id="r", status=a.RunStatus.COMPLETED)
    with pytest.raises(AlreadyDecided) as refused:
        question.decide()
    assert (refused.value.details or {})["decision"] == "cancelled"
    types = list(ProjectEvent.objects.filter(project=project).values_list("type", flat=True))
    assert types[-3:] == ["approval_resolved", "usage", "done"]


def test_everybody_sees_what_waits_for_them_and_nothing_else():
    question = Question()
    member, viewer, stranger = a_member(question.project, "approver"), a_member(question.project, "viewer"), a_person()
    waiting = [[one.approval.approval_id for one in approvals_waiting_for(p.pk)] for p in (member, viewer, stranger)]
    assert waiting == [["q"], [], []]


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_one_wins():
    question = Question()
    people = [a_member(question.project, "approver") for _ in range(8)]
    digest = question.row.args_digest
    start, outcomes = threading.Barrier(len(people)), []

    def decide(person, decision):
        try:
            start.wait()
            question.decide(decision, by=person, digest=digest)
            outcomes.append("won")
        except AlreadyDecided as refused:
            outcomes.append((refused.details or {})["decision"])
        finally:
            connection.close()

    threads = [
        threading.Thread(target=decide, args=(person, "approve" if number % 2 else "reject"))
        for number, person in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = {"approved": "approve", "rejected": "reject"}[question.row.state]
    assert sorted(outcomes) == sorted(["won"] + [winner] * 7)
    assert len(question.answers()) == 1
    resolved = ProjectEvent.objects.filter(project=question.project, type="approval_resolved")
    assert resolved.count() == 1
