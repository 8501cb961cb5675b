"""The first page: my projects, and what waits for me in them."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.events import ApprovalKind, Risk
from apps.agents.services.approvals import ApprovalService
from apps.core.actor import AGENTS_SERVER
from apps.dashboard.cards import cards_for
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from tests.dashboard.reading import Page
from tests.support.factories import a_member, a_person, a_project, owner_of

pytestmark = pytest.mark.django_db


def ask(project, *, role: Role = Role.APPROVER) -> None:
    ApprovalService(AGENTS_SERVER).request(
        guid=project.guid,
        approval_id=f"ask-{role.word}",
        agent_id="coder-1",
        kind=ApprovalKind.COMMAND,
        title="Run the tests",
        tool="bash",
        args={"command": "pytest"},
        risk=Risk.LOW,
        required_role=role.word,
    )


def test_only_my_projects_are_listed(browser_of):
    mine = a_project(name="Mine")
    a_project(name="Somebody else's")
    page = browser_of(a_member(mine)).get("/").content.decode()
    assert "Mine" in page
    assert "Somebody else" not in page


def test_who_is_in_no_project_is_told_what_to_do(browser_of):
    page = browser_of(a_person()).get("/").content.decode()
    assert "You are in no project yet" in page
    assert "/projects/new/" in page


def test_what_waits_for_me_comes_first_and_is_counted_by_my_role():
    quiet, asking = a_project(name="Quiet"), a_project(name="Asking")
    approver = a_member(asking, Role.APPROVER)
    MembershipService(owner_of(quiet)).add(guid=quiet.guid, username=approver.username, role=Role.APPROVER)
    ask(asking)
    ask(asking, role=Role.OWNER)
    assert [(card.name, card.needs) for card in cards_for(approver.pk)] == [("Asking", 1), ("Quiet", 0)]


def test_a_contributor_is_not_asked_for_decisions():
    project = a_project()
    ask(project)
    assert [card.needs for card in cards_for(a_member(project).pk)] == [0]


def test_names_are_shown_as_they_are_and_run_nothing(browser_of):
    project = a_project(name="<img src=x onerror=alert(1)>")
    page = Page(browser_of(a_member(project)).get("/"))
    assert "&lt;img src=x" in page.html
    assert page.inline == []


def test_drafts_and_finished_projects_cost_no_query_for_their_agents():
    person = a_person()
    for number in range(3):
        a_project(person, name=f"Draft {number}", start=False)
    with CaptureQueriesContext(connection) as few:
        cards_for(person.pk)
    for number in range(3):
        a_project(person, name=f"More {number}", start=False)
    with CaptureQueriesContext(connection) as many:
        cards_for(person.pk)
    assert len(few) == len(many)
