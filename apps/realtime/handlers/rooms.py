"""Joining, leaving, topics, recovery."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from apps.core.events import Struct
from apps.projects.aio import in_thread
from apps.projects.services.members import MembershipService
from apps.realtime.commands import command
from apps.realtime.context import Context

Seq = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class JoinProject(Struct):
    """Open a room. With ``lastSeq`` and ``epoch`` the missed events follow; ``topics`` limits what is never stored."""

    last_seq: Seq | None = None
    epoch: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    topics: Annotated[list[Name], msgspec.Meta(max_length=50)] | None = None


class LeaveProject(Struct):
    """Leave a room."""


class TopicRequest(Struct):
    """``project:<guid>/<name>`` or ``system/stats``."""

    topic: Name


class Resync(Struct):
    """Ask for what follows ``afterSeq`` once more."""

    after_seq: Seq


class MarkRead(Struct):
    """The user has read up to ``seq``."""

    seq: Seq


@command("join_project", JoinProject, needs="project.view", joined=False, reply=None, over_http=False)
async def join_project(context: Context, payload: JoinProject) -> None:
    """Join; the answer and the missed events leave together."""
    await context.socket.rooms.join(context, payload.last_seq, payload.epoch, payload.topics)


@command("leave_project", LeaveProject, needs="project.view", reply=None, over_http=False)
async def leave_project(context: Context, _payload: LeaveProject) -> None:
    """Leave."""
    context.socket.rooms.leave(context)


@command("resync", Resync, needs="project.view", reply=None, over_http=False)
async def resync(context: Context, payload: Resync) -> None:
    """Recover within a joined room."""
    await context.socket.rooms.resync(context, payload.after_seq)


@command("subscribe", TopicRequest, joined=False, reply="subscribed", over_http=False)
async def subscribe(context: Context, payload: TopicRequest) -> Any:
    """Add a topic."""
    return await context.socket.rooms.subscribe(payload.topic)


@command("unsubscribe", TopicRequest, joined=False, reply="unsubscribed", over_http=False)
async def unsubscribe(context: Context, payload: TopicRequest) -> Any:
    """Take a topic away."""
    return context.socket.rooms.unsubscribe(payload.topic)


@command("mark_read", MarkRead, needs="project.mark_read", reply=None)
async def mark_read(context: Context, payload: MarkRead) -> None:
    """Move the user's read cursor; moving it twice changes nothing, so no receipt is kept."""
    await in_thread(MembershipService(context.actor).mark_read, guid=context.guid, seq=payload.seq)
