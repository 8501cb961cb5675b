"""The administration shows everything and changes nothing past the services."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client

from apps.accounts.models import User
from apps.projects.models import CommandReceipt, Membership, ProjectEvent
from tests.support.api import Api
from tests.support.factories import a_member, a_person, a_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Client:
    """A logged-in superuser."""
    client = Client()
    client.force_login(a_person("root", is_staff=True, is_superuser=True))
    return client


def members_form(memberships: list[Membership], **changes: str) -> dict[str, str]:
    """Return the form of a project's page with these members; ``changes`` by ``row_field``."""
    form = {
        "memberships-TOTAL_FORMS": str(len(memberships) + 1),
        "memberships-INITIAL_FORMS": str(len(memberships)),
        "memberships-MIN_NUM_FORMS": "0",
        "memberships-MAX_NUM_FORMS": "1000",
    }
    for index, row in enumerate(memberships):
        form |= {
            f"memberships-{index}-id": str(row.pk),
            f"memberships-{index}-project": str(row.project_id),
            f"memberships-{index}-user": str(row.user_id),
            f"memberships-{index}-role": row.role,
        }
    return form | {f"memberships-{name.replace('_', '-', 1)}": value for name, value in changes.items()}


def test_every_table_has_its_pages(operator):
    bob = a_member(project := a_project(), "contributor")
    Api(bob).post("tasks/", project, {"title": "T"}, headers={"Idempotency-Key": "k"})
    Api(bob).post("messages/", project, {"message": "Hi"})
    models: list[Any] = [*apps.get_app_config("projects").get_models(), User]
    for model in models:
        address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert operator.get(address).status_code == 200, address
        assert operator.get(f"{address}?q=x").status_code == 200, address
        row = model._default_manager.first()
        if row is not None:
            assert operator.get(f"{address}{row.pk}/change/").status_code == 200, address


@pytest.mark.parametrize("model", [ProjectEvent, CommandReceipt])
def test_the_log_and_the_receipts_are_read_only(operator, model):
    options = admin.site._registry[model]
    a_project()
    address = f"/admin/projects/{model._meta.model_name}/"
    assert operator.get(f"{address}add/").status_code == 403
    row = model.objects.first()
    if row is not None:
        assert operator.post(f"{address}{row.pk}/change/", {"type": "forged"}).status_code == 403
        assert operator.post(f"{address}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert options.get_actions(type("R", (), {"GET": {}, "user": User(is_superuser=True)})()) == {}


def test_a_project_leads_to_its_room(operator):
    project = a_project()
    assert f'href="/projects/{project.guid}/"' in operator.get("/admin/projects/project/").content.decode()


def test_members_are_changed_through_the_service(operator):
    project = a_project()
    bob, eve = a_member(project, "viewer", "bob"), a_member(project, "viewer", "eve")
    dan = a_person("dan")
    rows = list(Membership.objects.filter(project=project))
    form = members_form(rows, **{"1_role": "approver", "2_DELETE": "on", "3_user": str(dan.pk), "3_role": "maintainer"})
    before = project.events.count()
    assert operator.post(f"/admin/projects/project/{project.pk}/change/", form).status_code == 302
    roles = dict(Membership.objects.filter(project=project).values_list("user__username", "role"))
    assert (roles["bob"], roles["dan"], "eve" in roles) == ("approver", "maintainer", False)
    news = project.events.filter(seq__gt=before).values_list("type", "actor_name")
    assert list(news) == [("member_changed", "root")] * 3
    assert (Api(bob).get("", project).json["role"], Api(eve).get("", project).status) == ("approver", 404)


def test_the_last_owner_stays(operator):
    project = a_project()
    rows = list(Membership.objects.filter(project=project))
    address = f"/admin/projects/project/{project.pk}/change/"
    page = operator.post(address, members_form(rows, **{"0_DELETE": "on"}), follow=True).content.decode()
    assert "keeps at least one owner" in page
    assert Membership.objects.filter(project=project, role="owner").exists()


def test_a_page_that_is_saved_puts_nothing_back(operator):
    project = a_project()
    before = project.events.count()
    rows = list(Membership.objects.filter(project=project))
    form = members_form(rows) | {"name": "Forged", "last_seq": "0"}
    assert operator.post(f"/admin/projects/project/{project.pk}/change/", form).status_code == 302
    project.refresh_from_db()
    assert (project.name, project.last_seq, project.events.count()) == ("Shop", before, before)


@pytest.mark.parametrize(("action", "status"), [("start", "inProgress"), ("pause", "paused"), ("cancel", "cancelled")])
def test_a_status_is_set_through_the_service(operator, action, status):
    project = a_project(start=False)
    form = {"action": action, "_selected_action": [str(project.pk)]}
    operator.post("/admin/projects/project/", form)
    project.refresh_from_db()
    assert project.status == status
    assert project.events.latest("seq").type == "project_status_change"


def test_the_log_is_pruned(operator, settings):
    settings.AUTOCODE_LOG_EVENTS = 1
    project = a_project()
    operator.post("/admin/projects/project/", {"action": "prune_log", "_selected_action": [str(project.pk)]})
    project.refresh_from_db()
    assert (project.events.count(), project.first_seq) == (1, project.last_seq)


def test_all_access_of_a_user_is_ended(operator):
    bob = a_person("bob")
    api = Api(bob)
    operator.post("/admin/accounts/user/", {"action": "end_all_access", "_selected_action": [str(bob.pk)]})
    assert api.get("me/").status == 401


def test_nobody_is_deleted_or_made_by_accident(operator):
    bob = a_person("bob")
    assert operator.post(f"/admin/accounts/user/{bob.pk}/delete/", {"post": "yes"}).status_code == 403
    made = {"username": "new", "kind": "person", "display_name": "", "usable_password": "true"}
    passwords = {"password1": "quite-long-1", "password2": "quite-long-1"}
    assert operator.post("/admin/accounts/user/add/", made | passwords).status_code == 302
    assert User.objects.get(username="new").check_password("quite-long-1")
