"""From a message of the agents-server to the service that carries it out. One function for each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from apps.agents import events as a
from apps.agents.errors import Ignored
from apps.agents.link import messages as m
from apps.agents.link.texts import OpenTexts
from apps.agents.services.agents import AgentService, CoordinationService
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.reports import StatusReportService
from apps.agents.services.runs import RunService, UsageService
from apps.agents.wire import agent_ref
from apps.core import clock
from apps.core.actor import AGENTS_SERVER
from apps.core.errors import InvalidField, UnknownType
from apps.projects import events as p
from apps.projects.models import Message
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.log import ProjectLog
from apps.projects.services.logs import LogService
from apps.projects.services.messages import MessageService
from apps.projects.services.notifications import NotificationService
from apps.projects.services.plans import PlanService
from apps.projects.services.projects import ProjectService
from apps.projects.services.stages import ProjectStageService
from apps.projects.services.tasks import TaskService

US = AGENTS_SERVER


def decode(kind: str, data: dict[str, Any]) -> m.Inbound | m.Usage:
    """Return the payload of a message. Raises ``UnknownType``, ``InvalidField``."""
    payload = m.INBOUND.get(kind)
    if payload is None:
        raise UnknownType(f"There is no message type {kind[:40]!r}.")
    try:
        return msgspec.convert(data, payload)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidField(str(error)[:400]) from None


def carry_out(log: ProjectLog, message: Any, texts: OpenTexts) -> None:
    """Carry out ``message`` in the open log. Raises what the services raise; ``Ignored`` for what changes nothing."""
    handler = _HANDLERS.get(type(message))
    if handler is None:
        raise UnknownType
    handler(log, message, texts)


def _fields(message: msgspec.Struct, *without: str) -> dict[str, Any]:
    """Return the message's fields as keyword arguments; what a service takes under its own name is left out."""
    return {name: getattr(message, name) for name in message.__struct_fields__ if name not in without}


def _guid(log: ProjectLog) -> str:
    return str(log.project.guid)


def _agent(log: ProjectLog, agent_id: str) -> p.ActorRef:
    return agent_ref(AgentService(US).ensure(log, agent_id))


# --- the project ------------------------------------------------------------------------------------------------


def _stage(log: ProjectLog, message: m.ProjectStageUpdate, texts: OpenTexts) -> None:
    fields = _fields(message.stage, "key")
    ProjectStageService(US).update(guid=_guid(log), stage_key=message.stage.key, **fields)


def _status(log: ProjectLog, message: m.ProjectStatusChange, texts: OpenTexts) -> None:
    ProjectService(US).set_status(guid=_guid(log), status=message.status, reason=message.reason)


def _line(log: ProjectLog, message: m.ProjectMessage, texts: OpenTexts) -> None:
    MessageService(US).post(guid=_guid(log), **_fields(message))


def _say(log: ProjectLog, message: m.AgentMessage, texts: OpenTexts) -> None:
    MessageService(US).agent_say(guid=_guid(log), agent=_agent(log, message.agent_id), **_fields(message))


def _log_lines(log: ProjectLog, message: m.LogLines, texts: OpenTexts) -> None:
    LogService(US).write(guid=_guid(log), **_fields(message))


def _notice(log: ProjectLog, message: m.Notification, texts: OpenTexts) -> None:
    if NotificationService(US).notify(guid=_guid(log), **_fields(message)) is None:
        raise Ignored("This person is no member of the project.")


def _platform(log: ProjectLog, message: m.PlatformMessage, texts: OpenTexts) -> None:
    author = p.ActorRef(kind="person", id="", name=message.author)
    if MessageService(US).mirror(guid=_guid(log), author=author, **_fields(message, "author")) is None:
        raise Ignored("This message is known.")


def _task_created(log: ProjectLog, message: m.TaskCreated, texts: OpenTexts) -> None:
    task = message.task
    assignee = _agent(log, task.assignee_agent_id) if task.assignee_agent_id else None
    TaskService(US).create(guid=_guid(log), assignee=assignee, **_fields(task, "assignee_agent_id"))


def _task_updated(log: ProjectLog, message: m.TaskUpdated, texts: OpenTexts) -> None:
    changes = message.changes
    assignee = _agent(log, changes.assignee_agent_id) if changes.assignee_agent_id else None
    fields = _fields(changes, "assignee_agent_id")
    TaskService(US).update(guid=_guid(log), task_id=message.task_id, assignee=assignee, **fields)


def _task_moved(log: ProjectLog, message: m.TaskStatusChanged, texts: OpenTexts) -> None:
    TaskService(US).set_status(guid=_guid(log), task_id=message.task_id, status=message.to, reason=message.reason)


def _task_deleted(log: ProjectLog, message: m.TaskDeleted, texts: OpenTexts) -> None:
    TaskService(US).delete(guid=_guid(log), task_id=message.task_id)


def _tasks_reset(log: ProjectLog, message: m.TasksReset, texts: OpenTexts) -> None:
    TaskService(US).reset(guid=_guid(log), task_ids=message.task_ids)


def _plan(log: ProjectLog, message: m.PlanGenerated, texts: OpenTexts) -> None:
    PlanService(US).publish(guid=_guid(log), **_fields(message.plan))


def _locks(log: ProjectLog, message: m.FileLocksUpdate, texts: OpenTexts) -> None:
    held = [
        Held(
            path=lock.path,
            holder=_agent(log, lock.agent_id),
            mode=lock.mode,
            task_id=lock.task_id,
            reason=lock.reason,
            expires_in_s=lock.expires_in_s,
            waiters=[_waiter(log, agent_id) for agent_id in lock.waiting_agent_ids],
        )
        for lock in message.locks
    ]
    FileLockService(US).replace(guid=_guid(log), locks=held)


def _waiter(log: ProjectLog, agent_id: str) -> p.LockWaiter:
    agent = _agent(log, agent_id)
    return p.LockWaiter(kind=agent.kind, id=agent.id, name=agent.name)


# --- agents and runs --------------------------------------------------------------------------------------------


def _spawned(log: ProjectLog, message: m.AgentSpawned, texts: OpenTexts) -> None:
    fields = _fields(message.agent) | {"task_id": message.task_id, "run_id": message.run_id}
    AgentService(US).spawn(guid=_guid(log), **fields)


def _agent_status(log: ProjectLog, message: m.AgentStatusUpdate, texts: OpenTexts) -> None:
    AgentService(US).update_status(guid=_guid(log), **_fields(message))


def _mail(log: ProjectLog, message: m.AgentMessages, texts: OpenTexts) -> None:
    at = clock.to_wire(clock.now())
    mail = [a.AgentMail(**_fields(one), at=at) for one in message.messages]
    AgentService(US).exchange(guid=_guid(log), messages=mail, unread=message.unread)


def _coordination(log: ProjectLog, message: m.CoordinationUpdate, texts: OpenTexts) -> None:
    CoordinationService(US).update(guid=_guid(log), picture=a.CoordinationUpdate(**_fields(message)))


def _run_started(log: ProjectLog, message: m.RunStarted, texts: OpenTexts) -> None:
    RunService(US).start(guid=_guid(log), **_fields(message))


def _usage_of(message: m.InUsage) -> a.UsageTotals:
    return a.UsageTotals(**{name: getattr(message, name) for name in a.UsageTotals.__struct_fields__})


def _usage(log: ProjectLog, message: m.Usage, texts: OpenTexts) -> None:
    UsageService(US).report(guid=_guid(log), run_id=message.run_id, usage=_usage_of(message))


def _done(log: ProjectLog, message: m.Done, texts: OpenTexts) -> None:
    guid = _guid(log)
    written = texts.of(guid, message.run_id)
    log.settle()
    # A text whose end came in this very transaction is still among the open ones, but needs no other end.
    finished = set(
        Message.objects.filter(project=log.project, key__in=[text.message_id for text in written]).values_list(
            "key", flat=True
        )
    )
    for text in written:
        if text.message_id in finished:
            continue
        _finish(log, text.kind, message.run_id, text.agent_id, text.message_id, content=text.content)
    usage = _usage_of(message.usage) if message.usage else None
    RunService(US).finish(guid=guid, usage=usage, **_fields(message, "usage"))


def _finish(log: ProjectLog, kind: str, run_id: str, agent_id: str, message_id: str, **fields: Any) -> None:
    """Record a finished text. One that comes after its run's end is kept as the agent's word outside the run."""
    author = _agent(log, agent_id)
    common: dict[str, Any] = {
        "guid": _guid(log),
        "author": author,
        "message_id": message_id,
        "run_id": run_id,
        "agent_id": agent_id,
    }
    try:
        RunService(US).ensure_open(log, run_id, agent_id)
    except Ignored:
        if kind == "thinking" or not fields["content"].strip():
            raise
        MessageService(US).agent_say(
            guid=_guid(log), agent=author, agent_id=agent_id, content=fields["content"], message_id=message_id
        )
        return
    service = MessageService(US)
    record: Callable[..., Any] = service.finish_thinking if kind == "thinking" else service.finish_text
    record(**common, **fields)


def _text(log: ProjectLog, message: m.RunText, texts: OpenTexts) -> None:
    fields = _fields(message, "op", "delta", "content", "run_id", "agent_id", "message_id")
    content = _whole(log, message, texts)
    _finish(log, "message", message.run_id, message.agent_id, message.message_id, content=content, **fields)


def _thinking(log: ProjectLog, message: m.Thinking, texts: OpenTexts) -> None:
    content = _whole(log, message, texts)
    fields = {"content": content, "redacted": message.redacted, "duration_ms": message.duration_ms}
    _finish(log, "thinking", message.run_id, message.agent_id, message.message_id, **fields)


def _whole(log: ProjectLog, message: m.RunText | m.Thinking, texts: OpenTexts) -> str:
    """Return the whole text; a server that does not repeat it at the end has sent it in pieces."""
    if message.content is not None:
        return message.content
    known = texts.get(_guid(log), message.run_id, message.message_id)
    return (known.content if known else "") + (message.delta or "")


def _tool_start(log: ProjectLog, message: m.ToolStart, texts: OpenTexts) -> None:
    ToolCallService(US).start(guid=_guid(log), **_fields(message))


def _tool_end(log: ProjectLog, message: m.ToolEnd, texts: OpenTexts) -> None:
    ToolCallService(US).finish(guid=_guid(log), **_fields(message))


def _approval(log: ProjectLog, message: m.ApprovalNeeded, texts: OpenTexts) -> None:
    ApprovalService(US).request(guid=_guid(log), **_fields(message))


def _approval_resolved(log: ProjectLog, message: m.ApprovalResolved, texts: OpenTexts) -> None:
    service = ApprovalService(US)
    if message.state == "applied":
        service.mark_applied(guid=_guid(log), approval_id=message.approval_id)
        return
    state = a.ApprovalState(message.state)
    service.withdraw(guid=_guid(log), approval_id=message.approval_id, state=state, reason=message.reason)


def _feedback(log: ProjectLog, message: m.FeedbackResponse, texts: OpenTexts) -> None:
    FeedbackService(US).advance(guid=_guid(log), state=a.FeedbackState(message.state), **_fields(message, "state"))


def _report(log: ProjectLog, message: m.StatusReport, texts: OpenTexts) -> None:
    agents = [a.AgentStatusUpdate(**_fields(one), previous=None) for one in message.agents]
    ended = StatusReportService(US).apply(
        guid=_guid(log), open_run_ids=message.open_run_ids, complete=message.complete, agents=agents
    )
    for run_id in ended:
        texts.end(_guid(log), run_id)


def _not_here(log: ProjectLog, message: m.ToolOutput, texts: OpenTexts) -> None:
    raise InvalidField("This type is a stream and is not stored.")


_HANDLERS: dict[type, Callable[[ProjectLog, Any, OpenTexts], None]] = {
    m.ProjectStageUpdate: _stage,
    m.ProjectStatusChange: _status,
    m.ProjectMessage: _line,
    m.AgentMessage: _say,
    m.AgentMessages: _mail,
    m.AgentSpawned: _spawned,
    m.AgentStatusUpdate: _agent_status,
    m.RunStarted: _run_started,
    m.Usage: _usage,
    m.Done: _done,
    m.Thinking: _thinking,
    m.RunText: _text,
    m.ToolStart: _tool_start,
    m.ToolOutput: _not_here,
    m.ToolEnd: _tool_end,
    m.ApprovalNeeded: _approval,
    m.ApprovalResolved: _approval_resolved,
    m.FeedbackResponse: _feedback,
    m.TaskCreated: _task_created,
    m.TaskUpdated: _task_updated,
    m.TaskStatusChanged: _task_moved,
    m.TaskDeleted: _task_deleted,
    m.TasksReset: _tasks_reset,
    m.PlanGenerated: _plan,
    m.FileLocksUpdate: _locks,
    m.CoordinationUpdate: _coordination,
    m.LogLines: _log_lines,
    m.Notification: _notice,
    m.PlatformMessage: _platform,
    m.StatusReport: _report,
}
