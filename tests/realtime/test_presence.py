"""Who is here: tabs counted once, a reload does not flap, nothing depends on a goodbye."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from apps.realtime.members import Entry
from apps.realtime.presence import MemoryPresence, PresenceStore, RedisPresence


def names(diff: dict[str, Any]) -> list[str]:
    return [member["username"] for member in diff["data"]["joined"]]


async def test_people_come_and_go(manager, project, ada, member, browsers):
    bob = await member("viewer", "bob")
    tab = await browsers(ada)
    await tab.join(project)
    other = await browsers(bob)
    joined = await other.join(project)
    assert [member["username"] for member in joined["presence"]] == ["ada", "bob"]
    diff = await tab.until(lambda one: one["type"] == "presence_diff" and "bob" in names(one))
    (seen,) = diff["data"]["joined"]
    assert (seen["role"], seen["tabs"], seen["state"], seen["typing"]) == ("viewer", 1, "active", False)
    assert "seq" not in diff
    await other.leave()
    gone = await tab.until(lambda one: one["type"] == "presence_diff" and one["data"]["left"])
    assert gone["data"] == {"joined": [], "left": [str(bob.pk)]}


async def test_three_tabs_of_which_two_close_and_one_reloads_never_leave(manager, project, ada, member, browsers):
    bob = await member("viewer", "bob")
    tab = await browsers(ada)
    await tab.join(project)
    tabs = [await browsers(bob) for _ in range(3)]
    for one in tabs:
        await one.join(project)
    await tab.until(lambda one: one["type"] == "presence_diff" and one["data"]["joined"][0]["tabs"] == 3)
    for one in tabs:
        await one.leave()
    back = await browsers(bob)
    await back.join(project)
    await tab.until(
        lambda one: one["type"] == "presence_diff" and [member["tabs"] for member in one["data"]["joined"]] == [1],
        patience=2,
    )
    await asyncio.sleep(0.2)
    assert not [one for one in tab.received if one["type"] == "presence_diff" and one["data"]["left"]]


async def test_typing_ends_by_itself_and_focus_is_shown(manager, project, ada, member, browsers, settings):
    settings.AUTOCODE_TYPING_S = 0.2
    bob = await member("contributor", "bob")
    tab, other = await browsers(ada), await browsers(bob)
    await tab.join(project)
    await other.join(project)

    async def until(**fields: Any) -> dict[str, Any]:
        found = await tab.until(
            lambda one: (
                one["type"] == "presence_diff"
                and any(
                    member["username"] == "bob" and all(member[name] == value for name, value in fields.items())
                    for member in one["data"]["joined"]
                )
            )
        )
        return dict(found["data"]["joined"][0])

    await other.send({"type": "typing", "projectGuid": str(project.guid), "data": {"on": True}})
    await until(typing=True)
    await until(typing=False)
    focus = {"panes": ["tasks"], "agentId": "a1"}
    await other.send({"type": "focus", "projectGuid": str(project.guid), "data": focus})
    await until(focus=focus, state="active")
    await other.send({"type": "focus", "projectGuid": str(project.guid), "data": {"panes": []}})
    await until(state="idle")


async def test_a_viewer_may_not_type(manager, project, member, browsers):
    tab = await browsers(await member("viewer"))
    await tab.join(project)
    assert (await tab.refused("typing", {"on": True}, project))["code"] == "forbidden"


async def test_entries_of_a_process_that_died_disappear(manager, project, ada, browsers):
    tab = await browsers(ada)
    await tab.join(project)
    ghost = Entry("ghost", "ghost", "viewer", "2026-01-01T00:00:00.000Z", time.monotonic() + 0.3)
    room = manager.rooms[str(project.guid)]
    await manager.presence.store.put(room.guid, {"dead": ghost})
    await manager.presence.refresh([room])
    assert names(await tab.until(lambda one: one["type"] == "presence_diff" and "ghost" in names(one)))
    await asyncio.sleep(0.35)
    await manager.presence.refresh([room])
    assert (await tab.until(lambda one: one["type"] == "presence_diff" and one["data"]["left"]))["data"]["left"] == [
        "ghost"
    ]


async def test_a_crowd_costs_a_few_rounds_and_everybody_is_told_of_everybody(manager, project, ada, member, browsers):
    tab = await browsers(ada)
    await tab.join(project)
    puts = 0
    put = manager.presence.store.put

    async def counted(*args: Any) -> None:
        nonlocal puts
        puts += 1
        await put(*args)

    manager.presence.store.put = counted
    people = [await member("viewer", f"p{number}") for number in range(20)]
    tabs = [await browsers(person) for person in people]
    answers = await asyncio.gather(*(one.join(project) for one in tabs))
    for person, answer in zip(people, answers, strict=True):
        shown = [one["username"] for one in answer["presence"]]
        assert person.username in shown
        assert len(shown) == len(set(shown))
    everybody = {"ada", *(person.username for person in people)}
    for one, answer in zip(tabs, answers, strict=True):
        known = {each["username"] for each in answer["presence"]}
        while known < everybody:
            known |= set(names(await one.next("presence_diff")))
    assert puts < 10


async def test_a_store_that_fails_costs_nobody_the_room(manager, project, ada, browsers, monkeypatch):
    async def away(*_: Any) -> Any:
        raise ConnectionError

    for name in ("put", "remove", "entries"):
        monkeypatch.setattr(manager.presence.store, name, away)
    tab = await browsers(ada)
    assert [member["username"] for member in (await tab.join(project))["presence"]] == ["ada"]


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        yield MemoryPresence()
        return
    from redis.asyncio import Redis

    client = Redis.from_url(request.getfixturevalue("redis_url"))
    made: PresenceStore = RedisPresence(client, f"test-{time.time_ns()}", 60)
    yield made
    await made.close()


async def test_both_stores_keep_the_same_promises(store: PresenceStore) -> None:
    now = time.monotonic()
    here = Entry("u", "ada", "owner", "2026-01-01T00:00:00.000Z", now + 60, panes=["a"], agent_id="x")
    await store.put("g", {"c1": here, "c2": Entry("v", "bob", "viewer", "2026", now - 1)})
    await store.put("other", {"c3": here})
    (found,) = await store.entries("g")
    assert abs(found.expires - here.expires) < 1  # it went by another clock meanwhile
    assert msgspec.structs.replace(found, expires=here.expires) == here
    await store.remove("g", ["c1", "never"])
    assert await store.entries("g") == []
    assert [one.user_id for one in await store.entries("other")] == ["u"]


async def test_the_rate_of_a_user_is_shared_through_redis(redis_url: str) -> None:
    from redis.asyncio import Redis

    from apps.realtime.user_limits import RedisUserRate

    prefix = f"test-{time.time_ns()}"
    one = RedisUserRate(Redis.from_url(redis_url), prefix, 5.0)
    two = RedisUserRate(Redis.from_url(redis_url), prefix, 5.0)
    waits = [await limiter.take("u") for _ in range(4) for limiter in (one, two)]
    assert waits.count(0) == 5  # tokens are fetched in lots: which process has the last ones is a matter of luck
    assert all(0 < wait <= 200 for wait in waits if wait)
    assert await one.take("another") == 0
    await one.close()
    await two.close()


async def test_without_redis_a_process_counts_for_itself() -> None:
    from redis.asyncio import Redis

    from apps.realtime.user_limits import RedisUserRate

    limiter = RedisUserRate(Redis(port=1), "x", 2.0)
    assert [await limiter.take("u") for _ in range(3)][:2] == [0, 0]
    await limiter.close()
