from __future__ import annotations

import uuid

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.ops.demo.autocode_side import AutoCodeSide
from tests.ops.demo.test_restart import sync
from tests.ops.demo.test_stories import BUG


def code_of(closed: ConnectionClosed) -> int | None:
    return closed.rcvd.code if closed.rcvd else None


@pytest.mark.parametrize("token", ["", "wrong", "sécret"])
async def test_a_wrong_token_is_refused(start, token):
    side = await start("--token", "right", connect=False)
    with pytest.raises(ConnectionClosed) as closed:
        await side.open(token=token.encode().decode("latin-1"))
    assert code_of(closed.value) == 4401


async def test_the_right_token_is_let_in(start):
    side = await start("--token", "right", connect=False)
    await side.open(token="right")


async def test_another_subprotocol_is_refused(side):
    with pytest.raises(InvalidStatus):
        await connect(f"ws://127.0.0.1:{side.process.port}", subprotocols=[Subprotocol("autocode.v1")])


async def test_a_newer_lease_replaces_the_older_and_a_lower_one_is_refused(side):
    newer = AutoCodeSide(side.process)
    newer.lease = 2
    await newer.open()
    with pytest.raises((AssertionError, ConnectionClosed)):
        await side.until(lambda: None, within=5)
    assert side._socket.close_code == 4101
    older = AutoCodeSide(side.process)
    with pytest.raises(ConnectionClosed) as closed:
        await older.open()
    assert code_of(closed.value) == 4409
    assert older.replies[0]["type"] == "error"
    await newer.project(BUG)
    await newer.finished()
    await newer.close()


async def test_ping_is_answered(side):
    await side.raw({"type": "ping", "projectGuid": None, "data": {"t": 42}})
    pong = await side.until(lambda: next((x for x in side.replies if x["type"] == "pong"), None))
    assert pong["data"] == {"t": 42}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("{not json", "malformed_json"),
        ("[" * 5000, "malformed_json"),
        ("[]", "invalid_message"),
        ("7", "invalid_message"),
        ({"type": 7}, "invalid_message"),
        ({"type": "chat", "data": []}, "invalid_message"),
        ({"type": "chat", "projectGuid": "x", "data": {}}, "invalid_message"),
        ({"type": "chat", "data": {}}, "invalid_message"),
        ({"type": "hello", "data": {}}, "invalid_message"),
        ({"type": "what", "data": {}}, "invalid_message"),
    ],
)
async def test_bad_input_without_an_id_gets_an_error(side, value, code):
    await side.raw(value)
    error = await side.until(lambda: next((x for x in side.replies if x["type"] == "error"), None))
    assert error["data"]["code"] == code
    await side.project(BUG)


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        ("chat", {}, "invalid_field"),
        ("what", {}, "unknown_type"),
        ("user_feedback", {"feedbackId": 1}, "invalid_field"),
        ("project_update", {"project": {}, "tasks": []}, "invalid_field"),
        ("cancel", {"mode": "soft"}, "invalid_field"),
        ("approval_response", {"approvalId": "x"}, "invalid_field"),
    ],
)
async def test_a_bad_command_gets_a_nack_and_the_link_stays_up(side, kind, data, code):
    await side.raw({"type": kind, "id": "bad-1", "projectGuid": side.guid, "data": data, "timestamp": "x"})
    nack = await side.until(lambda: next((x for x in side.replies if x["type"] == "nack"), None))
    assert nack["data"]["id"] == "bad-1"
    assert (nack["data"]["code"], nack["data"]["retryable"]) == (code, False)
    await side.project(BUG)


async def test_a_repeated_command_is_acknowledged_and_changes_nothing(side):
    await side.project(BUG)
    await side.finished()
    data = {"messageId": "m-1", "author": {"kind": "person", "id": "1", "name": "a"}, "content": "help"}
    for _ in range(3):
        await side.send("chat", data, command_id="same")
    await side.the("message", replyToId="m-1")
    await side.chat("status")
    await side.until(lambda: [x for x in side.all("message") if "tasks are finished" in x["content"]])
    assert len(side.all("message", replyToId="m-1")) == 1


async def test_a_refused_entry_is_given_up_or_tried_again(side):
    side.ack = False
    await side.project(BUG)
    await side.until(lambda: len(side.kept) >= 2)
    first, second = side.kept[:2]
    for message, retryable in ((first, False), (second, True)):
        data = {"id": message["id"], "code": "invalid_field", "message": "no", "retryable": retryable}
        await side.raw({"type": "nack", "projectGuid": None, "data": data})
    await side.until(lambda: side.repeats == 1)
    assert second["id"] in side._seen


async def test_the_status_report_answers_also_for_what_is_unknown(side):
    await side.project(BUG)
    await side.finished()
    stranger = str(uuid.uuid4())
    projects = [sync(side, ["gone"]), {**sync(side, ["r-1"], ["ap-1"]), "guid": stranger}]
    await side.send("project_status_sync", {"projects": projects}, guid=None)
    await side.until(lambda: len(side.all("status_report")) == 2)
    reports = {x["projectGuid"]: x["data"] for x in side.kept if x["type"] == "status_report"}
    assert reports[side.guid]["openRunIds"] == reports[stranger]["openRunIds"] == []
    assert {agent["status"] for agent in reports[side.guid]["agents"]} == {"idle"}
    assert side.all("approval_resolved", approvalId="ap-1")[0]["state"] == "cancelled"


async def test_two_projects_do_not_mix(side):
    await side.project(BUG)
    await side.finished()
    other = str(uuid.uuid4())
    first, side.guid = side.guid, other
    await side.project(BUG)
    await side.until(lambda: [x for x in side.kept if x["projectGuid"] == other and x["type"] == "notification"])
    assert (side.process.data / "workspaces" / first / "pager").exists()
    assert side.has("pager/pages.py")
