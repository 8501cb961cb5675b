"""The rooms over HTTP: the same log, cursor, rights and commands as over the socket."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import transaction
from django.test import AsyncClient

from apps.projects.models import Project, ProjectEvent
from apps.projects.services.members import MembershipService
from apps.projects.services.tasks import TaskService
from apps.realtime.broadcaster import broadcaster
from tests.realtime.conftest import bearer, body, do
from tests.realtime.test_rooms import add_tasks
from tests.realtime.test_sse import stream
from tests.support.browser import token_of
from tests.support.factories import a_person

# --- reading --------------------------------------------------------------------------------------------------------


async def test_the_list_has_the_same_envelopes_as_the_socket(manager, project, ada, browsers, api):
    tab = await browsers(ada)
    joined = await tab.join(project)
    await add_tasks(ada, project, 3)
    live = await tab.events(3)
    page = await body(await api("events/", after=joined["lastSeq"], epoch=joined["epoch"]))
    assert page["results"] == live
    assert (page["epoch"], page["lastSeq"], page["recovered"]) == (joined["epoch"], live[-1]["seq"], True)
    assert (page["next"], page["previous"]) == (None, None)
    assert [envelope["type"] for envelope in page["live"]] == ["agents_link", "presence_state"]
    assert [member["username"] for member in page["live"][1]["data"]["members"]] == ["ada"]


async def test_what_only_a_newer_version_knows_stops_no_reader(manager, project, ada, browsers, api, monkeypatch):
    """While versions change hands, the log holds types that this process has never heard of."""

    def work() -> list[int]:
        with transaction.atomic():
            service = TaskService(ada.actor)
            seqs = [service.create(guid=project.guid, title=f"Task {number}").seq for number in range(3)]
            ProjectEvent.objects.filter(project=project, seq=seqs[1]).update(type="from_tomorrow")
        return seqs

    monkeypatch.setattr(broadcaster, "_publish", lambda *_: None)
    tab = await browsers(ada)
    joined = await tab.join(project)
    seqs = await do(work)
    live = await tab.events(3)
    assert [event["seq"] for event in live] == seqs
    assert live[1]["type"] == "from_tomorrow"
    assert live[1]["topic"] == f"project:{project.guid}/room"
    back = await browsers(ada)
    assert (await back.join(project, lastSeq=1, epoch=joined["epoch"]))["recovered"] is True
    assert (await back.events(seqs[-1] - 1))[-3:] == live
    for query in ({"after": joined["lastSeq"]}, {"before": seqs[-1] + 1, "limit": 3}):
        assert (await body(await api("events/", **query)))["results"] == live


async def test_pages_lead_forward_and_back(manager, project, ada, api):
    await add_tasks(ada, project, 5)
    first = await body(await api("events/", after=0, limit=3))
    assert [event["seq"] for event in first["results"]] == [1, 2, 3]
    second = await body(await AsyncClient().get(first["next"], headers=bearer(ada)))
    assert [event["seq"] for event in second["results"]] == [4, 5, 6]
    newest = await body(await api("events/", before=10_000, limit=2))
    top = newest["lastSeq"]
    assert [event["seq"] for event in newest["results"]] == [top - 1, top]
    older = await body(await AsyncClient().get(newest["previous"], headers=bearer(ada)))
    assert [event["seq"] for event in older["results"]] == [top - 3, top - 2]
    assert len((await body(await api("events/", after=0, limit=10_000_000)))["results"]) == top


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": "x"}, "after"),
        ({"after": "-1"}, "after"),
        ({"after": "٣"}, "after"),
        ({"limit": "0"}, "limit"),
        ({"after": 1, "before": 2}, "before"),
        ({"wait": "soon"}, "wait"),
    ],
)
async def test_a_wrong_query_names_its_field(manager, api, query, field):
    response = await api("events/", **query)
    assert response.status_code == 400
    assert (await body(response))["error"]["field"] == field


async def test_a_cursor_that_is_no_good_says_why(manager, project, ada, api):
    await add_tasks(ada, project, 4)
    other = await body(await api("events/", after=1, epoch="another"))
    assert (other["recovered"], other["reason"], other["results"]) == (False, "epoch_changed", [])
    ahead = await body(await api("events/", after=10_000))
    assert (ahead["recovered"], ahead["reason"]) == (False, "epoch_changed")

    def trim() -> None:
        ProjectEvent.objects.filter(project=project, seq__lt=4).delete()
        Project.objects.filter(pk=project.pk).update(first_seq=4)

    await do(trim)
    trimmed = await body(await api("events/", after=1))
    assert (trimmed["recovered"], trimmed["reason"]) == (False, "trimmed")


async def test_a_long_poll_answers_when_something_happens(manager, project, ada, api):
    top = (await body(await api("events/", before=10_000)))["lastSeq"]
    poll = asyncio.create_task(api("events/", after=top, wait=20))
    await asyncio.sleep(0.2)
    assert not poll.done()
    (seq,) = await add_tasks(ada, project, 1)
    page = await body(await asyncio.wait_for(poll, 2))
    assert [event["seq"] for event in page["results"]] == [seq]


async def test_a_long_poll_of_somebody_who_is_removed_is_refused(manager, project, ada, member, api):
    bob = await member("viewer", "bob")
    top = (await body(await api("events/", before=10_000)))["lastSeq"]
    poll = asyncio.create_task(api("events/", bob, after=top, wait=20))
    await asyncio.sleep(0.1)
    await do(MembershipService(ada.actor).remove, guid=project.guid, user_id=bob.pk)
    assert (await asyncio.wait_for(poll, 2)).status_code == 404


async def test_the_snapshot_is_what_a_join_gives(manager, project, ada, browsers, api):
    tab = await browsers(ada)
    joined = await tab.join(project)
    given = await body(await api("snapshot/"))
    assert given["snapshot"] == joined["snapshot"]
    assert {name: given[name] for name in joined if name != "link"} == {
        name: joined[name] for name in joined if name != "link"
    }


async def test_who_may_not_is_told_so(manager, project, ada, api):
    stranger = await do(a_person)
    for path in ("events/", "snapshot/", "events/stream/"):
        assert (await api(path, stranger)).status_code == 404
        anonymous = await AsyncClient().get(f"/api/v1/projects/{project.guid}/{path}")
        assert anonymous.status_code == 401
        assert (await body(anonymous))["error"]["code"] == "not_authenticated"
        assert anonymous["WWW-Authenticate"] == "Bearer"
    expired = await AsyncClient().get(
        f"/api/v1/projects/{project.guid}/events/", headers={"Authorization": f"Bearer {token_of(ada, -5)}"}
    )
    assert (await body(expired))["error"]["code"] == "token_expired"
    assert (await AsyncClient().put(f"/api/v1/projects/{project.guid}/events/")).status_code == 405


# --- commands -------------------------------------------------------------------------------------------------------


async def post(project: Any, envelope: Any, person: Any = None, **headers: str) -> Any:
    return await AsyncClient().post(
        f"/api/v1/projects/{project.guid}/commands/",
        json.dumps(envelope),
        content_type="application/json",
        headers=(bearer(person) if person else {}) | headers,
    )


async def test_a_command_over_http_is_the_same_command(manager, project, ada, browsers):
    tab = await browsers(ada)
    await tab.join(project)
    response = await post(project, {"type": "create_task", "data": {"title": "Over HTTP"}, "id": "h1"}, ada)
    assert response.status_code == 200
    reply = await body(response)
    (event,) = await tab.events(1)
    assert (reply["type"], reply["replyTo"], reply["data"]["seq"]) == ("ack", "h1", event["seq"])
    again = await body(
        await post(project, {"type": "create_task", "data": {"title": "Over HTTP"}}, ada, **{"Idempotency-Key": "h1"})
    )
    assert again["data"]["duplicate"] is True
    over_the_socket = await tab.command("create_task", {"title": "Over HTTP"}, project, command_id="h1")
    assert over_the_socket["data"]["duplicate"] is True
    await tab.nothing_more()


@pytest.mark.parametrize(
    ("envelope", "status", "code"),
    [
        ({"type": "join_project"}, 400, "unknown_type"),
        ({"type": "teleport"}, 400, "unknown_type"),
        ({"type": "create_task", "data": {}}, 400, "invalid_field"),
        ([{"type": "ping"}, {"type": "ping"}], 400, "invalid_message"),
        ({"type": "create_task", "projectGuid": "0190a0de-0000-7000-8000-000000000000"}, 400, "invalid_field"),
        ({"type": "update_task", "data": {"taskId": "none"}}, 404, "not_found"),
        ({"type": "create_task", "data": {"title": "x" * 40_000}}, 413, "too_large"),
    ],
)
async def test_a_bad_command_has_the_status_of_its_error(manager, project, ada, envelope, status, code):
    response = await post(project, envelope, ada)
    assert (response.status_code, (await body(response))["error"]["code"]) == (status, code)


async def test_roles_and_rates_count_over_http_too(manager, project, ada, member):
    from apps.realtime.user_limits import MemoryUserRate

    viewer = await member("viewer")
    assert (await post(project, {"type": "create_task", "data": {"title": "x"}}, viewer)).status_code == 403
    stranger = await do(a_person)
    assert (await post(project, {"type": "create_task", "data": {"title": "x"}}, stranger)).status_code == 404
    manager.router._user_rate = MemoryUserRate(1.0)
    assert (await post(project, {"type": "create_task", "data": {"title": "x"}}, ada)).status_code == 200
    limited = await post(project, {"type": "create_task", "data": {"title": "y"}}, ada)
    assert limited.status_code == 429
    assert int(limited["Retry-After"]) >= 1


async def test_a_session_needs_the_csrf_token_and_a_bearer_does_not(manager, project, ada):
    client = AsyncClient(enforce_csrf_checks=True)
    await client.aforce_login(ada)
    address = f"/api/v1/projects/{project.guid}/commands/"
    envelope = json.dumps({"type": "create_task", "data": {"title": "x"}})
    refused = await client.post(address, envelope, content_type="application/json")
    assert refused.status_code == 403
    assert (await body(refused))["error"]["code"] == "forbidden"
    client.cookies["csrftoken"] = "a" * 32
    allowed = await client.post(address, envelope, content_type="application/json", headers={"X-CSRFToken": "a" * 32})
    assert allowed.status_code == 200
    assert (await client.get(f"/api/v1/projects/{project.guid}/events/")).status_code == 200


async def test_every_way_shows_the_same_room(manager, project, ada, browsers, api):
    """WebSocket, event stream and long poll, each begun from a cursor, give the same envelopes in the same order."""
    await add_tasks(ada, project, 3)
    tab = await browsers(ada)
    await tab.join(project, lastSeq=2)
    events = await stream(project, ada, **{"Last-Event-ID": f"{project.epoch}:2"})
    await add_tasks(ada, project, 3)
    top = (await body(await api("events/", before=10_000)))["lastSeq"]
    over_socket = await tab.events(top - 2)
    over_stream = [envelope for _, envelope in await events.durable(top - 2)]
    over_poll: list[Any] = []
    while len(over_poll) < top - 2:
        after = over_poll[-1]["seq"] if over_poll else 2
        over_poll += (await body(await api("events/", after=after, limit=2, wait=1)))["results"]
    assert over_socket == over_stream == over_poll
