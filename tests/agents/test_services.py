"""Runs, feedback, promises and notices: the rules behind the events."""

from __future__ import annotations

import datetime as dt

import pytest

from apps.accounts import pruning
from apps.agents import events as a
from apps.agents.errors import Ignored
from apps.agents.models import Feedback, InboxReceipt, OutboxMessage, Run, ToolCall
from apps.agents.selectors.snapshot import room_snapshot
from apps.agents.selectors.work import tool_call_detail
from apps.agents.services import upkeep
from apps.agents.services.agents import AgentService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.chat import ChatService
from apps.agents.services.dead_letters import discard, retry
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.runs import RunService, UsageService
from apps.agents.services.upkeep import prune, run_once
from apps.core import clock
from apps.core.actor import AGENTS_SERVER
from apps.core.errors import Conflict, Forbidden, InvalidField, NotFound
from apps.projects import events as p
from apps.projects.models import FileLock, Message, Notification, ProjectEvent
from apps.projects.services import sql
from apps.projects.services.commands import once
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.messages import MessageService
from apps.projects.services.projects import ProjectService
from apps.projects.services.tasks import TaskService
from tests.support.factories import a_member, a_person, a_project, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return a_project(a_person("ada"))


@pytest.fixture
def runs(project):
    RunService(AGENTS_SERVER).start(guid=project.guid, run_id="r", agent_id="coder")
    return RunService(AGENTS_SERVER)


def promises(project, kind=None):
    rows = OutboxMessage.objects.filter(project=project).order_by("id")
    return [row for row in rows if kind is None or row.type == kind]


def types(project):
    return list(ProjectEvent.objects.filter(project=project).values_list("type", flat=True))


# --- runs -------------------------------------------------------------------------------------------------------


def test_a_run_ends_once_and_last(project, runs):
    calls = ToolCallService(AGENTS_SERVER)
    calls.start(guid=project.guid, tool_call_id="1", run_id="r", agent_id="coder", tool="x")
    calls.start(guid=project.guid, tool_call_id="2", run_id="r", agent_id="coder", tool="x")
    calls.finish(guid=project.guid, tool_call_id="1", run_id="r", status=a.ToolStatus.SUCCESS)
    runs.finish(guid=project.guid, run_id="r", status=a.RunStatus.CANCELLED)
    assert types(project)[-3:] == ["tool_end", "usage", "done"]
    assert ToolCall.objects.get(key="2").status == "cancelled"
    assert Run.objects.get().tool_totals == {"ok": 1, "error": 0, "denied": 0, "cancelled": 1, "abandoned": 0}
    for late in (
        lambda: runs.finish(guid=project.guid, run_id="r", status=a.RunStatus.COMPLETED),
        lambda: calls.finish(guid=project.guid, tool_call_id="2", run_id="r", status=a.ToolStatus.SUCCESS),
        lambda: calls.start(guid=project.guid, tool_call_id="3", run_id="r", agent_id="coder", tool="x"),
        lambda: UsageService(AGENTS_SERVER).report(guid=project.guid, run_id="r", usage=a.UsageTotals()),
        lambda: runs.start(guid=project.guid, run_id="r", agent_id="coder"),
    ):
        with pytest.raises(Ignored):
            late()
    assert types(project)[-1] == "done"


def test_call_ids_are_scoped_by_their_run(project, runs):
    runs.start(guid=project.guid, run_id="s", agent_id="coder")
    calls = ToolCallService(AGENTS_SERVER)
    for run_id in ("r", "s"):
        calls.start(guid=project.guid, tool_call_id="0", run_id=run_id, agent_id="coder", tool=run_id)
    calls.finish(guid=project.guid, tool_call_id="0", run_id="s", status=a.ToolStatus.ERROR)
    assert ToolCall.objects.get(run__key="r").status == "running"


def test_the_room_sees_a_cut_result_and_the_detail_the_whole(project, runs):
    calls = ToolCallService(AGENTS_SERVER)
    result, patch = "é" * 30_000, "p" * 30_000
    calls.finish(
        guid=project.guid,
        tool_call_id="1",
        run_id="r",
        status=a.ToolStatus.SUCCESS,
        result=result,
        diff=a.Diff(patch=patch),
    )
    [seen] = room_snapshot(project.pk).tool_calls
    assert (seen.truncated, seen.result_size, seen.tool) == (True, 60_000, "unknown")
    assert len(seen.result) <= 4_000
    assert seen.diff
    assert len(seen.diff.patch) <= 16 * 1024
    detail = tool_call_detail(project.guid, run_id="r", tool_call_id="1")
    assert (detail.result, detail.patch) == (result, patch)


def test_usage_is_summed_exactly_and_without_parts(project, runs):
    for number in range(3):
        runs.start(guid=project.guid, run_id=f"u{number}", agent_id="coder")
        used = a.UsageTotals(prompt_tokens=3, completion_tokens=2, cached_tokens=9, total_tokens=5, total_cost="0.1")
        UsageService(AGENTS_SERVER).report(guid=project.guid, run_id=f"u{number}", usage=used)
        runs.finish(guid=project.guid, run_id=f"u{number}", status=a.RunStatus.COMPLETED)
    total = room_snapshot(project.pk).usage
    assert (total.total_tokens, total.total_cost, total.runs) == (15, "0.3", 3)


def test_a_budget_that_runs_out_is_told_once(project, runs):
    for state in ("ok", "warn", "warn", "exceeded", "exceeded"):
        budget = a.Budget(limit="1", spent="2", state=state)
        UsageService(AGENTS_SERVER).report(guid=project.guid, run_id="r", usage=a.UsageTotals(budget=budget))
    notes = Notification.objects.filter(kind="budget").order_by("seq").values_list("severity", flat=True)
    assert list(notes) == ["warning", "error"]


def test_cancelling_asks_once_for_each_mode(project, runs):
    people = RunService(owner_of(project))
    assert people.cancel(guid=project.guid, run_id="r", reason="wrong way")
    assert people.cancel(guid=project.guid, run_id="r") is None
    assert people.cancel(guid=project.guid, agent_id="coder", mode="hard")
    assert people.cancel(guid=project.guid, run_id="r", mode="soft") is None
    assert [row.data["mode"] for row in promises(project, "cancel")] == ["soft", "hard"]
    assert "ada asked coder to stop. wrong way" in Message.objects.values_list("content", flat=True)


def test_nothing_to_cancel_is_a_conflict(project, runs):
    people = RunService(owner_of(project))
    for what in ({"run_id": "unknown"}, {"agent_id": "unknown"}):
        with pytest.raises(Conflict):
            people.cancel(guid=project.guid, **what)
    runs.finish(guid=project.guid, run_id="r", status=a.RunStatus.COMPLETED)
    with pytest.raises(Conflict):
        people.cancel(guid=project.guid, run_id="r")
    with pytest.raises(Forbidden):
        RunService(a_member(project, "viewer").actor).cancel(guid=project.guid)


def test_people_cannot_tell_what_agents_did(project, runs):
    me = owner_of(project)
    for act in (
        lambda: RunService(me).finish(guid=project.guid, run_id="r", status=a.RunStatus.COMPLETED),
        lambda: FeedbackService(me).advance(guid=project.guid, feedback_id="f", state=a.FeedbackState.APPLIED),
        lambda: ToolCallService(me).finish(
            guid=project.guid, tool_call_id="1", run_id="r", status=a.ToolStatus.SUCCESS
        ),
    ):
        with pytest.raises(Forbidden):
            act()


def test_what_is_open_still_ends_in_an_archived_project(project, runs):
    ProjectService(owner_of(project)).set_status(guid=project.guid, status=p.ProjectStatus.ARCHIVED)
    runs.finish(guid=project.guid, run_id="r", status=a.RunStatus.FAILED)
    with pytest.raises(Conflict):
        runs.start(guid=project.guid, run_id="s", agent_id="coder")


# --- feedback and chat ------------------------------------------------------------------------------------------


def test_feedback_that_nobody_takes_expires_and_is_not_sent_any_more(project, move_clock):
    expires = clock.now() + dt.timedelta(seconds=30)
    FeedbackService(owner_of(project)).send(guid=project.guid, content="x", feedback_id="f", expires_at=expires)
    assert run_once() == 0
    move_clock(31)
    assert run_once() == 1
    assert Feedback.objects.get().state == "expired"
    (dropped,) = promises(project, "user_feedback")
    assert dropped.state == "dropped"
    assert dropped.settled_at is not None
    move_clock(31 * 86_400)
    prune()
    assert not OutboxMessage.objects.filter(pk=dropped.pk).exists()


@pytest.mark.parametrize("hours", [1, 24 * 365])
def test_a_wrong_clock_of_the_machine_ends_nothing_early(project, monkeypatch, hours):
    soon = clock.now() + dt.timedelta(minutes=5)
    FeedbackService(owner_of(project)).send(guid=project.guid, content="x", feedback_id="f", expires_at=soon)
    bot = p.ActorRef(kind="agent", id="coder", name="Coder")
    FileLockService(AGENTS_SERVER).replace(guid=project.guid, locks=[Held(path="a.py", holder=bot, expires_in_s=300)])
    once(owner_of(project), "c1", "chat", [], lambda: {"seq": 1})
    wrong = clock.now() + dt.timedelta(hours=hours)
    monkeypatch.setattr(clock, "_now", lambda: wrong)
    assert run_once() == 0
    assert prune() == 0
    assert (Feedback.objects.get().state, FileLock.objects.count()) == ("received", 1)
    assert once(owner_of(project), "c1", "chat", [], lambda: {"seq": 2}) == ({"seq": 1}, True)


def test_feedback_is_checked(project):
    send = FeedbackService(owner_of(project)).send
    with pytest.raises(InvalidField):
        send(guid=project.guid, content=" ")
    with pytest.raises(InvalidField):
        send(guid=project.guid, content="x", rating=7)
    with pytest.raises(InvalidField):
        send(guid=project.guid, content="x", expires_at=clock.now())
    with pytest.raises(InvalidField):
        send(guid=project.guid, content="x", target=a.FeedbackTarget(run_id="y" * 70))
    with pytest.raises(Forbidden):
        FeedbackService(a_member(project, "viewer").actor).send(guid=project.guid, content="x")
    with pytest.raises(NotFound):
        FeedbackService(a_person().actor).send(guid=project.guid, content="x")
    assert not promises(project, "user_feedback")


def test_the_author_is_who_is_logged_in(project):
    FeedbackService(a_member(project, "contributor", "bob").actor).send(guid=project.guid, content="x")
    author = promises(project, "user_feedback")[0].data["author"]
    assert (author["name"], author["role"]) == ("bob", "contributor")


def test_a_reply_settles_the_question_and_is_passed_on(project):
    AgentService(AGENTS_SERVER).spawn(guid=project.guid, agent_id="coder", name="Coder")
    coder = p.ActorRef(kind="agent", id="coder", name="Coder")
    MessageService(AGENTS_SERVER).agent_say(
        guid=project.guid, agent=coder, agent_id="coder", content="which?", message_id="q", question=True
    )
    ChatService(owner_of(project)).send(guid=project.guid, message="this", reply_to_id="q", agent_id="coder")
    assert Message.objects.get(key="q").waiting_user_response is False
    [chat] = promises(project, "chat")
    assert (chat.data["replyToId"], chat.data["agentId"]) == ("q", "coder")
    with pytest.raises(InvalidField):
        ChatService(owner_of(project)).send(guid=project.guid, message="x", agent_id="nobody")


def test_who_is_named_is_notified_and_only_members(project):
    vera = a_member(project, "viewer", "vera")
    a_person("outsider")
    ChatService(owner_of(project)).send(guid=project.guid, message="@vera. @vera @ada @outsider mail@vera.org")
    [note] = Notification.objects.filter(kind="mention")
    assert note.user == vera
    assert note.title == "ada mentioned you"


# --- promises ---------------------------------------------------------------------------------------------------


def test_a_draft_is_not_told_until_it_starts():
    project = a_project(start=False)
    me = owner_of(project)
    TaskService(me).create(guid=project.guid, title="One")
    assert promises(project) == []
    ProjectService(me).set_status(guid=project.guid, status=p.ProjectStatus.IN_PROGRESS)
    TaskService(me).create(guid=project.guid, title="Two")
    assert [row.type for row in promises(project)] == ["project_update"]


def test_what_the_link_did_is_not_told_back(project):
    before = len(promises(project))
    OutboxMessage.objects.update(attempts=1)
    TaskService(AGENTS_SERVER).create(guid=project.guid, title="Theirs")
    ProjectService(AGENTS_SERVER).set_status(guid=project.guid, status=p.ProjectStatus.WAITING_USER)
    assert len(promises(project)) == before
    TaskService(owner_of(project)).create(guid=project.guid, title="Ours")
    assert len(promises(project)) == before + 1


def test_old_rows_go_and_letters_are_answered_once(project, move_clock):
    row = promises(project)[0]
    OutboxMessage.objects.filter(pk=row.pk).update(state="dead", settled_at=clock.now())
    letter = row.dead_letters.create(direction="out", project=project, code="no", reason="no")
    retry(letter)
    assert OutboxMessage.objects.get(pk=row.pk).state == "pending"
    for again in (retry, discard):
        with pytest.raises(Conflict):
            again(letter)
    OutboxMessage.objects.filter(pk=row.pk).update(state="acked", settled_at=clock.now())
    assert prune() == 0
    move_clock(31 * 86_400)
    assert prune() >= 2
    assert not promises(project)


def test_what_does_not_go_in_time_goes_next_time(project, move_clock, monkeypatch):
    monkeypatch.setattr(upkeep, "PRUNE_S", 0.0)
    monkeypatch.setattr(pruning, "AT_ONCE", 2)
    rows = [{"server": "s", "message_id": f"m{n}", "type": "log", "outcome": "applied"} for n in range(5)]
    sql.insert(InboxReceipt, rows)
    move_clock(8 * 86_400)
    for left in (3, 1, 0):
        prune()
        assert InboxReceipt.objects.count() == left
