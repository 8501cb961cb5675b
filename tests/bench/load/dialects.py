"""How a viewer joins a room and how a message is published, for each kind of server. Pure text, no sockets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What a viewer does about a frame without a stamp: texts to send, and whether it is now in its room."""

    texts: tuple[str, ...] = ()
    joined: bool = False
    refused: str = ""


NOTHING = Answer()


class Dialect(Protocol):
    """One kind of server, seen from a viewer. ``seat`` numbers viewers from 0, ``room`` rooms from 0."""

    heartbeat: tuple[float, str] | None
    """Seconds between signs of life that the client must send, and their text; None when none is needed."""

    def path(self, room: int) -> str:
        """Return the path of the WebSocket."""

    def subprotocols(self, seat: int, room: int) -> Sequence[str]:
        """Return the subprotocols to offer."""

    def greeting(self, seat: int, room: int) -> tuple[str, ...] | None:
        """Return what to send when the socket is open; None when an open socket is in its room already."""

    def answer(self, room: int, text: bytes) -> Answer:
        """Return what to do about a frame without a stamp."""

    def publish(self, room: int, number: int, payload: str) -> str:
        """Return the text with which a viewer publishes ``payload`` in its room."""


class Plain:
    """A room at a path; the handshake is the join, and a message is ``{"message": …}``: the Channels tutorial's way."""

    heartbeat: tuple[float, str] | None = None

    def __init__(self, prefix: str = "/ws/chat/") -> None:
        self._prefix = prefix

    def path(self, room: int) -> str:
        return f"{self._prefix}room{room}/"

    def subprotocols(self, seat: int, room: int) -> Sequence[str]:
        return ()

    def greeting(self, seat: int, room: int) -> tuple[str, ...] | None:
        return None

    def answer(self, room: int, text: bytes) -> Answer:
        return NOTHING

    def publish(self, room: int, number: int, payload: str) -> str:
        return f'{{"message":"{payload}"}}'


class SocketIO:
    """Engine.IO 4 and Socket.IO 5 over WebSocket alone: open (0), connect (40), events (42), acks (43), ping (2)."""

    heartbeat: tuple[float, str] | None = None  # the server pings

    def path(self, room: int) -> str:
        return "/socket.io/?EIO=4&transport=websocket"

    def subprotocols(self, seat: int, room: int) -> Sequence[str]:
        return ()

    def greeting(self, seat: int, room: int) -> tuple[str, ...] | None:
        return ()

    def answer(self, room: int, text: bytes) -> Answer:
        if text == b"2":
            return Answer(("3",))
        if text.startswith(b"0{"):
            return Answer(("40",))
        if text.startswith(b"40"):
            return Answer((f'420["join","room{room}"]',))
        if text.startswith(b"430"):
            return Answer(joined=True)
        return Answer(refused=text.decode()) if text.startswith(b"44") else NOTHING

    def publish(self, room: int, number: int, payload: str) -> str:
        return f'42["say","room{room}","{payload}"]'


@dataclass(slots=True)
class AutoCode:
    """``autocode.v1``: a token in the handshake, ``join_project``, durable ``chat`` commands.

    ``projects`` are the rooms' guids; ``tokens[room]`` are access tokens of members of that room, used in turn.
    """

    projects: list[str]
    tokens: list[list[str]]
    session: str = "b"
    """Begins the ids of commands: an id that was used before would be answered and not carried out."""
    heartbeat: tuple[float, str] | None = (25.0, '{"type":"ping","projectGuid":null,"data":{},"id":"hb"}')
    errors: list[str] = field(default_factory=list)

    def path(self, room: int) -> str:
        return "/ws/"

    def subprotocols(self, seat: int, room: int) -> Sequence[str]:
        tokens = self.tokens[room]
        turn = seat // len(self.projects)  # the n-th viewer of this room
        return ("autocode.v1", f"autocode.jwt.{tokens[turn % len(tokens)]}")

    def greeting(self, seat: int, room: int) -> tuple[str, ...] | None:
        return (self._envelope("join_project", room, "join", {}),)

    def answer(self, room: int, text: bytes) -> Answer:
        if b'"project_joined"' in text:
            return Answer(joined=True)
        if b'"type":"error"' in text or b'"type": "error"' in text:
            self.errors.append(text[:300].decode(errors="replace"))
            return Answer(refused=self.errors[-1])
        return NOTHING

    def publish(self, room: int, number: int, payload: str) -> str:
        return self._envelope("chat", room, f"{self.session}-{number}", {"message": payload})

    def _envelope(self, kind: str, room: int, command: str, data: dict[str, object]) -> str:
        value = {"type": kind, "projectGuid": self.projects[room], "data": data, "id": command}
        return json.dumps(value, separators=(",", ":"))
