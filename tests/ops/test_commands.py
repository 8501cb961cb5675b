"""The demo's people and projects, upkeep, and the checks of the settings."""

from __future__ import annotations

import datetime as dt
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import User
from apps.core import clock
from apps.core.actor import SYSTEM
from apps.core.ids import first_at
from apps.ops import checks
from apps.ops.seeding import SAMPLES, begin, begins_when_opened, seed
from apps.projects.events import ProjectStatus
from apps.projects.models import CommandReceipt, Membership, Project, ProjectEvent
from apps.projects.services.projects import ProjectService
from tests.support.factories import a_person, a_project


@pytest.mark.django_db
def test_the_demo_is_seeded_once(settings, django_assert_num_queries):
    settings.DEBUG = True
    settings.AUTOCODE_DEMO_PASSWORD = "from-the-environment"
    call_command("seed_demo", stdout=(said := StringIO()))
    assert "To-do API" in said.getvalue()
    assert {p.name: p.status for p in Project.objects.all()} == {
        "To-do API": "draft",
        "Table formatter": "draft",
        "Bug 118": "draft",
    }
    roles = set(Membership.objects.values_list("user__username", "role"))
    assert roles == {("ada", "owner"), ("bob", "contributor"), ("cleo", "approver"), ("eve", "viewer")}
    assert User.objects.get(username="mallory").check_password("from-the-environment")
    ada = User.objects.get(username="ada")
    assert (ada.is_staff, ada.is_superuser) == (True, True)
    with django_assert_num_queries(2):
        call_command("seed_demo", stdout=StringIO())


@pytest.mark.django_db
def test_what_people_changed_stays(settings):
    seed("a-password")
    project = Project.objects.get(guid=SAMPLES[0].guid)
    ProjectService(SYSTEM).update(guid=project.guid, name="Mine now")
    Membership.objects.filter(project=project, user__username="bob").delete()
    assert seed("a-password") == []
    project.refresh_from_db()
    assert project.name == "Mine now"
    assert not Membership.objects.filter(project=project, user__username="bob").exists()


@pytest.mark.django_db
def test_the_demo_begins_when_its_room_is_opened_and_only_once():
    seed("a-password")
    todo, table = (str(sample.guid) for sample in SAMPLES[:2])
    assert begins_when_opened(todo)
    assert not begins_when_opened(table)
    begin(todo)
    assert Project.objects.get(guid=todo).status == "inProgress"
    ProjectService(SYSTEM).set_status(guid=todo, status=ProjectStatus.PAUSED)
    begin(todo)
    assert Project.objects.get(guid=todo).status == "paused"


@pytest.mark.django_db
def test_another_password_is_given_to_all():
    seed("a-password")
    seed("b-password")
    assert all(user.check_password("b-password") for user in User.objects.all())


def test_the_demo_is_refused_without_debug_and_without_a_password(settings):
    settings.DEBUG = False
    with pytest.raises(CommandError, match="AUTOCODE_DEBUG"):
        call_command("seed_demo")
    settings.DEBUG, settings.AUTOCODE_DEMO_PASSWORD = True, ""
    with pytest.raises(CommandError, match="password"):
        call_command("seed_demo")


@pytest.mark.django_db
def test_prune_removes_what_is_too_old(settings):
    ada = a_person()
    project = a_project(ada)
    old = clock.now() - dt.timedelta(days=settings.AUTOCODE_LOG_DAYS + 1)
    ProjectEvent.objects.filter(project=project, seq__lte=2).update(at=old)
    CommandReceipt.objects.create(id=first_at(old), user=ada, command_id="c", fingerprint="f", reply={}, at=old)
    call_command("prune", stdout=(said := StringIO()))
    assert said.getvalue().strip() == "removed 2 events and 1 receipts, 0 logins and 0 audit entries"
    project.refresh_from_db()
    assert project.first_seq == 3


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        ({}, ["autocode.I001"]),
        ({"AUTOCODE_REDIS_URL": "redis://r/0"}, []),
        ({"AUTOCODE_AGENTS_LINK": "separate"}, ["autocode.E001", "autocode.I001", "autocode.W001"]),
        (
            {"AUTOCODE_REDIS_URL": "redis://r/0", "AUTOCODE_AGENTS_URL": "ws://agents.example/"},
            ["autocode.W002", "autocode.W003"],
        ),
        (
            {
                "AUTOCODE_REDIS_URL": "redis://r/0",
                "AUTOCODE_AGENTS_URL": "ws://127.0.0.1:9000/",
                "AUTOCODE_AGENTS_TOKEN": "t",
            },
            [],
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_told(settings, values, ids):
    for name, value in values.items():
        setattr(settings, name, value)
    asked = (
        checks.link_has_an_address,
        checks.separate_link_needs_redis,
        checks.several_processes_need_redis,
        checks.agents_link_is_private,
    )
    assert sorted(str(message.id) for check in asked for message in check()) == ids
