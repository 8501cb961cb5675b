"""Nobody reaches into another project: every REST route and every command, tried with somebody else's ids.

The routes come from the URL configuration, the commands from the registry and their fields from their classes: a new
one is tried without anybody remembering to.
"""

from __future__ import annotations

import asyncio
import enum
import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async

from apps.accounts.models import User
from apps.agents import events as a
from apps.agents.models import Approval, ApprovalRule
from apps.agents.selectors.snapshot import room_snapshot
from apps.agents.services.agents import AgentService
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.runs import RunService
from apps.core.actor import AGENTS_SERVER
from apps.projects.events import ActorRef, PlanItem
from apps.projects.models import Message, Project, ProjectEvent
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.messages import MessageService
from apps.projects.services.plans import PlanService
from apps.projects.services.stages import ProjectStageService
from apps.projects.services.tasks import TaskService
from apps.realtime.commands import COMMANDS
from tests.flows.test_rights import COMMAND, OPEN, OWN, TABLE, rest_routes
from tests.flows.test_rights import filled as filled_in
from tests.realtime.conftest import do, manager
from tests.support.api import Api
from tests.support.browser import Browser, Closed
from tests.support.factories import a_member, a_person, a_project

__all__ = ["manager"]

MARKER = "only-for-members-of-the-other-project"


@dataclass
class Place:
    """A project with one of everything; ``ids`` by the names of path parts and fields of the wire."""

    project: Project
    owner: User
    ids: dict[str, str]

    def state(self) -> Any:
        """Return all that anybody can see of it, and how long its log is."""
        snapshot = json.loads(msgspec.json.encode(room_snapshot(self.project.pk)))
        return snapshot, ProjectEvent.objects.filter(project=self.project).count()


def place(name: str, text: str) -> Place:
    owner = a_person(f"{name}-owner")
    project = a_project(owner, name=text, description=text, brief=text)
    guid, key = project.guid, name
    member = a_member(project, "viewer", f"{name}-viewer")
    TaskService(AGENTS_SERVER).create(guid=guid, title=text, task_id=f"{key}-task")
    AgentService(AGENTS_SERVER).spawn(guid=guid, agent_id=f"{key}-agent", name=text)
    RunService(AGENTS_SERVER).start(guid=guid, run_id=f"{key}-run", agent_id=f"{key}-agent")
    about: dict[str, Any] = {"guid": guid, "run_id": f"{key}-run", "agent_id": f"{key}-agent"}
    ToolCallService(AGENTS_SERVER).start(**about, tool_call_id=f"{key}-call", tool="bash", title=text, args={"x": text})
    ToolCallService(AGENTS_SERVER).finish(
        guid=guid, run_id=f"{key}-run", tool_call_id=f"{key}-call", status=a.ToolStatus.SUCCESS, result=text
    )
    ApprovalService(AGENTS_SERVER).request(
        **about, approval_id=f"{key}-ask", tool="bash", title=text, risk=a.Risk.LOW, args={"x": text}
    )
    holder = ActorRef(kind="agent", id=f"{key}-agent", name=text)
    FileLockService(AGENTS_SERVER).replace(guid=guid, locks=[Held(path=f"{key}.py", holder=holder)])
    ProjectStageService(AGENTS_SERVER).update(guid=guid, stage_key=f"{key}-stage", name=text)
    PlanService(AGENTS_SERVER).publish(guid=guid, plan_id=f"{key}-plan", title=text, items=[PlanItem("k", text)])
    MessageService(owner.actor).post(guid=guid, content=text)
    FeedbackService(owner.actor).send(guid=guid, content=text)
    rule = ApprovalRule.objects.create(project=project, user=owner, by={}, kind="tool", tool="make")
    message = Message.objects.filter(project=project).order_by("-pk").first()
    assert message
    ids = {
        "guid": str(guid), "task_id": f"{key}-task", "run_id": f"{key}-run", "tool_call_id": f"{key}-call",
        "approval_id": f"{key}-ask", "rule_id": str(rule.pk), "user_id": str(member.pk), "agent_id": f"{key}-agent",
        "stage_id": f"{key}-stage", "plan_id": f"{key}-plan", "message_id": message.key, "path": f"{key}.py",
        "digest": Approval.objects.get(project=project).args_digest,
    }  # fmt: skip
    return Place(project, owner, ids)


def two_places() -> tuple[Place, Place]:
    """Return the attacker's own project, and the other one."""
    return place("mine", "mine"), place("other", MARKER)


# --- REST ---------------------------------------------------------------------------------------------------------

_PART = re.compile(r"<(?:\w+:)?(\w+)>")


def bodies_of(method: str, route: str, other: Place) -> list[Any]:
    """Return bodies for a route: what its table says, and everything that could name something of the other project."""
    if method in {"GET", "DELETE"}:
        return [None]
    below = route.partition(">/")[2]
    shape = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", below)
    rows = [row for row in TABLE if (row.method, row.path) == (method, shape)]
    # Not archived: whatever comes after that is refused for another reason.
    known = [filled_in(row.body, other.ids) for row in rows if row.needs != "project.archive"]
    if route.endswith("/commands/"):
        known = [COMMAND | {"data": {"title": "x", "dependsOn": [other.ids["task_id"]]}}]
    ids = other.ids
    more = [
        {"message": "x", "agentId": ids["agent_id"], "replyToId": ids["message_id"]},
        {"content": "x", "target": {"runId": ids["run_id"], "taskId": ids["task_id"], "messageId": ids["message_id"]}},
        {"title": "x", "dependsOn": [ids["task_id"]], "taskId": ids["task_id"]},
        {"taskIds": [ids["task_id"]]},
        {"runId": ids["run_id"], "agentId": ids["agent_id"]},
        {"path": ids["path"]},
        {"projectGuid": ids["guid"], "guid": ids["guid"]},
    ]
    return [*known, *more, {}]


@pytest.mark.django_db(transaction=True)
def test_no_rest_route_reaches_into_another_project():
    mine, other = two_places()
    attacker, before = Api(mine.owner), other.state()
    tried = 0
    for method, route in rest_routes():
        if route in OPEN | OWN or route.endswith("/events/stream/"):
            continue
        parts = _PART.findall(route)
        assert set(parts) <= other.ids.keys(), f"give {route} an id"
        ways = [{**other.ids}]  # everything is the other project's
        if set(parts) - {"guid"}:
            ways.append({**other.ids, "guid": mine.ids["guid"]})  # their things under my address
            ways.append({**mine.ids, "guid": other.ids["guid"]})  # my things under their address
        ways.append({**other.ids, **{name: mine.ids[name] for name in parts}})  # my address, their ids in the body
        for ids in ways:
            path = _PART.sub("{}", route).format(*(ids[name] for name in parts))
            own = all(ids[name] == mine.ids[name] for name in parts)
            for body in bodies_of(method, route, other):
                answer = attacker.call(method, path, json=body)
                tried += 1
                told = json.dumps(answer.json)
                assert MARKER not in told, (method, path, body)
                if not own:
                    # In my own project the body is looked at before what it is about: the same as for what is absent.
                    wrong_body = {400} if ids["guid"] == mine.ids["guid"] else set()
                    assert answer.status in {404, 405} | wrong_body, (method, path, body, answer)
    assert tried > 200
    assert other.state() == before


@pytest.mark.django_db(transaction=True)
def test_cursors_keys_and_searches_lead_nowhere_else():
    mine, other = two_places()
    attacker, victim, before = Api(mine.owner), Api(other.owner), other.state()
    page = victim.get("messages/?limit=1", other.project).json
    cursor = (page["next"] or page["previous"] or "").partition("cursor=")[2].partition("&")[0]
    for path in ("messages/", "tasks/", "runs/", "feedback/", "approvals/"):
        answer = attacker.get(
            f"{path}?cursor={cursor}&search={MARKER}&q={MARKER}&project={other.ids['guid']}", mine.project
        )
        assert MARKER not in json.dumps(answer.json), path
    for query in (f"epoch={other.state()[0]['epoch']}&after=0", f"after=0&projectGuid={other.ids['guid']}"):
        assert MARKER not in json.dumps(attacker.get(f"events/?{query}", mine.project).json)
    # The same key for the same wish, by another person: theirs is not repeated to me.
    theirs = victim.post("messages/", other.project, {"message": MARKER}, headers={"Idempotency-Key": "k"})
    assert theirs.status == 201
    ours = attacker.post("messages/", mine.project, {"message": "x"}, headers={"Idempotency-Key": "k"})
    assert ours.status == 201
    assert MARKER not in json.dumps(ours.json)
    assert (
        attacker.post("messages/", other.project, {"message": MARKER}, headers={"Idempotency-Key": "k"}).status == 404
    )
    assert other.state()[1] == before[1] + 1


@pytest.mark.django_db(transaction=True)
def test_lists_of_everything_hold_only_what_is_mine():
    mine, _ = two_places()
    for path in ("projects/", "inbox/", "me/"):
        assert MARKER not in json.dumps(Api(mine.owner).get(path).json), path


@pytest.mark.django_db
@pytest.mark.parametrize(
    "field", ["author", "actor", "createdBy", "seq", "createdAt", "role", "projectGuid", "html", "id"]
)
def test_nobody_writes_in_another_name(field):
    project = a_project(a_person("owner"))
    bob = a_member(project, "contributor")
    for path, body in (("messages/", {"message": "x"}), ("tasks/", {"title": "x"}), ("feedback/", {"content": "x"})):
        answer = Api(bob).post(path, project, body | {field: "forged"})
        assert (answer.status, answer.code) == (400, "invalid_field"), answer


# --- the socket ---------------------------------------------------------------------------------------------------

FIELDS = {
    "taskId": "task_id", "runId": "run_id", "agentId": "agent_id", "approvalId": "approval_id",
    "messageId": "message_id", "replyToId": "message_id", "stageId": "stage_id", "planId": "plan_id",
    "toolCallId": "tool_call_id", "argsDigest": "digest", "path": "path",
}  # fmt: skip
LISTS = {"taskIds": "task_id", "dependsOn": "task_id"}
CHOSEN: dict[str, Any] = {
    "decision": "reject", "token": "x.y.z", "topics": ["tasks"], "panes": ["room"], "expiresAt": None, "t": 1,
    "epoch": None, "lastSeq": 0, "afterSeq": 0, "seq": 1, "version": None, "editedArgs": None, "remember": None,
    "assignee": None, "attachments": None, "files": [], "position": 1.0, "line": 1, "rating": None,
}  # fmt: skip
"""Values that name nothing."""


def data_of(kind: Any, other: Place) -> dict[str, Any]:
    """Return data for a command with an id of the other project in every field that can hold one."""
    made: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name in FIELDS:
            made[name] = other.ids[FIELDS[name]]
        elif name in LISTS:
            made[name] = [other.ids[LISTS[name]]]
        elif name == "topic":
            made[name] = f"project:{other.ids['guid']}/tasks"
        elif name in CHOSEN:
            if CHOSEN[name] is not None:
                made[name] = CHOSEN[name]
        else:
            made[name] = sample(field.type, other, name)
    return {name: value for name, value in made.items() if value is not None}


def sample(kind: Any, other: Place, name: str) -> Any:
    if hasattr(kind, "__struct_fields__"):
        return data_of(kind, other)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind)).value
    text = str(kind)
    if hasattr(kind, "__args__") and any(hasattr(part, "__struct_fields__") for part in kind.__args__):
        return data_of(next(part for part in kind.__args__ if hasattr(part, "__struct_fields__")), other)
    if hasattr(kind, "__args__") and any(
        isinstance(part, type) and issubclass(part, enum.Enum) for part in kind.__args__
    ):
        return None
    for word, value in (("bool", True), ("str", "x"), ("int", 1), ("float", 1.0)):
        if word in text:
            return None if "None" in text or "Unset" in text else value
    raise AssertionError(f"say in FIELDS or CHOSEN what a field {name!r} of type {kind} names")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("address", ["other", "mine"])
async def test_no_command_reaches_into_another_project(manager, address):
    mine, other = await do(two_places)
    before = await do(other.state)
    project = (other if address == "other" else mine).project
    async with await Browser.open(mine.owner) as tab:
        await tab.join(mine.project)
        for name, row in COMMANDS.items():
            data = data_of(row.payload, other)
            try:
                reply = await asyncio.wait_for(tab.command(name, data, project), 1)
            except (TimeoutError, Closed):
                reply = {"type": "silence"}  # some commands are never answered
            if address == "other" and row.needs is not None:
                assert reply["type"] in {"error", "silence"}, (name, reply)
                if reply["type"] == "error":
                    assert reply["data"]["code"] in {"not_found", "not_joined"}, (name, reply)
            if name == "leave_project" and address == "mine":
                await tab.join(mine.project)
        frames = "".join(tab.frames)
    assert MARKER not in frames
    assert await do(other.state) == before


@pytest.mark.django_db(transaction=True)
async def test_the_same_over_http(manager):
    mine, other = await do(two_places)
    before = await do(other.state)
    api = await sync_to_async(Api)(mine.owner)
    for project in (mine.project, other.project):
        for number, (name, row) in enumerate(COMMANDS.items()):
            if not row.over_http:
                continue
            command = {"type": name, "id": f"c{number}-{project.name[:4]}", "data": data_of(row.payload, other)}
            answer = await sync_to_async(api.post, thread_sensitive=False)("commands/", project, command)
            assert MARKER not in json.dumps(answer.json), name
            if project is other.project:
                assert answer.status == 404, (name, answer)
    assert await do(other.state) == before


@pytest.mark.django_db(transaction=True)
async def test_a_group_of_the_layer_is_nothing_that_a_client_can_name(manager):
    mine, other = await do(two_places)
    async with await Browser.open(mine.owner) as tab:
        guid = other.ids["guid"]
        for topic in (
            f"project:{guid}/tasks",
            f"autocode.room.{guid}",
            "autocode.control",
            "system/stats",
            "*",
            f"project:{guid}",
        ):
            for action in ("subscribe", "join", "send"):
                await tab.line.send(json.dumps({"action": action, "topic": topic}))
            await tab.line.send(json.dumps({"type": "subscribe", "data": {"topic": topic}, "id": f"s{len(topic)}"}))
        await do(TaskService(AGENTS_SERVER).create, guid=other.project.guid, title=MARKER)
        await tab.command("ping", {})
        await tab.nothing_more("subscribed", "task_created")
        assert MARKER not in "".join(tab.frames)
