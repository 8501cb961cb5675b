from __future__ import annotations

import pytest

from tests.ops.demo.test_stories import TABLE, TODO


async def asked(side):
    await side.project(TABLE)
    question = await side.the("approval_needed", kind="command")
    assert question["args"] == {"command": "rm -rf build", "cwd": ".", "paths": ["build"]}
    assert (question["risk"], question["allowed"]) == ("high", ["approve", "edit", "reject"])
    assert side.has("build/mdtable/core.py")
    return question


async def end_of(side, question):
    return await side.the("tool_end", runId=question["runId"], toolCallId=question["toolCallId"])


async def test_approve_runs_exactly_that(side):
    question = await asked(side)
    await side.decide(question, "approve")
    end = await end_of(side, question)
    assert end["status"] == "success"
    assert {file["operation"] for file in end["diff"]["files"]} == {"delete"}
    await side.the("approval_resolved", approvalId=question["approvalId"], state="applied")
    await side.finished()
    assert not side.has("build")


async def test_edit_runs_the_edited_arguments(side):
    question = await asked(side)
    edited = {"command": "rm -rf build/mdtable", "cwd": ".", "paths": ["build/mdtable"]}
    await side.decide(question, "edit", editedArgs=edited)
    assert (await end_of(side, question))["status"] == "success"
    await side.finished()
    assert side.has("build/__main__.py")
    assert not side.has("build/mdtable")


@pytest.mark.parametrize(
    "edited",
    [
        {"command": "rm -rf ../..", "paths": ["../.."]},
        {"command": "rm -rf .", "paths": ["."]},
        {"command": "rm -rf /tmp/x", "paths": ["/tmp/x"]},
        {"command": "sh -c 'rm -rf build'", "paths": ["build"]},
        {"command": "rm -rf build; ls", "paths": ["build"]},
        {"command": "rm -rf build/mdtable", "paths": ["dist"]},
        {"command": "rm -rf build", "cwd": "..", "paths": ["build"]},
        {"command": "rm -rf 'build", "paths": ["build"]},
        {"command": 7},
        {"shell": True},
    ],
)
async def test_edited_arguments_never_leave_the_workspace(side, edited):
    question = await asked(side)
    await side.decide(question, "edit", editedArgs={**question["args"], **edited})
    end = await end_of(side, question)
    assert (end["status"], end["error"]["code"]) == ("error", "not_allowed")
    await side.finished()
    assert side.has("build/mdtable/core.py")
    assert not side.all("approval_resolved", state="applied")


@pytest.mark.parametrize("decision", ["reject", "expired"])
async def test_a_refusal_is_obeyed_and_another_way_is_taken(side, decision):
    question = await asked(side)
    await side.decide(question, decision, reason="I want to look into it")
    assert (await end_of(side, question))["status"] == "denied"
    await side.finished()
    assert side.has("build/mdtable/core.py")
    assert "build/" in side.file(".gitignore")
    assert not side.all("approval_resolved", state="applied")


async def test_nothing_is_written_before_the_plan_is_approved(side):
    await side.project(TODO)
    question = await side.the("approval_needed", kind="plan")
    assert side.all("plan_generated")[-1]["plan"]["state"] == "inReview"
    await side.until(lambda: [x for x in side.all("project_stage_update") if x["stage"]["status"] == "waitingUser"])
    assert not list((side.process.data / "workspaces" / side.guid).iterdir())
    await side.decide(question, "approve")
    await side.finished()
    assert [data["plan"]["state"] for data in side.all("plan_generated")][:2] == ["inReview", "approved"]


async def test_a_refused_plan_is_changed_as_the_reason_says(side):
    await side.project(TODO)
    first = await side.the("approval_needed", kind="plan")
    await side.decide(first, "reject", reason="please skip the docs stage")
    second = await side.until(lambda: next(iter(side.all("approval_needed")[1:]), None))
    items = {item["key"]: item["status"] for item in side.all("plan_generated")[-1]["plan"]["items"]}
    assert items["readme"] == "skipped"
    await side.decide(second, "approve")
    await side.finished()
    assert not side.has("README.md")


async def test_an_expired_plan_waits_for_a_word(side):
    await side.project(TODO)
    await side.decide(await side.the("approval_needed", kind="plan"), "expired")
    await side.the("project_status_change", status="paused")
    await side.chat("continue")
    await side.until(lambda: len(side.all("approval_needed")) == 2)
    await side.approve_all()


async def test_a_late_or_unknown_decision_changes_nothing(side):
    question = await asked(side)
    await side.decide({"approvalId": "nobody-asked"}, "approve")
    await side.decide(question, "reject")
    await side.decide(question, "approve")
    await side.finished()
    assert side.has("build/mdtable/core.py")
