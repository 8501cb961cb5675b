"""One agent: takes one job after the other. A job is a chat message, feedback, or a task of the board.

Jobs are not kept here: after a restart the next job is found in the document again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from apps.agents import events as a
from apps.core import clock
from apps.ops.demo import chat, feedback, plans
from apps.ops.demo.changes import Change, Noted
from apps.ops.demo.run import CannotDo, Run, RunStopped, ToolFailed
from apps.ops.demo.state import ChatDoc, FeedbackDoc, TaskDoc
from apps.ops.demo.steps import Hold, Release, Step

if TYPE_CHECKING:
    from apps.ops.demo.director import Director

log = logging.getLogger("demo_agents")

Job = ChatDoc | FeedbackDoc | TaskDoc

ALL_MODES = frozenset({"steer", "queue", "interrupt"})


class Worker:
    """The life of one agent; ``wake`` makes it look for a job again."""

    def __init__(self, director: Director, agent_id: str) -> None:
        self.director = director
        self.site = director.site
        self.agent_id = agent_id
        self.job: Job | None = None
        self.run: Run | None = None
        self._stop = ""
        self._wanted = asyncio.Event()
        self._current: asyncio.Task[None] | None = None

    # --- from outside -------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be something to do."""
        self._wanted.set()

    @property
    def blocked(self) -> bool:
        """It is in no tool call but waits: for a person or for a lock."""
        waiting = self.site.room.doc.agents[self.agent_id].status == "waiting"
        return waiting or self.site.locks.waits(self.agent_id)

    def stop(self, reason: str, *, hard: bool) -> None:
        """End the current run: at its next safe point, or at once (also when it only waits)."""
        if self.job is None or self._current is None:
            return
        if self.run is not None:
            with self.site.room.change():
                self.run.doc.stop_reason = reason
        if hard or self.blocked:
            self._current.cancel()
        else:
            self._stop = reason

    # --- the loop -----------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Work for ever; cancel to end."""
        while True:
            self.job = self._next()
            if self.job is None:
                self.director.settle()
                await self._wanted.wait()
                self._wanted.clear()
                continue
            self._stop = ""
            self._current = asyncio.create_task(self._do(self.job))
            try:
                await asyncio.wait({self._current})
            except asyncio.CancelledError:
                self._current.cancel()
                await asyncio.gather(self._current, return_exceptions=True)
                raise
            self.job = self.run = self._current = None
            self.director.wake()

    def has_job(self) -> bool:
        """Tell whether it works or will."""
        return self.job is not None or self._next() is not None

    def _next(self) -> Job | None:
        doc = self.site.room.doc
        for item in doc.chats.values():
            if item.agent_id == self.agent_id and item.message_id not in self.director.aside:
                return item
        if waiting := feedback.waiting_for(self.site, self.agent_id, modes=ALL_MODES):
            return waiting[0]
        ready = [task for task in doc.tasks.values() if self._may_do(task)]
        return min(ready, key=_urgency, default=None)

    def _may_do(self, task: TaskDoc) -> bool:
        if task.agent_id != self.agent_id or task.status not in {"todo", "doing"}:
            return False
        if self.site.room.doc.agents[self.agent_id].held or not self.director.works_on(task):
            return False
        return plans.ready(self.site, task)

    async def _do(self, job: Job) -> None:
        try:
            match job:
                case ChatDoc():
                    await self._chat(job)
                case FeedbackDoc():
                    await self._feedback(job)
                case TaskDoc():
                    await self._task(job)
        except RunStopped:
            pass
        except Exception:
            log.exception("%s failed", self.agent_id)
            self._give_up(job)

    def _give_up(self, job: Job) -> None:
        """Never try for ever what fails by our own fault."""
        with self.site.room.change():
            if isinstance(job, ChatDoc):
                chat.forget(self.site, job)
            elif isinstance(job, FeedbackDoc):
                job.state = "failed"
                feedback.respond(self.site, job, "failed", None, note="the demo agent failed on it")

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def _chat(self, item: ChatDoc) -> None:
        async with self.director.chat_run(self.agent_id, item) as run:
            self.run = run
            await chat.answer(run, item)

    async def _feedback(self, item: FeedbackDoc) -> None:
        trigger = a.Trigger(kind="feedback", id=item.feedback_id)
        async with Run(self.site, self.agent_id, trigger) as run:
            self.run = run
            await feedback.take(run, item)

    async def _task(self, task: TaskDoc) -> None:
        runs = self.site.room.doc.runs.values()
        left = next((run for run in runs if run.task_id == task.task_id and run.agent_id == self.agent_id), None)
        self.site.busy.add(self.agent_id)
        try:
            run = Run(self.site, self.agent_id, _trigger(task), task, doc=left, checkpoint=self._checkpoint)
            async with run:
                self.run = run
                self.site.room.move_task(task, "doing")
                plans.update_stages(self.site)
                await self._steps(run, task)
        except RunStopped:
            raise  # a person's wish: the task goes back to be taken up later
        except (CannotDo, ToolFailed) as failed:
            self._block(task, str(failed))
        except Exception:
            self._block(task, "the demo agent failed on it")
            raise
        finally:
            self.site.busy.discard(self.agent_id)
            self.site.locks.release(self.agent_id)
            if task.status == "doing":
                self.site.room.move_task(task, "todo", self.run.stop_reason if self.run else "")
            plans.update_stages(self.site)

    async def _steps(self, run: Run, task: TaskDoc) -> None:
        steps = self._script(task)
        await self.site.locks.acquire(
            self.agent_id, task.task_id, [*task.files, *_still_held(steps[: task.step])], task.title
        )
        try:
            while task.step < len(steps) and task.status == "doing":
                await steps[task.step].perform(run)
                with self.site.room.change():
                    task.step += 1
                await run.safe_point()
        except (CannotDo, ToolFailed) as failed:
            if task.source == "plan":
                raise
            await self._decline(run, task, failed)
            return
        if task.status == "doing":
            with self.site.room.change():
                self._finish(task)
                feedback.settle(run, task, "applied", f"done: {task.title}")

    def _finish(self, task: TaskDoc) -> None:
        task.settled_at = clock.to_wire(clock.now())
        self.site.room.move_task(task, "done")
        plans.update_stages(self.site)

    async def _decline(self, run: Run, task: TaskDoc, failed: CannotDo | ToolFailed) -> None:
        """A person's wish that cannot be fulfilled: say so, where the person looks."""
        reason = str(failed)
        if not isinstance(failed, Noted):
            await run.say(f"I cannot do *{task.title}*: {reason}", again=True)
        with self.site.room.change():
            feedback.settle(run, task, "rejected", reason)
            task.settled_at = clock.to_wire(clock.now())
            column = "review" if isinstance(failed, Noted) else "blocked" if task.source == "person" else "cancelled"
            self.site.room.move_task(task, column, reason)

    def _block(self, task: TaskDoc, reason: str) -> None:
        with self.site.room.change():
            task.settled_at = clock.to_wire(clock.now())
            self.site.room.move_task(task, "blocked", reason)
            self.site.room.log("error", [f"{task.title}: {reason}"], self.agent_id)

    def _script(self, task: TaskDoc) -> tuple[Step, ...]:
        return (Change(task.intent),) if task.intent else self.site.brief.script(task.task_id)

    async def _checkpoint(self, run: Run) -> None:
        if self._stop:
            raise RunStopped(self._stop)
        if run.task is not None and run.task.status in plans.FINAL and run.task.step < len(self._script(run.task)):
            raise RunStopped(run.task.reason or "the task was closed")
        for item in feedback.waiting_for(self.site, self.agent_id, modes=frozenset({"steer"})):
            await feedback.take(run, item)
        for message in list(self.site.room.doc.chats.values()):
            if message.agent_id == self.agent_id and message.on_busy == "steer":
                await chat.answer(run, message)


def _urgency(task: TaskDoc) -> tuple[bool, bool, bool]:
    """What people asked for first, then what was begun."""
    return (task.source == "plan", task.status != "doing", task.step == 0)


def _trigger(task: TaskDoc) -> a.Trigger:
    if task.feedback_id:
        return a.Trigger(kind="feedback", id=task.feedback_id)
    return a.Trigger(kind="plan" if task.task_id == "plan" else "task", id=task.task_id)


def _still_held(done: tuple[Step, ...]) -> list[str]:
    """Return the further files that the steps before have locked and not given back."""
    held: dict[str, None] = {}
    for step in done:
        if isinstance(step, Hold):
            held.update(dict.fromkeys(step.paths))
        elif isinstance(step, Release):
            for path in step.paths:
                held.pop(path, None)
    return list(held)
