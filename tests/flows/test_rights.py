"""Who may do what: one table, tried by everybody, over REST and over the WebSocket; and no route is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.urls import URLPattern, URLResolver, get_resolver

from apps.accounts.models import User
from apps.agents import events as a
from apps.agents.models import Approval, ApprovalRule
from apps.agents.services.agents import AgentService
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.runs import RunService
from apps.core.actor import AGENTS_SERVER
from apps.projects.events import ActorRef
from apps.projects.models import Project, Task
from apps.projects.permissions import NEEDS, Role, permissions_of
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.tasks import TaskService
from tests.realtime.conftest import manager  # noqa: F401 - a fixture
from tests.support.api import Api
from tests.support.browser import Browser, envelope
from tests.support.factories import a_member, a_person, a_project

pytestmark = pytest.mark.django_db

PEOPLE = ("anonymous", "mallory", *(role.word for role in Role))


@dataclass
class Room:
    """A project with one of everything, and somebody in every role."""

    project: Project
    people: dict[str, User | None]
    ids: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def room() -> Room:
    return furnished()


def furnished() -> Room:
    owner = a_person()
    project = a_project(owner)
    people: dict[str, User | None] = {"anonymous": None, "mallory": a_person(), "owner": owner}
    for role in Role:
        if role is not Role.OWNER:
            people[role.word] = a_member(project, role)
    other, guid = a_member(project, "viewer"), project.guid
    TaskService(AGENTS_SERVER).create(guid=guid, title="Write", task_id="task-1")
    AgentService(AGENTS_SERVER).spawn(guid=guid, agent_id="coder", name="Coder-1")
    RunService(AGENTS_SERVER).start(guid=guid, run_id="run-1", agent_id="coder")
    calls = ToolCallService(AGENTS_SERVER)
    calls.start(guid=guid, tool_call_id="call-1", run_id="run-1", agent_id="coder", tool="bash")
    ApprovalService(AGENTS_SERVER).request(
        guid=guid, approval_id="ask-1", agent_id="coder", run_id="run-1", tool="bash", risk=a.Risk.LOW
    )
    holder = ActorRef(kind="agent", id="coder", name="Coder-1")
    FileLockService(AGENTS_SERVER).replace(guid=guid, locks=[Held(path="a.py", holder=holder)])
    rule = ApprovalRule.objects.create(project=project, user=owner, by={}, kind="tool", tool="make")
    digest = Approval.objects.get(project=project).args_digest
    ids = {
        "guid": str(guid),
        "task_id": "task-1",
        "run_id": "run-1",
        "tool_call_id": "call-1",
        "approval_id": "ask-1",
        "rule_id": str(rule.pk),
        "user_id": str(other.pk),
        "digest": digest,
    }
    return Room(project, people, ids)


@dataclass(frozen=True)
class Row:
    """A deed below the project's address, the right that it needs, and the status of success."""

    method: str
    path: str
    needs: str | Role
    body: dict[str, Any] | None = None
    status: int = 200

    def __str__(self) -> str:
        return f"{self.method} {self.path or '.'}"

    @property
    def role(self) -> Role:
        return self.needs if isinstance(self.needs, Role) else NEEDS[self.needs]


TABLE = [
    Row("GET", "", "project.view"),
    Row("PATCH", "", "project.update", {"name": "Other"}),
    Row("POST", "status/", "project.set_status", {"status": "paused"}),
    Row("POST", "status/", "project.archive", {"status": "archived"}),
    Row("POST", "read/", "project.mark_read", {"seq": 1}),
    *(
        Row("GET", f"{name}/", "project.view")
        for name in (
            "stages", "plans", "locks", "notifications", "tasks", "members", "messages", "feedback", "agents", "runs",
            "approvals", "approval-rules", "usage", "link",
        )
    ),
    Row("POST", "locks/release/", "lock.release", {"path": "a.py"}),
    Row("POST", "tasks/", "task.create", {"title": "New"}, 201),
    Row("GET", "tasks/{task_id}/", "project.view"),
    Row("PATCH", "tasks/{task_id}/", "task.update", {"title": "Other"}),
    Row("POST", "tasks/{task_id}/status/", "task.move", {"status": "doing"}),
    Row("DELETE", "tasks/{task_id}/", "task.delete", None, 204),
    Row("POST", "tasks/reset/", "task.reset", {}),
    Row("POST", "members/", "member.manage", {"username": "newcomer", "role": "viewer"}, 201),
    Row("POST", "members/", "member.manage_owner", {"username": "newcomer", "role": "owner"}, 201),
    Row("PATCH", "members/{user_id}/", "member.manage", {"role": "approver"}),
    Row("PATCH", "members/{user_id}/", "member.manage_owner", {"role": "owner"}),
    Row("DELETE", "members/{user_id}/", "member.manage", None, 204),
    Row("POST", "messages/", "message.post", {"message": "Hi"}, 201),
    Row("POST", "feedback/", "feedback.send", {"content": "Better"}, 201),
    Row("POST", "runs/cancel/", "run.cancel", {}, 202),
    Row("POST", "runs/{run_id}/cancel/", "run.cancel", {}, 202),
    Row("GET", "tool-calls/{run_id}/{tool_call_id}/", "project.view"),
    Row("POST", "approvals/{approval_id}/decision/", "approval.decide",
        {"decision": "approve", "argsDigest": "{digest}"}),
    Row("DELETE", "approval-rules/{rule_id}/", "approval.decide", None, 204),
]  # fmt: skip


def filled(value: Any, ids: dict[str, str]) -> Any:
    """Return ``value`` with the ids of the room in it."""
    if isinstance(value, dict):
        return {name: filled(item, ids) for name, item in value.items()}
    return value.format(**ids) if isinstance(value, str) else value


def expected(row: Row, who: str) -> int:
    if who in {"anonymous", "mallory"}:
        return {"anonymous": 401, "mallory": 404}[who]
    return row.status if Role.from_word(who) >= row.role else 403


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_rights_over_rest(room, row, who):
    a_person("newcomer")
    answer = Api(room.people[who]).call(
        row.method, filled(row.path, room.ids), room.project, json=filled(row.body, room.ids)
    )
    assert answer.status == expected(row, who), answer
    if who == "mallory":
        absent = Api(room.people[who]).call(
            row.method, f"projects/{room.ids['user_id']}/{filled(row.path, room.ids)}", json=filled(row.body, room.ids)
        )
        assert (absent.status, absent.json) == (answer.status, answer.json)


def test_what_was_refused_changed_nothing(room):
    before = room.project.events.count()
    for row in TABLE:
        for who in PEOPLE:
            if expected(row, who) >= 400:
                path, body = filled(row.path, room.ids), filled(row.body, room.ids)
                Api(room.people[who]).call(row.method, path, room.project, json=body)
    assert room.project.events.count() == before
    assert Task.objects.filter(project=room.project).count() == 1


@pytest.mark.parametrize("row", [row for row in TABLE if row.method != "GET"], ids=str)
def test_who_was_removed_is_a_stranger_at_once(room, row):
    person = room.people["maintainer"]
    api = Api(person)
    assert Api(room.people["owner"]).delete(f"members/{person.pk}/", room.project).status == 204
    answer = api.call(row.method, filled(row.path, room.ids), room.project, json=filled(row.body, room.ids))
    assert answer.status == 404


def test_staff_who_are_no_members_see_no_more_over_rest_than_anybody(room):
    operator = a_person(is_staff=True, is_superuser=True)
    assert {Api(operator).get(f"{name}", room.project).status for name in ("", "tasks/", "messages/")} == {404}


# --- over the WebSocket -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wish:
    """A command on a socket and the right that it needs. ``answer`` is the type of the reply, None: none comes."""

    type: str
    needs: str
    data: dict[str, Any]
    answer: str | None = "ack"

    def __str__(self) -> str:
        return self.type


WISHES = [
    Wish("mark_read", "project.mark_read", {"seq": 1}, None),
    Wish("chat", "message.post", {"message": "Hi"}),
    Wish("user_feedback", "feedback.send", {"content": "Better"}, "user_feedback_response"),
    Wish("cancel", "run.cancel", {"runId": "{run_id}"}),
    Wish(
        "approval", "approval.decide", {"approvalId": "{approval_id}", "decision": "reject", "argsDigest": "{digest}"}
    ),
    Wish("create_task", "task.create", {"title": "New"}),
    Wish("update_task", "task.update", {"taskId": "{task_id}", "title": "Other"}),
    Wish("set_task_status", "task.move", {"taskId": "{task_id}", "status": "doing"}),
    Wish("reset_tasks", "task.reset", {}),
    Wish("delete_task", "task.delete", {"taskId": "{task_id}"}),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", ["mallory", *(role.word for role in Role)])
async def test_rights_over_the_websocket(manager, who):  # noqa: F811 - the fixture
    room = await sync_to_async(furnished)()
    async with await Browser.open(room.people[who]) as browser:
        if who == "mallory":
            assert (await browser.refused("join_project", {}, room.project))["code"] == "not_found"
        else:
            joined = await browser.join(room.project)
            assert joined["role"] == who
            assert joined["permissions"] == permissions_of(Role.from_word(who))
        for wish in WISHES:
            data, allowed = filled(wish.data, room.ids), who != "mallory" and Role.from_word(who) >= NEEDS[wish.needs]
            if allowed and wish.answer is None:
                await browser.send(envelope(wish.type, data, room.project, "silent"))
                await browser.command("ping", {})
                assert not [one for one in browser.received if one.get("replyTo") == "silent"], wish
                continue
            reply = await browser.command(wish.type, data, room.project)
            if who == "mallory":
                assert (reply["type"], reply["data"]["code"]) in {("error", "not_found"), ("error", "not_joined")}, wish
            elif allowed:
                assert reply["type"] == wish.answer, (wish, reply)
            else:
                assert (reply["type"], reply["data"]["code"]) == ("error", "forbidden"), wish


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", PEOPLE)
async def test_rights_of_the_same_commands_over_http(who):
    room = await sync_to_async(furnished)()
    api = await sync_to_async(Api)(room.people[who])
    for number, wish in enumerate(WISHES):
        command = {"type": wish.type, "id": f"c{number}", "data": filled(wish.data, room.ids)}
        answer = await sync_to_async(api.post, thread_sensitive=False)("commands/", room.project, command)
        assert answer.status == expected(Row("POST", "commands/", wish.needs), who), (wish, answer)


def test_the_table_names_every_command_that_writes():
    from apps.realtime.commands import COMMANDS

    writing = {name: row.needs for name, row in COMMANDS.items() if row.over_http}
    assert {wish.type: wish.needs for wish in WISHES} == writing


# --- every route ------------------------------------------------------------------------------------------------

OPEN = {"auth/token/", "auth/token/refresh/", "auth/token/verify/", "auth/token/blacklist/"}
"""Routes that anybody may call: what they need is in the body."""
OWN = {"me/", "inbox/", "projects/"}
"""Routes about the caller alone: nobody else's data is in them."""

COMMAND = {"type": "create_task", "id": "c1", "data": {"title": "New"}}
"""The one route whose body says what is wanted, and with it which right is asked for."""

_PART = re.compile(r"<(?:\w+:)?(\w+)>")


def routes(patterns: list[URLPattern | URLResolver] | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every route of the site with its view."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def methods_of(view: Any) -> list[str]:
    """Return the methods that a view answers; of a plain function both kinds are tried."""
    kind = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if kind is None:
        return ["GET", "POST"]
    names = [
        name for name in kind.http_method_names if name not in {"options", "head", "trace"} and hasattr(kind, name)
    ]
    return [name.upper() for name in names]


def rest_routes() -> list[tuple[str, str]]:
    """Return every REST route below ``/api/v1/`` with each of its methods."""
    prefix = "api/v1/"
    return [
        (method, route.removeprefix(prefix))
        for route, view in routes()
        if route.startswith(prefix)
        for method in methods_of(view)
    ]


@pytest.mark.django_db(transaction=True)
def test_no_route_lets_a_stranger_in():
    room = furnished()
    tried = rest_routes()
    assert len(tried) > 40
    wrong = []
    for method, route in tried:
        if route in OPEN | OWN:
            continue
        unknown = set(_PART.findall(route)) - room.ids.keys()
        assert not unknown, f"give {route} an id of the room: {unknown}"
        path = _PART.sub(lambda part: room.ids[part[1]], route)
        body = None if method in {"GET", "DELETE"} else COMMAND if route.endswith("/commands/") else {}
        for who, status in (("anonymous", 401), ("mallory", 404)):
            answer = Api(room.people[who]).call(method, path, json=body)
            if answer.status not in {status, 405}:
                wrong.append(f"{method} {route} answers {answer.status} to {who}")
    assert not wrong


def test_own_routes_need_a_login():
    for method, route in rest_routes():
        if route in OWN:
            assert Api().call(method, route, json=None if method == "GET" else {}).status == 401


def test_the_table_names_every_route_of_a_room():
    named = {(row.method, re.sub(r"\{(\w+)\}", r"<str:\1>", row.path)) for row in TABLE}
    ours = {
        (method, route.removeprefix("projects/<str:guid>/"))
        for method, route in rest_routes()
        if route.startswith("projects/<str:guid>/")
    }
    assert ours == named
