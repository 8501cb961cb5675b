"""What ends a person's access ends it in every process, whatever the connection: told at once, and found out if not.

Two real servers over Redis. Whatever is done is done at the first, or by a command; the connections are at the second.
Looking by itself is switched off where the message is tested, and messages are missing where the looking is.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from apps.accounts.models import User
from apps.accounts.services import TokenService
from apps.realtime.close_codes import CloseCode
from tests.realtime.conftest import do
from tests.realtime.serving import ROOT, Serving
from tests.support.browser import Browser, session_of
from tests.support.factories import a_member

NEVER = 10_000
"""Seconds."""


@dataclass
class Login:
    """One login of a person, by which REST may be asked."""

    headers: dict[str, str]
    refresh: str = ""
    session: str = ""

    @classmethod
    def by_token(cls, person: User) -> Login:
        access, refresh = TokenService().begin(person)
        return cls({"Authorization": f"Bearer {access}"}, refresh=refresh)

    @classmethod
    def by_session(cls, person: User) -> Login:
        key = session_of(person)
        return cls({"Cookie": f"sessionid={key}"}, session=key)

    async def socket(self, server: Any) -> Browser:
        if self.session:
            return await Browser.open(session=self.session, url=server.url)
        return await Browser.open(token=self.headers["Authorization"].removeprefix("Bearer "), url=server.url)


def asked(server: Any, path: str, login: Login, *, method: str = "GET", body: Any = None) -> int:
    """Return the status of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | login.headers
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


class Stream:
    """An event stream as its bytes come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server: Any, guid: str, login: Login) -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        lines = [f"GET /api/v1/projects/{guid}/events/stream/ HTTP/1.1", f"Host: 127.0.0.1:{server.port}"]
        lines += [f"{name}: {value}" for name, value in login.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        stream = cls(reader, writer)
        assert b"project_joined" in await stream.until(b"project_joined")
        return stream

    async def until(self, wanted: bytes) -> bytes:
        """Return all bytes up to ``wanted``; to the end of the stream where it is ``b""``."""
        got = b""
        async with asyncio.timeout(20):
            while not wanted or wanted not in got:
                more = await self.reader.read(65_536)
                got += more
                if got.endswith(b"0\r\n\r\n") or not more:
                    break
        return got


DEEDS = {
    "new password": "AccountService(SYSTEM).set_password(user_id=pk, password='another-one-1')",
    "switched off": "AccountService(SYSTEM).deactivate(user_id=pk)",
    "log-out everywhere": "AccountService(SYSTEM).end_all_sessions(user_id=pk)",
    "no staff any more": "user = User.objects.get(pk=pk); user.is_staff = False; user.save()",
    "deleted": "User.objects.get(pk=pk).delete()",
    "removed from the project": "MembershipService(SYSTEM).remove(guid=guid, user_id=pk)",
    "log-out by token": "TokenService().revoke(refresh)",
    "log-out of the page": "SessionStore(session).delete()",
}
"""What an operator's command does, or what another server does, in one line."""
IMPORTS = """
from apps.accounts.session_store import SessionStore
from apps.accounts.models import User
from apps.accounts.services import AccountService, TokenService
from apps.core.actor import SYSTEM
from apps.projects.services.members import MembershipService
"""


def by_command(server: Serving, how: str, person: User, login: Login, room: Any) -> None:
    """Do it in a process of its own, which ends at once: what it has to say must be on its way before."""
    words = {"pk": str(person.pk), "guid": str(room.guid), "refresh": login.refresh, "session": login.session}
    code = IMPORTS + "".join(f"{name} = {value!r}\n" for name, value in words.items()) + DEEDS[how]
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    subprocess.run(command, cwd=ROOT, env=server.environment, check=True, timeout=60)


def by_request(server: Serving, how: str, person: User, login: Login, room: Any) -> None:
    """Do it as people do: over HTTP, at a server."""
    if how == "log-out of the page":
        token = "x" * 32
        headers = {"Cookie": f"sessionid={login.session}; csrftoken={token}", "X-CSRFToken": token}
        assert asked(server, "/logout/", Login(headers), method="POST", body={}) == 200
    elif how == "log-out by token":
        path = "/api/v1/auth/token/blacklist/"
        assert asked(server, path, Login({}), method="POST", body={"refresh": login.refresh}) == 204
    elif how == "a refresh token comes back":
        path = "/api/v1/auth/token/refresh/"
        answers = [asked(server, path, Login({}), method="POST", body={"refresh": login.refresh}) for _ in range(2)]
        assert answers == [200, 401]
    else:
        assert how == "removed from the project"
        owner = owner_login(room)
        assert asked(server, f"/api/v1/projects/{room.guid}/members/{person.pk}/", owner, method="DELETE") == 204


def owner_login(room: Any) -> Login:
    return Login.by_token(User.objects.get(memberships__project=room, memberships__role="owner"))


@dataclass(frozen=True)
class Way:
    """How access ends, by which kind of login it was had, and what the socket and REST say then."""

    how: str
    login: Callable[[User], Login]
    does: Callable[..., None]
    code: CloseCode = CloseCode.SESSION_ENDED
    status: int = 401


TOLD = [
    Way("log-out of the page", Login.by_session, by_request),
    Way("log-out by token", Login.by_token, by_request),
    Way("a refresh token comes back", Login.by_token, by_request),
    Way("removed from the project", Login.by_token, by_request, CloseCode.NO_LONGER_ALLOWED, 404),
    Way("new password", Login.by_token, by_command),
    Way("switched off", Login.by_session, by_command),
    Way("log-out everywhere", Login.by_token, by_command),
    Way("no staff any more", Login.by_session, by_command),
    Way("deleted", Login.by_token, by_command),
]
FOUND_OUT = [
    Way("log-out of the page", Login.by_session, by_command),
    Way("log-out by token", Login.by_token, by_command),
    Way("removed from the project", Login.by_session, by_command, CloseCode.NO_LONGER_ALLOWED, 404),
    Way("new password", Login.by_session, by_command),
    Way("switched off", Login.by_token, by_command),
    Way("deleted", Login.by_session, by_command),
]


async def tried(way: Way, person: User, room: Any, *, acting: Serving, looking: Serving) -> None:
    """Look at the room in every way with one login, end that, and see each way end."""
    login, guid = await do(way.login, person), str(room.guid)
    path = f"/api/v1/projects/{guid}/events/"
    socket, stream = await login.socket(looking), await Stream.open(looking, guid, login)
    await socket.join(room)
    await do(room.refresh_from_db)
    poll = asyncio.create_task(asyncio.to_thread(asked, looking, f"{path}?after={room.last_seq}&wait=20", login))
    assert await asyncio.to_thread(asked, looking, path, login) == 200
    await asyncio.to_thread(way.does, acting, way.how, person, login, room)
    assert await socket.closed(patience=15) == way.code, way.how
    rest = await stream.until(b"")
    assert await asyncio.to_thread(asked, looking, path, login) == way.status, way.how
    # Whoever still waits for news gets none of what happens now.
    owner = await do(owner_login, room)
    marker = f"after {way.how}"
    tasks, task = f"/api/v1/projects/{guid}/tasks/", {"title": marker}
    assert await asyncio.to_thread(asked, acting, tasks, owner, method="POST", body=task) == 201
    assert await poll == way.status, way.how
    assert marker.encode() not in rest
    assert marker not in "".join(socket.frames)
    await socket.leave()
    stream.writer.close()


@pytest.mark.processes
async def test_every_process_is_told_at_once(serve, room, redis_url):
    # Nobody looks by himself within this test: what ends a view is the message alone.
    environment = {
        "AUTOCODE_REDIS_URL": redis_url,
        "AUTOCODE_REDIS_PREFIX": f"t{uuid.uuid4().hex[:8]}",
        "AUTOCODE_ACCESS_CHECK_S": NEVER,
        "AUTOCODE_POSITION_CHECK_S": NEVER,
    }
    people = [await do(a_member, room, "contributor") for _ in TOLD]  # before anybody looks: this process tells nobody
    await do(lambda: User.objects.filter(pk__in=[person.pk for person in people]).update(is_staff=True))
    acting, looking = await serve(**environment), await serve(**environment)
    for way, person in zip(TOLD, people, strict=True):
        await tried(way, person, room, acting=acting, looking=looking)


@pytest.mark.processes
async def test_a_process_that_is_not_told_finds_out(serve, room):
    people = [await do(a_member, room, "contributor") for _ in FOUND_OUT]
    alone = await serve(AUTOCODE_ACCESS_CHECK_S=0.3)  # without Redis it hears nothing of what commands do
    for way, person in zip(FOUND_OUT, people, strict=True):
        await tried(way, person, room, acting=alone, looking=alone)
