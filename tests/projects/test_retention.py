"""Retention: the old end of a log goes, state stays, and readers are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.projects.models import Message, Project, ProjectEvent
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
