"""From rows to the shapes of the wire. Reads only what it is given."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from apps.agents import events as a
from apps.agents.models import Agent, Approval, Feedback, Run, ToolCall
from apps.core import clock
from apps.projects.events import ActorRef
from apps.projects.wire import actor_ref, moment

S = TypeVar("S")


def struct(value: Any, kind: type[S]) -> S:
    """Return a stored JSON value as a struct."""
    return msgspec.convert(value, kind)


def optional(value: Any, kind: type[S]) -> S | None:
    """Return a stored JSON value as a struct, or None."""
    return None if value is None else msgspec.convert(value, kind)


def agent_ref(agent: Agent) -> ActorRef:
    """Return the agent as an author."""
    return ActorRef(kind="agent", id=agent.key, name=agent.name, role=agent.role)


def agent_view(agent: Agent) -> a.AgentView:
    """Return the agent as clients see it."""
    return a.AgentView(
        agent_id=agent.key,
        name=agent.name,
        role=agent.role,
        kind=agent.kind,
        model=agent.model,
        parent_agent_id=agent.parent_key or None,
        branch=agent.branch,
        workspace=agent.workspace,
        capabilities=agent.capabilities,
        status=a.AgentStatus(agent.status),
        task_id=agent.task_key or None,
        activity=agent.activity,
        progress=agent.progress,
        context=optional(agent.context, a.ContextUse),
    )


def run_view(run: Run) -> a.RunView:
    """Return the run as clients see it; needs ``run.agent``. What it used is part of the room once it has ended."""
    ended = run.status != a.RunStatus.RUNNING.value
    return a.RunView(
        run_id=run.key,
        agent_id=run.agent.key,
        status=a.RunStatus(run.status),
        trigger=struct(run.trigger, a.Trigger),
        task_id=run.task_key or None,
        started_at=clock.to_wire(run.started_at),
        finished_at=moment(run.finished_at),
        stop_reason=run.stop_reason,
        error=optional(run.error, a.RunError),
        tool_calls=optional(run.tool_totals, a.ToolTotals),
        usage=optional(run.usage, a.UsageTotals) if ended else None,
        duration_ms=run.duration_ms,
        seq=run.seq,
    )


def call_view(call: ToolCall) -> a.ToolCallView:
    """Return the tool call as clients see it; needs ``call.run.agent``."""
    return a.ToolCallView(
        tool_call_id=call.key,
        run_id=call.run.key,
        agent_id=call.run.agent.key,
        tool=call.tool,
        kind=a.ToolKind(call.kind),
        title=call.title,
        args=call.shown_args,
        args_digest=call.args_digest,
        locations=struct(call.locations, list[a.Location]),
        risk=a.Risk(call.risk),
        status=a.ToolStatus(call.status),
        approval_id=call.approval_key or None,
        result=call.shown_result,
        result_size=call.result_size,
        truncated=call.truncated,
        error=optional(call.error, a.RunError),
        diff=optional(call.diff, a.Diff),
        duration_ms=call.duration_ms,
        started_at=clock.to_wire(call.started_at),
        seq=call.seq,
    )


def approval_view(approval: Approval) -> a.ApprovalView:
    """Return the approval as clients see it."""
    return a.ApprovalView(
        approval_id=approval.key,
        run_id=approval.run_key or None,
        tool_call_id=approval.call_key or None,
        agent_id=approval.agent_key or None,
        kind=a.ApprovalKind(approval.kind),
        title=approval.title,
        tool=approval.tool,
        args=approval.args,
        args_digest=approval.args_digest,
        risk=a.Risk(approval.risk),
        reasons=approval.reasons,
        allowed=approval.allowed,
        options=struct(approval.options, list[a.ApprovalOption]),
        required_role=approval.required_role,
        quorum=approval.quorum,
        expires_at=moment(approval.expires_at),
        on_timeout="reject",
        state=a.ApprovalState(approval.state),
        diff=optional(approval.diff, a.Diff),
        source=a.DecisionSource(approval.source) if approval.source else None,
        by=actor_ref(approval.by) if approval.by else None,
        reason=approval.reason,
        edited_args=approval.edited_args,
        decided_at=moment(approval.decided_at),
        applied_at=moment(approval.applied_at),
        requested_at=clock.to_wire(approval.requested_at),
        seq=approval.seq,
    )


def feedback_view(feedback: Feedback) -> a.FeedbackView:
    """Return the feedback as clients see it."""
    return a.FeedbackView(
        feedback_id=feedback.key,
        author=actor_ref(feedback.author),
        content=feedback.content,
        target=struct(feedback.target, a.FeedbackTarget),
        mode=a.FeedbackMode(feedback.mode),
        rating=feedback.rating,
        state=a.FeedbackState(feedback.state),
        by_run_id=feedback.run_key or None,
        note=feedback.note,
        effects=struct(feedback.effects, list[a.FeedbackEffect]),
        steps=struct(feedback.steps, list[a.FeedbackStep]),
        expires_at=moment(feedback.expires_at),
        created_at=clock.to_wire(feedback.created_at),
        seq=feedback.seq,
    )
