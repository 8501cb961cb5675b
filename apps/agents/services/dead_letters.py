"""Messages that could not be handled, and what an operator does about them."""

from __future__ import annotations

from django.db import transaction

from apps.accounts import audit
from apps.accounts.audit import Deed
from apps.agents.models import DeadLetter, OutboxMessage
from apps.agents.models.link import OutboxState
from apps.agents.services.outbox import wake
from apps.core import clock
from apps.core.errors import Conflict
from apps.projects.models import Project
from apps.projects.services import sql

BODY = 16 * 1024
"""Characters kept of a message."""


def bury_inbound(
    *,
    project: Project | None,
    message_id: str,
    type: str,  # noqa: A002 - the word of the wire
    code: str,
    reason: str,
    body: str,
) -> sql.Values:
    """Return a letter, to be inserted, for a message of the agents-server that was refused."""
    clean = body[:BODY].replace("\x00", "\ufffd")  # PostgreSQL stores no NUL
    return {
        "direction": "in",
        "project_id": project.pk if project is not None else None,
        "message_id": message_id[:64].replace("\x00", ""),
        "type": type[:40].replace("\x00", ""),
        "code": code,
        "reason": reason[:500].replace("\x00", ""),
        "body": clean,
    }


def retry(letter: DeadLetter) -> None:
    """Send a dead promise again, under the same id. Raises ``Conflict`` for what came in, or was resolved."""
    with transaction.atomic():
        letter = DeadLetter.objects.select_for_update().get(pk=letter.pk)
        if letter.direction != "out" or letter.outbox_id is None:
            raise Conflict("Only the agents-server can send its message again.")
        if letter.resolved_at is not None:
            raise Conflict("This letter is resolved.")
        OutboxMessage.objects.filter(pk=letter.outbox_id, state=OutboxState.DEAD.value).update(
            state=OutboxState.PENDING.value, refusals=0, due_at=clock.now(), settled_at=None
        )
        _resolve(letter, "retried")
        transaction.on_commit(wake, robust=True)


def discard(letter: DeadLetter) -> None:
    """Put a letter aside: nobody needs it any more. Raises ``Conflict`` when it is resolved."""
    with transaction.atomic():
        letter = DeadLetter.objects.select_for_update().get(pk=letter.pk)
        if letter.resolved_at is not None:
            raise Conflict("This letter is resolved.")
        if letter.outbox_id is not None:
            OutboxMessage.objects.filter(pk=letter.outbox_id, state=OutboxState.DEAD.value).update(
                state=OutboxState.DROPPED.value
            )
        _resolve(letter, "discarded")


def _resolve(letter: DeadLetter, resolution: str) -> None:
    letter.resolved_at, letter.resolution = clock.now(), resolution
    letter.save(update_fields=["resolved_at", "resolution"])
    deed = Deed.LETTER_RETRIED if resolution == "retried" else Deed.LETTER_DISCARDED
    guid = str(letter.project.guid) if letter.project else ""
    audit.record(deed, subject=str(letter.pk), subject_name=letter.type, project=guid)
