"""One piece of work of one agent: it begins with ``run_started``, ends with exactly one ``done``, and so do its calls.

Used as ``async with Run(...)``. However the block is left (an error, a cancel, a person's stop), the open call gets its
``tool_end`` and the run its ``done``, in one transaction. What a killed process left open, ``close_left_open`` ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.core import ids
from apps.ops.demo.pace import WORD_S, pieces
from apps.ops.demo.room import Room
from apps.ops.demo.site import Site
from apps.ops.demo.state import RunDoc, TaskDoc

log = logging.getLogger("demo_agents")

RESULT_LIMIT = 16_000
"""Characters of a call's result on the wire."""

TEXT_S = 8.0
"""Story seconds that a text takes at most."""

CHARS_A_TOKEN = 4
PRICE_IN, PRICE_OUT = Decimal("0.000003"), Decimal("0.000015")
"""Pretended dollars a token: the demo uses no model, but a room wants to show how use is counted."""


class RunStopped(Exception):  # noqa: N818 - a person's wish, not a fault
    """A person wants this run to end; ``reason`` goes into ``stopReason``."""

    def __init__(self, reason: str, status: str = "cancelled") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class ToolFailed(Exception):  # noqa: N818 - the result of a call
    """A call did not succeed; ``status`` is that of ``tool_end``."""

    def __init__(self, message: str, *, code: str = "failed", status: str = "error") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class CannotDo(Exception):  # noqa: N818 - an honest end
    """The agent's abilities end here; the text says why and is shown to people."""


@dataclass
class Call:
    """An open tool call; what is set here goes into its ``tool_end``."""

    call_id: str
    result: str = ""
    diff: a.Diff | None = None
    status: str = "success"
    error: a.RunError | None = None
    started: float = field(default_factory=time.monotonic)


class Run:
    """A run; ``task`` is the task that it works on, ``checkpoint`` is awaited at every safe point."""

    def __init__(
        self,
        site: Site,
        agent_id: str,
        trigger: a.Trigger,
        task: TaskDoc | None = None,
        *,
        doc: RunDoc | None = None,
        checkpoint: Callable[[Run], Awaitable[None]] | None = None,
    ) -> None:
        self.site = site
        self.room: Room = site.room
        self.agent_id = agent_id
        self.task = task
        self._trigger = trigger
        self._resumed = doc is not None
        self._checkpoint = checkpoint
        self._call: Call | None = None
        self.status = a.RunStatus.COMPLETED
        self.stop_reason = "endTurn"
        task_id = task.task_id if task else None
        self.doc = doc or RunDoc(
            run_id=f"run-{ids.new_id()}", agent_id=agent_id, trigger=trigger.kind, task_id=task_id, started=time.time()
        )

    async def __aenter__(self) -> Self:
        activity = self.task.title if self.task else f"answering ({self._trigger.kind})"
        with self.room.change() as doc:
            if not self._resumed:
                doc.runs[self.doc.run_id] = self.doc
                doc.runs_made += 1
                self.room.emit(
                    m.RunStarted(
                        run_id=self.doc.run_id, agent_id=self.agent_id, trigger=self._trigger, task_id=self.doc.task_id
                    )
                )
            self.room.agent_status(self.agent_id, "running", activity, self.doc.task_id)
        self.site.coordination()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        failure: a.RunError | None = None
        match error:
            case None:
                pass
            case RunStopped():
                self.status, self.stop_reason = a.RunStatus(error.status), error.reason
            case asyncio.CancelledError():
                self.status, self.stop_reason = a.RunStatus.CANCELLED, self.doc.stop_reason or "cancelled"
            case CannotDo():
                self.status, self.stop_reason = a.RunStatus.FAILED, "blocked"
                failure = a.RunError(code="blocked", message=str(error)[:500])
            case ToolFailed():
                self.status, self.stop_reason = a.RunStatus.FAILED, "toolFailed"
                failure = a.RunError(code=error.code, message=error.message[:500])
            case _:
                log.error("a run failed", exc_info=error)
                self.status, self.stop_reason = a.RunStatus.FAILED, "error"
                failure = a.RunError(code="internal", message=f"{type(error).__name__}: {error}"[:500])
        end_run(self.room, self.doc, self.status, self.stop_reason, failure)
        return False

    # --- texts --------------------------------------------------------------------------------------------------

    async def think(self, text: str) -> None:
        """Think aloud: streamed, then whole. Not twice for the same text of a task."""
        text = self.fill(text)
        if self._said(text):
            return
        began = time.monotonic()
        message_id = self._text_id()
        for piece in (cut := pieces(text)):
            self.room.stream(
                m.Thinking(message_id=message_id, run_id=self.doc.run_id, agent_id=self.agent_id, delta=piece)
            )
            await self._between(cut)
        with self.room.change():
            self._spend(text)
            self._first(text)
            self.room.emit(
                m.Thinking(
                    message_id=message_id,
                    run_id=self.doc.run_id,
                    agent_id=self.agent_id,
                    content=text,
                    final=True,
                    duration_ms=_ms_since(began),
                )
            )

    async def say(
        self, text: str, *, reply_to: str | None = None, also: Callable[[], None] = lambda: None, again: bool = False
    ) -> None:
        """Speak: start, pieces, the end with the whole text. ``also`` is done in the transaction of the end."""
        text = self.fill(text)
        if not again and self._said(text):
            return
        part: dict[str, Any] = {"message_id": self._text_id(), "run_id": self.doc.run_id, "agent_id": self.agent_id}
        self.room.stream(m.RunText(**part, op="start", reply_to_id=reply_to))
        for piece in (cut := pieces(text)):
            self.room.stream(m.RunText(**part, op="delta", delta=piece))
            await self._between(cut)
        with self.room.change():
            self._spend(text)
            self._first(text)
            also()
            self.room.emit(m.RunText(**part, op="end", content=text, reply_to_id=reply_to))
        self.usage()

    def fill(self, text: str) -> str:
        """Put the project's facts into ``{{name}}`` places, and follow renames in code words."""
        for name, value in self.room.doc.facts.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text

    # --- calls --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def call(
        self,
        tool: str,
        kind: str,
        title: str,
        args: dict[str, Any],
        *,
        paths: tuple[str, ...] = (),
        risk: str = "low",
        approval_id: str | None = None,
        resume: str | None = None,
    ) -> AsyncIterator[Call]:
        """One tool call: ``tool_start`` now, ``tool_end`` when the block is left, whatever happens in it.

        ``resume`` names a call that another process began and that goes on here. A ``ToolFailed`` that leaves the block
        becomes the call's end and is raised further.
        """
        call = self._call = Call(resume or f"call-{self.doc.calls + 1}")
        self.room.agent_status(self.agent_id, "running", title, self.doc.task_id)
        if resume is None:
            start = m.ToolStart(
                tool_call_id=call.call_id,
                run_id=self.doc.run_id,
                agent_id=self.agent_id,
                tool=tool,
                kind=a.ToolKind(kind),
                title=title[:500],
                args=args,
                locations=[a.Location(path=path) for path in paths],
                risk=a.Risk(risk),
                approval_id=approval_id,
            )
            with self.room.change():
                self.doc.calls += 1
                self.doc.open_call = call.call_id
                self.doc.prompt_tokens += 400  # what an agent would read again before each step
                self.room.emit(start)
        try:
            yield call
        except ToolFailed as failed:
            call.status, call.error = failed.status, a.RunError(code=failed.code, message=failed.message[:500])
            call.result = call.result or failed.message
            raise
        except asyncio.CancelledError:
            call.status = "cancelled"
            raise
        except BaseException as error:
            call.status = "error"
            call.error = a.RunError(code="internal", message=f"{type(error).__name__}: {error}"[:500])
            raise
        finally:
            self._close(call)

    def output(self, text: str) -> None:
        """Stream a piece of the open call's output."""
        if self._call is not None and text:
            piece = text[:RESULT_LIMIT]
            self.room.stream(m.ToolOutput(tool_call_id=self._call.call_id, run_id=self.doc.run_id, delta=piece))

    def usage(self) -> None:
        """Show what the run used so far."""
        totals = usage_of(self.doc)
        self.room.stream(
            m.Usage(
                run_id=self.doc.run_id,
                prompt_tokens=totals.prompt_tokens,
                completion_tokens=totals.completion_tokens,
                total_tokens=totals.total_tokens,
                total_cost=totals.total_cost,
                per_model=totals.per_model,
            )
        )

    async def safe_point(self) -> None:
        """A place where nothing is half done: here stops and steers are obeyed. Raises ``RunStopped``."""
        if self._checkpoint is not None:
            await self._checkpoint(self)

    def _close(self, call: Call) -> None:
        with self.room.change():
            self.doc.open_call = None
            self.doc.prompt_tokens += len(call.result) // CHARS_A_TOKEN
            self.doc.completion_tokens += 40 + len(call.diff.patch if call.diff else "") // CHARS_A_TOKEN
            self.room.emit(
                m.ToolEnd(
                    tool_call_id=call.call_id,
                    run_id=self.doc.run_id,
                    status=a.ToolStatus(call.status),
                    result=call.result[:RESULT_LIMIT],
                    error=call.error,
                    diff=call.diff,
                    duration_ms=_ms_since(call.started),
                )
            )
        self._call = None
        self.usage()

    async def _between(self, cut: list[str]) -> None:
        """Wait between two pieces; a long text comes faster, so that nobody waits for it."""
        await self.site.pace.pause(min(WORD_S, TEXT_S / len(cut)))

    def _spend(self, text: str) -> None:
        self.doc.prompt_tokens += 200
        self.doc.completion_tokens += len(text) // CHARS_A_TOKEN

    def _text_id(self) -> str:
        with self.room.change():
            self.doc.texts += 1
        return f"{self.doc.run_id}.{self.doc.texts}"

    def _key(self, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()[:20]
        task = self.task
        place = f"{task.task_id}:{task.round}:{task.step}" if task else self.doc.run_id
        return f"text:{place}:{digest}"

    def _said(self, text: str) -> bool:
        return self.room.said(self._key(text))

    def _first(self, text: str) -> None:
        self.room.journal.first(f"{self.room.doc.guid}/{self._key(text)}")


def usage_of(doc: RunDoc) -> m.InUsage:
    """Return what a run used: tokens counted from the lengths of its texts, cost as a decimal string."""
    cost = str((PRICE_IN * doc.prompt_tokens + PRICE_OUT * doc.completion_tokens).quantize(Decimal("0.000001")))
    model = a.ModelUse(
        model="demo-rules", prompt_tokens=doc.prompt_tokens, completion_tokens=doc.completion_tokens, cost=cost
    )
    return m.InUsage(
        prompt_tokens=doc.prompt_tokens,
        completion_tokens=doc.completion_tokens,
        total_tokens=doc.prompt_tokens + doc.completion_tokens,
        total_cost=cost,
        per_model=[model],
    )


def end_run(room: Room, run: RunDoc, status: a.RunStatus, stop_reason: str, error: a.RunError | None) -> None:
    """Say ``done`` and forget the run; the agent is idle then, or paused when a person holds it."""
    with room.change() as doc:
        doc.runs.pop(run.run_id, None)
        room.emit(
            m.Done(
                run_id=run.run_id,
                status=status,
                stop_reason=stop_reason[:500],
                error=error,
                usage=usage_of(run),
                duration_ms=max(0, round((time.time() - run.started) * 1000)),
            )
        )
        others = [other for other in doc.runs.values() if other.agent_id == run.agent_id]
        if not others:
            room.agent_status(run.agent_id, "paused" if doc.agents[run.agent_id].held else "idle")
        elif any(other.waiting for other in others):
            room.agent_status(run.agent_id, "waiting", "asked before going on", others[0].task_id)


def close_left_open(room: Room, run: RunDoc) -> None:
    """End a run whose process died: its call is abandoned, the run failed, or cancelled when a person had said so."""
    with room.change():
        if run.open_call is not None:
            room.emit(
                m.ToolEnd(
                    tool_call_id=run.open_call,
                    run_id=run.run_id,
                    status=a.ToolStatus.ABANDONED,
                    result="The agents-server was restarted while this ran.",
                )
            )
        if run.stop_reason:
            end_run(room, run, a.RunStatus.CANCELLED, run.stop_reason, None)
            return
        error = a.RunError(
            code="restarted", message="The agents-server was restarted; the work is taken up in a new run."
        )
        end_run(room, run, a.RunStatus.FAILED, "restarted", error)


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
