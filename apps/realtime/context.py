"""What a handler knows of the command's sender, whichever way it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from apps.accounts.identity import Identity
from apps.core.actor import Actor
from apps.core.errors import NotAuthenticated, NotFound, NotJoined
from apps.core.events import Struct
from apps.projects.aio import in_thread
from apps.projects.services.commands import once
from apps.realtime.protocol import Envelope
from apps.realtime.turns import Turns

if TYPE_CHECKING:
    from apps.realtime.room import Room
    from apps.realtime.service import WebSocketService
    from apps.realtime.viewers import Viewer


@dataclass(slots=True)
class Context:
    """One command under way. ``service`` is the socket, None over HTTP; ``room`` when it is joined."""

    envelope: Envelope
    command_id: str
    identity: Identity | None
    turns: Turns
    service: WebSocketService | None = None
    viewer: Viewer | None = None
    room: Room | None = None

    @property
    def actor(self) -> Actor:
        """Who acts. Raises ``NotAuthenticated``."""
        return self.who.actor

    @property
    def who(self) -> Identity:
        """Who is logged in. Raises ``NotAuthenticated``."""
        if self.identity is None:
            raise NotAuthenticated
        return self.identity

    @property
    def guid(self) -> str:
        """The project. Raises ``NotFound`` when the message names none."""
        if self.envelope.project_guid is None:
            raise NotFound("Which project?", field="projectGuid")
        return self.envelope.project_guid

    @property
    def socket(self) -> WebSocketService:
        """The socket; only commands that are not ``over_http`` ask for it."""
        if self.service is None:
            raise NotFound
        return self.service

    @property
    def place(self) -> tuple[Room, Viewer]:
        """The joined room and the place in it. Raises ``NotJoined``."""
        if self.room is None or self.viewer is None:
            raise NotJoined
        return self.room, self.viewer

    async def once(self, payload: Struct, work: Callable[[], Any]) -> dict[str, Any]:
        """Carry out ``work`` in a thread, once for this sender and id; return the ack's data.

        ``work`` returns a dict of the ack's fields, a logged event (its ``seq`` counts) or None.
        """

        def reply() -> dict[str, Any]:
            outcome = work()
            if outcome is None:
                return {}
            return outcome if isinstance(outcome, dict) else {"seq": outcome.seq}

        data = [self.guid, msgspec.to_builtins(payload)]
        answer, repeated = await self.turns.take(
            self.guid, lambda: in_thread(once, self.actor, self.command_id, self.envelope.type, data, reply)
        )
        return {**answer, "duplicate": True} if repeated else answer
