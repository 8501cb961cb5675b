"""What a command costs the database, pinned: every statement is paid with each message."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.services.chat import ChatService
from apps.projects.models import CommandReceipt, Message
from apps.projects.services.commands import once
from tests.support.factories import a_person, a_project


@pytest.mark.django_db(transaction=True)
def test_a_chat_command_costs_seven_statements_and_a_transaction():
    ada = a_person()
    project = a_project(ada)

    def say(command_id: str):
        service = ChatService(ada.actor)
        return once(
            ada.actor,
            command_id,
            "chat",
            [str(project.guid), command_id],
            lambda: {"seq": service.send(guid=project.guid, message="Hello").seq},
        )

    reply, repeated = say("c1")
    assert not repeated
    with CaptureQueriesContext(connection) as statements:
        assert say("c2") == ({"seq": reply["seq"] + 1}, False)
    words = [query["sql"].split(" ", 1)[0] for query in statements]
    assert words == ["BEGIN", "SELECT", "SELECT", *["INSERT"] * 3, "UPDATE", "INSERT", "COMMIT"]
    assert say("c2") == ({"seq": reply["seq"] + 1}, True)
    assert Message.objects.filter(project=project).count() == CommandReceipt.objects.count() == 2
