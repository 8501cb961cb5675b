"""Pieces of streams from the agents-server: passed on at once, never stored."""

from __future__ import annotations

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.agents.link.texts import OpenTexts
from apps.core.events import EventClass
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
    match piece:
        case m.RunText():
            if not _kept(guid, piece, "message", texts):
                return None
            payload: p.RunText | p.Thinking | a.ToolOutput | p.LogLines = p.RunText(
                message_id=piece.message_id,
                run_id=piece.run_id,
                agent_id=piece.agent_id,
                role=piece.role,
                op=piece.op,
                delta=piece.delta or "",
                format=piece.format,
                reply_to_id=piece.reply_to_id,
            )
            key = f"message:{piece.run_id}:{piece.message_id}"
        case m.Thinking():
            if not _kept(guid, piece, "thinking", texts):
                return None
            payload = p.Thinking(
                message_id=piece.message_id, run_id=piece.run_id, agent_id=piece.agent_id, delta=piece.delta or ""
            )
            key = f"thinking:{piece.run_id}:{piece.message_id}"
        case m.ToolOutput():
            payload = a.ToolOutput(tool_call_id=piece.tool_call_id, run_id=piece.run_id, delta=piece.delta)
            key = f"tool_output:{piece.run_id}:{piece.tool_call_id}"
        case m.LogLines():
            payload = p.LogLines(
                level=piece.level,
                source=piece.source,
                lines=piece.lines,
                run_id=piece.run_id,
                tool_call_id=piece.tool_call_id,
            )
            key = f"log:{piece.run_id or ''}:{piece.level}:{piece.source}"
    return Ephemeral(guid=guid, key=key, event_class=EventClass.STREAM, payload=payload)


def _kept(guid: str, piece: m.RunText | m.Thinking, kind: str, texts: OpenTexts) -> bool:
    """Remember the piece, so that the run's end can close its text; False when the run has ended."""
    return texts.add(
        guid,
        piece.run_id,
        kind=kind,
        message_id=piece.message_id,
        agent_id=piece.agent_id,
        delta=piece.delta or "",
    )
