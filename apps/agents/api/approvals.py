"""Decisions that agents may not take alone."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.openapi import IDEMPOTENCY_KEY
from apps.agents import events as a
from apps.agents.api.bodies import DecisionRequest, RememberWish, RuleView
from apps.agents.api.views import word
from apps.agents.models import Approval, ApprovalRule
from apps.agents.selectors.work import approvals_of, standing_approvals_of
from apps.agents.services.approval_rules import Remember
from apps.agents.services.approvals import ApprovalService
from apps.agents.wire import approval_view
from apps.core.errors import NotFound
from apps.projects.api.base import PAGE, ROOM, WRITE, RoomEndpoint, described, in_path, query
from apps.projects.pagination import Page
from apps.projects.selectors.access import as_guid
from apps.projects.wire import moment


class ApprovalsEndpoint(RoomEndpoint):
    """The questions to the people of the room."""

    @described(
        "listApprovals",
        returns=Page[a.ApprovalView],
        errors=(400, *ROOM),
        parameters=[*PAGE, query("state", {"type": "string", "enum": list(a.ApprovalState)}, "Only those.")],
    )
    def get(self, request: Request, guid: str) -> Response:
        """List the approvals, the newest first."""
        rows = approvals_of(self.access(guid).guid)
        state = word(request.query_params.get("state"), a.ApprovalState, "state")
        return self.page(rows.filter(state=state.value) if state else rows, approval_view, order=("-seq",))


class DecisionEndpoint(RoomEndpoint):
    """Deciding."""

    @described(
        "decideApproval",
        takes=DecisionRequest,
        returns=a.ApprovalView,
        errors=(*WRITE, 410),
        parameters=[in_path("approval_id", "The approval's ``approvalId``."), IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, guid: str, approval_id: str) -> Response:
        """Approve, reject or edit. 409 ``already_decided`` tells who was first; 409 ``stale``: the arguments changed.

        Where several consents are needed the answer stays ``pending`` until the last one.
        """
        # Which role is needed stands in the approval itself, so the service decides about the rest.
        access, approval_id = self.access(guid), self.known_id(approval_id)
        wish = self.body(DecisionRequest)
        service = ApprovalService(self.actor)

        def decide() -> a.ApprovalView:
            service.decide(
                guid=access.guid,
                approval_id=approval_id,
                decision=wish.decision.value,
                args_digest=wish.args_digest,
                edited_args=wish.edited_args,
                reason=wish.reason,
                remember=_remember(wish.remember),
            )
            return approval_view(_found(access.guid, approval_id))

        return self.carry_out(decide)


class RulesEndpoint(RoomEndpoint):
    """Remembered consents."""

    @described("listApprovalRules", returns=Page[RuleView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the consents that still answer for people, the newest first."""
        return self.page(standing_approvals_of(self.access(guid).guid), rule_view)


class RuleEndpoint(RoomEndpoint):
    """One remembered consent."""

    @described(
        "revokeApprovalRule",
        status=204,
        errors=WRITE,
        parameters=[in_path("rule_id", "The rule's ``ruleId``."), IDEMPOTENCY_KEY],
    )
    def delete(self, request: Request, guid: str, rule_id: str) -> Response:
        """Take a consent back (approvers); the very next question is asked again."""
        access, rule = self.access(guid, "approval.decide"), as_guid(rule_id)
        service = ApprovalService(self.actor)

        def revoke() -> None:
            service.revoke_rule(guid=access.guid, rule_id=rule)

        return self.carry_out(revoke, status=204)


def rule_view(rule: ApprovalRule) -> RuleView:
    """Return the rule as shown."""
    return RuleView(
        rule_id=str(rule.pk),
        by=rule.by,
        kind=a.ApprovalKind(rule.kind),
        tool=rule.tool,
        run_id=rule.run_key or None,
        exact=bool(rule.args_digest),
        expires_at=moment(rule.expires_at),
        created_at=moment(rule.created_at) or "",
    )


def _remember(wish: RememberWish | None) -> Remember | None:
    return Remember(scope=wish.scope.value, match=wish.match.value, ttl_s=wish.ttl_s) if wish else None


def _found(guid: str, approval_id: str) -> Approval:
    approval = approvals_of(guid).filter(key=approval_id).first()
    if approval is None:
        raise NotFound
    return approval
