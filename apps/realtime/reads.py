"""What every newcomer has to read, read together for all who come at the same time."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from apps.accounts.identity import Identity
from apps.accounts.tokens import users_from_tokens
from apps.agents.events import AgentsLink
from apps.agents.selectors.link import link_views
from apps.projects.aio import Gathered, in_thread, log_failure
from apps.projects.selectors.access import Access, accesses_to

logger = logging.getLogger(__name__)


class Reads:
    """One for each manager."""

    def __init__(self) -> None:
        self._identities: Gathered[str, Identity] = Gathered(users_from_tokens)
        self._accesses: Gathered[tuple[str, str], Access] = Gathered(accesses_to)
        self._links: Gathered[str, AgentsLink] = Gathered(link_views)

    async def identity(self, token: str) -> Identity:
        """Return who an access token stands for. Raises like ``user_from_token``."""
        return await self._identities.get(token)

    async def access(self, user_id: str, guid: str) -> Access:
        """Return the user's right to see a project. Raises like ``access_to``."""
        return await self._accesses.get((user_id, guid))

    async def links(self, guids: Sequence[str]) -> dict[str, AgentsLink]:
        """Return the state of the link to the agents-server for each project, by guid. Raises database errors."""
        return await in_thread(link_views, guids)

    async def link(self, guid: str) -> AgentsLink | None:
        """Return the state of the link to the agents-server, or None when it cannot be read."""
        try:
            return await self._links.get(guid)
        except Exception as error:  # noqa: BLE001 - nobody waits at the door for it
            log_failure(logger, error, "the state of the agents link cannot be read")
            return None
