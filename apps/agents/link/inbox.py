"""Many messages of one project in one transaction: receipt first, then the service, then the answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, transaction

from apps.agents.errors import Ignored
from apps.agents.link import dispatch, frames
from apps.agents.link import messages as m
from apps.agents.link.texts import OpenTexts
from apps.agents.models import Run
from apps.agents.services.dead_letters import bury_inbound
from apps.agents.services.inbox import APPLIED, IGNORED, REFUSED, Outcome, keep, outcomes
from apps.agents.services.lease import LeaseLost, guard
from apps.core.actor import AGENTS_SERVER
from apps.core.correlation import correlated
from apps.core.errors import AutoCodeError, InvalidField, NotFound
from apps.projects.models import Project
from apps.projects.services import sql
from apps.projects.services.log import ProjectLog, open_log

APPLIED_PLAINLY = Outcome(APPLIED)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Item:
    """A message that was read: its envelope and its payload, or what is wrong with it."""

    envelope: frames.Envelope
    message: Any = None
    error: AutoCodeError | None = None


def apply_batch(
    items: list[Item], *, guid: str, server: str, lease_epoch: int, texts: OpenTexts
) -> list[tuple[str | None, Outcome]]:
    """Carry out ``items`` in order, as far as one transaction goes; return (id, outcome) of those handled.

    Stops after a message whose news is not stored, so that it is sent before what follows. Raises database errors and
    ``LeaseLost``: then nothing was done.
    """
    try:
        batch = _Batch(server, items, texts)
        try:
            batch.write(guid, lease_epoch)
        except (_Trouble, IntegrityError, DataError):
            # Something in it is not to be applied: once more, each message where it can be undone alone.
            batch = _Batch(server, items, texts, careful=True)
            batch.write(guid, lease_epoch)
    except NotFound:
        return _refuse_all(items, server, lease_epoch)
    batch.settle_texts(guid)
    return batch.answers


class _Trouble(Exception):  # noqa: N818 - a turn of events, not a fault
    """A message of a batch was not simply applied."""


class _Batch:
    """A transaction's worth of messages.

    Not ``careful``: without a savepoint for each, which cost as much as what they protect; the first message that is
    not simply applied raises ``_Trouble``.
    """

    def __init__(self, server: str, items: list[Item], texts: OpenTexts, *, careful: bool = False) -> None:
        self._server, self._items, self._texts, self._careful = server, items, texts, careful
        self._known: dict[str, Outcome] = {}
        self._fresh: list[tuple[str, str, Outcome]] = []
        self._letters: list[sql.Values] = []
        self.answers: list[tuple[str | None, Outcome]] = []

    def write(self, guid: str, lease_epoch: int) -> None:
        """Carry out the batch in one transaction. Raises ``NotFound``, ``LeaseLost``, ``_Trouble``, database errors."""
        with open_log(guid, AGENTS_SERVER) as log:
            guard(lease_epoch)
            self._known = outcomes(self._server, [item.envelope.id for item in self._items if item.envelope.id])
            self._run(log)

    def _run(self, log: ProjectLog) -> None:
        for item in self._items:
            message_id = item.envelope.id
            outcome = self._known.get(message_id) if message_id else None
            if outcome is None:
                outcome = self._apply(log, item)
                if message_id:
                    self._known[message_id] = outcome
                    self._fresh.append((message_id, item.envelope.type, outcome))
            self.answers.append((message_id, outcome))
            if log.has_news:
                break
        keep(self._server, self._fresh, self._letters)

    def settle_texts(self, guid: str) -> None:
        """Forget the texts that are finished, now that this is committed."""
        for item, (_, outcome) in zip(self._items, self.answers, strict=False):
            message = item.message
            if isinstance(message, m.Done) and outcome.outcome != REFUSED:
                self._texts.end(guid, message.run_id)
            elif isinstance(message, m.RunText | m.Thinking):
                self._texts.close(guid, message.run_id, message.message_id)

    def _apply(self, log: ProjectLog, item: Item) -> Outcome:
        if not self._careful:
            return self._apply_plainly(log, item)
        outcome = carry_out(log, item, self._texts)
        if outcome.outcome == REFUSED:
            self._letters.append(_letter(item, outcome, log.project))
        return outcome

    def _apply_plainly(self, log: ProjectLog, item: Item) -> Outcome:
        try:
            if item.error is not None:
                raise item.error
            with correlated(item.envelope.id or ""):
                dispatch.carry_out(log, item.message, self._texts)
        except (OperationalError, InterfaceError, LeaseLost):
            raise
        except Exception as why:
            raise _Trouble from why
        return APPLIED_PLAINLY


def carry_out(log: ProjectLog, item: Item, texts: OpenTexts) -> Outcome:
    """Carry out one message inside a savepoint; whatever is wrong with it stays its own affair."""
    try:
        if item.error is not None:
            raise item.error
        with correlated(item.envelope.id or ""), log.savepoint():
            dispatch.carry_out(log, item.message, texts)
    except Ignored as why:
        return Outcome(IGNORED, why.code, why.message)
    except AutoCodeError as error:
        if error.retryable:
            raise
        return Outcome(REFUSED, error.code, f"{error.field}: {error.message}" if error.field else error.message)
    except (OperationalError, InterfaceError, LeaseLost):
        raise
    except Exception:
        logger.exception("a message of the agents-server failed: %s %s", item.envelope.type, item.envelope.id)
        return Outcome(REFUSED, "internal", "AutoCode failed on this message; its log has the reason.")
    return Outcome(APPLIED)


def _letter(item: Item, outcome: Outcome, project: Project | None) -> sql.Values:
    envelope = item.envelope
    body = frames.encode([{"type": envelope.type, "id": envelope.id, "data": envelope.data}])
    return bury_inbound(
        project=project,
        message_id=envelope.id or "",
        type=envelope.type,
        code=outcome.code,
        reason=outcome.message,
        body=body,
    )


def refuse(item: Item, *, server: str, lease_epoch: int) -> Outcome:
    """Refuse a message that belongs to no project (its ``error`` says why), with a receipt and a letter."""
    [(_, outcome)] = _refuse_all([item], server, lease_epoch)
    return outcome


def bury(message_id: str, kind: str, error: AutoCodeError, body: str, *, lease_epoch: int) -> None:
    """Keep a letter for something that could not even be read."""
    with transaction.atomic():
        guard(lease_epoch)
        letter = bury_inbound(
            project=None, message_id=message_id, type=kind, code=error.code, reason=error.message, body=body
        )
        keep("", [], [letter])


def _refuse_all(items: list[Item], server: str, lease_epoch: int) -> list[tuple[str | None, Outcome]]:
    with transaction.atomic():
        guard(lease_epoch)
        known = outcomes(server, [item.envelope.id for item in items if item.envelope.id])
        answers: list[tuple[str | None, Outcome]] = []
        fresh: list[tuple[str, str, Outcome]] = []
        letters = []
        for item in items:
            message_id, error = item.envelope.id, item.error or NotFound("There is no such project.")
            outcome = known.get(message_id) if message_id else None
            if outcome is None:
                outcome = Outcome(REFUSED, error.code, error.message)
                letters.append(_letter(item, outcome, None))
                if message_id:
                    known[message_id] = outcome
                    fresh.append((message_id, item.envelope.type, outcome))
            answers.append((message_id, outcome))
        keep(server, fresh, letters)
    return answers


def apply_report(item: Item, *, server: str, lease_epoch: int, texts: OpenTexts) -> Outcome:
    """Carry out a status report about all projects: those with open runs that it does not name are told apart."""
    report = item.message
    if not isinstance(report, m.StatusReport) or report.agents:
        item.error = InvalidField("This type needs a projectGuid.", field="projectGuid")
        return refuse(item, server=server, lease_epoch=lease_epoch)
    message_id = item.envelope.id
    known = outcomes(server, [message_id] if message_id else [])
    if message_id and message_id in known:
        return known[message_id]
    open_runs = Run.objects.filter(status="running").exclude(key__in=report.open_run_ids)
    for guid in set(open_runs.values_list("project__guid", flat=True)):
        own = Item(envelope=frames.Envelope("status_report", None, str(guid), {}), message=report)
        apply_batch([own], guid=str(guid), server=server, lease_epoch=lease_epoch, texts=texts)
    outcome = Outcome(APPLIED)
    with transaction.atomic():
        guard(lease_epoch)
        keep(server, [(message_id, "status_report", outcome)] if message_id else [], [])
    return outcome
