"""The answer to a join: the same object over the socket, the event stream and HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.accounts.identity import Identity
from apps.agents.events import AgentsLink
from apps.projects.permissions import Role, permissions_of
from apps.realtime.config import Config
from apps.realtime.members import Entry
from apps.realtime.recovery import Plan
from apps.realtime.replies import Heartbeat
from apps.realtime.room import Room


def heartbeat(settings: Config) -> Heartbeat:
    """Return the heartbeat that this server asks for."""
    return Heartbeat(interval_ms=round(settings.heartbeat_s * 1000), grace_ms=round(settings.heartbeat_grace_s * 1000))


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
    me: Entry | None = None,
) -> dict[str, Any]:
    """Return the data of ``project_joined`` without its snapshot; ``me`` is the newcomer's presence."""
    data: dict[str, Any] = {
        "epoch": room.epoch,
        "lastSeq": seq,
        "recovered": recovered,
        "role": role.word,
        "permissions": permissions_of(role),
        "userId": identity.user_id,
        "username": identity.username,
        "readSeq": read_seq,
        "presence": msgspec.Raw(room.members.json(me)),
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
