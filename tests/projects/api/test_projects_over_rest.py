"""Projects, tasks, members, locks over REST: each write is a service's, each answer a view of the wire."""

from __future__ import annotations

import pytest

from apps.accounts.services import AccountService
from apps.core.actor import AGENTS_SERVER, SYSTEM
from apps.projects.events import ActorRef, NotificationKind, PlanItem
from apps.projects.models import Project, ProjectEvent
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.notifications import NotificationService
from apps.projects.services.plans import PlanService
from apps.projects.services.stages import ProjectStageService
from tests.support.api import Api
from tests.support.factories import a_member, a_person, a_project

pytestmark = pytest.mark.django_db


def types_of(project: Project) -> list[str]:
    return list(ProjectEvent.objects.filter(project=project).order_by("seq").values_list("type", flat=True))


def test_i_make_a_project_and_own_it():
    ada = a_person("ada")
    answer = Api(ada).post("projects/", json={"name": " Shop ", "brief": "Sell things."})
    assert answer.status == 201
    assert answer.json["role"] == "owner"
    assert answer.json["project"] | {"guid": 0, "createdAt": 0} == {
        "guid": 0,
        "name": "Shop",
        "description": "",
        "brief": "Sell things.",
        "status": "draft",
        "statusReason": "",
        "createdAt": 0,
    }
    assert "project.archive" in answer.json["permissions"]
    listed = Api(ada).get("projects/").json["results"]
    assert [(card["project"]["name"], card["role"], card["unread"]) for card in listed] == [("Shop", "owner", 2)]


def test_starting_at_once_is_told_in_the_log():
    ada = a_person("ada")
    guid = Api(ada).post("projects/", json={"name": "Shop", "start": True}).json["project"]["guid"]
    assert types_of(Project.objects.get(guid=guid)) == ["project_updated", "member_changed", "project_status_change"]


def test_what_is_left_out_of_a_change_stays():
    ada = a_person("ada")
    project = a_project(ada, name="Shop", description="Old")
    answer = Api(ada).patch("", project, {"description": "New"})
    assert (answer.json["name"], answer.json["description"]) == ("Shop", "New")
    assert Api(ada).patch("", project, {"name": None}).field == "name"
    assert Api(ada).patch("", project, {"owner": "me"}).field == "owner"


def test_a_project_is_paused_and_archived():
    ada = a_person("ada")
    project = a_project(ada)
    assert Api(ada).post("status/", project, {"status": "paused", "reason": "Lunch"}).json["statusReason"] == "Lunch"
    assert Api(ada).post("status/", project, {"status": "failed"}).code == "invalid_field"
    assert Api(ada).post("status/", project, {"status": "archived"}).status == 200
    assert Api(ada).patch("", project, {"name": "Other"}).code == "conflict"
    assert Api(ada).get("", project).json["project"]["status"] == "archived"


def test_the_first_member_is_named_by_username_in_the_log_like_every_other():
    ada = a_person("ada", display_name="Ada Lovelace")
    project = a_project(ada)
    assert '"username":"ada"' in project.events.get(type="member_changed").data


def test_the_read_cursor_moves_forward_only():
    ada = a_person("ada")
    project = a_project(ada)
    assert Api(ada).post("read/", project, {"seq": 2}).json == {"readSeq": 2}
    assert Api(ada).post("read/", project, {"seq": 1}).json == {"readSeq": 2}
    assert Api(ada).post("read/", project, {"seq": 99}).json == {"readSeq": 3}
    assert Api(ada).post("read/", project, {"seq": -1}).field == "seq"
    assert Api(ada).post("read/", project, {"seq": True}).field == "seq"


# --- tasks ------------------------------------------------------------------------------------------------------


def test_a_task_from_its_making_to_its_end():
    bob = a_member(project := a_project(), "contributor")
    api = Api(bob)
    made = api.post("tasks/", project, {"title": "Write", "priority": "high", "files": ["app.py"]})
    assert (made.status, made.json["number"], made.json["version"]) == (201, 1, 1)
    path = f"tasks/{made.json['taskId']}/"
    changed = api.patch(path, project, {"title": "Write it", "version": 1})
    assert (changed.json["title"], changed.json["version"], changed.headers["ETag"]) == ("Write it", 2, '"2"')
    assert api.post(f"{path}status/", project, {"status": "doing", "version": 2}).json["status"] == "doing"
    assert api.get(path, project).json["version"] == 3
    assert api.delete(f"{path}?version=2", project).code == "conflict"
    assert api.delete(path, project, headers={"If-Match": '"3"'}).status == 204
    assert api.get(path, project).status == 404


def test_a_lost_update_is_refused_whichever_way_the_version_is_told():
    bob = a_member(project := a_project(), "contributor")
    api = Api(bob)
    path = f"tasks/{api.post('tasks/', project, {'title': 'Write'}).json['taskId']}/"
    api.patch(path, project, {"title": "Mine"})
    stale = [
        api.patch(path, project, {"title": "Yours", "version": 1}),
        api.patch(path, project, {"title": "Yours"}, headers={"If-Match": '"1"'}),
        api.patch(f"{path}?version=1", project, {"title": "Yours"}),
        api.post(f"{path}status/", project, {"status": "done", "version": 1}),
    ]
    assert [(answer.status, answer.code) for answer in stale] == [(409, "conflict")] * 4
    assert stale[0].json["error"]["details"] == {"version": 2}
    for header in ("x", 'W/"1"', "1, 2", ""):
        assert api.patch(path, project, {"title": "T"}, headers={"If-Match": header}).field == "If-Match"
    assert api.patch(path, project, {"title": "T", "version": 2}, headers={"If-Match": '"1"'}).field == "version"
    assert api.patch(path, project, {"title": "T"}, headers={"If-Match": "*"}).status == 200


def test_a_change_that_changes_nothing_answers_and_writes_nothing():
    bob = a_member(project := a_project(), "contributor")
    task = Api(bob).post("tasks/", project, {"title": "Write"}).json
    before = types_of(project)
    assert Api(bob).patch(f"tasks/{task['taskId']}/", project, {"title": "Write"}).json == task
    assert Api(bob).post(f"tasks/{task['taskId']}/status/", project, {"status": "todo"}).json == task
    assert Api(bob).post("tasks/reset/", project).json == {"count": 0, "tasks": []}
    assert types_of(project) == before


def test_a_task_is_assigned_and_taken_back():
    bob = a_member(project := a_project(), "contributor")
    somebody = {"kind": "person", "id": str(bob.pk), "name": "Bob"}
    task = Api(bob).post("tasks/", project, {"title": "Write", "assignee": somebody}).json
    assert task["assignee"]["name"] == "Bob"
    path = f"tasks/{task['taskId']}/"
    assert Api(bob).patch(path, project, {"title": "Other"}).json["assignee"]["name"] == "Bob"
    assert Api(bob).patch(path, project, {"assignee": None}).json["assignee"] is None


def test_tasks_go_back_to_the_first_column():
    bob = a_member(project := a_project(), "contributor")
    ids = [Api(bob).post("tasks/", project, {"title": f"T{n}", "status": "done"}).json["taskId"] for n in range(3)]
    assert Api(bob).post("tasks/reset/", project, {"taskIds": ids[:1]}).json["count"] == 1
    assert Api(bob).post("tasks/reset/", project, {}).json["count"] == 2
    statuses = {task["status"] for task in Api(bob).get("tasks/", project).json["results"]}
    assert statuses == {"todo"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": 7}, "title"),
        ({"title": "T", "colour": "red"}, "colour"),
        ({"title": "T", "status": "later"}, "status"),
        ({"title": "T", "dependsOn": ["nobody"]}, "dependsOn"),
        ({"title": "T", "files": [""]}, "files[0]"),
        ({"title": "T", "taskId": "a b"}, "taskId"),
        ({"title": "T", "assignee": {"kind": "person"}}, "assignee.id"),
        ({"title": "T", "depends_on": []}, "depends_on"),
    ],
)
def test_a_bad_task_is_refused_and_the_field_is_named(body, field):
    bob = a_member(project := a_project(), "contributor")
    answer = Api(bob).post("tasks/", project, body)
    assert (answer.status, answer.code, answer.field) == (400, "invalid_field", field)


# --- members ----------------------------------------------------------------------------------------------------


def test_members_are_added_changed_and_removed():
    ada, bob = a_person("ada"), a_person("bob")
    project = a_project(ada)
    api = Api(ada)
    added = api.post("members/", project, {"username": "bob", "role": "viewer"})
    assert (added.status, added.json["role"]) == (201, "viewer")
    path = f"members/{bob.pk}/"
    assert api.patch(path, project, {"role": "approver"}).json["role"] == "approver"
    assert [member["username"] for member in api.get("members/", project).json["results"]] == ["ada", "bob"]
    assert api.delete(path, project).status == 204
    assert api.delete(path, project).status == 404
    assert types_of(project).count("member_changed") == 4


def test_members_have_their_limits():
    ada = a_person("ada")
    project = a_project(ada)
    maintainer = a_member(project, "maintainer")
    api = Api(ada)
    assert api.post("members/", project, {"username": "nobody", "role": "viewer"}).field == "username"
    assert api.post("members/", project, {"username": "ada", "role": "viewer"}).code == "conflict"
    assert api.post("members/", project, {"username": "ada", "role": "king"}).field == "role"
    assert api.patch(f"members/{ada.pk}/", project, {"role": "viewer"}).code == "conflict"
    assert Api(maintainer).patch(f"members/{ada.pk}/", project, {"role": "viewer"}).code == "forbidden"
    assert api.patch("members/not-a-uuid/", project, {"role": "viewer"}).status == 404


def test_an_owner_who_is_switched_off_is_none_that_a_project_keeps():
    ada = a_person("ada")
    project = a_project(ada)
    bob = a_member(project, "owner", "bob")
    AccountService(SYSTEM).deactivate(user_id=bob.pk)
    for refused in (
        Api(ada).delete(f"members/{ada.pk}/", project),
        Api(ada).patch(f"members/{ada.pk}/", project, {"role": "viewer"}),
    ):
        assert (refused.status, refused.code) == (409, "conflict")
    assert Api(ada).delete(f"members/{bob.pk}/", project).status == 204


def test_who_is_in_an_archived_project_can_leave_it_and_be_removed():
    ada = a_person("ada")
    project = a_project(ada)
    bob, eve = a_member(project, "owner", "bob"), a_member(project, "viewer", "eve")
    assert Api(ada).post("status/", project, {"status": "archived"}).status == 200
    assert Api(eve).delete(f"members/{eve.pk}/", project).status == 204
    assert Api(ada).delete(f"members/{bob.pk}/", project).status == 204
    assert Api(ada).post("tasks/", project, {"title": "x"}).status == 409


def test_anybody_may_leave():
    eve = a_member(project := a_project(), "viewer")
    assert Api(eve).delete(f"members/{eve.pk}/", project).status == 204
    assert Api(eve).get("", project).status == 404


# --- what else a room shows -------------------------------------------------------------------------------------


def test_stages_plans_locks_and_notifications_are_listed():
    ada = a_person("ada")
    bob = a_member(project := a_project(ada), "contributor")
    guid = project.guid
    for position, name in enumerate(["plan", "build"]):
        ProjectStageService(AGENTS_SERVER).update(guid=guid, stage_key=name, position=position)
    for plan in ("p1", "p2"):
        items = [PlanItem(key="1", title="Begin")]
        PlanService(AGENTS_SERVER).publish(guid=guid, plan_id=plan, title=plan, items=items)
    holder = ActorRef(kind="agent", id="a1", name="Coder")
    FileLockService(AGENTS_SERVER).replace(guid=guid, locks=[Held(path="a.py", holder=holder)])
    notices = NotificationService(SYSTEM)
    notices.notify(guid=guid, kind=NotificationKind.DONE, title="For all")
    notices.notify(guid=guid, kind=NotificationKind.MENTION, title="For Bob", username=bob.username)
    api = Api(ada)
    assert [stage["key"] for stage in api.get("stages/", project).json["results"]] == ["plan", "build"]
    assert [(p["planId"], p["state"]) for p in api.get("plans/", project).json["results"]] == [
        ("p2", "draft"),
        ("p1", "superseded"),
    ]
    assert [note["title"] for note in api.get("notifications/", project).json["results"]] == ["For all"]
    assert [note["title"] for note in Api(bob).get("notifications/", project).json["results"]] == ["For Bob", "For all"]
    assert [lock["path"] for lock in api.get("locks/", project).json["results"]] == ["a.py"]
    assert api.post("locks/release/", project, {"path": "a.py"}).json["locks"] == []
    assert api.post("locks/release/", project, {"path": "a.py"}).status == 404
