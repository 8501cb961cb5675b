"""Approvals: questions that only people may answer, each answered once.

A decision is bound to the digest of what it is about, taken under the project's lock (one winner in the whole
cluster), and told to the agent in the same transaction. Time that runs out always means no; when it has, the database's
clock says.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import msgspec

from apps.accounts import audit
from apps.accounts.audit import Deed
from apps.accounts.database_clock import database_now
from apps.agents import commands, cutting
from apps.agents import events as a
from apps.agents.digest import args_digest as digest_of
from apps.agents.digest import as_kept
from apps.agents.errors import Ignored, Stale
from apps.agents.models import Approval, ApprovalRule, ApprovalVote, Run
from apps.agents.services import approval_rules
from apps.agents.services.approval_rules import Remember
from apps.agents.services.calls import shown_diff
from apps.agents.services.outbox import enqueue
from apps.agents.services.rights import only_trusted
from apps.agents.wire import approval_view
from apps.core import clock
from apps.core.actor import SYSTEM, ActorKind
from apps.core.errors import AlreadyDecided, Expired, Forbidden, InvalidField, NotFound, TooLarge
from apps.projects.events import ActorRef, NotificationKind, Severity, TextFormat
from apps.projects.permissions import Role
from apps.projects.records import LoggedEvent
from apps.projects.selectors.access import roles_in
from apps.projects.services.base import Service, key, text
from apps.projects.services.log import ProjectLog
from apps.projects.services.messages import MessageService
from apps.projects.services.notifications import NotificationService
from apps.projects.wire import moment

ARGS = 64 * 1024
"""Bytes of arguments that somebody decides about: all of them are shown."""

_STATES = {
    "approve": a.ApprovalState.APPROVED,
    "reject": a.ApprovalState.REJECTED,
    "edit": a.ApprovalState.EDITED,
}
_DECISIONS = {state: word for word, state in _STATES.items()}


class ApprovalService(Service):
    """Asks, decides, expires and withdraws."""

    def request(
        self,
        *,
        guid: UUID | str,
        approval_id: str,
        agent_id: str,
        run_id: str | None = None,
        tool_call_id: str | None = None,
        kind: a.ApprovalKind = a.ApprovalKind.TOOL,
        title: str = "",
        tool: str = "",
        args: dict[str, Any] | None = None,
        diff: a.Diff | None = None,
        risk: a.Risk = a.Risk.UNKNOWN,
        reasons: list[str] | None = None,
        allowed: list[str] | None = None,
        options: list[a.ApprovalOption] | None = None,
        required_role: str = "approver",
        quorum: int = 1,
        expires_in_s: int | None = None,
    ) -> LoggedEvent:
        """Ask the people of the room. A rule that covers it answers at once, as an event of its own.

        Raises ``Ignored`` when it is known or its run has ended, ``TooLarge``, ``InvalidField``.
        """
        from apps.agents.services.agents import AgentService

        with self.log(guid) as log:
            log.require("stage.update")
            if Approval.objects.filter(project=log.project, key=approval_id).exists():
                raise Ignored("This question is known.")
            if run_id and self._ended(log, run_id):
                raise Ignored("The run has ended.")
            args = args or {}
            if len(msgspec.json.encode(args)) > ARGS:
                raise TooLarge(f"Arguments to decide about have at most {ARGS} bytes.", field="args")
            agent = AgentService(self.actor).ensure(log, agent_id)
            expires = database_now() + dt.timedelta(seconds=expires_in_s) if expires_in_s else None
            approval = Approval.objects.create(
                project=log.project,
                key=key(approval_id, field="approvalId"),
                seq=log.next_seq,
                run_key=run_id or "",
                call_key=tool_call_id or "",
                agent_key=agent_id,
                kind=kind.value,
                title=text(title, field="title", longest=500, blank=True),
                tool=text(tool, field="tool", longest=500, blank=True),
                args=args,
                args_digest=digest_of(tool, args),
                diff=msgspec.to_builtins(shown_diff(diff, cutting.DECIDED_PATCH)) if diff else None,
                risk=risk.value,
                reasons=reasons or [],
                allowed=list(dict.fromkeys(allowed or ["approve", "reject"])),
                options=msgspec.to_builtins(options or []),
                required_role=Role.from_word(required_role).word,
                quorum=quorum,
                requested_at=clock.now(),
                expires_at=expires,
            )
            view = approval_view(approval)
            event = log.record(
                a.ApprovalNeeded(**{name: getattr(view, name) for name in a.ApprovalNeeded.__struct_fields__})
            )
            rule = approval_rules.covering(log, approval)
            if rule is not None:
                self._resolve_by_rule(log, approval, rule)
            else:
                NotificationService(SYSTEM).notify(
                    guid=guid,
                    kind=NotificationKind.APPROVAL,
                    severity=Severity.WARNING,
                    title=f"{agent.name} needs a decision"[:200],
                    body=(approval.title or approval.tool)[:500],
                    link=f"#approval-{approval_id}",
                    expires_in_s=expires_in_s,
                )
            return event

    def decide(
        self,
        *,
        guid: UUID | str,
        approval_id: str,
        decision: str,
        args_digest: str,
        edited_args: dict[str, Any] | None = None,
        reason: str = "",
        remember: Remember | None = None,
    ) -> LoggedEvent:
        """Decide ``approve``, ``reject`` or ``edit`` as the acting person; return the resulting event.

        Where several consents are needed the event of all but the last is the room's message about the vote.

        Raises ``AlreadyDecided`` (details ``by``, ``at``, ``decision``), ``Expired``, ``Stale`` (a ``Conflict``) for
        another digest, ``Forbidden`` for a role that is too low, ``InvalidField``, ``NotFound``.
        """
        with self.log(guid) as log:
            approval = self._find(log, approval_id)
            self._check_role(log, approval)
            self._check_open(approval)
            if args_digest != approval.args_digest:
                raise Stale
            self._check_decision(approval, decision, edited_args)
            reason = text(reason, field="reason", longest=500, blank=True)
            audit.record(
                Deed.APPROVAL_DECIDED,
                actor=self.actor,
                subject=approval.key,
                subject_name=approval.title or approval.tool,
                project=str(log.project.guid),
                decision=decision,
                digest=approval.args_digest,
            )
            if decision == "approve" and approval.quorum > 1 and (given := self._vote(approval)) < approval.quorum:
                return self._tell_vote(log, approval, given)
            if decision == "approve":
                approval_rules.keep(log, approval, remember)
            approval.edited_args = as_kept(edited_args) if decision == "edit" else None
            return self._resolve(log, approval, _STATES[decision], a.DecisionSource.USER, by=log.author, reason=reason)

    def expire_due(self, *, guid: UUID | str) -> list[LoggedEvent]:
        """Reject the questions of this project whose time is over."""
        with self.log(guid) as log:
            only_trusted(self.actor)
            due = self._pending(log).filter(expires_at__lte=database_now())
            return [
                self._resolve(
                    log, approval, a.ApprovalState.EXPIRED, a.DecisionSource.TIMEOUT, reason="Nobody decided in time."
                )
                for approval in due
            ]

    def cancel_for_run(self, log: ProjectLog, run_id: str) -> None:
        """Withdraw the open questions of a run that ends. The agents-server ended it and needs no answer."""
        for approval in self._pending(log).filter(run_key=run_id):
            self._resolve(
                log,
                approval,
                a.ApprovalState.CANCELLED,
                a.DecisionSource.CANCEL,
                reason="The run has ended.",
                tell=False,
            )

    def withdraw(self, *, guid: UUID | str, approval_id: str, state: a.ApprovalState, reason: str = "") -> LoggedEvent:
        """Record that the agent no longer asks (``cancelled`` or ``superseded``). Raises ``Ignored`` when decided."""
        if state not in {a.ApprovalState.CANCELLED, a.ApprovalState.SUPERSEDED}:
            raise InvalidField("A question is withdrawn as cancelled or superseded.", field="state")
        with self.log(guid) as log:
            only_trusted(self.actor)
            approval = self._find(log, approval_id)
            if approval.state != a.ApprovalState.PENDING.value:
                raise Ignored("This was already decided.")
            return self._resolve(log, approval, state, a.DecisionSource.CANCEL, reason=reason, tell=False)

    def mark_applied(self, *, guid: UUID | str, approval_id: str) -> LoggedEvent:
        """Record that the agent carried the decision out. Raises ``Ignored`` when it was not decided, or is applied."""
        with self.log(guid) as log:
            only_trusted(self.actor)
            approval = self._find(log, approval_id)
            if approval.state == a.ApprovalState.PENDING.value:
                raise Ignored("Nobody has decided yet.")
            if approval.applied_at is not None:
                raise Ignored("This is applied already.")
            approval.applied_at = clock.now()
            approval.save(update_fields=["applied_at"])
            return self._record(log, approval)

    def revoke_rule(self, *, guid: UUID | str, rule_id: UUID | str) -> LoggedEvent:
        """End a remembered consent; the very next question is asked again."""
        with self.log(guid) as log:
            log.require("approval.decide")
            rule = ApprovalRule.objects.filter(project=log.project, pk=rule_id, revoked_at=None).first()
            if rule is None:
                raise NotFound
            rule.revoked_at = clock.now()
            rule.save(update_fields=["revoked_at"])
            audit.record(Deed.RULE_REVOKED, actor=self.actor, subject=str(rule.pk), project=str(log.project.guid))
            return self._say(log, f"{self.actor.name} revoked the standing approval of {rule.tool or rule.kind}.")

    # --- checks -------------------------------------------------------------------------------------------------

    def _find(self, log: ProjectLog, approval_id: str) -> Approval:
        approval = Approval.objects.filter(project=log.project, key=approval_id).first()
        if approval is None:
            raise NotFound("There is no such approval.", field="approvalId")
        return approval

    def _pending(self, log: ProjectLog) -> Any:
        pending = Approval.objects.filter(project=log.project, state=a.ApprovalState.PENDING.value)
        return pending.order_by("seq")

    def _ended(self, log: ProjectLog, run_id: str) -> bool:
        run = Run.objects.filter(project=log.project, key=run_id)
        return run.exclude(status=a.RunStatus.RUNNING.value).exists()

    def _check_role(self, log: ProjectLog, approval: Approval) -> None:
        log.require("project.view")
        role = log.role_of(self.actor)
        if self.actor.kind is not ActorKind.PERSON or role is None:
            raise Forbidden("Only people decide.")
        if role < Role.from_word(approval.required_role):
            raise Forbidden(f"This needs the role {approval.required_role}.")

    def _check_open(self, approval: Approval) -> None:
        state = a.ApprovalState(approval.state)
        if state is a.ApprovalState.EXPIRED:
            raise Expired
        if state is not a.ApprovalState.PENDING:
            details = {
                "by": approval.by,
                "at": moment(approval.decided_at),
                "decision": _DECISIONS.get(state, state.value),
            }
            raise AlreadyDecided(details=details)
        if approval.expires_at is not None and approval.expires_at <= database_now():
            raise Expired

    def _check_decision(self, approval: Approval, decision: str, edited_args: dict[str, Any] | None) -> None:
        if decision not in approval.allowed or decision not in _STATES:
            raise InvalidField("This answer is not among the allowed ones.", field="decision")
        if decision != "edit":
            return
        if edited_args is None:
            raise InvalidField("An edit needs the new arguments.", field="editedArgs")
        if approval.quorum > 1:
            raise InvalidField("Where several must agree nobody edits alone.", field="decision")
        if len(msgspec.json.encode(edited_args)) > ARGS:
            raise TooLarge(f"Arguments have at most {ARGS} bytes.", field="editedArgs")

    # --- votes --------------------------------------------------------------------------------------------------

    def _vote(self, approval: Approval) -> int:
        """Add the actor's consent and return how many there are of people who may decide now.

        Raises ``AlreadyDecided`` for a second one, unless there are enough since somebody's role came back.
        """
        vote, new = ApprovalVote.objects.get_or_create(approval=approval, user_id=self.actor.id)
        voters = ApprovalVote.objects.filter(approval=approval).values_list("user_id", flat=True)
        needed = Role.from_word(approval.required_role)
        given = sum(role >= needed for role in roles_in(approval.project_id, [str(voter) for voter in voters]).values())
        if not new and given < approval.quorum:
            details = {"by": {"id": self.actor.id}, "at": moment(vote.created_at), "decision": "approve"}
            raise AlreadyDecided("You have already agreed.", details=details)
        return given

    def _tell_vote(self, log: ProjectLog, approval: Approval, given: int) -> LoggedEvent:
        what = approval.title or approval.tool or approval.key
        return self._say(log, f"{self.actor.name} approved “{what}” ({given} of {approval.quorum}).")

    def _say(self, log: ProjectLog, content: str) -> LoggedEvent:
        return MessageService(SYSTEM).post(guid=log.project.guid, content=content, format=TextFormat.TEXT)

    def _resolve_by_rule(self, log: ProjectLog, approval: Approval, rule: ApprovalRule) -> None:
        approval.rule = rule
        self._resolve(
            log,
            approval,
            a.ApprovalState.APPROVED,
            a.DecisionSource.RULE,
            by=msgspec.convert(rule.by, ActorRef),
            reason=f"Standing approval {rule.pk}",
        )

    # --- the result ---------------------------------------------------------------------------------------------

    def _resolve(
        self,
        log: ProjectLog,
        approval: Approval,
        state: a.ApprovalState,
        source: a.DecisionSource,
        *,
        by: ActorRef | None = None,
        reason: str = "",
        tell: bool = True,
    ) -> LoggedEvent:
        approval.state, approval.source, approval.reason = state.value, source.value, reason
        approval.by = msgspec.to_builtins(by)
        approval.decided_at = clock.now()
        approval.save()
        event = self._record(log, approval)
        if tell:
            self._tell_agent(log, approval, by)
        return event

    def _record(self, log: ProjectLog, approval: Approval) -> LoggedEvent:
        view = approval_view(approval)
        return log.record(
            a.ApprovalResolved(
                approval_id=approval.key,
                state=view.state,
                source=view.source or a.DecisionSource.CANCEL,
                by_user_id=view.by.id if view.by else None,
                by=view.by,
                reason=view.reason,
                edited_args=view.edited_args,
                decided_at=view.decided_at or "",
                applied_at=view.applied_at,
            )
        )

    def _tell_agent(self, log: ProjectLog, approval: Approval, by: ActorRef | None) -> None:
        # The stored digest was shown and decided; made from ``args`` as a database gives them it can be another one.
        edited, digest = approval.edited_args, approval.args_digest
        state = a.ApprovalState(approval.state)
        enqueue(
            log,
            commands.ApprovalResponse(
                approval_id=approval.key,
                decision=_DECISIONS.get(state, state.value),
                args_digest=digest if edited is None else digest_of(approval.tool, edited),
                source=approval.source,
                run_id=approval.run_key or None,
                tool_call_id=approval.call_key or None,
                by=by,
                reason=approval.reason,
                edited_args=edited,
            ),
            ref=approval.key,
        )
