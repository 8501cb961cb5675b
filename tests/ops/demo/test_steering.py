from __future__ import annotations

import pytest

from tests.ops.demo.test_stories import BUG, TABLE, TODO


async def states(side, feedback_id):
    await side.until(
        lambda: [x for x in side.all("user_feedback_response", feedbackId=feedback_id) if x["state"] != "consumed"]
    )
    return side.all("user_feedback_response", feedbackId=feedback_id)


def files(response):
    return {effect["ref"] for effect in response["effects"] if effect["kind"] == "file"}


@pytest.mark.parametrize(
    ("brief", "path", "name"),
    [(BUG, "pager/pages.py", "Page"), (TABLE, "mdtable/core.py", "Column"), (TODO, "todo/model.py", "Todo")],
)
async def test_use_dataclasses_after_the_work(side, brief, path, name):
    await side.project(brief)
    await side.approve_all()
    consumed, applied = await states(side, await side.feedback("Use dataclasses, please"))
    assert (consumed["state"], applied["state"]) == ("consumed", "applied")
    assert consumed["byRunId"] in {data["runId"] for data in side.all("run_started")}
    assert path in files(applied)
    text = side.file(path)
    assert f"@dataclass\nclass {name}:" in text
    assert "from dataclasses import dataclass" in text
    assert "def __init__(self, width" not in text
    green = [data for data in side.all("tool_end") if " passed" in data["result"]][-1]
    assert green["status"] == "success"
    side.consistent()


async def test_use_dataclasses_while_the_code_is_being_written(start):
    side = await start(speed=30)
    await side.project(TABLE)
    await side.the("task_created")
    await side.until(lambda: side.all("task_status_changed", taskId="core"))
    feedback_id = await side.feedback("use dataclasses")
    _, applied = await states(side, feedback_id)
    assert applied["state"] == "applied"
    await side.approve_all()
    assert "@dataclass\nclass Column:" in side.file("mdtable/core.py")
    assert not side.all("notification", kind="failed")


async def test_type_hints_are_added_and_the_tests_still_pass(side):
    await side.project(BUG)
    await side.finished()
    _, applied = await states(side, await side.feedback("use type hints"))
    assert files(applied) == {"pager/pages.py"}
    assert "def page(items: list, number: int, size: int=10) -> Page:" in side.file("pager/pages.py").replace(
        " = 10", "=10"
    )


async def test_a_rename_goes_through_all_files(side):
    await side.project(TABLE)
    await side.approve_all()
    _, applied = await states(side, await side.feedback("rename `format_table` to align_table"))
    assert {"mdtable/core.py", "mdtable/cli.py", "tests/test_core.py"} <= files(applied)
    assert "def align_table(" in side.file("mdtable/core.py")
    assert "format_table" not in side.file("tests/test_core.py")


@pytest.mark.parametrize("wish", ["rename nothing_here to other", "rename page to class", "rename pager to reader"])
async def test_a_rename_that_cannot_be_is_rejected_with_a_reason(side, wish):
    await side.project(BUG)
    await side.finished()
    before = side.file("pager/pages.py")
    _, rejected = await states(side, await side.feedback(wish))
    assert rejected["state"] == "rejected"
    assert rejected["note"]
    assert side.file("pager/pages.py") == before


async def test_skip_the_docs_stage(start):
    side = await start(speed=60)
    await side.project(TABLE)
    await side.until(lambda: "readme" in side.board)
    _, applied = await states(side, await side.feedback("skip the docs stage", mode="queue"))
    assert {effect["kind"] for effect in applied["effects"]} == {"stage", "plan", "task"}
    await side.approve_all()
    assert not side.has("README.md")
    assert side.board["readme"]["status"] == "cancelled"
    versions = [data["plan"] for data in side.all("plan_generated")]
    assert {plan["planId"] for plan in versions} == {"plan"}
    assert versions[0]["items"][-1]["status"] == "pending"
    assert versions[-1]["items"][-1]["status"] == "skipped"
    _, rejected = await states(side, await side.feedback("skip the docs stage"))
    assert rejected["state"] == "rejected"


@pytest.mark.parametrize("brief", [BUG, TABLE, TODO])
async def test_a_test_for_empty_input_finds_a_real_bug_and_it_is_repaired(side, brief):
    await side.project(brief)
    await side.approve_all()
    ends = len(side.all("tool_end"))
    _, applied = await states(side, await side.feedback("add a test for empty input"))
    assert applied["state"] == "applied"
    assert "tests/test_empty.py" in files(applied)
    assert len(files(applied)) == 2
    results = [
        data for data in side.all("tool_end")[ends:] if " passed" in data["result"] or " failed" in data["result"]
    ]
    assert results[0]["status"] == "error"
    assert results[-1]["status"] == "success"


async def test_anything_else_is_noted_and_said_honestly(side):
    await side.project(BUG)
    await side.finished()
    _, applied = await states(side, await side.feedback("make it *faster* and blue"))
    assert files(applied) == {"NOTES.md"}
    assert "make it *faster* and blue" in side.file("NOTES.md")


async def test_interrupt_stops_the_step_and_the_work_is_taken_up_again(start):
    side = await start(speed=10)
    await side.project(TABLE)
    run = await side.the("run_started", taskId="core")
    await side.the("tool_start", runId=run["runId"])
    feedback_id = await side.feedback("use dataclasses", mode="interrupt", agentId="coder-1")
    done = await side.the("done", runId=run["runId"])
    assert (done["status"], done["stopReason"]) == ("cancelled", "interrupted by feedback")
    assert side.all("tool_end", runId=run["runId"])[-1]["status"] == "cancelled"
    _, applied = await states(side, feedback_id)
    assert applied["state"] == "applied"
    await side.approve_all()
    side.consistent()


async def test_feedback_goes_to_the_agent_at_that_task_or_path(side):
    await side.project(BUG)
    await side.finished()
    for target, agent in (({"path": "CHANGELOG.md"}, "coder-2"), ({"taskId": "regression"}, "tester")):
        consumed, _ = await states(side, await side.feedback("hm, nice", **target))
        assert side.all("run_started", runId=consumed["byRunId"])[0]["agentId"] == agent


async def test_peoples_own_tasks_are_picked_up(side):
    await side.project(BUG)
    await side.finished()
    tasks = [
        side.task("p-1", "Use dataclasses"),
        side.task("p-2", "Paint it blue"),
        side.task("p-3", "Rename nothing_at_all to something"),
        side.task("p-4", "Mine", assignee={"kind": "person", "id": "1", "name": "anna"}),
        side.task("p-5", "Use type hints", assignee={"kind": "agent", "id": "coder-2", "name": "Coder-2"}),
    ]
    await side.project(BUG, status="done", tasks=tasks)

    def columns():
        return {
            data["taskId"]: data["to"] for data in side.all("task_status_changed") if data["taskId"].startswith("p-")
        }

    wanted = {"p-1": "done", "p-2": "review", "p-3": "blocked", "p-5": "done"}
    await side.until(lambda: columns() == wanted)
    assert "@dataclass" in side.file("pager/pages.py")
    assert side.all("run_started", taskId="p-5")[0]["agentId"] == "coder-2"
    await side.project(BUG, status="done", tasks=tasks)
    await side.chat("status")
    assert columns() == wanted


async def test_tasks_that_people_close_or_remove_are_left_alone(start):
    side = await start(speed=60)
    await side.project(BUG)
    await side.until(lambda: "changelog" in side.board)

    def board(**changed):
        return [
            side.task(key, "x", **{"status": view["status"], **changed.get(key, {})})
            for key, view in side.board.items()
        ]

    await side.project(BUG, tasks=board())
    closed = board(callers={"status": "done"})
    await side.project(BUG, tasks=[task for task in closed if task["taskId"] != "changelog"])
    await side.finished()
    assert not side.all("task_status_changed", taskId="changelog")
    assert not side.has("CHANGELOG.md")
    side.consistent()


async def test_tasks_that_the_frame_had_no_room_for_are_still_done(start):
    side = await start(speed=60)
    await side.project(BUG)
    await side.until(lambda: "changelog" in side.board)
    board = [side.task(key, "x", status=view["status"]) for key, view in side.board.items()]
    await side.project(BUG, tasks=board)
    await side.project(BUG, tasks=[task for task in board if task["taskId"] != "changelog"], left_out=1)
    await side.finished()
    assert side.has("CHANGELOG.md")
    side.consistent()


async def test_a_finished_task_that_people_reopen_is_done_again(side):
    await side.project(BUG)
    await side.finished()
    later = {"updatedAt": "2999-01-01T00:00:00.000Z"}
    await side.project(BUG, status="done", tasks=[side.task(key, "x", status="done", **later) for key in side.board])
    tasks = [side.task(key, "x", status="todo" if key == "changelog" else "done", **later) for key in side.board]
    await side.project(BUG, status="done", tasks=tasks)
    await side.the("project_status_change", status="inProgress")
    await side.until(lambda: len(side.all("project_status_change", status="done")) == 2)
    assert len(side.all("run_started", taskId="changelog")) == 2
    assert len(side.all("platform_message")) == 2
    side.consistent()
