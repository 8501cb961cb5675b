"""Feedback of people to agents: a receipt at every step of its way, never a step back."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

import msgspec

from apps.accounts.database_clock import database_now
from apps.agents import commands
from apps.agents import events as a
from apps.agents.errors import Ignored
from apps.agents.models import Feedback
from apps.agents.services.outbox import drop, enqueue
from apps.agents.services.rights import only_trusted
from apps.agents.wire import feedback_view
from apps.core import clock
from apps.core.errors import Conflict, InvalidField, NotFound
from apps.core.ids import new_id
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, key, text
from apps.projects.services.log import ProjectLog
from apps.projects.services.messages import LONGEST

S = a.FeedbackState
_RANK = {S.RECEIVED: 0, S.FORWARDED: 1, S.DELIVERED: 2, S.CONSUMED: 3}
_FINAL = frozenset({S.APPLIED, S.REJECTED, S.EXPIRED, S.FAILED})
EFFECTS = 50
_LONGEST_TARGET = {"path": 500}


def may_follow(now: a.FeedbackState, then: a.FeedbackState) -> bool:
    """Tell whether ``then`` may follow ``now``: forward only, nothing after an end, no expiry once it was consumed."""
    if now in _FINAL or then is S.RECEIVED:
        return False
    if then is S.EXPIRED:
        return now is not S.CONSUMED
    return then in _FINAL or _RANK[then] > _RANK[now]


class FeedbackService(Service):
    """Takes feedback, hands it to the link and records what becomes of it."""

    def send(
        self,
        *,
        guid: UUID | str,
        content: str,
        target: a.FeedbackTarget | None = None,
        mode: a.FeedbackMode = a.FeedbackMode.STEER,
        rating: int | None = None,
        expires_at: dt.datetime | None = None,
        feedback_id: str | None = None,
    ) -> LoggedEvent:
        """Keep the acting person's feedback and promise it to the agents-server, in one transaction.

        ``rating`` -1, 0 or 1; ``expires_at`` is in the future. Raises ``InvalidField``, ``Conflict`` for a known id,
        ``Forbidden``, ``NotFound``.
        """
        with self.log(guid) as log:
            log.require("feedback.send")
            feedback_id = new_id() if feedback_id is None else key(feedback_id, field="feedbackId")
            if Feedback.objects.filter(project=log.project, key=feedback_id).exists():
                raise Conflict("This feedbackId is taken.", field="feedbackId")
            now = clock.now()
            if expires_at is not None and expires_at <= database_now():
                raise InvalidField("This time is over.", field="expiresAt")
            if rating is not None and rating not in {-1, 0, 1}:
                raise InvalidField("A rating is -1, 0 or 1.", field="rating")
            step = a.FeedbackStep(state=S.RECEIVED, at=clock.to_wire(now))
            feedback = Feedback.objects.create(
                project=log.project,
                user_id=self.actor.id or None,
                key=feedback_id,
                seq=log.next_seq,
                author=msgspec.to_builtins(log.author),
                content=text(content, field="content", longest=LONGEST),
                target=msgspec.to_builtins(self._checked(target or a.FeedbackTarget())),
                mode=mode.value,
                rating=rating,
                steps=[msgspec.to_builtins(step)],
                expires_at=expires_at,
                created_at=now,
            )
            event = self._record(log, feedback)
            view = feedback_view(feedback)
            names = commands.UserFeedback.__struct_fields__
            enqueue(log, commands.UserFeedback(**{name: getattr(view, name) for name in names}), ref=feedback_id)
            return event

    def advance(
        self,
        *,
        guid: UUID | str,
        feedback_id: str,
        state: a.FeedbackState,
        by_run_id: str | None = None,
        note: str = "",
        effects: list[a.FeedbackEffect] | None = None,
    ) -> LoggedEvent:
        """Record that the feedback reached ``state``; ``effects`` are the changes that it caused (they add up).

        Raises ``NotFound``, ``Ignored`` when it is further already.
        """
        with self.log(guid) as log:
            only_trusted(self.actor)
            feedback = Feedback.objects.filter(project=log.project, key=feedback_id).first()
            if feedback is None:
                raise NotFound("There is no such feedback.", field="feedbackId")
            if not may_follow(S(feedback.state), state):
                raise Ignored(f"The feedback is {feedback.state} already.")
            note = text(note, field="note", longest=500, blank=True)
            feedback.state, feedback.note = state.value, note
            feedback.run_key = by_run_id or feedback.run_key
            feedback.effects = [*feedback.effects, *msgspec.to_builtins(effects or [])][:EFFECTS]
            step = a.FeedbackStep(state=state, at=clock.to_wire(clock.now()), note=note, by_run_id=by_run_id)
            feedback.steps = [*feedback.steps, msgspec.to_builtins(step)]
            feedback.save()
            if state is S.EXPIRED:
                drop(log.project.pk, type="user_feedback", ref=feedback_id)
            return self._record(log, feedback)

    def expire_due(self, *, guid: UUID | str) -> list[LoggedEvent]:
        """Expire what no agent took in time."""
        with self.log(guid) as log:
            due = Feedback.objects.filter(
                project=log.project,
                expires_at__lte=database_now(),
                state__in=[S.RECEIVED.value, S.FORWARDED.value, S.DELIVERED.value],
            )
            return [
                self.advance(guid=guid, feedback_id=one.key, state=S.EXPIRED, note="No agent took it in time.")
                for one in due.order_by("seq")
            ]

    def _record(self, log: ProjectLog, feedback: Feedback) -> LoggedEvent:
        view = feedback_view(feedback)
        view.seq = 0  # its place is that of its first event; inside events it is not told
        step = view.steps[-1]
        return log.record(
            a.UserFeedbackResponse(
                feedback_id=view.feedback_id,
                state=view.state,
                at=step.at,
                by_run_id=view.by_run_id,
                note=view.note,
                effects=view.effects,
                feedback=view,
            )
        )

    def _checked(self, target: a.FeedbackTarget) -> a.FeedbackTarget:
        for name in a.FeedbackTarget.__struct_fields__:
            value = getattr(target, name)
            if isinstance(value, str):
                text(value, field=f"target.{name}", longest=_LONGEST_TARGET.get(name, 64))
            elif value is not None and not 0 < value < 2**31:
                raise InvalidField("Lines count from 1.", field="target.line")
        return target
