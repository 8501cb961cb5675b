"""Commands: form, rights, idempotency, and every error of the protocol page by its code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError

from apps.core import errors
from apps.core.errors import AlreadyDecided, AutoCodeError, DuplicateInProgress, Expired
from apps.projects.permissions import NEEDS, Role
from apps.projects.services.members import MembershipService
from apps.realtime.asyncapi import error_tree
from apps.realtime.commands import COMMANDS
from tests.realtime.conftest import do
from tests.support.browser import envelope

GUID = "0190a0de-0000-7000-8000-000000000000"


@pytest.fixture
async def tab(project, ada, browsers):
    tab = await browsers(ada)
    await tab.join(project)
    return tab


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        ("{", "malformed_json", None),
        ('{"type":"ping","data":{"t":' + "[" * 20 + "]" * 20 + "}}", "too_deep", None),
        ('{"type":"chat","data":{"message":"' + "x" * 33_000 + '"}}', "too_large", "data.message"),
        ("[]", "invalid_message", None),
        ('{"type":"teleport"}', "unknown_type", "type"),
        ('{"type":"ping","colour":"blue"}', "invalid_field", "colour"),
        ('{"type":"project_joined"}', "unknown_type", "type"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_connection_lives(tab, frame, code, field):
    await tab.line.send(frame)
    error = (await tab.next("error"))["data"]
    assert (error["code"], error.get("field")) == (code, field)
    assert error["retryable"] is False
    assert (await tab.command("ping"))["type"] == "pong"


async def test_json_in_a_binary_frame_is_refused_in_words(tab):
    await tab.line.send(b'{"type":"ping"}')
    error = (await tab.next("error"))["data"]
    assert error["code"] == "invalid_message"
    assert "text frames" in error["message"]


@pytest.mark.parametrize(
    ("type_", "data", "field"),
    [
        ("create_task", {}, "title"),
        ("create_task", {"title": 3}, "title"),
        ("create_task", {"title": "x", "colour": 1}, "colour"),
        ("create_task", {"title": ""}, "title"),
        ("create_task", {"title": "x", "status": "lost"}, "status"),
        ("create_task", {"title": "x", "assignee": {"kind": "person"}}, "assignee.id"),
        ("create_task", {"title": "x", "dependsOn": [1]}, "dependsOn[...]"),
        ("create_task", {"title": "x", "dependsOn": ["nobody"]}, "dependsOn"),
        ("update_task", {"taskId": "x", "version": 0}, "version"),
        ("user_feedback", {"content": "x", "rating": 9}, "rating"),
        ("user_feedback", {"content": "x", "target": {"line": "a"}}, "target.line"),
        ("approval", {"approvalId": "a", "argsDigest": "d"}, "decision"),
        ("approval", {"approvalId": "a", "argsDigest": "d", "decision": "approve", "approved": True}, "approved"),
        ("resync", {"afterSeq": -1}, "afterSeq"),
        ("join_project", {"lastSeq": 1.5}, "lastSeq"),
        ("join_project", {"topics": ["nowhere"]}, "topics"),
        ("typing", {"on": "yes"}, "on"),
    ],
)
async def test_a_wrong_field_is_named(tab, project, type_, data, field):
    error = await tab.refused(type_, data, project)
    assert error["code"] == "invalid_field", error
    assert error["field"].replace("[0]", "[...]") == field


async def test_a_project_that_is_not_mine_is_like_one_that_does_not_exist(manager, project, member, browsers):
    from tests.support.factories import a_person

    stranger = await do(a_person)
    tab = await browsers(stranger)
    mine = await tab.refused("join_project", {}, project)
    none = await tab.refused("join_project", {}, GUID)
    topic = await tab.refused("subscribe", {"topic": f"project:{project.guid}/tasks"})
    assert mine == none == topic
    assert mine["code"] == "not_found"


async def test_commands_need_the_room_and_a_project(manager, project, ada, browsers):
    tab = await browsers(ada)
    assert (await tab.refused("create_task", {"title": "x"}, project))["code"] == "not_joined"
    error = await tab.refused("create_task", {"title": "x"})
    assert (error["code"], error["field"]) == ("invalid_field", "projectGuid")


@pytest.mark.parametrize("role", ["viewer", "contributor", "approver"])
async def test_a_role_may_do_what_the_table_says(manager, project, member, browsers, role):
    person = await member(role)
    tab = await browsers(person)
    await tab.join(project)
    for name, row in COMMANDS.items():
        if row.needs is None or name in {"join_project", "leave_project", "typing", "focus", "mark_read", "resync"}:
            continue
        forms: dict[str, dict[str, Any]] = {
            "chat": {"message": "x"},
            "create_task": {"title": "x"},
            "update_task": {"taskId": "none"},
            "delete_task": {"taskId": "none"},
            "set_task_status": {"taskId": "none", "status": "done"},
            "user_feedback": {"content": "x"},
            "approval": {"approvalId": "none", "argsDigest": "d", "approved": True},
        }
        reply = await tab.command(name, forms.get(name, {}), project)
        allowed = Role.from_word(role) >= NEEDS[row.needs]
        assert (reply["data"].get("code") == "forbidden") is not allowed, (name, reply)


async def test_a_command_that_is_sent_twice_is_carried_out_once(tab, project, ada, browsers):
    first = await tab.command("create_task", {"title": "Once"}, project, command_id="same")
    again = await tab.command("create_task", {"title": "Once"}, project, command_id="same")
    assert again["data"] == first["data"] | {"duplicate": True}
    other = await browsers(ada)
    await other.join(project)
    third = await other.command("create_task", {"title": "Once"}, project, command_id="same")
    assert third["data"]["duplicate"] is True
    assert len(await tab.events(1)) == 1
    await tab.nothing_more()
    different = await tab.command("create_task", {"title": "Other"}, project, command_id="same")
    assert different["data"]["code"] == "conflict"


async def test_a_batch_is_carried_out_in_order(tab, project):
    tasks = [envelope("create_task", {"title": f"T{number}"}, project, f"b{number}") for number in range(5)]
    await tab.send(*tasks, {"type": "ping", "id": "p"})
    titles = [event["data"]["task"]["title"] for event in await tab.events(5)]
    assert titles == [f"T{n}" for n in range(5)]
    assert await tab.until(lambda one: one.get("replyTo") == "p")


async def test_the_old_form_of_an_approval_is_understood(tab, project):
    error = await tab.refused("approval", {"approvalId": "none", "argsDigest": "d", "approved": True}, project)
    assert error["code"] == "not_found"


async def test_a_stale_version_is_a_conflict(tab, project):
    created = await tab.command("create_task", {"title": "x"}, project)
    task = created["data"]["taskId"]
    updated = await tab.command("update_task", {"taskId": task, "version": 1, "title": "y"}, project)
    assert updated["type"] == "ack"
    stale = await tab.refused("update_task", {"taskId": task, "version": 1, "title": "z"}, project)
    assert (stale["code"], stale["details"]) == ("conflict", {"version": 2})


async def test_chat_is_acknowledged_with_its_message_and_place(tab, project):
    ack = await tab.command("chat", {"message": "Hello *all*"}, project)
    (event,) = await tab.events(1)
    assert event["type"] == "project_message"
    assert ack["data"] == {"seq": event["seq"], "messageId": event["data"]["messageId"], "duplicate": False} or ack[
        "data"
    ] == {"seq": event["seq"], "messageId": event["data"]["messageId"]}


async def test_mark_read_moves_the_cursor_and_says_nothing(tab, project, ada, browsers):
    joined = await tab.join(project)
    await tab.send({"type": "mark_read", "projectGuid": str(project.guid), "data": {"seq": joined["lastSeq"]}})
    await tab.command("ping")
    await tab.command("create_task", {"title": "after it"}, project)
    other = await browsers(ada)
    assert (await other.join(project))["readSeq"] == joined["lastSeq"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (AlreadyDecided(details={"by": "bob", "at": "now", "decision": "approve"}), "already_decided"),
        (Expired(), "expired"),
        (DuplicateInProgress(retry_after_ms=5), "duplicate_in_progress"),
        (errors.AgentsUnavailable(), "agents_unavailable"),
        (OperationalError("server closed the connection"), "unavailable"),
        (RuntimeError("oops"), "internal"),
    ],
)
async def test_what_services_raise_is_answered_by_its_code(tab, project, monkeypatch, raised, code):
    def fail(self: Any, **_: Any) -> int:
        raise raised

    monkeypatch.setattr(MembershipService, "mark_read", fail)
    error = await tab.refused("mark_read", {"seq": 1}, project)
    assert error["code"] == code
    assert "server closed" not in json.dumps(error)
    if isinstance(raised, AutoCodeError) and raised.details:
        assert error["details"] == raised.details


def test_every_error_of_the_page_has_a_class():
    assert {cls.code for cls in error_tree()} == {
        "malformed_json", "invalid_message", "unknown_type", "invalid_field", "too_large", "too_deep",
        "not_authenticated", "token_expired", "forbidden", "not_found", "not_joined", "conflict", "already_decided",
        "expired", "rate_limited", "duplicate_in_progress", "agents_unavailable", "unavailable", "internal",
    }  # fmt: skip
