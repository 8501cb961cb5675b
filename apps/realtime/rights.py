"""Losing rights while looking: at once when somebody says so, within seconds when nobody does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from apps.accounts.selectors import access_versions, ended_logins
from apps.core.errors import Forbidden
from apps.projects.aio import in_thread, log_failure
from apps.projects.selectors.access import roles_in
from apps.realtime.room import Room
from apps.realtime.viewers import Viewer

if TYPE_CHECKING:
    from apps.realtime.manager import WebSocketManager

logger = logging.getLogger(__name__)

CHECKED_AT_ONCE: Final = 250
"""Users in one query: some milliseconds."""
UNKNOWN: Final = -1
"""No room's ``access_version``: whoever compares it has to ask."""


class Rights:
    """Compares what viewers may do with what they may do now. ``mark`` rises with every change that was heard of."""

    def __init__(self, manager: WebSocketManager) -> None:
        self._manager = manager
        self.mark = 0

    def changed(self, message: dict[str, Any]) -> None:
        """Hear of an access change (``AccessChange`` as a layer message)."""
        self.mark += 1
        user_id, guid, session = message["user"], message.get("guid"), message.get("session")
        if guid is not None:
            room = self._manager.rooms.get(guid)
            if room is not None:
                self._manager.spawn(_soon(self.check_room(room, user_id)))
        elif session is not None:
            self._end_login(user_id, session)
        else:
            self._manager.spawn(_soon(self.check_users(user_id)))

    async def check_room(self, room: Room, user_id: str | None = None) -> None:
        """Compare the roles of a room's viewers (or of one user) with the database."""
        viewers = [viewer for viewer in room.viewers if user_id in {None, viewer.user_id}]
        if not viewers:
            return
        try:
            roles = await in_thread(roles_in, room.project_id, list({viewer.user_id for viewer in viewers}))
        except BaseException:
            room.access_version = UNKNOWN  # the next look at the positions asks again
            raise
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

    async def check_logins(self) -> None:
        """End the connections whose login has ended, in case nobody said so: the users', and each single one.

        A crowd is looked up in parts, spread over the time between two checks: all at once would hold everything up.
        """
        everybody = list(self._users())
        parts = [set(everybody[at : at + CHECKED_AT_ONCE]) for at in range(0, len(everybody), CHECKED_AT_ONCE)]
        for part in parts:
            await self._check(part)
            await self._check_single(part)
            if len(parts) > 1:
                await asyncio.sleep(self._manager.config.access_check_s / len(parts))

    async def _check_single(self, users: set[str]) -> None:
        """End the logins of these users that have ended each by itself. Two queries."""
        manager = self._manager
        here = {who.session_hash: who for who in manager.listeners.values() if who.user_id in users}
        for user in users:
            for connection in manager.by_user.get(user, ()):
                if (who := connection.identity) is not None:
                    here[who.session_hash] = who
        if not here:
            return
        for session in await in_thread(ended_logins, list(here.values())):
            self._end_login(here[session].user_id, session)

    def _end_login(self, user_id: str, session: str) -> None:
        for listener, identity in list(self._manager.listeners.items()):
            if identity.session_hash == session:
                listener.end("session_ended")
        for connection in list(self._manager.by_user.get(user_id, ())):
            if connection.identity is not None and connection.identity.session_hash == session:
                connection.session_ended()

    async def check_users(self, user_id: str | None = None) -> None:
        """End the connections of users who were disabled or whose version has risen."""
        everybody = self._users()
        await self._check(everybody if user_id is None else everybody & {user_id})

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


async def _soon(check: Coroutine[Any, Any, None]) -> None:
    """Make a check that is made again by the clock if it fails."""
    try:
        await check
    except Exception as error:  # noqa: BLE001 - see above
        log_failure(logger, error, "a change of access cannot be checked just now")
