"""Durable log lines of agents: from warning up. Lower levels only stream."""

from __future__ import annotations

from uuid import UUID

from apps.projects.events import LogLevel, LogLines
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service

DURABLE_LEVELS = frozenset({LogLevel.WARNING, LogLevel.ERROR})


class LogService(Service):
    """Records log entries that must not be lost."""

    def write(
        self,
        *,
        guid: UUID | str,
        level: LogLevel,
        source: str,
        lines: list[str],
        run_id: str | None = None,
        tool_call_id: str | None = None,
    ) -> LoggedEvent:
        """Record lines of level warning or error. Raises ``ValueError`` for a lower level."""
        if level not in DURABLE_LEVELS:
            msg = f"{level} is not durable"
            raise ValueError(msg)
        with self.log(guid) as log:
            return log.record(
                LogLines(level=level, source=source, lines=lines, run_id=run_id, tool_call_id=tool_call_id)
            )
