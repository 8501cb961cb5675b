from __future__ import annotations

import re

import pytest

TABLE, TODO, BUG = "a Markdown table formatter", "Build a to-do REST API", "There is a bug to fix in this package"


@pytest.mark.parametrize(
    ("brief", "files", "broken"),
    [
        (
            TABLE,
            ["mdtable/core.py", "tests/test_core.py", "dist/mdtable.pyz", "README.md"],
            "test_short_rows_are_padded",
        ),
        (TODO, ["todo/model.py", "todo/api.py", "README.md"], "test_a_blank_title_is_refused"),
        (BUG, ["pager/pages.py", "tests/test_regression.py", "CHANGELOG.md"], "test_the_rest_is_a_page_too"),
        ("Write a poem about trains", ["mdtable/core.py"], "test_short_rows_are_padded"),
    ],
)
async def test_a_whole_story_reaches_done(side, brief, files, broken):
    await side.project(brief)
    await side.approve_all()
    side.consistent()
    assert all(side.has(path) for path in files)
    assert {task["status"] for task in side.board.values()} == {"done"}
    stages = {data["stage"]["key"]: data["stage"]["status"] for data in side.all("project_stage_update")}
    assert stages == {"plan": "done", "build": "done", "test": "done", "docs": "done"}

    # It failed for a true reason, was repaired, and the last run of the tests is green.
    tests = [data for data in side.all("tool_end") if " passed" in data["result"]]
    assert tests[0]["status"] == "error"
    assert broken in tests[0]["result"]
    assert tests[-1]["status"] == "success"
    assert "failed" not in tests[-1]["result"].splitlines()[-1]
    assert side.all("log", level="warning")

    for kind in (
        "agent_messages",
        "platform_message",
        "plan_generated",
        "notification",
        "thinking",
        "file_locks_update",
    ):
        assert side.all(kind), kind
    assert side.all("file_locks_update")[-1] == {"locks": []}
    assert len(side.all("project_status_change", status="done")) == 1
    streams = {message["type"] for message in side.streamed}
    assert {"message", "thinking", "tool_output", "usage", "coordination_update", "agent_status_update"} <= streams


async def test_several_agents_work_at_once_and_get_in_each_others_way(side):
    await side.project(TABLE)
    await side.approve_all()
    pictures = [message["data"] for message in side.streamed if message["type"] == "coordination_update"]
    assert any(len(picture["agents"]) == 4 and picture["stats"]["openRuns"] >= 3 for picture in pictures)
    conflict = next(picture["conflicts"] for picture in pictures if picture["conflicts"])
    assert conflict == [{"path": "mdtable/__init__.py", "agentIds": ["coder-1", "coder-2"], "severity": "warning"}]
    assert any(lock.get("waitingAgentIds") for data in side.all("file_locks_update") for lock in data["locks"])


async def test_diffs_are_true(side):
    await side.project(BUG)
    await side.finished()
    for data in side.all("tool_end"):
        for file in data.get("diff", {}).get("files", []):
            patch = data["diff"]["patch"].splitlines()
            assert file["added"] == sum(line.startswith("+") and not line.startswith("+++") for line in patch)
            assert file["removed"] == sum(line.startswith("-") and not line.startswith("---") for line in patch)
    fixes = [
        data["diff"]["patch"] for data in side.all("tool_end") if "number - 1" in data.get("diff", {}).get("patch", "")
    ]
    assert "-    start = number * size\n+    start = (number - 1) * size\n" in fixes[0]
    assert "start = (number - 1) * size" in side.file("pager/pages.py")


async def test_streams_and_finals_agree(side):
    await side.project(TABLE)
    await side.approve_all()
    for data in side.all("message"):
        assert data["op"] == "end"
        pieces = [
            x["data"] for x in side.streamed if x["type"] == "message" and x["data"]["messageId"] == data["messageId"]
        ]
        assert pieces[0]["op"] == "start"
        assert "".join(piece.get("delta", "") for piece in pieces) == data["content"]
    for data in side.all("done"):
        assert data["usage"]["totalTokens"] == data["usage"]["promptTokens"] + data["usage"]["completionTokens"] > 0
        assert re.fullmatch(r"\d+\.\d{6}", data["usage"]["totalCost"])


async def test_a_question_takes_the_answer_of_a_person(start):
    side = await start(speed=20)
    await side.project(TABLE)
    question = await side.the("agent_message", question=True)
    await side.chat("make it 25 please", replyToId=question["messageId"])
    await side.until(lambda: any("25" in data["content"] for data in side.all("message")))
    await side.approve_all()
    assert "DEFAULT_LIMIT = 25" in side.file("mdtable/cli.py")


async def test_the_first_thing_is_seen_within_a_second_at_normal_speed(start):
    side = await start(speed=1)
    await side.project(TABLE)
    await side.until(
        lambda: side.all("run_started") and [x for x in side.streamed if x["type"] == "thinking"], within=1
    )


async def test_a_brief_that_it_does_not_know_is_answered_honestly(side):
    await side.project("Write a poem about trains")
    said = await side.the("agent_message", agentId="planner")
    assert "without a language model" in said["content"]


async def test_the_mirrored_note_is_labelled_and_is_really_in_the_file(side):
    await side.project(BUG)
    await side.finished()
    (note,) = side.all("platform_message")
    assert "demo" in note["platform"]
    assert "nothing was sent out" in note["content"]
    assert note["externalId"] in (side.process.data / "outbox" / "webhook.log").read_text()
