"""Talking to the room and its agents, and stopping them."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import msgspec

from apps.core.events import Struct
from apps.projects.events import AttachmentView
from apps.realtime.commands import command
from apps.realtime.context import Context

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class OnBusy(enum.StrEnum):
    """What happens to a message for an agent that is at work."""

    REJECT = "reject"
    QUEUE = "queue"
    INTERRUPT = "interrupt"
    STEER = "steer"


class CancelMode(enum.StrEnum):
    """``soft`` lets the agent finish its step."""

    SOFT = "soft"
    HARD = "hard"


class Chat(Struct):
    """Say something in the room; with ``agentId`` to an agent."""

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=32768)]
    agent_id: Id | None = None
    reply_to_id: Id | None = None
    on_busy: OnBusy | None = None
    attachments: Annotated[list[AttachmentView], msgspec.Meta(max_length=20)] | None = None


class Cancel(Struct):
    """Stop a run, the run of an agent, or all runs."""

    run_id: Id | None = None
    agent_id: Id | None = None
    mode: CancelMode = CancelMode.SOFT
    reason: Annotated[str, msgspec.Meta(max_length=500)] | None = None


@command("chat", Chat, needs="message.post")
async def chat(context: Context, payload: Chat) -> Any:
    """Say it."""
    from apps.agents.services.chat import ChatService

    service = ChatService(context.actor)
    return await context.once(
        payload,
        lambda: service.send(
            guid=context.guid,
            message=payload.message,
            agent_id=payload.agent_id,
            reply_to_id=payload.reply_to_id,
            on_busy=payload.on_busy.value if payload.on_busy else None,
            attachments=payload.attachments or [],
        ),
    )


@command("cancel", Cancel, needs="run.cancel")
async def cancel(context: Context, payload: Cancel) -> Any:
    """Stop it."""
    from apps.agents.services.runs import RunService

    service = RunService(context.actor)
    return await context.once(
        payload,
        lambda: service.cancel(
            guid=context.guid,
            run_id=payload.run_id,
            agent_id=payload.agent_id,
            mode=payload.mode.value,
            reason=payload.reason or "",
        ),
    )
