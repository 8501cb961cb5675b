from __future__ import annotations

import pytest

from tests.ops.demo.test_stories import BUG, TABLE


async def answer(side, text, **fields):
    message_id = await side.chat(text, **fields)
    end = await side.the("message", replyToId=message_id)
    started = side.all("run_started", runId=end["runId"])[0]
    return end, started


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status", "6 of"),
        ("what are you doing?", "**Tester**"),
        ("show the plan", "- [x] Changelog"),
        ("help", "no language model"),
        ("show file pages.py", "def page_count("),
        ("list the files", "`CHANGELOG.md`"),
        ("run the tests", "5 passed"),
        ("show file ../../state.sqlite3", "no file"),
        ("bla bla", "did not understand"),
    ],
)
async def test_answers_are_true(side, text, expected):
    await side.project(BUG)
    await side.finished()
    end, started = await answer(side, text)
    expected = expected.replace("6 of", "7 of 7")
    assert expected in end["content"]
    assert started["trigger"]["kind"] == "chat"
    assert started["agentId"] == "planner"
    assert await side.the("done", runId=end["runId"], status="completed")


async def test_the_tests_are_really_run(side):
    await side.project(BUG)
    await side.finished()
    end, _ = await answer(side, "please run the tests", agentId="tester")
    (call,) = side.all("tool_start", runId=end["runId"])
    assert call["agentId"] == "tester"
    assert " passed" in side.all("tool_end", runId=end["runId"])[0]["result"]


async def test_the_lead_answers_within_a_second_while_the_others_work(start):
    side = await start(speed=1)
    await side.project(TABLE)
    await side.the("tool_start")
    message_id = await side.chat("status")
    await side.until(
        lambda: [x for x in side.streamed if x["type"] == "message" and x["data"].get("replyToId") == message_id],
        within=1,
    )


async def busy(start):
    """Return a side on which coder-1 is at its task."""
    side = await start(speed=15)
    await side.project(TABLE)
    run = await side.the("run_started", taskId="core")
    await side.the("tool_start", runId=run["runId"])
    return side, run


async def test_queue_answers_after_the_work_and_says_so_at_once(start):
    side, run = await busy(start)
    message_id = await side.chat("status", agentId="coder-1", onBusy="queue")
    await side.the("agent_message", replyToId=message_id)
    end = await side.the("message", replyToId=message_id)
    assert end["runId"] != run["runId"]
    assert side.all("done", runId=run["runId"], status="completed")


async def test_reject_says_no_in_a_run_of_its_own(start):
    side, run = await busy(start)
    message_id = await side.chat("status", agentId="coder-1", onBusy="reject")
    end = await side.the("message", replyToId=message_id)
    await side.the("done", runId=end["runId"], status="rejected")
    assert not side.all("done", runId=run["runId"])


async def test_steer_answers_inside_the_run(start):
    side, run = await busy(start)
    message_id = await side.chat("status", agentId="coder-1", onBusy="steer")
    assert (await side.the("message", replyToId=message_id))["runId"] == run["runId"]


async def test_interrupt_stops_the_run_and_answers_first(start):
    side, run = await busy(start)
    message_id = await side.chat("status", agentId="coder-1", onBusy="interrupt")
    await side.the("done", runId=run["runId"], status="cancelled")
    await side.the("message", replyToId=message_id)
    await side.approve_all()
    assert side.board["core"]["status"] == "done"


async def test_an_agent_that_waits_for_a_decision_still_answers(side):
    await side.project(TABLE)
    await side.the("approval_needed")
    end, _ = await answer(side, "status", agentId="coder-2")
    assert "1 decision(s) of yours" in end["content"]
    await side.approve_all()
    side.consistent()


async def test_a_wish_in_the_chat_becomes_a_task(side):
    await side.project(BUG)
    await side.finished()
    await side.chat("Could you use dataclasses?")
    created = await side.until(
        lambda: next((x for x in side.all("task_created") if "dataclasses" in x["task"]["title"]), None)
    )
    await side.the("task_status_changed", taskId=created["task"]["taskId"], to="done")
    assert "@dataclass" in side.file("pager/pages.py")


async def test_a_project_that_was_never_started_is_answered_too(side):
    end, _ = await answer(side, "hello")
    assert "Hello anna" in end["content"]
    assert "not been started" in end["content"]


async def test_an_answer_that_was_interrupted_is_given_later(start):
    side = await start(speed=15)
    await side.project(BUG)
    await side.the("task_created")
    first = await side.chat("help", agentId="coder-2")
    await side.until(lambda: [x for x in side.streamed if x["data"].get("replyToId") == first])
    second = await side.chat("status", agentId="coder-2", onBusy="interrupt")
    await side.the("message", replyToId=second)
    await side.the("message", replyToId=first)
    side.consistent()
