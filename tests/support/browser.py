"""The test's client, "Browser": what a person's tab does on the wire, in a few words.

In the test's own process through Channels' communicator, or over TCP to a server that runs elsewhere::

    ada = await Browser.open(person)               # logged in by a token as a subprotocol
    joined = await ada.join(project)               # data of project_joined
    reply = await ada.command("chat", {"message": "hi"}, project)
    (event,) = await ada.events(1)                 # durable ones, in the order of arrival
    await ada.nothing_more()
    code = await ada.closed()

Everything that arrives is kept in ``received``; what a method waits for is taken out of ``pending``.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
from typing import Any, Self

from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client

from apps.accounts.models import User
from apps.accounts.tokens import FAMILY_CLAIM, VERSION_CLAIM
from apps.projects.aio import in_thread

PATIENCE = 5.0  # seconds until something that was expected counts as missing
_ids = itertools.count(1)


class Closed(Exception):  # noqa: N818 - what happened, not a fault
    """The server closed the socket."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"closed with {code}")


class Refused(Exception):  # noqa: N818
    """The server did not accept the socket (HTTP 403)."""


def token_of(person: User, seconds: float | None = None) -> str:
    """Return a fresh access token, good for ``seconds`` if given.

    Touches no table, unlike the real issuing: it belongs to the login that ``a_person`` has from the beginning.
    """
    from rest_framework_simplejwt.tokens import AccessToken

    token = AccessToken.for_user(person)
    token[VERSION_CLAIM], token[FAMILY_CLAIM] = person.access_version, str(person.pk)
    if seconds is not None:
        token.set_exp(lifetime=dt.timedelta(seconds=seconds))
    return str(token)


def session_of(person: User) -> str:
    """Return the key of a fresh browser session."""
    client = Client()
    client.force_login(person)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


class Line:
    """One socket, whatever carries it."""

    async def send(self, text: str | bytes) -> None:
        raise NotImplementedError

    async def receive(self) -> str:
        """Return the next text frame. Raises ``Closed``."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class AsgiLine(Line):
    """A socket within this process."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator
        self._gone = False

    @classmethod
    async def open(cls, headers: list[tuple[bytes, bytes]], subprotocols: list[str], query: str) -> Self:
        from autocode.asgi import application

        communicator = WebsocketCommunicator(application, f"/ws/{query}", headers, subprotocols)
        communicator.scope["client"] = ("127.0.0.1", 40_000)
        accepted, _ = await communicator.connect(timeout=PATIENCE)
        if not accepted:
            await communicator.wait()
            raise Refused
        return cls(communicator)

    async def send(self, text: str | bytes) -> None:
        if isinstance(text, bytes):
            await self._communicator.send_to(bytes_data=text)
        else:
            await self._communicator.send_to(text_data=text)

    async def receive(self) -> str:
        # Not receive_output: it cancels the application when nothing comes in time.
        message = await self._communicator.output_queue.get()
        if message["type"] == "websocket.close":
            self._gone = True
            await self._communicator.send_input({"type": "websocket.disconnect", "code": message["code"]})
            raise Closed(message["code"])
        return str(message["text"])

    async def close(self) -> None:
        if not self._gone:
            self._gone = True
            await self._communicator.send_input({"type": "websocket.disconnect", "code": 1001})
        await self._communicator.wait(timeout=PATIENCE)


class TcpLine(Line):
    """A socket over TCP."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    @classmethod
    async def open(cls, url: str, headers: list[tuple[bytes, bytes]], subprotocols: list[str], query: str) -> Self:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus

        extra = [(name.decode(), value.decode()) for name, value in headers if name not in {b"host", b"origin"}]
        origin = next((value.decode() for name, value in headers if name == b"origin"), None)
        try:
            socket = await connect(
                f"{url}/ws/{query}",
                additional_headers=extra,
                origin=origin,  # type: ignore[arg-type] # a NewType of str
                subprotocols=subprotocols or None,  # type: ignore[arg-type]
                max_size=None,
                compression=None,
                proxy=None,
            )
        except InvalidStatus:
            raise Refused from None
        return cls(socket)

    async def send(self, text: str | bytes) -> None:
        await self.socket.send(text)

    async def receive(self) -> str:
        from websockets.exceptions import ConnectionClosed

        try:
            return str(await self.socket.recv())
        except ConnectionClosed as gone:
            raise Closed(gone.rcvd.code if gone.rcvd else 1006) from None

    async def close(self) -> None:
        await self.socket.close()


class Browser:
    """See the module. ``user`` is the person; ``frames`` the raw frames as they came."""

    def __init__(self, line: Line, user: User | None) -> None:
        self.line = line
        self.user = user
        self.frames: list[str] = []
        self.received: list[dict[str, Any]] = []
        self.pending: list[dict[str, Any]] = []
        self.code: int | None = None
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        user: User | None = None,
        *,
        by: str = "token",
        url: str = "",
        token: str | None = None,
        session: str | None = None,
        origin: str | None = None,
        host: str = "testserver",
        subprotocols: list[str] | None = None,
        query: str = "",
    ) -> Self:
        """Open a socket; with ``user`` logged in ``by`` token or session. ``url`` (ws://…) means over TCP.

        Raises ``Refused``.
        """
        headers = [(b"host", host.encode())]
        offered = ["autocode.v1"] if subprotocols is None else subprotocols
        if user is not None and token is None and session is None:
            if by == "token":
                token = token_of(user)
            else:
                session = await in_thread(session_of, user)
        if token is not None:
            offered = [*offered, f"autocode.jwt.{token}"]
        if session is not None:
            headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}".encode()))
            origin = origin if origin is not None else f"http://{url.removeprefix('ws://') or host}"
        if origin:
            headers.append((b"origin", origin.encode()))
        if url:
            return cls(await TcpLine.open(url, headers, offered, query), user)
        return cls(await AsgiLine.open(headers, offered, query), user)

    async def _read(self) -> None:
        try:
            while True:
                frame = await self.line.receive()
                self.frames.append(frame)
                value = json.loads(frame)
                envelopes = value if isinstance(value, list) else [value]
                self.received += envelopes
                self.pending += envelopes
                self._news.set()
        except Closed as closed:
            self.code = closed.code
        finally:
            self._news.set()

    async def until(self, wanted: Any, *, patience: float = PATIENCE) -> dict[str, Any]:
        """Take out and return the first pending envelope for which ``wanted(envelope)`` holds."""
        async with asyncio.timeout(patience):
            while True:
                for index, envelope in enumerate(self.pending):
                    if wanted(envelope):
                        return self.pending.pop(index)
                if self.code is not None:
                    raise Closed(self.code)
                self._news.clear()
                await self._news.wait()

    async def next(self, *types: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Take out and return the next envelope of one of these types."""
        return await self.until(lambda envelope: envelope["type"] in types, patience=patience)

    async def send(self, *envelopes: dict[str, Any]) -> None:
        """Send envelopes: one as a frame, several as a batch."""
        await self.line.send(json.dumps(envelopes[0] if len(envelopes) == 1 else list(envelopes)))

    async def command(
        self,
        type_: str,
        data: dict[str, Any] | None = None,
        project: Any = None,
        *,
        command_id: str | None = None,
        patience: float = PATIENCE,
    ) -> dict[str, Any]:
        """Send a command and return the envelope that answers it."""
        command_id = command_id or f"c{next(_ids)}"
        await self.send(envelope(type_, data, project, command_id))
        return await self.until(lambda one: one.get("replyTo") == command_id, patience=patience)

    async def refused(self, type_: str, data: dict[str, Any] | None = None, project: Any = None) -> dict[str, Any]:
        """Send a command that is answered with an error; return the error's data."""
        reply = await self.command(type_, data, project)
        assert reply["type"] == "error", reply
        return dict(reply["data"])

    async def join(self, project: Any, **data: Any) -> dict[str, Any]:
        """Join a room; return the data of ``project_joined``."""
        reply = await self.command("join_project", data, project)
        assert reply["type"] == "project_joined", reply
        return dict(reply["data"])

    async def events(self, count: int, *, patience: float = PATIENCE) -> list[dict[str, Any]]:
        """Take out and return the next ``count`` durable events."""
        async with asyncio.timeout(patience):
            return [await self.until(lambda one: "seq" in one, patience=patience) for _ in range(count)]

    async def nothing_more(self, *types: str, within: float = 0.15) -> None:
        """Fail if an envelope (of these types) arrives within some time. Presence does not count unless named."""
        noise = set() if types else {"authenticated", "presence_diff", "presence_state", "agents_link"}
        try:
            got = await self.until(
                lambda one: one["type"] in types if types else one["type"] not in noise, patience=within
            )
        except TimeoutError:
            return
        raise AssertionError(f"unexpected: {got}")

    async def closed(self, *, patience: float = PATIENCE) -> int:
        """Return the code with which the server closes."""
        async with asyncio.timeout(patience):
            await asyncio.shield(self._reader)
        assert self.code is not None
        return self.code

    async def leave(self) -> None:
        """Close the tab."""
        self._reader.cancel()
        await self.line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()


def envelope(type_: str, data: dict[str, Any] | None, project: Any, command_id: str | None = None) -> dict[str, Any]:
    """Return a client's envelope; ``project`` is a row, a guid or None."""
    guid = getattr(project, "guid", project)
    made: dict[str, Any] = {"type": type_, "projectGuid": None if guid is None else str(guid), "data": data or {}}
    return made if command_id is None else made | {"id": command_id}
