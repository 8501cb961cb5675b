"""The state of a room and how one event changes it. Pure: this is what a client does, written once in Python.

``Snapshot`` at *a*, folded with the events *a+1 … b*, equals the snapshot at *b*: the tests hold every service to it,
and the client's ``fold.js`` is held to this module. Long lists are windows (the newest, and whatever is still open),
cut by the
same rule here, in the selector and in the client. Knows neither Django nor sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from msgspec import UNSET, Struct, field, structs

from apps.agents import events as a
from apps.core.events import Payload
from apps.core.events import Struct as WireStruct
from apps.projects import events as p

MESSAGES = 100
RUNS = 30
TOOL_CALLS = 60
APPROVALS = 30
FEEDBACK = 50
NOTIFICATIONS = 30
ACTIVITY = 60
LOGS = 30

ACTIVITY_TYPES = frozenset(
    {
        "project_status_change",
        "project_stage_update",
        "task_created",
        "task_status_changed",
        "task_deleted",
        "tasks_reset",
        "plan_generated",
        "agent_spawned",
        "agent_messages",
        "member_changed",
    }
)
"""Events that the timeline shows as a line of their own; the snapshot carries the newest of them whole."""


class Locks(WireStruct):
    """The whole set of file locks and its version."""

    version: int = 0
    locks: list[p.LockView] = field(default_factory=list)


class TotalUsage(WireStruct):
    """The sum over all ended runs. Money is a decimal string."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    total_cost: str = "0"
    currency: str = "USD"
    runs: int = 0


class LogItem(WireStruct):
    """A durable log entry and its place."""

    seq: int
    at: str
    log: p.LogLines


class ActivityItem(WireStruct):
    """An event as it stands in the log, for the timeline."""

    seq: int
    type: str
    timestamp: str
    data: dict[str, Any]


class Snapshot(WireStruct):
    """Everything that a room shows, exact at ``last_seq``."""

    project: p.ProjectView
    epoch: str
    last_seq: int
    stages: list[p.StageView] = field(default_factory=list)
    messages: list[p.MessageView] = field(default_factory=list)
    tasks: list[p.TaskView] = field(default_factory=list)
    plan: p.PlanView | None = None
    locks: Locks = field(default_factory=Locks)
    agents: list[a.AgentView] = field(default_factory=list)
    runs: list[a.RunView] = field(default_factory=list)
    tool_calls: list[a.ToolCallView] = field(default_factory=list)
    approvals: list[a.ApprovalView] = field(default_factory=list)
    feedback: list[a.FeedbackView] = field(default_factory=list)
    notifications: list[p.NotificationView] = field(default_factory=list)
    activity: list[ActivityItem] = field(default_factory=list)
    logs: list[LogItem] = field(default_factory=list)
    usage: TotalUsage = field(default_factory=TotalUsage)


class Recorded(Struct, frozen=True):
    """One durable event as read from the log. ``at`` is RFC 3339; ``data`` the payload as plain JSON values."""

    seq: int
    type: str
    at: str
    payload: Payload
    data: dict[str, Any]


T = TypeVar("T")


def window(items: list[T], size: int, is_open: Callable[[T], bool] | None = None) -> list[T]:
    """Return the last ``size`` of ``items`` and, before them, whatever is still open."""
    if len(items) <= size:
        return items
    older, newest = items[:-size], items[-size:]
    return ([item for item in older if is_open(item)] if is_open else []) + newest


def decimal_text(value: Decimal) -> str:
    """Return ``value`` as a plain decimal string without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def fold(state: Snapshot, event: Recorded) -> None:
    """Apply ``event`` to ``state`` in place.

    Raises ``ValueError`` when the event is not the next one, and ``KeyError`` for a type that nobody folds.
    """
    if event.seq != state.last_seq + 1:
        msg = f"event {event.seq} does not follow {state.last_seq}"
        raise ValueError(msg)
    _FOLDS[event.type](state, event, event.payload)
    if event.type in ACTIVITY_TYPES:
        state.activity.append(ActivityItem(seq=event.seq, type=event.type, timestamp=event.at, data=event.data))
        state.activity = window(state.activity, ACTIVITY)
    state.last_seq = event.seq


def _upsert(items: list[Any], key: str, value: Any) -> None:
    wanted = getattr(value, key)
    for index, item in enumerate(items):
        if getattr(item, key) == wanted:
            items[index] = value
            return
    items.append(value)


def _project(state: Snapshot, _event: Recorded, data: Any) -> None:
    state.project = data.project


def _status(state: Snapshot, _event: Recorded, data: Any) -> None:
    state.project = structs.replace(state.project, status=data.status, status_reason=data.reason)


def _stage(state: Snapshot, _event: Recorded, data: Any) -> None:
    _upsert(state.stages, "stage_id", data.stage)
    state.stages.sort(key=lambda stage: (stage.position, stage.stage_id))


def _message(state: Snapshot, event: Recorded, data: Any) -> None:
    kind = getattr(data, "kind", p.MessageKind.AGENT)
    known = {
        name: value
        for name in p.MessageView.__struct_fields__
        if (value := getattr(data, name, UNSET)) is not UNSET and name not in {"kind", "source"}
    }
    known["content"] = data.content or ""
    known["html"] = getattr(data, "html", "") or ""
    known["author"] = data.author
    known["format"] = getattr(data, "format", p.TextFormat.TEXT)
    known |= {"seq": event.seq, "at": event.at}
    if event.type == "agent_message":
        known |= {"has_question": data.question, "waiting_user_response": data.question}
    if event.type == "platform_message":
        kind = p.MessageKind.SYSTEM
        known["format"] = p.TextFormat.MARKDOWN
    state.messages.append(p.MessageView(source=p.MessageSource(event.type), kind=kind, **known))
    if data.reply_to_id if hasattr(data, "reply_to_id") else None:
        _answer(state, data.reply_to_id, kind)
    state.messages = window(state.messages, MESSAGES)


def _answer(state: Snapshot, message_id: str, kind: p.MessageKind) -> None:
    """A person's reply to a question settles it."""
    if kind is not p.MessageKind.USER:
        return
    for index, message in enumerate(state.messages):
        if message.message_id == message_id and message.waiting_user_response:
            state.messages[index] = structs.replace(message, waiting_user_response=False)


def _task(state: Snapshot, _event: Recorded, data: Any) -> None:
    _upsert(state.tasks, "task_id", data.task)
    _sort_tasks(state)


def _task_deleted(state: Snapshot, _event: Recorded, data: Any) -> None:
    state.tasks = [task for task in state.tasks if task.task_id != data.task_id]


def _tasks_reset(state: Snapshot, _event: Recorded, data: Any) -> None:
    for task in data.tasks:
        _upsert(state.tasks, "task_id", task)
    _sort_tasks(state)


def _sort_tasks(state: Snapshot) -> None:
    state.tasks.sort(key=lambda task: (task.position, task.number))


def _plan(state: Snapshot, _event: Recorded, data: Any) -> None:
    state.plan = data.plan


def _locks(state: Snapshot, _event: Recorded, data: Any) -> None:
    state.locks = Locks(version=data.version, locks=data.locks)


def _log(state: Snapshot, event: Recorded, data: Any) -> None:
    state.logs = window([*state.logs, LogItem(seq=event.seq, at=event.at, log=data)], LOGS)


def _notification(state: Snapshot, event: Recorded, data: Any) -> None:
    view = p.NotificationView(**structs.asdict(data), at=event.at, seq=event.seq)
    state.notifications = window([*state.notifications, view], NOTIFICATIONS)


def _member(_state: Snapshot, _event: Recorded, _data: Any) -> None:
    """Members are not part of the snapshot: presence and the REST list tell them."""


def _agent(state: Snapshot, _event: Recorded, data: Any) -> None:
    _upsert(state.agents, "agent_id", data.agent)


def _agent_status(state: Snapshot, _event: Recorded, data: Any) -> None:
    for index, agent in enumerate(state.agents):
        if agent.agent_id == data.agent_id:
            state.agents[index] = structs.replace(
                agent,
                status=data.status,
                task_id=data.task_id,
                activity=data.activity,
                progress=data.progress,
                context=data.context,
            )


def _mail(_state: Snapshot, _event: Recorded, _data: Any) -> None:
    """Mail among agents is shown from the activity list."""


def _run(state: Snapshot, event: Recorded, data: Any) -> None:
    state.runs.append(
        a.RunView(
            run_id=data.run_id,
            agent_id=data.agent_id,
            status=a.RunStatus.RUNNING,
            trigger=data.trigger,
            task_id=data.task_id,
            started_at=data.started_at,
            seq=event.seq,
        )
    )
    state.runs = window(state.runs, RUNS, _run_open)


def _run_open(run: a.RunView) -> bool:
    return run.status is a.RunStatus.RUNNING


def _done(state: Snapshot, _event: Recorded, data: Any) -> None:
    for index, run in enumerate(state.runs):
        if run.run_id == data.run_id:
            state.runs[index] = structs.replace(
                run,
                status=data.status,
                stop_reason=data.stop_reason,
                error=data.error,
                tool_calls=data.tool_calls,
                usage=data.usage,
                duration_ms=data.duration_ms,
                finished_at=data.finished_at,
            )
    state.runs = window(state.runs, RUNS, _run_open)
    total = state.usage
    state.usage = TotalUsage(
        prompt_tokens=total.prompt_tokens + data.usage.prompt_tokens,
        completion_tokens=total.completion_tokens + data.usage.completion_tokens,
        total_tokens=total.total_tokens + data.usage.total_tokens,
        total_cost=decimal_text(Decimal(total.total_cost) + Decimal(data.usage.total_cost)),
        currency=data.usage.currency,
        runs=total.runs + 1,
    )


def _tool_start(state: Snapshot, event: Recorded, data: Any) -> None:
    view = a.ToolCallView(**structs.asdict(data), status=a.ToolStatus.RUNNING, seq=event.seq)
    state.tool_calls = window([*state.tool_calls, view], TOOL_CALLS, _call_open)


def _call_open(call: a.ToolCallView) -> bool:
    return call.status is a.ToolStatus.RUNNING


def _tool_end(state: Snapshot, _event: Recorded, data: Any) -> None:
    for index, call in enumerate(state.tool_calls):
        if (call.run_id, call.tool_call_id) == (data.run_id, data.tool_call_id):
            state.tool_calls[index] = structs.replace(
                call,
                status=data.status,
                result=data.result,
                result_size=data.result_size,
                truncated=data.truncated,
                error=data.error,
                diff=data.diff,
                duration_ms=data.duration_ms,
            )
    state.tool_calls = window(state.tool_calls, TOOL_CALLS, _call_open)


def _usage(state: Snapshot, _event: Recorded, data: Any) -> None:
    for index, run in enumerate(state.runs):
        if run.run_id == data.run_id:
            fields = {name: getattr(data, name) for name in a.UsageTotals.__struct_fields__}
            state.runs[index] = structs.replace(run, usage=a.UsageTotals(**fields))


def _approval(state: Snapshot, event: Recorded, data: Any) -> None:
    view = a.ApprovalView(**structs.asdict(data), state=a.ApprovalState.PENDING, seq=event.seq)
    state.approvals = window([*state.approvals, view], APPROVALS, _approval_open)


def _approval_open(approval: a.ApprovalView) -> bool:
    return approval.state is a.ApprovalState.PENDING


def _approval_resolved(state: Snapshot, _event: Recorded, data: Any) -> None:
    for index, approval in enumerate(state.approvals):
        if approval.approval_id == data.approval_id:
            state.approvals[index] = structs.replace(
                approval,
                state=data.state,
                source=data.source,
                by=data.by,
                reason=data.reason,
                edited_args=data.edited_args,
                decided_at=data.decided_at,
                applied_at=data.applied_at,
            )
    state.approvals = window(state.approvals, APPROVALS, _approval_open)


def _feedback(state: Snapshot, event: Recorded, data: Any) -> None:
    for item in state.feedback:
        if item.feedback_id == data.feedback_id:
            seq = item.seq
            break
    else:
        if data.state is not a.FeedbackState.RECEIVED:
            return  # older than the window
        seq = event.seq
    _upsert(state.feedback, "feedback_id", structs.replace(data.feedback, seq=seq))
    state.feedback = window(state.feedback, FEEDBACK)


_FOLDS: dict[str, Callable[[Snapshot, Recorded, Any], None]] = {
    "project_updated": _project,
    "project_status_change": _status,
    "project_stage_update": _stage,
    "project_message": _message,
    "agent_message": _message,
    "message": _message,
    "thinking": _message,
    "platform_message": _message,
    "task_created": _task,
    "task_updated": _task,
    "task_status_changed": _task,
    "task_deleted": _task_deleted,
    "tasks_reset": _tasks_reset,
    "plan_generated": _plan,
    "file_locks_update": _locks,
    "log": _log,
    "notification": _notification,
    "member_changed": _member,
    "agent_spawned": _agent,
    "agent_status_update": _agent_status,
    "agent_messages": _mail,
    "run_started": _run,
    "done": _done,
    "tool_start": _tool_start,
    "tool_end": _tool_end,
    "usage": _usage,
    "approval_needed": _approval,
    "approval_resolved": _approval_resolved,
    "user_feedback_response": _feedback,
}

FOLDED_TYPES = frozenset(_FOLDS)
