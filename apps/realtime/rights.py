"""Losing rights while looking: at once when somebody says so, within seconds when nobody does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from apps.accounts.selectors import access_versions
from apps.core.errors import Forbidden
from apps.projects.aio import in_thread
from apps.projects.selectors.access import roles_in
from apps.realtime.room import Room
from apps.realtime.viewers import Viewer

if TYPE_CHECKING:
    from apps.realtime.manager import WebSocketManager

logger = logging.getLogger(__name__)

CHECKED_AT_ONCE: Final = 250  # users in one query: about 4 ms


class Rights:
    """Compares what viewers may do with what they may do now. ``mark`` rises with every change that was heard of."""

    def __init__(self, manager: WebSocketManager) -> None:
        self._manager = manager
        self.mark = 0
        self._turn: list[str] = []

    def changed(self, message: dict[str, Any]) -> None:
        """Hear of an access change (``AccessChange`` as a layer message)."""
        self.mark += 1
        user_id, guid, session = message["user"], message.get("guid"), message.get("session")
        if guid is not None:
            room = self._manager.rooms.get(guid)
            if room is not None:
                self._manager.spawn(self.check_room(room, user_id))
        elif session is not None:
            for listener, identity in list(self._manager.listeners.items()):
                if identity.session_hash == session:
                    listener.end("session_ended")
            for connection in list(self._manager.by_user.get(user_id, ())):
                if connection.identity is not None and connection.identity.session_hash == session:
                    connection.session_ended()
        else:
            self._manager.spawn(self.check_users(user_id))

    async def check_room(self, room: Room, user_id: str | None = None) -> None:
        """Compare the roles of a room's viewers (or of one user) with the database."""
        viewers = [viewer for viewer in room.viewers if user_id in {None, viewer.user_id}]
        if not viewers:
            return
        roles = await in_thread(roles_in, room.project_id, list({viewer.user_id for viewer in viewers}))
        for viewer in viewers:
            if viewer not in room.viewers:
                continue
            role = roles.get(viewer.user_id)
            if role is None:
                self._remove(room, viewer)
            elif role is not viewer.role:
                viewer.role = role
                viewer.owner.access_changed(viewer)

    def _remove(self, room: Room, viewer: Viewer) -> None:
        room.detach(viewer)
        viewer.owner.access_lost(viewer, Forbidden("You are no longer a member of this project."))

    async def check_users(self, user_id: str | None = None) -> None:
        """End the connections of users who were disabled or whose version has risen."""
        everybody = self._users()
        await self._check(everybody if user_id is None else everybody & {user_id})

    async def check_some_users(self) -> None:
        """Check the next ones, in turn: many at once would hold everything up."""
        if not self._turn:
            self._turn = list(self._users())
        some, self._turn = self._turn[:CHECKED_AT_ONCE], self._turn[CHECKED_AT_ONCE:]
        await self._check(set(some))

    def _users(self) -> set[str]:
        return set(self._manager.by_user) | {identity.user_id for identity in self._manager.listeners.values()}

    async def _check(self, users: set[str]) -> None:
        """One query."""
        if not users:
            return
        manager = self._manager
        versions = await in_thread(access_versions, users)
        for user in users:
            for connection in list(manager.by_user.get(user, ())):
                identity = connection.identity
                if identity is not None and versions.get(user) != identity.access_version:
                    connection.session_ended()
        for listener, identity in list(manager.listeners.items()):
            if identity.user_id in users and versions.get(identity.user_id) != identity.access_version:
                listener.end("session_ended")
