"""The answer to a join: the same object over the socket, the event stream and HTTP."""

from __future__ import annotations

import logging
from typing import Any

from apps.accounts.identity import Identity
from apps.agents.events import AgentsLink
from apps.projects.aio import in_thread
from apps.projects.permissions import Role, permissions_of
from apps.realtime.config import Config
from apps.realtime.recovery import Plan
from apps.realtime.replies import Heartbeat
from apps.realtime.room import Room

logger = logging.getLogger(__name__)


def heartbeat(settings: Config) -> Heartbeat:
    """Return the heartbeat that this server asks for."""
    return Heartbeat(interval_ms=round(settings.heartbeat_s * 1000), grace_ms=round(settings.heartbeat_grace_s * 1000))


async def link_of(guid: str) -> AgentsLink | None:
    """Return the state of the link to the agents-server, or None when it cannot be read."""
    try:
        from apps.agents.selectors.link import link_view

        return await in_thread(link_view, guid)
    except Exception:
        logger.exception("the state of the agents link cannot be read")
        return None


def joined_data(
    room: Room,
    identity: Identity,
    *,
    role: Role,
    read_seq: int,
    seq: int,
    recovered: bool,
    reason: str | None,
    link: AgentsLink | None,
    settings: Config,
) -> dict[str, Any]:
    """Return the data of ``project_joined`` without its snapshot."""
    data: dict[str, Any] = {
        "epoch": room.epoch,
        "lastSeq": seq,
        "recovered": recovered,
        "role": role.word,
        "permissions": permissions_of(role),
        "userId": identity.user_id,
        "username": identity.username,
        "readSeq": read_seq,
        "presence": room.members.all(),
        "heartbeat": heartbeat(settings),
    }
    if reason is not None:
        data["reason"] = reason
    if link is not None:
        data["link"] = link
    return data


def raw_snapshot(plan: Plan) -> dict[str, bytes]:
    """Return the snapshot of a plan as raw JSON, if it has one."""
    return {} if plan.snapshot is None else {"snapshot": plan.snapshot}
