"""A connection from the handshake to the close: who may open one, how long it lives, and with which code it ends."""

# ruff: noqa: PLR0917 - fixtures are arguments

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.sessions import session_hash
from apps.core import clock
from apps.projects.permissions import Role
from apps.projects.records import AccessChange
from apps.projects.services.members import MembershipService
from apps.projects.signals import access_changed
from apps.realtime.broadcaster import broadcaster
from apps.realtime.close_codes import CloseCode
from apps.realtime.config import config
from tests.realtime.conftest import do, until
from tests.support.browser import Browser, Refused, session_of, token_of
from tests.support.factories import a_project


def retune(manager: Any, **values: Any) -> None:
    """Change figures of the running manager."""
    import dataclasses

    manager.config = dataclasses.replace(config(), **values)


async def last_words(tab: Browser) -> dict[str, Any]:
    """Return the data of the last error."""
    return dict([one for one in tab.received if one["type"] == "error"][-1]["data"])


# --- handshake ------------------------------------------------------------------------------------------------------


async def test_a_token_rides_as_a_subprotocol_and_is_never_echoed(manager, ada, browsers, caplog):
    token = token_of(ada)
    tab = await browsers(token=token)
    hello = await tab.next("authenticated")
    assert hello["data"]["userId"] == str(ada.pk)
    assert hello["data"]["expiresAt"].endswith("Z")
    assert token not in caplog.text
    assert token not in "".join(tab.frames)


async def test_a_session_logs_in_with_the_origin_of_the_same_host(manager, ada, browsers):
    tab = await browsers(ada, by="session")
    assert (await tab.next("authenticated"))["data"]["username"] == "ada"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://testserver",
        "http://testserver:81",
        "null",
        "http://testserver.evil.example",
        "x",
    ],
)
async def test_another_origin_is_refused_before_the_accept(manager, ada, browsers, origin):
    session = await do(session_of, ada)
    with pytest.raises(Refused):
        await browsers(session=session, origin=origin)


async def test_an_origin_that_is_trusted_by_name_is_let_in(manager, ada, browsers, settings):
    settings.AUTOCODE_TRUSTED_ORIGINS = ["https://rooms.example.org"]
    session = await do(session_of, ada)
    tab = await browsers(session=session, origin="https://rooms.example.org")
    assert await tab.next("authenticated")


async def test_a_cookie_without_an_origin_does_not_count(manager, ada, browsers):
    session = await do(session_of, ada)
    tab = await browsers(session=session, origin="")
    assert (await tab.refused("join_project", {}, "0190a0de-0000-7000-8000-000000000000"))[
        "code"
    ] == "not_authenticated"


async def test_a_host_that_is_not_ours_is_refused(manager, ada, browsers):
    with pytest.raises(Refused):
        await browsers(origin="http://rebound.example", host="rebound.example")


async def test_a_token_in_the_address_is_refused(manager, ada, browsers):
    tab = await browsers(query=f"?token={token_of(ada)}")
    assert await tab.closed() == CloseCode.BAD_CREDENTIALS
    assert (await last_words(tab))["code"] == "not_authenticated"


async def test_only_unknown_subprotocols_are_closed_with_4410(manager, browsers):
    tab = await browsers(subprotocols=["graphql-ws"])
    assert await tab.closed() == CloseCode.NO_COMMON_SUBPROTOCOL


async def test_no_subprotocol_at_all_is_fine(manager, ada, browsers):
    tab = await browsers(subprotocols=[])
    reply = await tab.command("authenticate", {"token": token_of(ada)})
    assert reply["type"] == "authenticated"


# --- logging in -----------------------------------------------------------------------------------------------------


async def test_a_bad_token_is_closed_with_4401_and_an_expired_one_with_4301(manager, ada, browsers):
    bad = await browsers(token="not.a.token")
    assert await bad.closed() == CloseCode.BAD_CREDENTIALS
    expired = await browsers(token=token_of(ada, seconds=-5))
    assert await expired.closed() == CloseCode.TOKEN_EXPIRED
    assert (await last_words(expired))["code"] == "token_expired"
    late = await browsers()
    await late.send({"type": "authenticate", "data": {"token": "x"}, "id": "a"})
    assert await late.closed() == CloseCode.BAD_CREDENTIALS
    assert late.received[-1]["replyTo"] == "a"


async def test_who_does_not_log_in_is_closed_with_4302(manager, browsers, settings):
    retune(manager, auth_timeout_s=0.2)
    tab = await browsers()
    assert (await tab.refused("mark_read", {"seq": 1}))["code"] == "not_authenticated"
    assert await tab.closed() == CloseCode.NOT_AUTHENTICATED
    assert (await last_words(tab))["code"] == "not_authenticated"


async def test_a_live_socket_is_renewed_for_the_same_user_only(manager, project, ada, member, browsers):
    tab = await browsers(token=token_of(ada, seconds=30))
    first = await tab.next("authenticated")
    assert (await tab.next("token_expiring"))["data"] == {"expiresAt": first["data"]["expiresAt"]}
    renewed = await tab.command("authenticate", {"token": token_of(ada, seconds=3_600)})
    assert renewed["data"]["expiresAt"] > first["data"]["expiresAt"]
    bob = await member()
    assert (await tab.refused("authenticate", {"token": token_of(bob)}))["code"] == "forbidden"
    assert (await tab.refused("authenticate", {"token": "rubbish"}))["code"] == "not_authenticated"
    assert (await tab.refused("authenticate", {"token": token_of(ada, seconds=-5)}))["code"] == "token_expired"
    assert (await tab.join(project))["username"] == "ada"


async def test_an_expired_token_ends_the_socket_with_4301(manager, ada, browsers, move_clock):
    retune(manager, heartbeat_s=10**6)
    tab = await browsers(token=token_of(ada, seconds=100))
    await tab.next("authenticated")
    move_clock(50)
    await tab.next("token_expiring")
    move_clock(51)
    assert await tab.closed() == CloseCode.TOKEN_EXPIRED


async def test_an_expired_session_ends_the_socket_with_4409(manager, ada, browsers, move_clock):
    retune(manager, heartbeat_s=10**6)
    tab = await browsers(ada, by="session")
    await tab.next("authenticated")
    move_clock(12 * 3600 + 1)
    assert await tab.closed() in {CloseCode.SESSION_ENDED, CloseCode.MAXIMUM_AGE}


# --- losing rights --------------------------------------------------------------------------------------------------


async def test_a_removed_member_sees_nothing_more_within_a_second(manager, project, ada, member, browsers):
    bob = await member("contributor", "bob")
    tab = await browsers(bob)
    await tab.join(project)
    start = clock.monotonic()
    await do(MembershipService(ada.actor).remove, guid=project.guid, user_id=bob.pk)
    assert (await tab.next("error"))["data"]["code"] == "forbidden"
    assert (await tab.next("project_left"))["data"] == {"reason": "removed"}
    assert await tab.closed() == CloseCode.NO_LONGER_ALLOWED
    assert clock.monotonic() - start < 1.0
    again = await browsers(bob)
    assert (await again.refused("join_project", {"lastSeq": 1}, project))["code"] == "not_found"


async def test_a_removal_whose_message_is_lost_is_noticed_all_the_same(
    manager, project, ada, member, browsers, monkeypatch
):
    bob = await member("contributor", "bob")
    tab = await browsers(bob)
    await tab.join(project)
    monkeypatch.setattr(broadcaster, "access", lambda change: None)
    await do(MembershipService(ada.actor).remove, guid=project.guid, user_id=bob.pk)
    assert await tab.closed(patience=2) == CloseCode.NO_LONGER_ALLOWED


async def test_who_has_another_room_keeps_the_socket(manager, project, ada, member, browsers):
    bob = await member("contributor", "bob")
    other = await do(a_project, bob)
    tab = await browsers(bob)
    await tab.join(project)
    await tab.join(other)
    await do(MembershipService(ada.actor).remove, guid=project.guid, user_id=bob.pk)
    left = await tab.next("project_left")
    assert left["projectGuid"] == str(project.guid)
    assert (await tab.command("ping"))["data"]["rooms"].keys() == {str(other.guid)}


async def test_a_changed_role_is_told_and_counts_at_once(manager, project, ada, member, browsers):
    bob = await member("viewer", "bob")
    tab = await browsers(bob)
    await tab.join(project)
    assert (await tab.refused("create_task", {"title": "no"}, project))["code"] == "forbidden"
    await do(MembershipService(ada.actor).change_role, guid=project.guid, user_id=bob.pk, role=Role.CONTRIBUTOR)
    told = (await tab.next("project_joined"))["data"]
    assert (told["role"], told["recovered"]) == ("contributor", True)
    assert "snapshot" not in told
    assert (await tab.command("create_task", {"title": "yes"}, project))["type"] == "ack"


async def test_a_session_that_ends_closes_its_sockets_and_no_others(manager, ada, browsers):
    session = await do(session_of, ada)
    tab = await browsers(session=session)
    other = await browsers(ada, by="session")
    await tab.next("authenticated")
    await other.next("authenticated")
    change = AccessChange(user_id=str(ada.pk), session_hash=session_hash(session), reason="logout")
    access_changed.send(sender=None, change=change)
    assert await tab.closed() == CloseCode.SESSION_ENDED
    assert (await other.command("ping"))["type"] == "pong"


async def test_a_disabled_user_is_put_out_everywhere(manager, project, ada, member, browsers):
    bob = await member("contributor", "bob")
    tab = await browsers(bob)
    await tab.join(project)
    bob.is_active = False
    await do(bob.save)
    assert await tab.closed() in {CloseCode.SESSION_ENDED, CloseCode.NO_LONGER_ALLOWED}


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_too_many_connections_of_a_user_are_closed_with_4408(manager, ada, browsers):
    retune(manager, connections_per_user=2)
    for _ in range(2):
        await (await browsers(ada)).next("authenticated")
    third = await browsers(ada)
    assert await third.closed() == CloseCode.TOO_MANY_CONNECTIONS
    assert (await last_words(third))["code"] == "rate_limited"


async def test_too_many_connections_of_an_address_are_closed_with_4408(manager, ada, browsers):
    retune(manager, connections_per_address=1)
    await (await browsers(ada)).next("authenticated")
    assert await (await browsers(ada)).closed() == CloseCode.TOO_MANY_CONNECTIONS


async def test_a_connection_joins_a_bounded_number_of_rooms(manager, project, ada, browsers):
    retune(manager, rooms_per_connection=1)
    other = await do(a_project, ada)
    tab = await browsers(ada)
    await tab.join(project)
    assert (await tab.refused("join_project", {}, other))["code"] == "conflict"
    await tab.join(project)


async def test_too_many_commands_are_refused_and_who_goes_on_is_closed_with_4202(manager, project, ada, browsers):
    retune(manager, commands_per_s=1.0, command_burst=5, excess_commands=10)
    tab = await browsers(ada)
    for number in range(8):
        await tab.send({"type": "mark_read", "data": {"seq": 1}, "id": f"n{number}"})
    refusal = await tab.until(lambda one: one.get("replyTo") == "n7")
    assert refusal["data"]["code"] == "rate_limited"
    assert refusal["data"]["retryable"] is True
    assert refusal["data"]["retryAfterMs"] > 0
    assert (await tab.command("ping"))["type"] == "pong"
    for _ in range(12):
        await tab.send({"type": "mark_read", "data": {"seq": 1}})
    assert await tab.closed() == CloseCode.RATE_LIMITED
    assert (await last_words(tab))["retryAfterMs"] >= 5_000


async def test_feedback_has_a_rate_of_its_own(manager, project, ada, browsers):
    retune(manager, feedbacks_per_s=1.0)
    tab = await browsers(ada)
    await tab.join(project)
    first = await tab.command("user_feedback", {"content": "Make it blue"}, project)
    assert first["type"] == "user_feedback_response", first
    assert first["data"]["state"] == "received"
    assert (await tab.refused("user_feedback", {"content": "no, red"}, project))["code"] == "rate_limited"


async def test_a_user_has_one_rate_across_connections(manager, project, ada, browsers):
    from apps.realtime.user_limits import MemoryUserRate

    manager.router._user_rate = MemoryUserRate(3.0)
    tabs = [await browsers(ada) for _ in range(4)]
    codes = []
    for number, tab in enumerate(tabs):
        codes.append((await tab.command("subscribe", {"topic": f"project:{project.guid}/tasks"}))["type"])
        assert number < 3 or codes[-1] == "error"
    assert codes == ["subscribed", "subscribed", "subscribed", "error"]


async def test_too_many_malformed_frames_are_closed_with_4400(manager, ada, browsers):
    retune(manager, bad_frames=3)
    tab = await browsers(ada)
    for _ in range(3):
        await tab.line.send("{nonsense")
        assert (await tab.next("error"))["data"]["code"] == "malformed_json"
    assert (await tab.command("ping"))["type"] == "pong"
    await tab.line.send("{nonsense")
    assert await tab.closed() == CloseCode.MALFORMED


# --- time -----------------------------------------------------------------------------------------------------------


async def test_a_silent_connection_is_closed_with_4104_and_any_frame_is_life(manager, ada, browsers, move_clock):
    tab = await browsers(ada)
    await tab.next("authenticated")
    move_clock(30)
    await tab.line.send("{not even json")
    await tab.next("error")
    move_clock(30)
    assert (await tab.command("ping"))["type"] == "pong"
    move_clock(38)
    assert await tab.closed() == CloseCode.NO_HEARTBEAT


async def test_an_old_connection_is_closed_with_4105(manager, ada, browsers, move_clock):
    retune(manager, socket_max_age_s=100, heartbeat_s=10**6)
    tab = await browsers(ada)
    await tab.next("authenticated")
    move_clock(80)
    assert (await tab.command("ping"))["type"] == "pong"
    move_clock(40)
    assert await tab.closed() == CloseCode.MAXIMUM_AGE


async def test_a_slow_command_blocks_neither_the_heartbeat_nor_the_end(manager, project, ada, browsers, monkeypatch):
    import threading

    gate = threading.Event()

    def slow(self: Any, **_: Any) -> int:
        gate.wait(5)
        return 0

    monkeypatch.setattr(MembershipService, "mark_read", slow)
    tab = await browsers(ada)
    await tab.join(project)
    await tab.send({"type": "mark_read", "projectGuid": str(project.guid), "data": {"seq": 1}, "id": "slow"})
    assert (await tab.command("ping", {"t": 1}))["data"]["t"] == 1
    await tab.leave()
    assert not manager.connections
    gate.set()


# --- the end --------------------------------------------------------------------------------------------------------


async def test_draining_tells_everybody_when_to_come_back_and_takes_nobody_new(manager, project, ada, browsers):
    tabs = [await browsers(ada) for _ in range(3)]
    for tab in tabs:
        await tab.join(project)
    await manager.drain(0.2)
    for tab in tabs:
        assert await tab.closed() == CloseCode.DRAINING
        assert tab.received[-1]["type"] == "server_draining"
        assert tab.received[-1]["data"]["retryAfterMs"] > 0
    late = await browsers(ada)
    assert await late.closed() == CloseCode.DRAINING


async def test_a_handler_that_fails_is_answered_with_internal_and_the_connection_lives(
    manager, project, ada, browsers, monkeypatch, caplog
):
    def broken(self: Any, **_: Any) -> int:
        raise ZeroDivisionError("a secret: hunter2")

    monkeypatch.setattr(MembershipService, "mark_read", broken)
    tab = await browsers(ada)
    await tab.join(project)
    await tab.send({"type": "mark_read", "projectGuid": str(project.guid), "data": {"seq": 1}, "id": "boom"})
    error = await tab.until(lambda one: one.get("replyTo") == "boom")
    assert error["data"]["code"] == "internal"
    assert error["data"]["details"] == {"correlationId": "boom"}
    assert "hunter2" not in str(error)
    assert "ZeroDivisionError" in caplog.text
    assert (await tab.command("ping"))["type"] == "pong"
    await tab.leave()
    await until(lambda: not any(room.viewers for room in manager.rooms.values()))


async def test_a_login_that_cannot_be_checked_is_closed_with_4201(manager, ada, browsers, monkeypatch):
    async def away(token: str) -> Any:
        raise OSError("no route to the database")

    monkeypatch.setattr(manager.reads, "identity", away)
    tab = await browsers(ada)
    assert await tab.closed() == CloseCode.OVERLOADED
    words = await last_words(tab)
    assert (words["code"], words["retryable"]) == ("unavailable", True)
    assert words["retryAfterMs"] > 0


async def test_a_room_that_cannot_begin_anew_is_closed_with_4103(manager, project, ada, browsers, monkeypatch):
    from apps.core.errors import Unavailable
    from apps.projects.models import Project
    from apps.realtime.recovery import Recovery

    tab = await browsers(ada)
    await tab.join(project)

    async def away(*_: Any) -> Any:
        raise Unavailable

    monkeypatch.setattr(Recovery, "fresh", away)
    await do(Project.objects.filter(pk=project.pk).update, epoch="another-log")
    assert await tab.closed() == CloseCode.POSITION_LOST


async def test_memory_is_given_back_when_who_read_too_slowly_has_gone(manager, ada, browsers):
    tab = await browsers(ada)
    [connection] = manager.connections.values()
    connection.too_slow()
    assert not manager.thrift.due(1_000)  # what waited for it is still there
    assert await tab.closed() == CloseCode.TOO_SLOW
    await until(lambda: not manager.connections)
    assert manager.thrift.due(1_000)
