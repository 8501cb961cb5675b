from __future__ import annotations

import asyncio

import pytest

from tests.ops.demo.autocode_side import alive_children
from tests.ops.demo.test_stories import BUG, TABLE, TODO


async def running_tests(side):
    """Return the call of the first real test run, while it runs."""
    await side.project(BUG)
    return await side.until(lambda: next((x for x in side.all("tool_start") if x["title"] == "Run pytest -q"), None))


async def test_hard_kills_the_process_and_ends_the_run(start):
    side = await start(speed=20)
    call = await running_tests(side)
    async with asyncio.timeout(10):
        while not alive_children(side.process.pid):  # noqa: ASYNC110 - another process's children
            await asyncio.sleep(0.01)
    await side.cancel("hard", reason="stop it")
    done = await side.the("done", runId=call["runId"])
    assert done["status"] == "cancelled"
    assert done["stopReason"] == "cancelled by anna: stop it"
    assert side.all("tool_end", runId=call["runId"])[-1]["status"] == "cancelled"
    await side.the("project_status_change", status="paused")
    async with asyncio.timeout(10):  # killed ones need a moment to be gone
        while alive_children(side.process.pid):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
    side.consistent()


async def test_soft_lets_the_call_finish_and_begins_no_new_one(start):
    side = await start(speed=20)
    call = await running_tests(side)
    await side.cancel("soft")
    done = await side.the("done", runId=call["runId"])
    assert done["status"] == "cancelled"
    assert side.all("tool_end", runId=call["runId"])[-1]["status"] == "error"  # the tests failed, as they do
    assert len(side.all("tool_start", runId=call["runId"])) == 1
    await side.the("project_status_change", status="paused")


@pytest.mark.parametrize("mode", ["soft", "hard"])
async def test_after_a_cancel_the_project_waits_until_somebody_writes(start, mode):
    side = await start(speed=100)
    await side.project(TABLE)
    await side.the("tool_start", agentId="coder-1")
    await side.cancel(mode)
    await side.the("project_status_change", status="paused")
    assert not {x["runId"] for x in side.all("run_started")} - {x["runId"] for x in side.all("done")}
    started = len(side.all("run_started"))
    await side.chat("what are you doing?")
    await side.until(lambda: len(side.all("done")) == started + 1)
    assert side.status == "paused"
    await side.chat("go on")
    await side.approve_all()
    side.consistent()


async def test_one_agents_run_is_stopped_and_the_others_go_on(start):
    side = await start(speed=40)
    await side.project(TABLE)
    run = await side.the("run_started", taskId="tests")
    await side.cancel("hard", runId=run["runId"])
    await side.the("done", runId=run["runId"])
    await side.until(lambda: side.board["core"]["status"] == "done")
    await side.the("project_status_change", status="paused")
    assert side.board["tests"]["status"] == "todo"
    await side.chat("continue")
    await side.approve_all()


async def test_a_cancelled_wait_takes_the_question_back_and_asks_again(side):
    await side.project(TODO)
    first = await side.the("approval_needed")
    await side.cancel("soft")
    await side.the("approval_resolved", approvalId=first["approvalId"], state="cancelled")
    await side.the("project_status_change", status="paused")
    await side.chat("continue")
    second = await side.until(lambda: next(iter(side.all("approval_needed")[1:]), None))
    assert second["approvalId"] != first["approvalId"]
    await side.decide(second, "approve")
    await side.finished()


async def test_a_project_that_people_pause_stops_and_goes_on(start):
    side = await start(speed=100)
    await side.project(BUG)
    await side.the("tool_start")
    await side.project(BUG, status="paused")
    await side.until(lambda: len(side.all("done")) == len(side.all("run_started")))
    begun = len(side.all("tool_start"))
    await side.chat("status")
    await side.until(lambda: [x for x in side.all("message") if "paused" in x["content"]])
    assert len(side.all("tool_start")) == begun
    await side.project(BUG, status="inProgress")
    await side.finished()
    side.consistent()


async def test_who_needs_a_stopped_colleagues_file_waits_for_their_task(start):
    side = await start(speed=60)
    await side.project(TABLE)
    run = await side.the("run_started", taskId="core")
    await side.cancel("hard", runId=run["runId"])
    await side.the("project_status_change", status="paused")
    assert side.board["cli"]["status"] == "todo"
    assert side.all("task_updated", taskId="cli")[0]["changes"]["dependsOn"] == ["core"]
    await side.chat("continue")
    await side.approve_all()
    side.consistent()
