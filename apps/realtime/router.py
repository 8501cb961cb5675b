"""MessageRouter: type → handler, after form, rights and rate were checked; every failure becomes a clear answer."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from typing import Any

import msgspec

from apps.accounts.audit import refused
from apps.core import clock
from apps.core.cancelling import asked_to_end
from apps.core.correlation import correlated, current_correlation_id
from apps.core.errors import (
    AutoCodeError,
    Forbidden,
    Internal,
    InvalidField,
    InvalidMessage,
    NotAuthenticated,
    NotJoined,
    RateLimited,
    Unavailable,
    UnknownType,
)
from apps.core.events import Struct
from apps.projects.aio import in_thread, not_now
from apps.projects.permissions import may
from apps.projects.selectors.access import access_to
from apps.realtime import handlers, metrics
from apps.realtime.commands import COMMANDS, Command
from apps.realtime.context import Context
from apps.realtime.user_limits import UserRate

logger = logging.getLogger(__name__)

handlers.load()

_PLACE = re.compile(r" - at `\$\.?([^`]*)`")
_MISSING = re.compile(r"(?:missing required|contains unknown) field `([^`]+)`")


class MessageRouter:
    """Carries out commands. One for each process; it holds no state of a connection."""

    def __init__(self, user_rate: UserRate) -> None:
        self._user_rate = user_rate

    def row(self, type_: str) -> Command:
        """Return the registry's row. Raises ``UnknownType``."""
        row = COMMANDS.get(type_)
        if row is None:
            raise UnknownType(f"There is no message type {type_[:64]!r}.", field="type")
        return row

    async def carry_out(self, context: Context) -> tuple[Command, Any]:
        """Carry out one command; return its row and the reply's data (None: no reply).

        Raises only errors of ``core.errors``; what is our own bug is logged under the correlation id and is
        ``Internal``.
        """
        type_, started = context.envelope.type, clock.monotonic()
        label = type_ if type_ in COMMANDS else "unknown"
        outcome = "ok"
        with correlated(current_correlation_id() or context.command_id):
            try:
                return await self._checked(context)
            except AutoCodeError as error:
                outcome = error.code
                if isinstance(error, Forbidden) and context.identity is not None:
                    guid = context.envelope.project_guid or ""
                    await in_thread(refused, context.identity.actor, label, project=guid[:36], why=error.message)
                raise
            except asyncio.CancelledError as error:
                if asked_to_end():
                    raise
                outcome = Unavailable.code
                logger.warning("what command %s waited for was cancelled", label)
                raise Unavailable(retry_after_ms=1_000) from error
            except Exception as error:
                if not_now(error):
                    outcome = Unavailable.code
                    logger.warning("the database does not answer: %s", error)
                    raise Unavailable(retry_after_ms=1_000) from error
                outcome = Internal.code
                metrics.HANDLER_FAILURES.inc()
                logger.exception("command %s failed", label)
                details = {"correlationId": current_correlation_id()}
                raise Internal(details=details) from error
            finally:
                counter, seconds = _measures(label, outcome)
                counter.inc()
                seconds.observe(clock.monotonic() - started)

    async def _checked(self, context: Context) -> tuple[Command, Any]:
        row = self.row(context.envelope.type)
        payload = form(row.payload, context.envelope.data)
        if context.identity is None and not row.anonymous:
            raise NotAuthenticated
        await self._check_rights(row, context)
        if context.identity is not None and not row.anonymous:
            wait = await self._user_rate.take(context.identity.user_id)
            if wait:
                raise RateLimited(retry_after_ms=wait)
        return row, await row.handler(context, payload)

    async def _check_rights(self, row: Command, context: Context) -> None:
        if row.needs is None:
            return
        if context.service is None:
            await in_thread(access_to, context.who.user_id, context.guid, row.needs)
            return
        if not row.joined:
            _ = context.guid  # the handler asks for the access itself: it needs more than the role
            return
        if context.envelope.project_guid is None:
            raise InvalidField("Which project?", field="projectGuid")
        if context.viewer is None or not context.viewer.joined:
            raise NotJoined
        if not may(context.viewer.role, row.needs):
            raise Forbidden


@functools.cache
def _measures(label: str, outcome: str) -> tuple[Any, Any]:
    """Return the counter and the histogram of a command; both labels are from closed sets."""
    return metrics.COMMANDS.labels(label, outcome), metrics.COMMAND_SECONDS.labels(label)


def form(shape: type[Struct], data: dict[str, Any]) -> Any:
    """Return ``data`` as ``shape``. Raises ``InvalidField`` that names the field, as it is on the wire."""
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _PLACE.search(text)
        inner = _MISSING.search(text)
        path = [part for part in ((place[1] if place else ""), (inner[1] if inner else "")) if part]
        if not path:
            raise InvalidMessage(text) from None
        raise InvalidField(_PLACE.sub("", text), field=".".join(path)) from None
