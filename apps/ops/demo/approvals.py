"""Asking the people for leave, and doing exactly what they decided.

A run that waits here can be continued by another process: the question is in the document, its answer too.
"""

from __future__ import annotations

import asyncio
import posixpath
import shlex
from dataclasses import dataclass
from typing import Any

import msgspec

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.ops.demo import feedback, intents, plans, tools
from apps.ops.demo.run import Call, Run, RunStopped, ToolFailed
from apps.ops.demo.state import ApprovalDoc
from apps.ops.demo.steps import Step, step_key
from apps.ops.demo.workspace import Outside, Workspace

EXPIRES_S = 900
"""Real seconds that people have for a decision."""

PLAN_ROUNDS = 3
"""How often a plan is changed and shown again before the agents wait for a word in the chat."""

ALLOWED: dict[str, set[str]] = {"rm": {"-r", "-f", "-rf", "-fr", "-v"}, "ls": {"-l", "-a", "-la"}, "mkdir": {"-p"}}
"""Programs, with their flags, that an edited command may run."""


@dataclass(frozen=True)
class AskCommand(Step):
    """Ask before a risky command; run what was decided, or take another way (``otherwise``)."""

    command: str
    paths: tuple[str, ...]
    title: str
    reasons: tuple[str, ...]
    otherwise: tuple[Step, ...] = ()

    async def perform(self, run: Run) -> None:
        approval = _current(run, {"command": self.command, "cwd": ".", "paths": list(self.paths)})
        if approval.state == "applied":
            return
        try:
            await self._call(run, approval)
        except ToolFailed as failed:
            await run.say(f"I do not run `{self.command}`: {failed.message}. I take another way.", again=True)
            for step in self.otherwise:
                await step.perform(run)

    async def _call(self, run: Run, approval: ApprovalDoc) -> None:
        goes_on = approval.run_id == run.doc.run_id and run.doc.open_call is not None
        async with run.call(
            "execute",
            "delete",
            self.title,
            approval.args,
            paths=self.paths,
            risk="high",
            approval_id=approval.approval_id,
            resume=run.doc.open_call if goes_on else None,
        ) as call:
            approval.call_id = call.call_id
            if not run.room.said(f"asked:{approval.approval_id}"):
                self._ask(run, approval)
            await wait_for(run, approval)
            if approval.decision not in {"approve", "edit"}:
                raise ToolFailed(_refusal(approval), code="denied", status="denied")
            await _carry_out(run, call, approval)

    def _ask(self, run: Run, approval: ApprovalDoc) -> None:
        run.room.emit(
            m.ApprovalNeeded(
                approval_id=approval.approval_id,
                agent_id=run.agent_id,
                run_id=run.doc.run_id,
                tool_call_id=approval.call_id,
                kind=a.ApprovalKind.COMMAND,
                title=self.title,
                tool="execute",
                args=approval.args,
                risk=a.Risk.HIGH,
                reasons=list(self.reasons),
                allowed=["approve", "edit", "reject"],
                expires_in_s=EXPIRES_S,
            ),
            key=f"asked:{approval.approval_id}",
        )


@dataclass(frozen=True)
class PublishPlan(Step):
    """Publish the plan; ask for leave when the brief wants that, else it counts as approved."""

    async def perform(self, run: Run) -> None:
        if not run.site.brief.asks_for_plan:
            plans.publish(run.site, "approved")
            return
        while run.room.doc.plan.state != "approved":
            await self._round(run)

    async def _round(self, run: Run) -> None:
        plan = run.room.doc.plan
        if plan.state != "inReview":
            plans.publish(run.site, "inReview")
        approval = _current(run, {"planId": plan.plan_id, "round": plan.rounds + 1})
        if not run.room.said(f"asked:{approval.approval_id}"):
            self._ask(run, approval)
        await wait_for(run, approval)
        with run.room.change():
            plan.rounds += 1
            if approval.decision in {"approve", "edit"}:
                plans.publish(run.site, "approved")
                _applied(run, approval)
            else:
                plan.state = "draft"
                approval.state = "applied"
        if plan.state != "approved":
            await self._after_refusal(run, approval)

    def _ask(self, run: Run, approval: ApprovalDoc) -> None:
        run.room.emit(
            m.ApprovalNeeded(
                approval_id=approval.approval_id,
                agent_id=run.agent_id,
                run_id=run.doc.run_id,
                kind=a.ApprovalKind.PLAN,
                title="Approve the plan",
                args={**approval.args, "items": [task.title for task in run.site.brief.tasks]},
                risk=a.Risk.LOW,
                reasons=["Nothing is written before you agree to the plan."],
                allowed=["approve", "reject"],
                expires_in_s=EXPIRES_S,
            ),
            key=f"asked:{approval.approval_id}",
        )

    async def _after_refusal(self, run: Run, approval: ApprovalDoc) -> None:
        if approval.decision == "expired" or run.room.doc.plan.rounds >= PLAN_ROUNDS:
            with run.room.change() as doc:
                doc.agents[run.agent_id].held = True
            await run.say(
                "The plan is not approved, so nothing begins. Write *continue* and I show it again.", again=True
            )
            raise RunStopped("plan not approved")
        note = feedback.follow_plan_reason(run, intents.recognise(approval.reason))
        await run.say(f"The plan was refused{_because(approval)}. {note} Here is the next version.", again=True)


async def wait_for(run: Run, approval: ApprovalDoc) -> None:
    """Wait until the approval is answered; when the run is stopped meanwhile, withdraw the question."""
    if _decided(approval):
        return
    with run.room.change():
        run.doc.waiting = True
        run.room.agent_status(run.agent_id, "waiting", "asked before going on", run.doc.task_id)
    plans.update_stages(run.site)
    try:
        while not _decided(approval):
            await run.site.waiting.until(approval.approval_id)
    except asyncio.CancelledError:
        withdraw(run, approval)
        raise
    with run.room.change():
        run.doc.waiting = False
        run.room.agent_status(run.agent_id, "running", "going on", run.doc.task_id)
    plans.update_stages(run.site)


def _decided(approval: ApprovalDoc) -> bool:
    return bool(approval.decision)


def withdraw(run: Run, approval: ApprovalDoc) -> None:
    """Take an open question back."""
    with run.room.change():
        run.doc.waiting = False
        approval.state = "withdrawn"
        run.room.emit(
            m.ApprovalResolved(approval_id=approval.approval_id, state="cancelled", reason=run.doc.stop_reason)
        )


def _current(run: Run, args: dict[str, Any]) -> ApprovalDoc:
    """Return this step's approval; a new one when the last was withdrawn or was for other arguments."""
    with run.room.change() as doc:
        for number in range(1, len(doc.approvals) + 2):
            approval_id = run.room.stable_id("ap", step_key(run), str(number))
            approval = doc.approvals.get(approval_id)
            if approval is None:
                approval = ApprovalDoc(approval_id=approval_id, run_id=run.doc.run_id, args=args)
                doc.approvals[approval_id] = approval
                return approval
            if approval.state != "withdrawn" and approval.args == args:
                return approval
        raise AssertionError("there are more approvals than there are")


async def _carry_out(run: Run, call: Call, approval: ApprovalDoc) -> None:
    """Run exactly what was decided, and say that it was applied."""
    argv, cwd = decided_command(run.site.workspace, approval.args, approval.edited_args)
    before = _lines(run.site.workspace)
    outcome = await tools.perform(run, call, argv, cwd)
    after = _lines(run.site.workspace)
    gone = [
        a.FileDiff(path=path, operation="delete", removed=count) for path, count in before.items() if path not in after
    ]
    call.diff = a.Diff(files=gone[:200]) if gone else None
    with run.room.change():
        if outcome.code == 0:
            call.result = f"$ {shlex.join(argv)}\n{outcome.output}\n{len(gone)} file(s) deleted".strip()
        _applied(run, approval)


def _applied(run: Run, approval: ApprovalDoc) -> None:
    with run.room.change():
        approval.state = "applied"
        run.room.emit(
            m.ApprovalResolved(approval_id=approval.approval_id, state="applied"), key=f"applied:{approval.approval_id}"
        )


def decided_command(workspace: Workspace, args: dict[str, Any], edited: dict[str, Any] | None) -> tuple[list[str], str]:
    """Return (argv, cwd) of what was decided. Raises ``ToolFailed`` when edited arguments are not allowed here.

    ``command`` and ``paths`` say the same thing twice: who changes one of them means it, who changes both must agree.
    """
    wanted = {**args, **(edited or {})}
    command, cwd, paths = wanted.get("command"), wanted.get("cwd"), wanted.get("paths")
    if set(wanted) - set(args) or not isinstance(command, str) or not isinstance(cwd, str):
        raise ToolFailed("the arguments must be {command, cwd, paths}", code="not_allowed")
    argv = _split(command)
    flags, operands = (
        [item for item in argv[1:] if item.startswith("-")],
        [x for x in argv[1:] if not x.startswith("-")],
    )
    if paths != operands:
        named = _texts(paths)
        if command != args["command"] or not named:
            raise ToolFailed("`command` and `paths` do not name the same files", code="not_allowed")
        operands = named
    _check(workspace, argv[0], flags, operands, cwd)
    return [argv[0], *flags, *operands], cwd


def _split(command: str) -> list[str]:
    try:
        argv = shlex.split(command)
    except ValueError:
        argv = []
    if not argv:
        raise ToolFailed("the command is empty or not well quoted", code="not_allowed")
    return argv


def _texts(value: Any) -> list[str]:
    """Return a list of texts, or nothing when ``value`` is something else."""
    try:
        return msgspec.convert(value, list[str])
    except msgspec.ValidationError:
        return []


def _check(workspace: Workspace, program: str, flags: list[str], operands: list[str], cwd: str) -> None:
    if program not in ALLOWED or set(flags) - ALLOWED[program]:
        raise ToolFailed(f"`{' '.join([program, *flags])}` is not on the list of allowed commands", code="not_allowed")
    if not operands:
        raise ToolFailed("the command names no path", code="not_allowed")
    try:
        # As the program will see them, from the directory in which it runs; ``path`` then follows links and "..".
        places = [workspace.path(posixpath.join(cwd, operand)) for operand in [".", *operands]]
    except Outside as error:
        raise ToolFailed(str(error), code="not_allowed") from None
    if program == "rm" and workspace.root in places[1:]:
        raise ToolFailed("the workspace itself may not be deleted", code="not_allowed")
    if any(operand.startswith("-") for operand in operands):
        raise ToolFailed("a path may not look like a flag", code="not_allowed")


def _lines(workspace: Workspace) -> dict[str, int]:
    return {path: len(workspace.read_or_empty(path).splitlines()) for path in workspace.files()}


def _refusal(approval: ApprovalDoc) -> str:
    said = "nobody decided in time" if approval.decision == "expired" else "it was refused"
    return f"{said}{_because(approval)}"


def _because(approval: ApprovalDoc) -> str:
    return f" (“{approval.reason}”)" if approval.reason else ""
