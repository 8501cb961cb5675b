"""What is published about the wire is what the code does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import AsyncClient

from apps.agents.fold import FOLDED_TYPES
from apps.core.events import EventClass, catalogue
from apps.realtime.asyncapi import document
from apps.realtime.close_codes import CloseCode
from apps.realtime.commands import COMMANDS
from apps.realtime.replies import REPLIES


def test_the_clients_types_are_current() -> None:
    call_command("client_types", check=True)


def test_the_registry_is_that_of_the_protocol_page() -> None:
    assert set(COMMANDS) == {
        "authenticate", "join_project", "leave_project", "subscribe", "unsubscribe", "ping", "resync", "user_feedback",
        "chat", "cancel", "approval", "create_task", "update_task", "delete_task", "set_task_status", "reset_tasks",
        "typing", "focus", "mark_read",
    }  # fmt: skip
    assert set(REPLIES) == {
        "project_joined", "project_left", "authenticated", "subscribed", "unsubscribed", "ack", "pong", "error",
        "token_expiring", "server_draining",
    }  # fmt: skip
    assert {row.reply for row in COMMANDS.values()} <= set(REPLIES) | set(catalogue()) | {None}


def test_every_durable_type_is_folded() -> None:
    durable = {name for name, row in catalogue().items() if EventClass.DURABLE in row.classes}
    assert durable == FOLDED_TYPES


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def test_the_document_is_whole() -> None:
    made = json.loads(json.dumps(document()))
    for reference in references(made):
        place: Any = made
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]
    assert set(made["x-close-codes"]) == {str(int(code)) for code in CloseCode}
    assert made["components"]["messages"]["command.chat"]["x-needs"] == {
        "action": "message.post",
        "role": "contributor",
    }


@pytest.mark.django_db(transaction=True)
async def test_the_document_is_served() -> None:
    response = await AsyncClient().get("/api/asyncapi.json")
    assert response.status_code == 200
    assert json.loads(response.content)["asyncapi"] == "3.0.0"
