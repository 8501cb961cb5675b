"""Runs: one start, one end, nothing open behind it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from apps.agents import commands
from apps.agents import events as a
from apps.agents.errors import Ignored
from apps.agents.fold import decimal_text
from apps.agents.models import Agent, ProjectUsage, Run, ToolCall
from apps.agents.services.agents import AgentService
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.outbox import enqueue
from apps.agents.services.rights import only_trusted
from apps.agents.wire import run_view, struct
from apps.core import clock
from apps.core.actor import SYSTEM
from apps.core.errors import Conflict, InvalidField, NotFound
from apps.core.events import EventClass
from apps.projects.events import NotificationKind, Severity, TextFormat
from apps.projects.records import Ephemeral, LoggedEvent
from apps.projects.services.base import Service, key, text
from apps.projects.services.log import ProjectLog
from apps.projects.services.messages import MessageService
from apps.projects.services.notifications import NotificationService

_MODES = ("soft", "hard")


class RunService(Service):
    """Starts, ends and cancels runs."""

    def start(
        self,
        *,
        guid: UUID | str,
        run_id: str,
        agent_id: str,
        trigger: a.Trigger | None = None,
        task_id: str | None = None,
    ) -> LoggedEvent:
        """Record that a run began. Raises ``Ignored`` for one that is known."""
        with self.log(guid) as log:
            log.require("stage.update")
            if Run.objects.filter(project=log.project, key=run_id).exists():
                raise Ignored("This run is known.")
            return self._start(log, run_id, agent_id, trigger or a.Trigger(kind="agent"), task_id)[1]

    def ensure_open(self, log: ProjectLog, run_id: str, agent_id: str) -> Run:
        """Return the open run; one that nobody announced is started. Raises ``Ignored`` when it has ended."""
        run = Run.objects.filter(project=log.project, key=run_id).select_related("agent").first()
        if run is None:
            return self._start(log, run_id, agent_id, a.Trigger(kind="agent"), None)[0]
        if run.status != a.RunStatus.RUNNING.value:
            raise Ignored("The run has ended.")
        return run

    def finish(
        self,
        *,
        guid: UUID | str,
        run_id: str,
        status: a.RunStatus,
        stop_reason: str = "",
        error: a.RunError | None = None,
        usage: a.UsageTotals | None = None,
        duration_ms: int | None = None,
    ) -> LoggedEvent:
        """End the run: its open calls and questions are closed, then come ``usage`` and, last, ``done``.

        Raises ``NotFound`` for an unknown run, ``Ignored`` for one that has ended, ``InvalidField`` for ``running``.
        """
        if status is a.RunStatus.RUNNING:
            raise InvalidField("A run does not end by running.", field="status")
        with self.log(guid) as log:
            only_trusted(self.actor)
            run = _open_run(log, run_id)
            cancelled = status is a.RunStatus.CANCELLED
            ToolCallService(self.actor).close_open(
                log, run, a.ToolStatus.CANCELLED if cancelled else a.ToolStatus.ABANDONED
            )
            ApprovalService(self.actor).cancel_for_run(log, run_id)
            used = usage or struct(run.usage or {}, a.UsageTotals)
            now = clock.now()
            run.status, run.stop_reason = status.value, text(stop_reason, field="stopReason", longest=500, blank=True)
            run.error = msgspec.to_builtins(bounded(error))
            run.usage = msgspec.to_builtins(used)
            run.finished_at = now
            run.duration_ms = max(0, int((now - run.started_at) / dt.timedelta(milliseconds=1)))
            if duration_ms is not None:
                run.duration_ms = duration_ms
            run.tool_totals = msgspec.to_builtins(_totals(run))
            run.save()
            _add_to_project(log, used)
            view = run_view(run)
            log.record(_usage_news(run_id, used))
            event = log.record(
                a.Done(
                    run_id=run_id,
                    status=view.status,
                    stop_reason=view.stop_reason,
                    error=view.error,
                    tool_calls=view.tool_calls or a.ToolTotals(),
                    usage=used,
                    duration_ms=run.duration_ms,
                    finished_at=clock.to_wire(now),
                )
            )
            self._notify(log, run, status)
            return event

    def cancel(
        self,
        *,
        guid: UUID | str,
        run_id: str | None = None,
        agent_id: str | None = None,
        mode: str = "soft",
        reason: str = "",
    ) -> LoggedEvent | None:
        """Ask the agents to stop a run, an agent's runs, or (neither given) all runs of the project.

        The room reads who asked. ``done`` comes from the agents. Asking again in the same or a softer ``mode`` changes
        nothing (None). Raises ``Conflict`` when nothing of that kind is running, ``InvalidField``, ``Forbidden``,
        ``NotFound``.
        """
        with self.log(guid) as log:
            log.require("run.cancel")
            if mode not in _MODES:
                raise InvalidField("Runs are cancelled soft or hard.", field="mode")
            reason = text(reason, field="reason", longest=500, blank=True)
            runs = Run.objects.filter(project=log.project, status=a.RunStatus.RUNNING.value).select_related("agent")
            if run_id is not None:
                runs = runs.filter(key=run_id)
            if agent_id is not None:
                runs = runs.filter(agent__key=agent_id)
            running = list(runs)
            if not running:
                raise Conflict("There is no such run, or it has ended.", field="runId" if run_id else None)
            if all(run.cancel_mode in {"hard", mode} for run in running):
                return None
            Run.objects.filter(pk__in=[run.pk for run in running]).update(cancel_mode=mode)
            enqueue(
                log,
                commands.Cancel(by=log.author, run_id=run_id, agent_id=agent_id, mode=mode, reason=reason),
                ref=run_id or agent_id or "",
            )
            names = ", ".join(dict.fromkeys(run.agent.name for run in running))
            said = f"{self.actor.name} asked {names} to stop{' at once' if mode == 'hard' else ''}."
            return MessageService(SYSTEM).post(
                guid=guid, content=f"{said} {reason}".strip(), format=TextFormat.TEXT, run_id=run_id, agent_id=agent_id
            )

    def end_lost(self, *, guid: UUID | str, open_run_ids: set[str]) -> list[str]:
        """End the runs that AutoCode believes open and the agents-server does not know; return their ids."""
        with self.log(guid) as log:
            running = Run.objects.filter(project=log.project, status=a.RunStatus.RUNNING.value)
            lost = [run_id for run_id in running.values_list("key", flat=True) if run_id not in open_run_ids]
            for run_id in lost:
                self.finish(
                    guid=guid,
                    run_id=run_id,
                    status=a.RunStatus.FAILED,
                    stop_reason="lost",
                    error=a.RunError(code="lost", message="The agents-server does not know this run any more."),
                )
            return lost

    def _start(
        self, log: ProjectLog, run_id: str, agent_id: str, trigger: a.Trigger, task_id: str | None
    ) -> tuple[Run, LoggedEvent]:
        agent = AgentService(self.actor).ensure(log, agent_id)
        run = Run.objects.create(
            project=log.project,
            agent=agent,
            key=key(run_id, field="runId"),
            seq=log.next_seq,
            trigger=msgspec.to_builtins(trigger),
            task_key=task_id or "",
        )
        event = log.record(
            a.RunStarted(
                run_id=run_id,
                agent_id=agent_id,
                trigger=trigger,
                task_id=task_id,
                started_at=clock.to_wire(run.started_at),
            )
        )
        return run, event

    def _notify(self, log: ProjectLog, run: Run, status: a.RunStatus) -> None:
        """Tell the room about runs that ended badly; the others are seen and need no notice."""
        if status not in {a.RunStatus.FAILED, a.RunStatus.TIMED_OUT}:
            return
        ended = "ran out of time" if status is a.RunStatus.TIMED_OUT else "failed"
        detail = run.error["message"] if run.error else run.stop_reason
        NotificationService(SYSTEM).notify(
            guid=log.project.guid,
            kind=NotificationKind.FAILED,
            severity=Severity.ERROR,
            title=f"A run of {run.agent.name} {ended}",
            body=detail[:500],
            link=f"#run-{run.key}",
        )


class UsageService(Service):
    """Keeps what runs use."""

    def report(self, *, guid: UUID | str, run_id: str, usage: a.UsageTotals) -> None:
        """Take what an open run used so far; it replaces the report before. The room hears it at once, unstored.

        Raises ``NotFound`` for an unknown run, ``Ignored`` for one that has ended.
        """
        with self.log(guid) as log:
            log.require("stage.update")
            run = _open_run(log, run_id)
            before = struct(run.usage or {}, a.UsageTotals)
            run.usage = msgspec.to_builtins(usage)
            run.save(update_fields=["usage"])
            log.emit(Ephemeral(str(log.project.guid), f"usage:{run_id}", EventClass.LATEST, _usage_news(run_id, usage)))
            self._warn(log, run.agent, before.budget, usage.budget)

    def _warn(self, log: ProjectLog, agent: Agent, before: a.Budget | None, now: a.Budget | None) -> None:
        if now is None or now.state == "ok" or (before is not None and before.state == now.state):
            return
        exceeded = now.state == "exceeded"
        NotificationService(SYSTEM).notify(
            guid=log.project.guid,
            kind=NotificationKind.BUDGET,
            severity=Severity.ERROR if exceeded else Severity.WARNING,
            title=f"{agent.name} {'has used up its budget' if exceeded else 'nears its budget'}"[:200],
            body=f"{now.spent} of {now.limit}"[:500],
        )


def bounded(error: a.RunError | None) -> a.RunError | None:
    """Return ``error`` with texts of a length that a room can show."""
    return error and a.RunError(code=error.code[:60], message=error.message[:2_000])


def _open_run(log: ProjectLog, run_id: str) -> Run:
    run = Run.objects.filter(project=log.project, key=run_id).select_related("agent").first()
    if run is None:
        raise NotFound("There is no such run.", field="runId")
    if run.status != a.RunStatus.RUNNING.value:
        raise Ignored("The run has ended.")
    return run


def _totals(run: Run) -> a.ToolTotals:
    ended = list(ToolCall.objects.filter(run=run).values_list("status", flat=True))
    count: dict[str, Any] = {"ok": ended.count(a.ToolStatus.SUCCESS)}
    count["error"] = ended.count(a.ToolStatus.ERROR) + ended.count(a.ToolStatus.TIMED_OUT)
    for name in ("denied", "cancelled", "abandoned"):
        count[name] = ended.count(name)
    return a.ToolTotals(**count)


def _usage_news(run_id: str, usage: a.UsageTotals) -> a.Usage:
    return a.Usage(run_id=run_id, **{name: getattr(usage, name) for name in a.UsageTotals.__struct_fields__})


def _add_to_project(log: ProjectLog, used: a.UsageTotals) -> None:
    total, _ = ProjectUsage.objects.get_or_create(project=log.project)
    total.prompt_tokens += used.prompt_tokens
    total.completion_tokens += used.completion_tokens
    total.total_tokens += used.total_tokens
    total.total_cost = decimal_text(Decimal(total.total_cost) + Decimal(used.total_cost))
    total.currency = used.currency
    total.runs += 1
    total.save()
