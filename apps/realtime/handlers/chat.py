"""Talking to the room and its agents, and stopping them."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.agents.api.bodies import CancelMode, ChatMessage
from apps.agents.services.chat import ChatService
from apps.agents.services.runs import RunService
from apps.core.events import Struct
from apps.projects.api.bodies import Key, Reason
from apps.projects.records import LoggedEvent
from apps.realtime.commands import command
from apps.realtime.context import Context


class Chat(ChatMessage):
    """Say something in the room; with ``agentId`` to an agent."""


class Cancel(Struct):
    """Stop a run, the runs of an agent, or (neither given) all runs."""

    run_id: Key | None = None
    agent_id: Key | None = None
    mode: CancelMode = CancelMode.SOFT
    reason: Reason = ""


@command("chat", Chat, needs="message.post")
async def chat(context: Context, payload: Chat) -> Any:
    """Say it."""
    service = ChatService(context.actor)
    fields = msgspec.structs.asdict(payload) | {"on_busy": payload.on_busy.value}

    def say() -> dict[str, Any]:
        return _message(service.send(guid=context.guid, **fields))

    return await context.once(payload, say)


def _message(event: LoggedEvent) -> dict[str, Any]:
    return {"seq": event.seq, "messageId": msgspec.json.decode(event.data)["messageId"]}


@command("cancel", Cancel, needs="run.cancel")
async def cancel(context: Context, payload: Cancel) -> Any:
    """Stop it."""
    service = RunService(context.actor)
    fields = msgspec.structs.asdict(payload) | {"mode": payload.mode.value}
    return await context.once(payload, lambda: service.cancel(guid=context.guid, **fields))
