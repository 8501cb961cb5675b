"""A command sent twice with one id is carried out once."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import random
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import IntegrityError, OperationalError, connection, transaction

from apps.accounts.database_clock import database_now
from apps.accounts.pruning import remove
from apps.core.actor import Actor
from apps.core.errors import AutoCodeError, Conflict, DuplicateInProgress, InvalidField
from apps.core.ids import first_at, is_key
from apps.projects.models import CommandReceipt
from apps.projects.services import sql
from apps.projects.services.log import alone

_RECEIPT = f"SELECT fingerprint, reply FROM {CommandReceipt._meta.db_table} WHERE user_id = %s AND command_id = %s"  # noqa: S608, SLF001
CLASHES: Final = {"40001", "40P01"}
"""A serialization failure, a deadlock."""
AGAIN: Final = 3
PAUSE_S: Final = (0.01, 0.05)
KEPT = dt.timedelta(days=7)
"""How long a repeat is recognised. Clients re-send within minutes; a week covers a laptop that slept."""


def once(
    actor: Actor, command_id: str, command: str, data: Any, function: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """Carry out ``function`` unless ``actor`` already sent ``command_id``; return its reply and whether it is a repeat.

    The receipt commits together with what ``function`` writes. ``command`` and ``data`` (JSON values) are what the id
    stands for.

    Raises ``Conflict`` when the id was used for something else, ``DuplicateInProgress`` when the first is still under
    way
    after the database's lock timeout, ``InvalidField`` for an id of the wrong form, and whatever ``function`` raises.
    """
    if not is_key(command_id):
        raise InvalidField("Ids are 1-64 characters of A-Z a-z 0-9 . _ : -", field="id")
    fingerprint = _fingerprint(command, data)

    def carry_out() -> dict[str, Any]:
        with transaction.atomic():
            with alone():
                reply = function()
            receipt = {"user_id": UUID(actor.id), "command_id": command_id, "fingerprint": fingerprint, "reply": reply}
            sql.insert(CommandReceipt, [receipt])
            return reply

    try:
        return _again_after_clashes(carry_out), False
    except (AutoCodeError, IntegrityError):
        # Done before, or just now: of two at once the second waits for the first one's commit. It is tried first and
        # looked up then, because hardly any command is a repeat.
        before = _reply_before(actor, command_id, fingerprint)
        if before is None:
            raise
        return before, True
    except OperationalError as error:
        if _reply_before(actor, command_id, fingerprint) is None:
            raise
        raise DuplicateInProgress(retry_after_ms=1_000) from error


def _again_after_clashes(carry_out: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Carry out a transaction that PostgreSQL may have undone for another one's sake: it says so, and has done nothing.

    Inside a larger transaction there is nothing to begin again: that one was undone.
    """
    for _ in range(0 if connection.in_atomic_block else AGAIN):
        try:
            return carry_out()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in CLASHES:
                raise
            time.sleep(random.uniform(*PAUSE_S))  # noqa: S311 - keeps two from meeting again, hides nothing
    return carry_out()


def _reply_before(actor: Actor, command_id: str, fingerprint: str) -> dict[str, Any] | None:
    with connection.cursor() as cursor:
        cursor.execute(_RECEIPT, [sql.key(UUID(actor.id)), command_id])
        receipt = cursor.fetchone()
    if receipt is None:
        return None
    known, reply = receipt
    if known != fingerprint:
        raise Conflict("This id was used for another command.", field="id")
    answer: dict[str, Any] = msgspec.json.decode(reply)  # both databases hand JSON over as text
    return answer


def _fingerprint(command: str, data: Any) -> str:
    encoded = msgspec.json.encode([command, data], order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def forget_old_receipts(*, until: float = math.inf) -> int:
    """Remove receipts older than ``KEPT``; return how many. See ``remove``."""
    # Ids carry their time: an index on ``at`` would be paid with every command.
    return remove(CommandReceipt.objects.filter(id__lt=first_at(database_now() - KEPT)), until=until)
