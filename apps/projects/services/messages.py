"""What is said in a room, by people, by agents and by the system."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import msgspec

from apps.core.actor import ActorKind
from apps.core.errors import Conflict, InvalidField
from apps.core.events import Payload
from apps.core.ids import new_id
from apps.projects.events import (
    ActorRef,
    AgentMessage,
    AttachmentView,
    MessageKind,
    MessageSource,
    PlatformMessage,
    ProjectMessage,
    RunText,
    TextFormat,
    Thinking,
)
from apps.projects.markdown import render
from apps.projects.models import Message
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, key, text
from apps.projects.services.log import ProjectLog

LONGEST = 32_768
"""Characters of one message (the wire's limit for a string)."""

_KINDS = {ActorKind.PERSON: MessageKind.USER, ActorKind.AGENT: MessageKind.AGENT, ActorKind.SYSTEM: MessageKind.SYSTEM}

_FORMATS = {MessageSource.PLATFORM: TextFormat.MARKDOWN}
"""Formats of the sources whose events do not say it."""


class MessageService(Service):
    """Posts messages of every source; each becomes one row and one event."""

    def post(
        self,
        *,
        guid: UUID | str,
        content: str,
        format: TextFormat = TextFormat.MARKDOWN,  # noqa: A002 - the word of the wire
        message_id: str | None = None,
        reply_to_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        attachments: list[AttachmentView] | None = None,
    ) -> LoggedEvent:
        """Say something in the room as the acting person or system (``project_message``).

        A person's reply to a question that waits settles that question. Raises ``InvalidField``, ``Forbidden``,
        ``NotFound``,
        ``Conflict`` when ``message_id`` is taken.
        """
        with self.log(guid) as log:
            log.require("message.post")
            kind = _KINDS[self.actor.kind]
            content = text(content, field="message", longest=LONGEST)
            payload = ProjectMessage(
                message_id=self._fresh(log, message_id),
                kind=kind,
                author=log.author,
                content=content,
                html=self._html(content, format),
                format=format,
                reply_to_id=self._known(log, reply_to_id),
                run_id=run_id,
                agent_id=agent_id,
                attachments=self._checked(attachments or []),
            )
            if kind is MessageKind.USER and payload.reply_to_id:
                log.settle()
                Message.objects.filter(project=log.project, key=payload.reply_to_id).update(waiting_user_response=False)
            return self._write(log, payload, MessageSource.PROJECT, kind)

    def agent_say(
        self,
        *,
        guid: UUID | str,
        agent: ActorRef,
        agent_id: str,
        content: str,
        message_id: str | None = None,
        format: TextFormat = TextFormat.MARKDOWN,  # noqa: A002
        question: bool = False,
        run_id: str | None = None,
        reply_to_id: str | None = None,
    ) -> LoggedEvent:
        """Record an agent's word to the people (``agent_message``); a ``question`` waits for somebody's reply."""
        with self.log(guid) as log:
            log.require("message.post")
            content = text(content, field="content", longest=LONGEST)
            payload = AgentMessage(
                message_id=self._fresh(log, message_id),
                agent_id=agent_id,
                author=agent,
                content=content,
                html=self._html(content, format),
                format=format,
                question=question,
                run_id=run_id,
                reply_to_id=reply_to_id,
            )
            return self._write(log, payload, MessageSource.AGENT, MessageKind.AGENT)

    def finish_text(
        self,
        *,
        guid: UUID | str,
        author: ActorRef,
        message_id: str,
        run_id: str,
        agent_id: str,
        content: str,
        format: TextFormat = TextFormat.MARKDOWN,  # noqa: A002
        reply_to_id: str | None = None,
        role: str = "assistant",
    ) -> LoggedEvent:
        """Record the whole text of a streamed message (``message`` with ``op`` end, same ``message_id``)."""
        with self.log(guid) as log:
            log.require("message.post")
            content = text(content, field="content", longest=LONGEST, blank=True)
            payload = RunText(
                message_id=self._fresh(log, message_id),
                run_id=run_id,
                agent_id=agent_id,
                role=role,
                op="end",
                offset=len(content),
                content=content,
                html=self._html(content, format),
                format=format,
                final=True,
                reply_to_id=reply_to_id,
                author=author,
            )
            return self._write(log, payload, MessageSource.TEXT, MessageKind.AGENT)

    def finish_thinking(
        self,
        *,
        guid: UUID | str,
        author: ActorRef,
        message_id: str,
        run_id: str,
        agent_id: str,
        content: str,
        redacted: bool = False,
        duration_ms: int | None = None,
    ) -> LoggedEvent:
        """Record an agent's finished reasoning (``thinking`` with ``final``). Redacted reasoning keeps no text."""
        with self.log(guid) as log:
            log.require("message.post")
            content = "" if redacted else text(content, field="content", longest=LONGEST, blank=True)
            payload = Thinking(
                message_id=self._fresh(log, message_id),
                run_id=run_id,
                agent_id=agent_id,
                offset=len(content),
                content=content,
                final=True,
                redacted=redacted,
                duration_ms=duration_ms,
                author=author,
            )
            return self._write(log, payload, MessageSource.THINKING, MessageKind.AGENT)

    def mirror(
        self,
        *,
        guid: UUID | str,
        platform: str,
        channel_id: str,
        external_id: str,
        direction: str,
        author: ActorRef,
        content: str,
    ) -> LoggedEvent | None:
        """Record a message of another platform; the same (platform, channel, external id) again is None."""
        with self.log(guid) as log:
            log.require("message.post")
            extra = {"platform": platform, "channelId": channel_id, "externalId": external_id, "direction": direction}
            same = Message.objects.filter(
                project=log.project,
                source=MessageSource.PLATFORM.value,
                extra__platform=platform,
                extra__channelId=channel_id,
                extra__externalId=external_id,
            )
            log.settle()
            if same.exists():
                return None
            content = text(content, field="content", longest=LONGEST)
            payload = PlatformMessage(
                message_id=new_id(),
                platform=platform,
                channel_id=channel_id,
                external_id=external_id,
                direction=direction,
                author=author,
                content=content,
                html=render(content),
            )
            return self._write(log, payload, MessageSource.PLATFORM, MessageKind.SYSTEM, extra)

    def _write(
        self,
        log: ProjectLog,
        payload: Payload,
        source: MessageSource,
        kind: MessageKind,
        extra: dict[str, Any] | None = None,
    ) -> LoggedEvent:
        event = log.record(payload)
        said: Any = payload
        question = getattr(said, "question", False)
        attachments = getattr(said, "attachments", [])
        log.insert(
            Message,
            project_id=log.project.pk,
            key=said.message_id,
            seq=event.seq,
            source=source.value,
            kind=kind.value,
            author=msgspec.to_builtins(said.author),
            user_id=UUID(self.actor.id) if kind is MessageKind.USER else None,
            content=said.content or "",
            html=getattr(said, "html", "") or "",
            format=getattr(said, "format", None) or _FORMATS.get(source, TextFormat.TEXT),
            reply_to_key=getattr(said, "reply_to_id", None) or "",
            run_key=getattr(said, "run_id", None) or "",
            agent_key=getattr(said, "agent_id", None) or "",
            has_question=question,
            waiting_user_response=question,
            redacted=getattr(said, "redacted", False),
            duration_ms=getattr(said, "duration_ms", None),
            extra=(extra or {}) | ({"attachments": msgspec.to_builtins(attachments)} if attachments else {}),
            created_at=dt.datetime.fromisoformat(event.at),
        )
        return event

    def _fresh(self, log: ProjectLog, message_id: str | None) -> str:
        if message_id is None:
            return new_id()
        log.settle()
        if Message.objects.filter(project=log.project, key=key(message_id, field="messageId")).exists():
            raise Conflict("This messageId is taken.", field="messageId")
        return message_id

    def _known(self, log: ProjectLog, message_id: str | None) -> str | None:
        if message_id is None:
            return None
        log.settle()
        if not Message.objects.filter(project=log.project, key=message_id).exists():
            raise InvalidField("There is no such message here.", field="replyToId")
        return message_id

    def _html(self, content: str, format: TextFormat) -> str:  # noqa: A002
        return render(content) if format is TextFormat.MARKDOWN else ""

    def _checked(self, attachments: list[AttachmentView]) -> list[AttachmentView]:
        for attachment in attachments:
            text(attachment.name, field="attachments.name", longest=120)
            if not attachment.url.startswith(("https://", "http://")):
                raise InvalidField("Links are http or https.", field="attachments.url")
            text(attachment.url, field="attachments.url", longest=2_000)
        return attachments
