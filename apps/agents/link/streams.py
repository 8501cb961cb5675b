"""Pieces of streams from the agents-server: passed on at once, never stored."""

from __future__ import annotations

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.agents.link.texts import OpenTexts
from apps.core.events import EventClass, Payload
from apps.projects import events as p
from apps.projects.records import Ephemeral
from apps.projects.services.logs import DURABLE_LEVELS
from apps.projects.signals import ephemeral_emitted

Piece = m.RunText | m.Thinking | m.ToolOutput | m.LogLines


def is_piece(message: object) -> bool:
    """Tell whether the message is a piece of a stream and not a fact to keep."""
    match message:
        case m.RunText():
            return message.op != "end"
        case m.Thinking():
            return not message.final
        case m.LogLines():
            return message.level not in DURABLE_LEVELS
    return isinstance(message, m.ToolOutput)


def emit(guid: str, piece: Piece, texts: OpenTexts) -> None:
    """Send a piece to the room; pieces of runs that have ended are dropped."""
    news = _news(guid, piece, texts)
    if news is not None:
        ephemeral_emitted.send_robust(sender=Ephemeral, news=news)


def _news(guid: str, piece: Piece, texts: OpenTexts) -> Ephemeral | None:
    if isinstance(piece, m.RunText | m.Thinking) and not _kept(guid, piece, texts):
        return None
    key, payload = _payload(piece)
    return Ephemeral(guid=guid, key=key, event_class=EventClass.STREAM, payload=payload)


def _payload(piece: Piece) -> tuple[str, Payload]:
    if isinstance(piece, m.RunText):
        return f"message:{piece.run_id}:{piece.message_id}", p.RunText(
            message_id=piece.message_id,
            run_id=piece.run_id,
            agent_id=piece.agent_id,
            role=piece.role,
            op=piece.op,
            delta=piece.delta or "",
            format=piece.format,
            reply_to_id=piece.reply_to_id,
        )
    if isinstance(piece, m.Thinking):
        return f"thinking:{piece.run_id}:{piece.message_id}", p.Thinking(
            message_id=piece.message_id, run_id=piece.run_id, agent_id=piece.agent_id, delta=piece.delta or ""
        )
    if isinstance(piece, m.ToolOutput):
        return f"tool_output:{piece.run_id}:{piece.tool_call_id}", a.ToolOutput(
            tool_call_id=piece.tool_call_id, run_id=piece.run_id, delta=piece.delta
        )
    return f"log:{piece.run_id or ''}:{piece.level}:{piece.source}", p.LogLines(
        level=piece.level, source=piece.source, lines=piece.lines, run_id=piece.run_id, tool_call_id=piece.tool_call_id
    )


def _kept(guid: str, piece: m.RunText | m.Thinking, texts: OpenTexts) -> bool:
    """Remember the piece, so that the run's end can close its text; False when the run has ended."""
    return texts.add(
        guid,
        piece.run_id,
        kind="message" if isinstance(piece, m.RunText) else "thinking",
        message_id=piece.message_id,
        agent_id=piece.agent_id,
        delta=piece.delta or "",
    )
