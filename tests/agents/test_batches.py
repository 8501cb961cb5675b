"""Batches of the agents-server's messages: few statements, and one bad message spoils nothing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.link import dispatch, inbox
from apps.agents.link.frames import Envelope
from apps.agents.link.inbox import Item
from apps.agents.link.texts import OpenTexts
from apps.agents.models import Agent, DeadLetter, InboxReceipt
from apps.agents.services import lease
from apps.agents.services.inbox import APPLIED, IGNORED, REFUSED
from apps.core.errors import AutoCodeError
from apps.projects.models import Message, ProjectEvent
from apps.projects.selectors.events import read_events
from tests.support.factories import a_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return a_project()


@pytest.fixture
def write(project):
    """A function that applies messages, given as (type, data), with ids m0, m1, …, and returns their outcomes."""
    held = lease.acquire("test", ttl_s=60)
    assert held is not None

    def apply(*messages, begin: int = 0):
        items = []
        for number, (kind, data) in enumerate(messages, begin):
            item = Item(Envelope(type=kind, id=f"m{number}", guid=str(project.guid), data=data))
            try:
                item.message = dispatch.decode(kind, data)
            except AutoCodeError as error:
                item.error = error
            items.append(item)
        answers = inbox.apply_batch(
            items, guid=str(project.guid), server="s", lease_epoch=held.epoch, texts=OpenTexts()
        )
        return [outcome.outcome for _, outcome in answers]

    return apply


def says(text: str, **more: str) -> tuple[str, dict]:
    return "agent_message", {"agentId": "coder", "content": text, "format": "text", **more}


def new_events(project, after: int) -> list[str]:
    return [event.type for event in read_events(project.pk, after=after, limit=1000)]


def test_a_flood_costs_the_same_statements_whatever_its_size(project, write):
    write(says("introduce the agent"))
    counts = []
    for begin, size in ((100, 2), (200, 80)):
        with CaptureQueriesContext(connection) as statements:
            assert write(*(says(f"word {n}") for n in range(size)), begin=begin) == [APPLIED] * size
        counts.append(len(statements))
    # A savepoint within the test's transaction and its release; project, lease, receipts, agent; and four that write.
    assert counts[0] == counts[1] <= 10


def test_one_that_is_refused_takes_nothing_with_it(project, write):
    last = project.last_seq
    outcomes = write(
        says("one", messageId="a"),
        says("taken", messageId="a"),
        says("two", messageId="b"),
        ("agent_message", {"agentId": "coder"}),
        ("run_started", {"runId": "r1", "agentId": "coder"}),
        ("run_started", {"runId": "r1", "agentId": "coder"}),
        says("three"),
    )
    assert outcomes == [APPLIED, REFUSED, APPLIED, REFUSED, APPLIED, IGNORED, APPLIED]
    assert list(Message.objects.filter(project=project).order_by("seq").values_list("content", flat=True)) == [
        "one",
        "two",
        "three",
    ]
    assert new_events(project, last) == ["agent_spawned", *["agent_message"] * 2, "run_started", "agent_message"]
    seqs = list(ProjectEvent.objects.filter(project=project).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
    assert Agent.objects.filter(project=project).count() == 1
    assert InboxReceipt.objects.filter(server="s").count() == 7
    assert DeadLetter.objects.count() == 2


def test_a_repeated_batch_changes_nothing(project, write):
    batch = [says("one"), says("two", messageId="b"), ("run_started", {"runId": "r1", "agentId": "coder"})]
    assert write(*batch) == [APPLIED] * 3
    project.refresh_from_db()
    assert write(*batch) == [APPLIED] * 3
    assert new_events(project, project.last_seq) == []


def test_what_the_database_cannot_take_is_refused_alone(project, write, monkeypatch):
    from apps.projects.services import messages

    monkeypatch.setattr(messages, "LONGEST", 10**9)
    long_key = "k" * 64
    monkeypatch.setattr(messages.MessageService, "_fresh", lambda self, log, message_id: message_id or long_key)
    # Both want the key of the other: only the database notices.
    assert write(says("one"), says("two"), says("three", messageId="c")) == [APPLIED, REFUSED, APPLIED]
    assert set(Message.objects.filter(project=project).values_list("content", flat=True)) == {"one", "three"}
