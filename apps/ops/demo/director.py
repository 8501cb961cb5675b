"""One project: starts the team, hands out what arrives, sees when everything is done, stopped or stuck."""

from __future__ import annotations

import asyncio
from pathlib import Path

from apps.agents import events as a
from apps.agents.link import messages as m
from apps.ops.demo import chat, feedback, people, plans
from apps.ops.demo.briefs.catalogue import choose
from apps.ops.demo.briefs.shape import STAGES, agents
from apps.ops.demo.pace import Pace
from apps.ops.demo.room import Room
from apps.ops.demo.run import Run, RunStopped, close_left_open
from apps.ops.demo.site import Site
from apps.ops.demo.state import ChatDoc, FeedbackDoc, StageDoc, TaskDoc
from apps.ops.demo.worker import Worker
from apps.ops.demo.workspace import Workspace

RUNNING = frozenset({"inProgress", "waitingUser"})

LEAD = "planner"


class Director:
    """The project's head; every public method is called by the hub, inside the transaction of a command."""

    def __init__(self, room: Room, data: Path, pace: Pace) -> None:
        self.room = room
        doc = room.doc
        self.site = Site(
            room=room,
            workspace=Workspace(data / "workspaces" / doc.guid),
            pace=pace,
            brief=choose(doc.brief, doc.brief_text),
            mirror=data / "outbox" / "webhook.log",
        )
        self.aside: set[str] = set()
        """Messages that are answered outside an agent's loop."""
        self._workers: dict[str, Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life ---------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """End what the process before left open and cannot go on; what waits for a person goes on."""
        with self.room.change() as doc:
            for run in list(doc.runs.values()):
                if not run.waiting or run.stop_reason or run.task_id not in doc.tasks:
                    close_left_open(self.room, run)
            for approval in doc.approvals.values():
                if approval.state == "pending" and approval.run_id not in doc.runs and not approval.decision:
                    approval.state = "withdrawn"
                    self.room.emit(m.ApprovalResolved(approval_id=approval.approval_id, state="cancelled"))
            for item in doc.feedback.values():
                begun = any(task.feedback_id == item.feedback_id for task in doc.tasks.values())
                if item.state == "taken" or (item.state == "consumed" and not begun):
                    item.state = "queued"
            self.site.locks_changed()

    def run(self) -> None:
        """Let the agents live."""
        for agent_id in self.room.doc.agents:
            if agent_id not in self._workers:
                worker = self._workers[agent_id] = Worker(self, agent_id)
                self.spawn(worker.live())

    async def stop(self) -> None:
        """End every agent and the processes that they run."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: object) -> None:
        """Run a coroutine for as long as the project lives."""
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def wake(self) -> None:
        """Something changed: every agent looks for work."""
        for worker in self._workers.values():
            worker.wake()

    def works_on(self, task: TaskDoc) -> bool:
        """Tell whether the project's status lets agents do this task."""
        doc = self.room.doc
        return doc.started and (doc.status in RUNNING or (task.source != "plan" and doc.status in {"done", "failed"}))

    # --- commands -----------------------------------------------------------------------------------------------

    def project_update(self, update: m.ProjectUpdate) -> None:
        """The project as AutoCode has it now."""
        with self.room.change() as doc:
            doc.name, doc.brief_text = update.project.name, update.project.brief
            self._ensure_team()
            self._follow_status(update.project.status.value)
            stopped, reopened = people.read_board(self.site, update.tasks, whole=not update.tasks_left_out)
            for task in stopped:
                self._stop_task(task)
            if doc.status == "done" and any(task.source == "plan" for task in reopened):
                self.room.status("inProgress", "finished tasks were reopened")
        self.wake()

    def chat(self, message: m.Chat) -> None:
        """A person writes."""
        with self.room.change():
            self._ensure_team()
            if chat.GO_ON.search(message.content):
                self.resume()
            if self._answers_question(message):
                return
            self._deliver(self._keep(message))
        self.wake()

    def user_feedback(self, command: m.UserFeedback) -> None:
        """A person gives feedback."""
        self._ensure_team()
        item = feedback.receive(self.site, command)
        worker = self._workers.get(item.agent_id)
        if worker is not None and worker.job is not None:
            if item.mode == "interrupt":
                worker.stop("interrupted by feedback", hard=True)
            elif worker.blocked and item.mode == "steer":
                item.state = "taken"
                self.spawn(self._take_aside(item))
        self.wake()

    def cancel(self, command: m.Cancel) -> None:
        """A person stops a run, an agent, or everybody; who is stopped works on when somebody writes "continue"."""
        reason = f"cancelled by {command.by.name}" + (f": {command.reason}" if command.reason else "")
        everybody = command.run_id is None and command.agent_id is None
        with self.room.change() as doc:
            for worker in self._workers.values():
                hit = worker.run is not None and worker.run.doc.run_id == command.run_id
                if everybody or hit or worker.agent_id == command.agent_id:
                    if everybody or isinstance(worker.job, TaskDoc):
                        doc.agents[worker.agent_id].held = True
                    if isinstance(worker.job, ChatDoc):
                        chat.forget(self.site, worker.job)  # else it would be answered again
                    worker.stop(reason, hard=command.mode == "hard")
        self.wake()

    def approval_response(self, command: m.ApprovalResponse) -> None:
        """A decision arrived; the one that waits for it goes on."""
        with self.room.change() as doc:
            approval = doc.approvals.get(command.approval_id)
            if approval is None or approval.decision or approval.state != "pending":
                self.room.log("info", [f"a decision for {command.approval_id} came too late"], "agents-server")
                return
            approval.decision, approval.reason = command.decision, command.reason
            approval.edited_args = command.edited_args
            approval.state = "answered"
        self.site.waiting.answered(approval.approval_id)

    def report(self, believed: m.SyncProject) -> None:
        """Answer AutoCode's ``project_status_sync`` for this project."""
        doc = self.room.doc
        with self.room.change():
            for approval_id in believed.pending_approval_ids:
                known = doc.approvals.get(approval_id)
                if known is None:
                    gone = "the agents-server does not know it any more"
                    self.room.emit(m.ApprovalResolved(approval_id=approval_id, state="cancelled", reason=gone))
            self.room.emit(
                m.StatusReport(
                    open_run_ids=list(doc.runs),
                    agents=[
                        m.AgentStatusUpdate(
                            agent_id=agent.agent_id, status=a.AgentStatus(agent.status), activity=agent.activity[:500]
                        )
                        for agent in doc.agents.values()
                    ],
                )
            )

    # --- status -------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on after a stop or a failure."""
        with self.room.change() as doc:
            for agent in doc.agents.values():
                agent.held = False
                if agent.status == "paused":
                    self.room.agent_status(agent.agent_id, "idle")
            if doc.status == "failed":
                for task in doc.tasks.values():
                    if task.source == "plan" and task.status == "blocked":
                        self.room.move_task(task, "todo", "tried again")
            if doc.started and doc.status in {"paused", "failed"}:
                self.room.status("inProgress", "going on")

    def settle(self) -> None:
        """An agent has nothing to do: see whether that means that the project is done, stopped or stuck."""
        doc = self.room.doc
        plans.update_stages(self.site)
        if not doc.started or doc.status not in RUNNING or any(worker.has_job() for worker in self._workers.values()):
            return
        planned = [task for task in doc.tasks.values() if task.source == "plan"]
        if any(agent.held for agent in doc.agents.values()) and any(t.status not in plans.FINAL for t in planned):
            self.room.status("paused", "stopped by a person; write “continue” to go on")
        elif all(task.status in plans.FINAL for task in planned):
            self._complete()
        elif any(task.status == "blocked" for task in planned):
            self._fail([task for task in planned if task.status == "blocked"])

    def _complete(self) -> None:
        with self.room.change() as doc:
            key = f"done:{doc.runs_made}"
            if not doc.finished:
                plans.publish(self.site, "approved")
            doc.finished = True
            tests = doc.facts.get("tests", "not run")
            files = len(self.site.workspace.files())
            self.room.say(
                LEAD,
                f"Everything planned is done: {files} files, tests: **{tests}**. We stay here for questions.",
                key=key,
            )
            self.room.notify("done", f"{doc.name or 'Project'} is done", f"Tests: {tests}.", "info", key=key)
            self.room.status("done", "all tasks are done")

    def _fail(self, blocked: list[TaskDoc]) -> None:
        with self.room.change() as doc:
            key = f"failed:{doc.runs_made}"
            body = "; ".join(f"{task.title}: {task.reason}" for task in blocked)
            self.room.notify("failed", f"{doc.name or 'Project'} is stuck", body, "error", key=key)
            self.room.say(LEAD, f"We are stuck: {body}\n\nWrite *continue* to let us try again.", key=key)
            self.room.status("failed", body)

    def _follow_status(self, status: str) -> None:
        doc = self.room.doc
        if status in RUNNING:
            stale = doc.status_entry is not None and self.room.journal.is_pending(doc.status_entry)
            if not doc.started:
                doc.status = status
                self._start()
            elif doc.status not in RUNNING and not stale:
                doc.status = status
                for agent in doc.agents.values():
                    agent.held = False
            return
        if doc.status in RUNNING:
            for worker in self._workers.values():
                if isinstance(worker.job, TaskDoc):
                    worker.stop(f"the project is {status}", hard=status in {"cancelled", "archived"})
        doc.status = status

    def _start(self) -> None:
        with self.room.change() as doc:
            self.site.brief = choose("", doc.brief_text)
            doc.brief, doc.started = self.site.brief.key, True
            doc.facts.update({**self.site.brief.facts, **doc.facts})
            for key, name in STAGES:
                doc.stages[key] = StageDoc(key=key, name=name)
                self.room.stage(key, "inProgress" if key == "plan" else "pending", 0.0)
            self.room.open_task(TaskDoc(task_id="plan", title="Plan the work", stage="plan", agent_id=LEAD))

    def _ensure_team(self) -> None:
        if self.room.doc.agents:
            return
        with self.room.change():
            for agent in agents():
                self.room.spawn(agent)
        self.run()

    # --- delivery -----------------------------------------------------------------------------------------------

    def _keep(self, message: m.Chat) -> ChatDoc:
        doc = self.room.doc
        item = ChatDoc(
            message_id=message.message_id,
            content=message.content,
            agent_id=message.agent_id if message.agent_id in doc.agents else self._free_agent(),
            author=message.author.name,
            author_id=message.author.id if message.author.kind == "person" else "",
            on_busy=message.on_busy,
            direct=message.agent_id in doc.agents,
            reply_to_id=message.reply_to_id,
        )
        doc.chats[item.message_id] = item
        return item

    def _free_agent(self) -> str:
        order = [LEAD, *self._workers]
        return next((agent for agent in order if self._workers[agent].job is None), LEAD)

    def _deliver(self, item: ChatDoc) -> None:
        """Bring a message to its agent in the way that its author wants for a busy one."""
        worker = self._workers[item.agent_id]
        if worker.job is None:
            return
        if item.on_busy == "reject" or worker.blocked:
            self.aside.add(item.message_id)
            self.spawn(self._answer_aside(item, refuse=not worker.blocked))
        elif item.on_busy == "interrupt":
            worker.stop("interrupted by a message", hard=True)
        elif item.on_busy == "queue":
            what = self.room.doc.agents[item.agent_id].activity or "something"
            text = f"I am busy ({what}) and answer as soon as this piece of work is done."
            self.room.say(item.agent_id, text, key=f"later:{item.message_id}", reply_to=item.message_id)

    def chat_run(self, agent_id: str, item: ChatDoc) -> Run:
        """Return a run for the answer to a message."""
        trigger = a.Trigger(kind="chat", id=item.message_id, by_user_id=item.author_id or None)
        return Run(self.site, agent_id, trigger)

    async def _answer_aside(self, item: ChatDoc, *, refuse: bool) -> None:
        """Answer beside the agent's other run: it only waits, or it has no time and says so."""
        try:
            async with self.chat_run(item.agent_id, item) as run:
                if not refuse:
                    await chat.answer(run, item)
                    return
                text = "I am busy and you asked not to wait, so I do not take this. Ask again later, or somebody else."
                await run.say(text, reply_to=item.message_id, also=lambda: chat.forget(self.site, item), again=True)
                raise RunStopped("busy", status="rejected")
        except RunStopped:
            pass
        finally:
            self.aside.discard(item.message_id)
            self.wake()

    async def _take_aside(self, item: FeedbackDoc) -> None:
        async with Run(self.site, item.agent_id, a.Trigger(kind="feedback", id=item.feedback_id)) as run:
            await feedback.take(run, item)
        self.wake()

    def _answers_question(self, message: m.Chat) -> bool:
        """Give a message to the question that it answers; a bare number answers the only open question."""
        questions = self.room.doc.questions
        waiting = [item for item in questions.values() if item.open and not item.answer]
        found = next((item for item in waiting if item.message_id == message.reply_to_id), None)
        if found is None and len(waiting) == 1 and message.content.strip().isdigit():
            found = waiting[0]
        if found is None:
            return False
        found.answer = message.content
        self.site.waiting.answered(found.message_id)
        return True

    def _stop_task(self, task: TaskDoc) -> None:
        for worker in self._workers.values():
            if worker.job is task:
                worker.stop(task.reason, hard=worker.blocked)
