"""Receipts for the agents-server's messages: each is handled once, whatever was repeated."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from apps.agents.models import DeadLetter, InboxReceipt
from apps.core import clock
from apps.projects.services import sql

APPLIED, IGNORED, REFUSED = "applied", "ignored", "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message. ``code`` and ``message`` say why it was ignored or refused."""

    outcome: str
    code: str = ""
    message: str = ""


def outcomes(server: str, ids: Collection[str]) -> dict[str, Outcome]:
    """Return what became of those messages that were handled before."""
    if not ids:
        return {}
    rows = InboxReceipt.objects.filter(server=server, message_id__in=ids).values_list("message_id", "outcome", "note")
    return {message_id: Outcome(outcome, **(note or {})) for message_id, outcome, note in rows}


def keep(server: str, handled: list[tuple[str, str, Outcome]], letters: list[sql.Values]) -> None:
    """Write receipts for (id, type, outcome) and the dead letters. In the transaction of what was handled."""
    now = clock.now()
    receipts = [
        {
            "server": server,
            "message_id": message_id,
            "type": kind[:40],
            "outcome": outcome.outcome,
            "note": _note(outcome),
            "at": now,
        }
        for message_id, kind, outcome in handled
    ]
    sql.insert(InboxReceipt, receipts)
    sql.insert(DeadLetter, letters)


def _note(outcome: Outcome) -> dict[str, Any] | None:
    return {"code": outcome.code, "message": outcome.message[:500]} if outcome.code else None
