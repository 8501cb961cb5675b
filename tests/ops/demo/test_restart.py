from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.ops.demo.test_stories import BUG, TABLE, TODO


async def crash(side, *, resume=True):
    """Kill the process as hard as can be, start it again and connect."""
    await side.process.kill()
    await side.close()
    await side.process.start()
    side.lease += 1
    await side.open(resume=resume)


async def drive(side, kills, *, resume=True):
    """Approve what is asked, and kill the server each time that so many messages were kept."""
    for after in kills:
        await side.until(
            lambda after=after: len(side.kept) >= after or side.status == "done" or side.all("approval_needed")
        )
        if len(side.kept) < after:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(side.approve_all(), 0.5)
        if side.status == "done":
            break
        await crash(side, resume=resume)
    await side.approve_all()


def once(side):
    """What must have happened exactly once over all kills."""
    side.consistent()
    for kind, key in (
        ("task_created", lambda x: x["task"]["taskId"]),
        ("agent_message", lambda x: x["messageId"]),
        ("platform_message", lambda x: x["externalId"]),
        ("message", lambda x: x["messageId"]),
        ("agent_spawned", lambda x: x["agent"]["agentId"]),
        ("approval_needed", lambda x: x["approvalId"]),
        ("agent_messages", lambda x: x["messages"][0]["id"]),
    ):
        keys = [key(data) for data in side.all(kind)]
        assert len(keys) == len(set(keys)), kind
    assert len(side.all("platform_message")) == 1
    assert len(side.all("notification", kind="done")) == 1
    assert len(side.all("project_status_change", status="done")) == 1
    for task in side.board:
        assert len(side.all("task_status_changed", taskId=task, to="done")) == 1, task
    assert not {x["runId"] for x in side.all("run_started")} - {x["runId"] for x in side.all("done")}


@pytest.mark.parametrize("brief", [BUG, TABLE, TODO])
async def test_kills_in_the_middle_lose_nothing_and_repeat_nothing(side, brief):
    await side.project(brief)
    await drive(side, range(15, 160, 18))
    once(side)
    broken = [data for data in side.all("done") if data["status"] == "failed"]
    assert broken
    assert {data["stopReason"] for data in broken} == {"restarted"}
    lines = (side.process.data / "outbox" / "webhook.log").read_text().splitlines()
    assert len(lines) == 1


async def test_what_was_not_acknowledged_comes_again_in_order(side):
    side.ack = False
    await side.project(BUG)
    await side.until(lambda: len(side.kept) >= 40)
    side.ack = True
    # AutoCode committed nothing of it: it does not say from where to go on.
    await crash(side, resume=False)
    await side.until(lambda: side.repeats >= 40)
    await side.finished()
    once(side)


async def test_a_resume_offset_counts_as_acknowledged(side):
    side.ack = False
    await side.project(BUG)
    await side.until(lambda: len(side.kept) >= 30)
    side.ack = True
    await crash(side)
    await side.finished()
    assert side.repeats == 0


async def test_no_more_than_the_window_is_on_its_way(side):
    side.ack = False
    await side.project(BUG)
    await side.until(lambda: len(side.kept) == 64)
    message_id = await side.chat("status")
    await asyncio.sleep(0.3)  # nothing may come, so there is nothing to wait for
    assert len(side.kept) == 64
    side.ack = True
    for message in list(side.kept):
        await side.raw({"type": "ack", "projectGuid": None, "data": {"id": message["id"]}})
    await side.the("message", replyToId=message_id)
    await side.finished()
    once(side)


async def test_a_run_that_waits_for_a_decision_goes_on_after_a_kill(side):
    await side.project(TABLE)
    question = await side.the("approval_needed")
    await crash(side)
    await side.send(
        "project_status_sync", {"projects": [sync(side, [question["runId"]], [question["approvalId"]])]}, guid=None
    )
    report = await side.the("status_report")
    assert report["openRunIds"] == [question["runId"]]
    assert report["complete"] is True
    await side.decide(question, "approve")
    end = await side.the("tool_end", runId=question["runId"], toolCallId=question["toolCallId"])
    assert end["status"] == "success"
    await side.finished()
    assert len(side.all("approval_needed")) == 1
    assert not side.has("build")
    once(side)


async def test_a_decision_that_came_just_before_the_kill_is_carried_out_once(side):
    await side.project(TABLE)
    question = await side.the("approval_needed")
    await side.decide(question, "approve")
    await crash(side)
    await side.finished()
    assert len(side.all("approval_resolved", state="applied")) == 1
    assert not side.has("build")
    once(side)


async def test_chat_and_feedback_that_were_taken_before_the_kill_are_answered_after_it(start):
    side = await start(speed=20)
    await side.project(BUG)
    await side.the("tool_start")
    message_id = await side.chat("status", agentId="tester")
    feedback_id = await side.feedback("use type hints", mode="queue")
    await crash(side)
    await side.the("message", replyToId=message_id)
    await side.the("user_feedback_response", feedbackId=feedback_id, state="applied")
    assert len(side.all("message", replyToId=message_id)) == 1
    await side.finished()
    once(side)


async def test_a_cancel_outlives_a_kill(start):
    side = await start(speed=20)
    await side.project(BUG)
    run = await side.the("run_started")
    await side.cancel("soft")
    await crash(side)
    done = await side.the("done", runId=run["runId"])
    assert done["status"] == "cancelled"
    await side.the("project_status_change", status="paused")
    await side.chat("go on")
    await side.approve_all()


async def test_a_command_that_is_sent_again_after_a_kill_is_carried_out_once(side):
    await side.project(BUG)
    await side.finished()
    data = {"messageId": "m-1", "author": {"kind": "person", "id": "1", "name": "anna"}, "content": "status"}
    await side.send("chat", data, command_id="the-same")
    await side.the("message", replyToId="m-1")
    await crash(side)
    await side.send("chat", data, command_id="the-same")
    await side.chat("help")
    await side.until(lambda: [x for x in side.all("message") if "language model" in x["content"]])
    assert len(side.all("message", replyToId="m-1")) == 1


async def test_sigterm_ends_with_0_and_the_next_start_goes_on(start):
    side = await start(speed=20)
    await side.project(BUG)
    await side.until(lambda: [x for x in side.all("tool_start") if x["tool"] == "execute"])
    assert await side.process.stop() == 0
    await side.close()
    await side.process.start()
    await side.open()
    await side.finished()
    once(side)


async def test_a_second_server_on_the_same_data_is_refused(side):
    second = type(side.process)(side.process.data)
    with pytest.raises(AssertionError):
        await second.start()
    assert await second.ended() == 1


def sync(side, runs=(), approvals=()):
    return {"guid": side.guid, "status": side.status, "openRunIds": list(runs), "pendingApprovalIds": list(approvals)}
