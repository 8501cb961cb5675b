"""Who sees which page, and what stands in it."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.test import Client

from apps.projects.models import Project
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from apps.projects.services.messages import MessageService
from tests.dashboard.reading import Page
from tests.support.factories import a_member, a_person, a_project, owner_of

pytestmark = pytest.mark.django_db


def room_of(project) -> str:
    return f"/projects/{project.guid}/"


@pytest.mark.parametrize(
    "address", ["/", "/projects/new/", "/projects/{guid}/", "/projects/{guid}/members/", "/projects/{guid}/about/"]
)
def test_who_is_not_logged_in_goes_to_the_login_and_comes_back(address):
    address = address.format(guid=a_project().guid)
    answer = Client().get(address)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/admin/login/?next={address}"


def test_an_address_that_leads_nowhere_tells_a_stranger_nothing_before_the_login():
    missing, real = f"/projects/{uuid.uuid4()}/", room_of(a_project())
    assert Client().get(missing).status_code == Client().get(real).status_code == 302


@pytest.mark.parametrize("page", ["", "members/", "about/"])
def test_a_room_of_others_answers_exactly_like_one_that_does_not_exist(browser_of, page):
    stranger = browser_of(a_person())
    of_others = stranger.get(f"{room_of(a_project())}{page}")
    of_nobody = stranger.get(f"/projects/{uuid.uuid4()}/{page}")
    assert of_others.status_code == of_nobody.status_code == 404
    # Only the token against forged requests differs, with every page.
    assert without_token(of_others) == without_token(of_nobody)


def without_token(answer) -> str:
    token = answer.context["csrf_token"]
    return answer.content.decode().replace(str(token), "")


def test_a_removed_member_finds_no_room_any_more(browser_of):
    project = a_project()
    member = a_member(project)
    browser = browser_of(member)
    assert browser.get(room_of(project)).status_code == 200
    MembershipService(owner_of(project)).remove(guid=project.guid, user_id=member.pk)
    assert browser.get(room_of(project)).status_code == 404


@pytest.mark.parametrize("role", list(Role))
def test_the_room_tells_its_scripts_what_this_person_may_do(browser_of, role):
    project = a_project()
    member = a_member(project, role)
    boot = Page(browser_of(member).get(room_of(project))).data("room-boot")
    assert boot["role"] == role.word
    assert boot["userId"] == str(member.pk)
    assert ("message.post" in boot["permissions"]) is (role >= Role.CONTRIBUTOR)
    assert ("approval.decide" in boot["permissions"]) is (role >= Role.APPROVER)


def test_the_room_carries_its_state_so_that_the_first_paint_has_content(browser_of):
    project = a_project()
    said = "<script>alert(1)</script> & “hello”"
    MessageService(owner_of(project)).post(guid=project.guid, content=said)
    page = Page(browser_of(a_member(project)).get(room_of(project)))
    snapshot = page.data("room-snapshot")
    project.refresh_from_db()
    assert snapshot["lastSeq"] == project.last_seq
    assert snapshot["messages"][-1]["content"] == said
    assert "<script>alert" not in page.html


def test_pages_are_never_taken_from_a_cache(browser_of):
    project = a_project()
    browser = browser_of(a_member(project))
    for address in ("/", room_of(project), f"{room_of(project)}members/", "/projects/new/"):
        assert "no-store" in browser.get(address).headers["Cache-Control"]


def test_a_new_project_begins_with_its_brief_and_opens(browser_of):
    browser = browser_of(a_person())
    made = browser.post("/projects/new/", {"name": "Shop", "brief": "Build a shop.", "start": "on"})
    assert made.status_code == 302
    snapshot = Page(browser.get(made.headers["Location"])).data("room-snapshot")
    assert snapshot["project"]["name"] == "Shop"
    assert snapshot["project"]["brief"] == "Build a shop."
    assert snapshot["project"]["status"] == "inProgress"


def test_a_project_that_is_not_started_waits_as_a_draft(browser_of):
    browser = browser_of(a_person())
    made = browser.post("/projects/new/", {"name": "Shop", "brief": "Build a shop."})
    assert Page(browser.get(made.headers["Location"])).data("room-snapshot")["project"]["status"] == "draft"


def hidden(page: Any, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page.content.decode())
    assert found
    return found[1]


def test_a_form_that_is_sent_twice_makes_one_project(browser_of):
    owner, other = a_person(), a_person("other")
    browser = browser_of(owner)
    guid = hidden(browser.get("/projects/new/"), "guid")
    form = {"name": "Shop", "brief": "Build a shop.", "guid": guid}
    first, second = (browser.post("/projects/new/", form) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"] == f"/projects/{guid}/"
    assert Project.objects.count() == 1
    answer = browser_of(other).post("/projects/new/", form)
    assert (answer.status_code, Project.objects.count()) == (400, 1)
    assert hidden(browser.get("/projects/new/"), "guid") != guid


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"name": "", "brief": "x"}, "Give it a name"),
        ({"name": "Shop", "brief": ""}, "Say what the agents should build"),
        ({"name": "x" * 121, "brief": "x"}, "at most 120"),
    ],
)
def test_a_project_that_cannot_be_made_says_why_and_keeps_what_was_written(browser_of, form, told):
    answer = browser_of(a_person()).post("/projects/new/", {"description": "keep me", **form})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert told in page
    assert "keep me" in page


def test_only_owners_are_offered_to_name_owners(browser_of):
    project = a_project()
    members = f"{room_of(project)}members/"

    def offered(role):
        page = browser_of(a_member(project, role)).get(members)
        return page.context["roles"] if page.context["may_manage"] else None

    assert offered(Role.CONTRIBUTOR) is None
    assert "owner" not in offered(Role.MAINTAINER)
    assert "owner" in offered(Role.OWNER)


def test_logging_out_needs_a_post_and_ends_the_session(browser_of):
    browser = browser_of(a_person())
    assert browser.get("/logout/").status_code == 405
    assert browser.post("/logout/").status_code == 302
    assert browser.get("/").status_code == 302


def test_a_form_from_elsewhere_makes_nothing():
    person = a_person()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person)
    refused = browser.post("/projects/new/", {"name": "Shop", "brief": "x"})
    assert refused.status_code == 403
    assert Page(refused).inline == []
    assert "Please try again" in refused.content.decode()


# --- about the project ------------------------------------------------------------------------------------------


def about(project) -> str:
    return f"{room_of(project)}about/"


TEXTS = {"name": "Another name", "description": "", "brief": "Build it."}


def test_a_maintainer_changes_what_the_project_is(browser_of):
    project = a_project(name="One name", brief="Old")
    browser = browser_of(a_member(project, Role.MAINTAINER))
    page = browser.get(about(project)).content.decode()
    assert "One name" in page
    assert "Archive the project" not in page
    answer = browser.post(about(project), TEXTS, follow=True)
    assert "Saved." in answer.content.decode()
    project.refresh_from_db()
    assert (project.name, project.brief) == ("Another name", "Build it.")


def test_what_somebody_else_changed_meanwhile_is_not_put_back(browser_of):
    project = a_project(name="One name", description="", brief="First.\nSecond.")
    ada, bob = (browser_of(a_member(project, Role.MAINTAINER, name)) for name in ("maintainer-1", "maintainer-2"))
    as_ada_sees_it = {
        "name": "One name",
        "description": "",
        "brief": "First.\r\nSecond.",
        "shown": hidden(ada.get(about(project)), "shown"),
    }
    project.refresh_from_db()
    before = project.last_seq
    assert ada.post(about(project), as_ada_sees_it).status_code == 302
    project.refresh_from_db()
    assert project.last_seq == before, "nothing was changed, whatever a browser makes of line breaks"
    bob.post(about(project), as_ada_sees_it | {"brief": "Bob's."})
    assert ada.post(about(project), as_ada_sees_it | {"name": "Ada's"}).status_code == 302
    project.refresh_from_db()
    assert (project.name, project.brief) == ("Ada's", "Bob's.")
    refused = ada.post(about(project), as_ada_sees_it | {"name": "Ada's", "brief": "Ada's too."})
    assert refused.status_code == 400
    assert "Somebody else has changed this" in refused.content.decode()
    assert "Ada&#x27;s too." in refused.content.decode()
    again = as_ada_sees_it | {"name": "Ada's", "brief": "Ada's too.", "shown": hidden(refused, "shown")}
    assert ada.post(about(project), again).status_code == 302
    project.refresh_from_db()
    assert project.brief == "Ada's too."


def test_a_name_is_needed_and_what_was_written_stays(browser_of):
    project = a_project(owner := a_person(), name="One name")
    answer = browser_of(owner).post(about(project), TEXTS | {"name": " "})
    assert answer.status_code == 400
    assert "Build it." in answer.content.decode()
    project.refresh_from_db()
    assert project.name == "One name"


def test_a_viewer_reads_it_and_changes_nothing(browser_of):
    project = a_project(name="One name", brief="The whole brief")
    browser = browser_of(a_member(project, Role.VIEWER))
    page = browser.get(about(project)).content.decode()
    assert "The whole brief" in page
    assert "<textarea" not in page
    for sent in (TEXTS, {"archived": "yes"}):
        answer = browser.post(about(project), sent)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.content.decode()
    project.refresh_from_db()
    assert (project.name, project.status) == ("One name", "inProgress")


def test_an_owner_archives_the_project_and_takes_it_back(browser_of):
    project = a_project(owner := a_person(), name="Over")
    browser = browser_of(owner)
    asked = browser.post(about(project), {"archived": "yes"})  # as a browser does whose script is not there yet
    assert (asked.status_code, b"Archive the project?" in asked.content, b"<textarea" in asked.content) == (
        200,
        True,
        False,
    )
    project.refresh_from_db()
    assert project.status != "archived"
    assert browser.post(about(project), {"archived": "yes", "confirmed": "yes"}).headers["Location"] == "/"
    project.refresh_from_db()
    assert project.status == "archived"
    page = browser.get(about(project)).content.decode()
    assert "Take it back" in page
    assert "<textarea" not in page
    assert browser.post(about(project), TEXTS).status_code == 400
    browser.post(about(project), {"archived": "no"})
    project.refresh_from_db()
    assert project.status == "paused"
