"""The steps of a script: small, each safe to do again after a kill. Data first; ``perform`` does it for real."""

from __future__ import annotations

import abc
import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

from apps.agents.link import messages as m
from apps.ops.demo import shaping, tools
from apps.ops.demo.briefs.shape import Repair, template
from apps.ops.demo.run import CannotDo, Run, RunStopped
from apps.ops.demo.state import QuestionDoc
from apps.ops.demo.workspace import Outcome

REPAIR_ROUNDS = 6
"""How often an agent changes and reruns before it says that it cannot."""


COLLEAGUE_S = 300.0
"""How long an agent waits for another one's file."""
LOOK_S = 0.02
"""Between two looks at that file."""


class Step(abc.ABC):
    """One step of a task. Raises ``ToolFailed`` or ``CannotDo`` when the task cannot go on."""

    @abc.abstractmethod
    async def perform(self, run: Run) -> None:
        """Do it."""


@dataclass(frozen=True)
class Think(Step):
    """Think aloud."""

    text: str

    async def perform(self, run: Run) -> None:
        await run.think(self.text)


@dataclass(frozen=True)
class Say(Step):
    """Speak within the run."""

    text: str

    async def perform(self, run: Run) -> None:
        await run.say(self.text)


@dataclass(frozen=True)
class Tell(Step):
    """Tell the people something that stands for itself."""

    text: str

    async def perform(self, run: Run) -> None:
        run.room.say(run.agent_id, run.fill(self.text), key=step_key(run))


@dataclass(frozen=True)
class Mail(Step):
    """Write to another agent, or to all."""

    to: str | None
    subject: str
    text: str
    kind: str = "query"

    async def perform(self, run: Run) -> None:
        mail(run, self.to, self.subject, run.fill(self.text), self.kind)
        await run.site.pace.pause(0.8)


@dataclass(frozen=True)
class Log(Step):
    """Write a line into the log."""

    text: str
    level: str = "info"

    async def perform(self, run: Run) -> None:
        run.room.log(self.level, [run.fill(self.text)], run.agent_id, run.doc.run_id)


@dataclass(frozen=True)
class Read(Step):
    """Read a file."""

    path: str

    async def perform(self, run: Run) -> None:
        await tools.read(run, self.path)


@dataclass(frozen=True)
class Search(Step):
    """Search the workspace."""

    pattern: str

    async def perform(self, run: Run) -> None:
        await tools.search(run, self.pattern)


@dataclass(frozen=True)
class Write(Step):
    """Write a file from a template of the package."""

    path: str
    name: str
    title: str | None = None

    async def perform(self, run: Run) -> None:
        await tools.write(run, self.path, template(self.name), title=self.title)


@dataclass(frozen=True)
class Edit(Step):
    """Replace a piece of a file."""

    path: str
    old: str
    new: str

    async def perform(self, run: Run) -> None:
        await tools.edit(run, self.path, self.old, self.new)


@dataclass(frozen=True)
class Await(Step):
    """Wait until a colleague, at the task ``task``, has written ``text`` into a file.

    Their work may be interrupted and begun again, so that holding the file is no proof of it. When a person has stopped
    the colleague, this task waits for the whole of theirs instead of keeping its agent. After ``COLLEAGUE_S`` the next
    step finds out what is missing.
    """

    path: str
    text: str
    task: str

    async def perform(self, run: Run) -> None:
        for _ in range(int(COLLEAGUE_S / LOOK_S)):
            if self.text in run.site.workspace.read_or_empty(self.path):
                return
            await run.safe_point()
            self._give_way(run)
            await asyncio.sleep(LOOK_S)

    def _give_way(self, run: Run) -> None:
        doc = run.room.doc
        theirs = doc.tasks.get(self.task)
        if run.task is None or theirs is None or not doc.agents[theirs.agent_id].held:
            return
        with run.room.change():
            if self.task not in run.task.depends_on:
                run.task.depends_on.append(self.task)
                changes = m.TaskChanges(depends_on=run.task.depends_on)
                run.room.emit(m.TaskUpdated(task_id=run.task.task_id, changes=changes))
        raise RunStopped(f"waits for “{theirs.title}”")


@dataclass(frozen=True)
class Execute(Step):
    """Run a program; ``save`` keeps its output as a fact for later texts."""

    command: str
    save: str = ""
    may_fail: bool = False

    async def perform(self, run: Run) -> None:
        outcome = await tools.execute(run, run.fill(self.command), may_fail=self.may_fail)
        if self.save:
            with run.room.change() as doc:
                doc.facts[self.save] = outcome.output.strip()


@dataclass(frozen=True)
class Tests(Step):
    """Run the tests and report; failing ones are somebody's next task."""

    report_to: str | None = None

    async def perform(self, run: Run) -> None:
        outcome = await tools.run_tests(run)
        if outcome.code == 0:
            await run.say("The suite is green: **{{tests}}**.")
            return
        await run.say("The suite is **not** green: {{tests}}.\n\nFailing: {{failing}}")
        if self.report_to:
            mail(
                run,
                self.report_to,
                "Failing tests",
                run.fill("{{tests}}; failing: {{failing}}. Can you take it?"),
                "query",
            )


@dataclass(frozen=True)
class MakeGreen(Step):
    """Run the tests and repair what fails, until they pass."""

    async def perform(self, run: Run) -> None:
        await make_green(run)


@dataclass(frozen=True)
class Hold(Step):
    """Keep further files locked until ``Release``."""

    paths: tuple[str, ...]

    async def perform(self, run: Run) -> None:
        task_id = run.task.task_id if run.task else None
        await run.site.locks.acquire(run.agent_id, task_id, self.paths, "several changes in a row")


@dataclass(frozen=True)
class Release(Step):
    """Give them back."""

    paths: tuple[str, ...]

    async def perform(self, run: Run) -> None:
        run.site.locks.release(run.agent_id, self.paths)


@dataclass(frozen=True)
class Pause(Step):
    """Take a moment, as a busy agent would between two steps."""

    seconds: float

    async def perform(self, run: Run) -> None:
        await run.site.pace.pause(self.seconds)


@dataclass(frozen=True)
class Ask(Step):
    """Ask the people something that has a default; go on with it when nobody answers in time (story seconds)."""

    text: str
    fact: str
    default: str
    pattern: str
    wait_s: float = 12.0

    async def perform(self, run: Run) -> None:
        key = step_key(run)
        with run.room.change() as doc:
            message_id = run.room.say(run.agent_id, run.fill(self.text), key=key, question=True)
            question = doc.questions.setdefault(message_id, QuestionDoc(message_id=message_id, agent_id=run.agent_id))
        if question.open and not question.answer:
            await self._wait(run, message_id)
        found = re.search(self.pattern, question.answer)
        with run.room.change() as doc:
            question.open = False
            doc.facts[self.fact] = found[0] if found else self.default
        if found:
            await run.say(f"Thanks — I take **{found[0]}**.")
        elif question.answer:
            await run.say(f"I could not read a value in that answer, so I take the default, **{self.default}**.")
        else:
            await run.say(f"Nobody has answered yet, so I go on with the default, **{self.default}**.")

    async def _wait(self, run: Run, message_id: str) -> None:
        run.room.agent_status(run.agent_id, "waiting", "waiting for an answer", run.doc.task_id)
        try:
            async with asyncio.timeout(run.site.pace.scaled(self.wait_s)):
                await run.site.waiting.until(message_id)
        except TimeoutError:
            pass
        run.room.agent_status(run.agent_id, "running", "going on", run.doc.task_id)


@dataclass(frozen=True)
class Mirror(Step):
    """Write a note into the demo's outgoing tray, a file, and show it as what it is: no real platform is called."""

    channel: str
    text: str

    async def perform(self, run: Run) -> None:
        key = step_key(run)
        if run.room.said(f"mirror:{key}"):
            return
        text = run.fill(self.text)
        external_id = run.room.stable_id("note", key)
        path = run.site.mirror
        path.parent.mkdir(parents=True, exist_ok=True)
        line = f"{external_id} {self.channel} {text!r}\n"
        if not path.exists() or line not in path.read_text(encoding="utf-8"):
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
        run.room.emit(
            m.PlatformMessage(
                platform="webhook (demo: mirrored to a log file)",
                channel_id=self.channel,
                external_id=external_id,
                direction="out",
                author=run.agent_id,
                content=f"{text}\n\n_Mirrored into the demo's file `outbox/{path.name}`; nothing was sent out._",
            ),
            key=f"mirror:{key}",
        )


def step_key(run: Run) -> str:
    """Return a key that is the same each time this step of this task is done."""
    return f"{run.task.task_id}:{run.task.round}:{run.task.step}" if run.task else run.doc.run_id


def mail(run: Run, to: str | None, subject: str, text: str, kind: str) -> None:
    """Send a message among agents, once for its step and text."""
    mail_id = run.room.stable_id("mail", step_key(run), subject, text)
    with run.room.change() as doc:
        if run.room.said(f"mail:{mail_id}"):
            return
        item = m.InMail(
            id=mail_id, from_agent_id=run.agent_id, to_agent_id=to, kind=kind, subject=subject, content=text
        )
        run.room.emit(m.AgentMessages(messages=[item], unread=1), key=f"mail:{mail_id}")
        for receiver in [to] if to else [agent for agent in doc.agents if agent != run.agent_id]:
            edge = f"{run.agent_id}>{receiver}"
            doc.edges[edge] = doc.edges.get(edge, 0) + 1
    run.site.coordination()


async def make_green(run: Run, outcome: Outcome | None = None) -> None:
    """Run the tests; while they fail, find the repair that fits the output, make it, and rerun.

    Raises ``CannotDo`` when no known repair fits.
    """
    outcome = outcome or await tools.run_tests(run)
    for _ in range(REPAIR_ROUNDS):
        if outcome.code == 0:
            await run.say("All tests pass: **{{tests}}**.", again=True)
            return
        await run.safe_point()
        repair = next(_fitting(run, outcome), None)
        if repair is None:
            break
        await run.think(f"{tools.failing(outcome)[0] if tools.failing(outcome) else 'The suite'} fails. {repair.why}")
        await tools.read(run, repair.path)
        await tools.edit(run, repair.path, repair.old, repair.new, title=f"Fix {repair.path}")
        outcome = await tools.run_tests(run)
    if outcome.code != 0:
        raise CannotDo(run.fill("Tests fail and I know no repair for them: {{failing}} ({{tests}})"))
    await run.say("All tests pass: **{{tests}}**.", again=True)


def _fitting(run: Run, outcome: Outcome) -> Iterator[Repair]:
    for repair in run.site.brief.repairs:
        old = shaping.snippet(run.room.doc, repair.old)
        if re.search(
            shaping.snippet(run.room.doc, repair.symptom), outcome.output
        ) and old in run.site.workspace.read_or_empty(repair.path):
            yield repair
