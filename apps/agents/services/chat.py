"""Talking to agents: a message in the room and its copy to the agents-server, in one transaction."""

from __future__ import annotations

from uuid import UUID

import msgspec

from apps.agents import commands
from apps.agents.models import Agent
from apps.agents.services.outbox import enqueue
from apps.core.errors import InvalidField
from apps.projects.events import AttachmentView, TextFormat
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service
from apps.projects.services.messages import MessageService

ON_BUSY = ("reject", "queue", "interrupt", "steer")
ATTACHMENTS = 10


class _Said(msgspec.Struct, rename="camel"):
    message_id: str


class ChatService(Service):
    """Posts a person's message and promises it to the agents-server."""

    def send(
        self,
        *,
        guid: UUID | str,
        message: str,
        agent_id: str | None = None,
        reply_to_id: str | None = None,
        on_busy: str = "queue",
        attachments: list[AttachmentView] | None = None,
        message_id: str | None = None,
    ) -> LoggedEvent:
        """Say ``message`` in the room and to ``agent_id`` (None: whoever answers).

        A reply to a question that waits settles it. Raises ``InvalidField``, ``Conflict``, ``Forbidden``, ``NotFound``.
        """
        with self.log(guid) as log:
            log.require("message.post")
            if on_busy not in ON_BUSY:
                raise InvalidField(f"One of {', '.join(ON_BUSY)}.", field="onBusy")
            if len(attachments or []) > ATTACHMENTS:
                raise InvalidField(f"At most {ATTACHMENTS} attachments.", field="attachments")
            if agent_id is not None and not Agent.objects.filter(project=log.project, key=agent_id).exists():
                raise InvalidField("There is no such agent here.", field="agentId")
            event = MessageService(self.actor).post(
                guid=guid,
                content=message,
                format=TextFormat.MARKDOWN,
                message_id=message_id,
                reply_to_id=reply_to_id,
                agent_id=agent_id,
                attachments=attachments,
            )
            message_id = msgspec.json.decode(event.data, type=_Said).message_id
            enqueue(
                log,
                commands.Chat(
                    message_id=message_id,
                    author=log.author,
                    content=message,
                    agent_id=agent_id,
                    reply_to_id=reply_to_id,
                    on_busy=on_busy,
                    attachments=attachments or [],
                ),
                ref=message_id,
            )
            return event
