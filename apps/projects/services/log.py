"""THE LOG: one transaction, one order.

``open_log`` is the unit of work of every service: it opens the transaction, locks the project's row (which is also the
counter), and writes all events of the transaction together at its end. Events cannot be recorded without it.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import logging
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction

from apps.core import clock
from apps.core.actor import Actor
from apps.core.correlation import current_correlation_id
from apps.core.errors import Conflict, Forbidden, NotFound
from apps.core.events import EventClass, Payload, type_of
from apps.core.ids import uuid7
from apps.projects.events import ActorRef, ProjectStatus
from apps.projects.models import Membership, Project, ProjectEvent
from apps.projects.permissions import Role, may
from apps.projects.records import Ephemeral, LoggedEvent
from apps.projects.services import sql
from apps.projects.signals import ephemeral_emitted, event_committed, event_recorded

logger = logging.getLogger(__name__)
_KEPT_BY_SAVEPOINTS = ("name", "description", "brief", "status", "status_reason", "locks_version", "task_counter")
_encoder = msgspec.json.Encoder(decimal_format="string")
_PROJECTS = Project._meta.db_table  # noqa: SLF001 - Django's documented name
_MOVE = f"UPDATE {_PROJECTS} SET last_seq = %s, updated_at = %s WHERE id = %s"  # noqa: S608 - no value is in it
_ROLE = (
    f"SELECT role FROM {Membership._meta.db_table} AS place JOIN {get_user_model()._meta.db_table} AS person"  # noqa: S608, SLF001
    " ON person.id = place.user_id WHERE place.project_id = %s AND place.user_id = %s AND person.is_active"
)
_alone: contextvars.ContextVar[bool] = contextvars.ContextVar("project_log_alone", default=False)
_current: contextvars.ContextVar[ProjectLog | None] = contextvars.ContextVar("project_log", default=None)


class ProjectLog:
    """The open log of one project, inside one transaction. Made by ``open_log`` alone."""

    def __init__(self, project: Project, actor: Actor) -> None:
        self.project = project
        self.actor = actor
        self._pending: list[tuple[LoggedEvent, sql.Values]] = []
        self._roles: dict[str, Role | None] = {}
        self._news: list[Ephemeral] = []
        self._rows: list[tuple[type[models.Model], sql.Values]] = []
        self.memory: dict[tuple[str, str], Any] = {}
        """Rows that services of this transaction read and may read again, by kind and id. Empty after an undo."""

    @property
    def next_seq(self) -> int:
        """The ``seq`` that the next event will get."""
        return self.project.last_seq + 1

    def record(self, payload: Payload) -> LoggedEvent:
        """Append one durable event and return it with its ``seq``.

        The row is written at the end of the transaction, with all others. Receivers of ``event_recorded`` run now and
        may add rows of their own (the outbox).

        Raises ``ValueError`` for a payload whose type is not durable, and whatever a receiver raises.
        """
        row = type_of(payload)
        if EventClass.DURABLE not in row.classes:
            msg = f"{row.name} is never durable"
            raise ValueError(msg)
        self.project.last_seq += 1
        at, event_id = clock.now(), uuid7()
        event = LoggedEvent(
            seq=self.project.last_seq,
            id=str(event_id),
            type=row.name,
            at=clock.to_wire(at),
            data=_encoder.encode(payload),
        )
        stored = {
            "id": event_id,
            "project_id": self.project.pk,
            "seq": event.seq,
            "type": event.type,
            "data": event.data.decode(),
            "at": at,
            "actor_kind": self.actor.kind.value,
            "actor_id": self.actor.id,
            "actor_name": self.actor.name[:120],
            "correlation_id": current_correlation_id()[:64],
        }
        self._pending.append((event, stored))
        event_recorded.send(sender=ProjectLog, log=self, event=event, payload=payload)
        return event

    def insert(self, model: type[models.Model], **values: Any) -> None:
        """Insert a row, together with others of its kind: not later than ``settle`` or the transaction's end.

        ``values`` are as ``sql.insert`` takes them.
        """
        self._rows.append((model, values))

    def settle(self) -> None:
        """Write the rows of ``insert`` now. For who is about to look for them."""
        rows, self._rows = self._rows, []
        for model, alike in itertools.groupby(rows, operator.itemgetter(0)):
            sql.insert(model, [values for _, values in alike])

    def emit(self, news: Ephemeral) -> None:
        """Send news that is not stored, after the commit and after all events of this transaction."""
        self._news.append(news)

    @property
    def has_news(self) -> bool:
        """Whether ``emit`` was called: an event recorded from now on would be sent before news that is older."""
        return bool(self._news)

    def role_of(self, actor: Actor) -> Role | None:
        """Return the actor's role in this project, or None for no member. One query an actor and transaction."""
        if actor.id not in self._roles:
            word = _role_word(self.project.pk, UUID(actor.id)) if actor.id else None
            self._roles[actor.id] = Role.from_word(word) if word else None
        return self._roles[actor.id]

    def forget_roles(self) -> None:
        """Read roles anew: a membership changed in this transaction."""
        self._roles.clear()

    def require(self, action: str) -> None:
        """Let the acting actor pass, or say why not. AutoCode itself and the agents link are trusted.

        Raises ``NotFound`` for somebody who is no member, ``Forbidden`` for a role that is too low, ``Conflict`` when
        the
        project is archived (reading, who is in it and ``project.archive`` go on then).
        """
        if not self.actor.trusted:
            role = self.role_of(self.actor)
            if role is None:
                raise NotFound
            if not may(role, action):
                raise Forbidden
        if self.project.status == ProjectStatus.ARCHIVED.value and action not in {
            "project.archive",
            "project.mark_read",
            "member.view",
            "member.manage",
            "member.manage_owner",
        }:
            msg = "The project is archived."
            raise Conflict(msg)

    @property
    def author(self) -> ActorRef:
        """The acting actor as it is shown, with the role in this project."""
        role = None if self.actor.trusted else self.role_of(self.actor)
        return ActorRef(
            kind=self.actor.kind.value, id=self.actor.id, name=self.actor.name, role=role.word if role else ""
        )

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo this block alone, rows and events, when it raises. For batches in which one message may be bad."""
        self.settle()
        mark, news, seq = len(self._pending), len(self._news), self.project.last_seq
        fields = {name: getattr(self.project, name) for name in _KEPT_BY_SAVEPOINTS}
        try:
            with transaction.atomic():
                yield
                self.settle()
        except BaseException:
            self._rows.clear()
            self.memory.clear()
            del self._pending[mark:]
            del self._news[news:]
            self.project.last_seq = seq
            for name, value in fields.items():
                setattr(self.project, name, value)
            raise

    def _flush(self) -> None:
        self.settle()
        if not self._pending:
            return
        sql.insert(ProjectEvent, [stored for _, stored in self._pending])
        database = connections[DEFAULT_DB_ALIAS]
        now = database.ops.adapt_datetimefield_value(clock.now())
        with database.cursor() as cursor:
            cursor.execute(_MOVE, [self.project.last_seq, now, sql.key(self.project.pk)])

    def _announce(self) -> None:
        events = [event for event, _ in self._pending]
        results: list[tuple[Any, Any]] = []
        if events:
            results += event_committed.send_robust(
                sender=ProjectLog, project_id=self.project.pk, guid=str(self.project.guid), events=events
            )
        for news in self._news:
            results += ephemeral_emitted.send_robust(sender=ProjectLog, news=news)
        for receiver, outcome in results:
            if isinstance(outcome, Exception):
                logger.error("receiver %s failed", receiver, exc_info=outcome)


@contextmanager
def open_log(guid: UUID | str, actor: Actor) -> Iterator[ProjectLog]:
    """Open the log of the project ``guid`` for ``actor``: a transaction, the project's row lock, its events.

    Inside another ``open_log`` of the same project it joins that one, so that services can call services.

    Raises ``NotFound`` when there is no such project, ``RuntimeError`` when another project's log is open.
    """
    outer = _current.get()
    if outer is not None:
        if str(outer.project.guid) != str(guid):
            msg = "one transaction writes one project's log"
            raise RuntimeError(msg)
        actor_before, outer.actor = outer.actor, actor
        try:
            yield outer
        finally:
            outer.actor = actor_before
        return
    with transaction.atomic(savepoint=not _alone.get()):
        log = ProjectLog(_locked(guid), actor)
        token = _current.set(log)
        try:
            yield log
            log._flush()  # noqa: SLF001 - the two halves of one mechanism
        finally:
            _current.reset(token)
        transaction.on_commit(log._announce, robust=True)  # noqa: SLF001


@contextmanager
def alone() -> Iterator[None]:
    """Say that the transaction around ends with the log that is opened in the block: it needs no savepoint.

    Whatever the block raises must undo the transaction.
    """
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def _locked(guid: UUID | str) -> Project:
    database = connections[DEFAULT_DB_ALIAS]  # the proxy would look it up each time
    with database.cursor() as cursor:
        cursor.execute(_lock(database.vendor), [sql.key(_as_uuid(guid))])
        row = cursor.fetchone()
    if row is None:
        raise NotFound
    return sql.row_of(Project, row)


@functools.cache
def _lock(vendor: str) -> str:
    lock = " FOR NO KEY UPDATE" if connection.features.has_select_for_no_key_update else ""
    return f"SELECT {sql.columns(Project, vendor)} FROM {_PROJECTS} WHERE guid = %s{lock}"  # noqa: S608


def _role_word(project_id: UUID, user_id: UUID) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(_ROLE, [sql.key(project_id), sql.key(user_id)])
        row = cursor.fetchone()
    return row[0] if row else None


def _as_uuid(guid: UUID | str) -> UUID:
    if isinstance(guid, UUID):
        return guid
    try:
        return UUID(guid)
    except ValueError:
        raise NotFound from None
