"""Deciding what agents may not decide alone."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from apps.agents.api.bodies import Decision, RememberWish
from apps.agents.services.approval_rules import Remember
from apps.agents.services.approvals import ApprovalService
from apps.core.errors import InvalidField
from apps.core.events import Struct
from apps.projects.api.bodies import Key, Reason
from apps.realtime.commands import command
from apps.realtime.context import Context


class Approval(Struct):
    """Approve, reject or edit. ``argsDigest`` is that of the arguments that were shown.

    ``approved`` (true or false) stands for ``decision`` on arrival.
    """

    approval_id: Key
    args_digest: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    decision: Decision | None = None
    edited_args: dict[str, Any] | None = None
    reason: Reason = ""
    remember: RememberWish | None = None
    approved: bool | UnsetType = UNSET


@command("approval", Approval, needs="approval.decide")
async def approval(context: Context, payload: Approval) -> Any:
    """Decide; one wins."""
    service, wish = ApprovalService(context.actor), payload.remember
    fields: dict[str, Any] = {
        "approval_id": payload.approval_id,
        "decision": decided(payload).value,
        "args_digest": payload.args_digest,
        "edited_args": payload.edited_args,
        "reason": payload.reason,
        "remember": wish and Remember(scope=wish.scope.value, match=wish.match.value, ttl_s=wish.ttl_s),
    }
    return await context.once(payload, lambda: service.decide(guid=context.guid, **fields))


def decided(payload: Approval) -> Decision:
    """Return what was decided, in either form. Raises ``InvalidField``."""
    if payload.approved is UNSET:
        if payload.decision is None:
            raise InvalidField("What is the decision?", field="decision")
        return payload.decision
    if payload.decision is not None:
        raise InvalidField("Give decision or approved, not both.", field="approved")
    return Decision.APPROVE if payload.approved else Decision.REJECT
