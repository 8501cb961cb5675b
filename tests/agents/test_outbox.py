"""The outbox: what is promised is sent, in the order of its project, also where transactions meet."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from django.db import connection, transaction

from apps.agents.models import DeadLetter, OutboxMessage
from apps.agents.services import lease, outbox, relay
from apps.agents.services.chat import ChatService
from apps.agents.services.dead_letters import retry
from apps.agents.services.feedback import FeedbackService
from apps.core import clock
from apps.projects.models import Task
from apps.projects.services.log import open_log
from apps.projects.services.tasks import TaskService
from tests.agents.conftest import comes_to_rest
from tests.support.factories import a_project, owner_of

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's writers wait for each other")


def taken(epoch: int) -> list[relay.Parcel]:
    return relay.take(epoch, limit=50)


def holder() -> int:
    held = lease.acquire("test", ttl_s=600)
    assert held is not None
    return held.epoch


def settle(epoch: int, parcels: list[relay.Parcel]) -> None:
    for parcel in parcels:
        assert relay.acked(epoch, parcel.key)


def titles(parcels: list[relay.Parcel]) -> list[str]:
    [update] = parcels
    assert update.type == "project_update"
    return [task["title"] for task in update.data["tasks"]]


# --- transactions that meet -------------------------------------------------------------------------------------


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_change_that_relies_on_a_waiting_update_is_in_it(elsewhere):
    project, epoch = a_project(), holder()
    with open_log(project.guid, owner_of(project)):
        TaskService(owner_of(project)).create(guid=project.guid, title="One")
        meanwhile = elsewhere(taken, epoch).result()
    settle(epoch, meanwhile)
    assert titles(taken(epoch)) == ["One"]


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_change_made_while_the_update_is_taken_gets_one_of_its_own(elsewhere):
    project, epoch = a_project(), holder()
    with transaction.atomic():
        first = taken(epoch)
        change = elsewhere(TaskService(owner_of(project)).create, guid=project.guid, title="One")
        comes_to_rest(change)
    change.result()
    assert titles(first) == []
    settle(epoch, first)
    assert titles(taken(epoch)) == ["One"]


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_slow_change_holds_up_its_own_project_alone_and_nothing_overtakes_its_update(elsewhere):
    slow, other, epoch = a_project(), a_project(), holder()
    ChatService(owner_of(slow)).send(guid=slow.guid, message="after the update")
    with open_log(slow.guid, owner_of(slow)) as log:
        outbox.enqueue_project_update(log)
        meanwhile = elsewhere(taken, epoch).result()
    assert {parcel.guid for parcel in meanwhile} == {str(other.guid)}
    assert [parcel.type for parcel in taken(epoch)] == ["project_update", "chat"]


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_what_is_dropped_while_it_is_taken_is_not_sent(elsewhere):
    project, epoch = a_project(), holder()
    settle(epoch, taken(epoch))
    FeedbackService(owner_of(project)).send(guid=project.guid, feedback_id="f", content="late")
    with open_log(project.guid, owner_of(project)):
        outbox.drop(project.pk, type="user_feedback", ref="f")
        taking = elsewhere(taken, epoch)
        comes_to_rest(taking)
    assert taking.result() == []
    assert OutboxMessage.objects.get(ref="f").state == "dropped"


# --- the order of a project -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_letter_sent_again_waits_for_the_answers_to_later_ones():
    project, epoch = a_project(), holder()
    settle(epoch, taken(epoch))
    for message in ("one", "two", "three"):
        ChatService(owner_of(project)).send(guid=project.guid, message=message)
    first, *_ = taken(epoch)
    assert relay.refused(epoch, first.key, code="x", message="no", retryable=False) == "dead"
    retry(DeadLetter.objects.get())
    assert taken(epoch) == []
    assert relay.give_back(epoch) == 2
    assert [parcel.data["content"] for parcel in taken(epoch)] == ["one", "two", "three"]


# --- boards that no frame holds ---------------------------------------------------------------------------------


def board(count: int, **fields: Any) -> list[relay.Parcel]:
    """Return what is sent of a new project with so many tasks, every other one done."""
    project = a_project()
    now = clock.now()
    Task.objects.bulk_create(
        Task(
            project=project,
            key=f"t{number}",
            number=number,
            position=number,
            status="done" if number % 2 else "todo",
            updated_at=now + dt.timedelta(seconds=number),
            **fields,
        )
        for number in range(count)
    )
    return taken(holder())


@pytest.mark.django_db
def test_a_board_of_many_files_is_sent_with_fewer_of_them():
    files = [f"{n:02}" * 30 for n in range(60)]
    [update] = board(300, title="One", description="d" * 500, files=files, depends_on=["t"])
    assert len(msgspec.json.encode(update.data)) <= relay.UPDATE_BYTES
    assert update.data["tasksLeftOut"] == 0
    tasks = update.data["tasks"]
    assert len(tasks) == 300
    assert {(task["files"][0], task["files"][-1]) for task in tasks} == {("00" * 30, "… 44 left out …")}
    assert {tuple(task["dependsOn"]) for task in tasks} == {("t",)}


@pytest.mark.django_db
def test_a_board_of_many_long_titles_is_sent_without_what_ended_first():
    [update] = board(2_000, title="Ж" * 200, description="Ж" * 500)
    size = len(msgspec.json.encode(update.data))
    assert relay.UPDATE_BYTES - 2_000 < size <= relay.UPDATE_BYTES
    shown = [task["taskId"] for task in update.data["tasks"]]
    done = [name for name in shown if int(name[1:]) % 2]
    assert update.data["tasksLeftOut"] == 2_000 - len(shown)
    assert len(shown) - len(done) == 1_000, "everything that is open is there"
    assert done == [f"t{number}" for number in range(2_001 - 2 * len(done), 2_000, 2)], "what ended last is there"
    assert {task["description"] for task in update.data["tasks"]} == {"…"}


@pytest.mark.django_db
def test_a_board_of_which_even_the_open_part_is_too_long_is_sent_from_its_beginning():
    [update] = board(2_000, title="\U0001f600" * 200, branch="Ж" * 500)
    assert len(msgspec.json.encode(update.data)) <= relay.UPDATE_BYTES
    shown = [task["taskId"] for task in update.data["tasks"]]
    assert shown == [f"t{2 * number}" for number in range(len(shown))]
    assert update.data["tasksLeftOut"] == 2_000 - len(shown)
