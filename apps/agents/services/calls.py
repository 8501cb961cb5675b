"""Tool calls: a start, an end, and the end alone when the start was missed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from apps.agents import cutting
from apps.agents import events as a
from apps.agents.digest import args_digest
from apps.agents.errors import Ignored
from apps.agents.models import Run, ToolCall
from apps.agents.services.rights import only_trusted
from apps.agents.wire import call_view
from apps.core import clock
from apps.core.errors import NotFound, TooLarge
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, key, text
from apps.projects.services.log import ProjectLog

ARGS = 256 * 1024
"""Bytes of a call's arguments in the table."""
PATCH = 256 * 1024
"""Characters of a patch in the table."""


class ToolCallService(Service):
    """Records tool calls. Used by the agents link."""

    def start(
        self,
        *,
        guid: UUID | str,
        tool_call_id: str,
        run_id: str,
        agent_id: str,
        tool: str,
        kind: a.ToolKind = a.ToolKind.OTHER,
        title: str = "",
        args: dict[str, Any] | None = None,
        locations: list[a.Location] | None = None,
        risk: a.Risk = a.Risk.UNKNOWN,
        approval_id: str | None = None,
    ) -> LoggedEvent:
        """Record that a call began; a run that nobody announced is started.

        Raises ``Ignored`` when the run has ended or the call is known in this run, ``TooLarge``.
        """
        from apps.agents.services.runs import RunService  # a run's end closes calls: the two need each other

        with self.log(guid) as log:
            log.require("stage.update")
            run = RunService(self.actor).ensure_open(log, run_id, agent_id)
            if ToolCall.objects.filter(run=run, key=tool_call_id).exists():
                raise Ignored("This call is known.")
            args = args or {}
            if len(msgspec.json.encode(args)) > ARGS:
                raise TooLarge(f"Arguments have at most {ARGS} bytes.", field="args")
            call = ToolCall.objects.create(
                project=log.project,
                run=run,
                key=key(tool_call_id, field="toolCallId"),
                seq=log.next_seq,
                tool=text(tool, field="tool", longest=120),
                kind=kind.value,
                title=text(title, field="title", longest=500, blank=True),
                args=args,
                shown_args=cutting.cut_args(args),
                args_digest=args_digest(tool, args),
                locations=msgspec.to_builtins(locations or []),
                risk=risk.value,
                approval_key=approval_id or "",
            )
            return self._record_start(log, call)

    def finish(
        self,
        *,
        guid: UUID | str,
        tool_call_id: str,
        run_id: str,
        status: a.ToolStatus,
        result: str = "",
        error: a.RunError | None = None,
        diff: a.Diff | None = None,
        duration_ms: int = 0,
    ) -> LoggedEvent:
        """Record that a call ended; one whose start was missed is started by it.

        Raises ``NotFound`` for an unknown run, ``Ignored`` when the run or the call has ended.
        """
        with self.log(guid) as log:
            only_trusted(self.actor)
            run = Run.objects.filter(project=log.project, key=run_id).select_related("agent").first()
            if run is None:
                raise NotFound("There is no such run.", field="runId")
            if run.status != a.RunStatus.RUNNING.value:
                raise Ignored("The run has ended.")
            call = ToolCall.objects.filter(run=run, key=tool_call_id).select_related("run__agent").first()
            if call is None:
                self.start(guid=guid, tool_call_id=tool_call_id, run_id=run_id, agent_id=run.agent.key, tool="unknown")
                call = ToolCall.objects.select_related("run__agent").get(run=run, key=tool_call_id)
            if call.status != a.ToolStatus.RUNNING.value:
                raise Ignored("The call has ended.")
            if status is a.ToolStatus.RUNNING:
                status = a.ToolStatus.SUCCESS
            return self._end(log, call, status, result=result, error=error, diff=diff, duration_ms=duration_ms)

    def close_open(self, log: ProjectLog, run: Run, status: a.ToolStatus) -> None:
        """End every open call of the run as ``status`` (cancelled or abandoned): its run ends."""
        open_calls = ToolCall.objects.filter(run=run, status=a.ToolStatus.RUNNING.value).select_related("run__agent")
        for call in open_calls.order_by("seq"):
            elapsed = (clock.now() - call.started_at).total_seconds() * 1000
            self._end(log, call, status, duration_ms=max(0, int(elapsed)))

    def _record_start(self, log: ProjectLog, call: ToolCall) -> LoggedEvent:
        view = call_view(call)
        return log.record(a.ToolStart(**{name: getattr(view, name) for name in a.ToolStart.__struct_fields__}))

    def _end(
        self,
        log: ProjectLog,
        call: ToolCall,
        status: a.ToolStatus,
        *,
        result: str = "",
        error: a.RunError | None = None,
        diff: a.Diff | None = None,
        duration_ms: int = 0,
    ) -> LoggedEvent:
        call.status, call.duration_ms = status.value, duration_ms
        call.result = cutting.cut(result, cutting.STORED_RESULT)
        call.shown_result = cutting.cut(result, cutting.SHOWN_RESULT)
        call.result_size = len(result.encode())
        call.truncated = len(result) > cutting.SHOWN_RESULT
        if error is not None:
            call.error = {"code": error.code[:60], "message": error.message[:2_000]}
        if diff is not None:
            call.patch = cutting.cut(diff.patch, PATCH)
            call.diff = msgspec.to_builtins(shown_diff(diff, cutting.SHOWN_PATCH))
        call.save()
        view = call_view(call)
        return log.record(
            a.ToolEnd(
                tool_call_id=call.key,
                run_id=call.run.key,
                status=status,
                success=status is a.ToolStatus.SUCCESS,
                result=view.result,
                result_size=view.result_size,
                truncated=view.truncated,
                duration_ms=duration_ms,
                error=view.error,
                diff=view.diff,
            )
        )


def shown_diff(diff: a.Diff, longest: int) -> a.Diff:
    """Return ``diff`` with its patch cut to ``longest`` characters and at most 200 files."""
    return a.Diff(files=diff.files[:200], patch=cutting.cut(diff.patch, longest))
