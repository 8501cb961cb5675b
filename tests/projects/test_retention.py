"""Retention: the old end of a log goes, state stays, and readers are told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts import pruning
from apps.accounts.models import User
from apps.core import clock
from apps.projects.models import CommandReceipt, Message, Project, ProjectEvent
from apps.projects.services import retention, sql
from apps.projects.services.commands import forget_old_receipts
from apps.projects.services.messages import MessageService
from apps.projects.services.projects import ProjectService
from apps.projects.services.retention import prune_due, prune_project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    ada = User.objects.create_user("ada")
    project = ProjectService(ada.actor).create(name="Old")
    for number in range(10):
        MessageService(ada.actor).post(guid=project.guid, content=f"message {number}")
    project.refresh_from_db()
    return project


def kept(project: Project) -> list[int]:
    project.refresh_from_db()
    return list(ProjectEvent.objects.filter(project=project).order_by("seq").values_list("seq", flat=True))


def test_a_log_keeps_its_newest_events_and_says_where_it_begins(project: Project, settings: Any) -> None:
    settings.AUTOCODE_LOG_EVENTS = 4
    last = project.last_seq
    assert prune_due() == last - 4
    assert kept(project) == list(range(last - 3, last + 1))
    assert (project.first_seq, project.last_seq) == (last - 3, last)
    assert Message.objects.filter(project=project).count() == 10
    assert prune_due() == 0


def test_events_go_when_they_are_too_old(project: Project, settings: Any, move_clock: Callable[[float], None]) -> None:
    settings.AUTOCODE_LOG_DAYS = 30
    assert prune_due() == 0
    move_clock(31 * 86_400)
    MessageService(User.objects.get(username="ada").actor).post(guid=project.guid, content="today")
    assert prune_due() == project.last_seq
    assert kept(project) == [project.last_seq]
    assert project.first_seq == project.last_seq


def test_a_log_that_is_gone_whole_goes_on_at_the_next_number(project: Project, settings: Any) -> None:
    settings.AUTOCODE_LOG_EVENTS = 0
    last = project.last_seq
    prune_project(project.guid)
    assert kept(project) == []
    event = MessageService(User.objects.get(username="ada").actor).post(guid=project.guid, content="next")
    assert event.seq == last + 1


def test_a_log_that_is_far_too_long_goes_in_parts(
    project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    settings.AUTOCODE_LOG_EVENTS = 2
    last = project.last_seq
    with CaptureQueriesContext(connection) as queries:
        assert prune_due() == last - 2
    assert kept(project) == [last - 1, last]
    assert project.first_seq == last - 1
    swept = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
    assert len(swept) == -(-(last - 2) // 3)


def test_an_event_of_a_clock_that_is_behind_waits_for_those_before_it(project: Project, settings: Any) -> None:
    settings.AUTOCODE_LOG_DAYS = 30
    long_ago = clock.now() - dt.timedelta(days=40)
    events = ProjectEvent.objects.filter(project=project)
    events.filter(seq__in=[1, 2, 5]).update(at=long_ago)
    assert prune_due() == 2
    assert kept(project)[0] == project.first_seq == 3
    assert prune_due() == 0


def test_rows_that_are_kept_for_a_time_go_however_many_there_are(
    move_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 2)
    ada = User.objects.create_user("ada")
    receipt = {"user_id": ada.pk, "fingerprint": "f", "reply": {}}
    sql.insert(CommandReceipt, [receipt | {"command_id": f"c{number}"} for number in range(25)])
    assert forget_old_receipts() == 0
    move_clock(8 * 86_400)
    old = CommandReceipt.objects.filter(user=ada)
    assert pruning.remove(old.filter(command_id__in=["c0", "c1", "c2"])) == 3
    assert forget_old_receipts() == 22
    assert not old.exists()
