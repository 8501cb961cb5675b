"""Deciding what agents may not decide alone."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from apps.core.errors import InvalidField
from apps.core.events import Struct
from apps.realtime.commands import command
from apps.realtime.context import Context

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Decision(enum.StrEnum):
    """What somebody decides."""

    APPROVE = "approve"
    REJECT = "reject"
    EDIT = "edit"


class RememberScope(enum.StrEnum):
    """How long a decision is remembered as a rule."""

    ONCE = "once"
    RUN = "run"
    PROJECT = "project"


class Remember(Struct):
    """Make a rule of the decision. ``match`` describes the calls; ``ttlS`` is its life in seconds."""

    scope: RememberScope
    match: dict[str, Any] | None = None
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] | None = None


class Approval(Struct):
    """Approve, reject or edit. ``argsDigest`` is that of the arguments that were shown. ``approved`` is an alias on arrival."""

    approval_id: Id
    decision: Decision | None = None
    args_digest: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    edited_args: dict[str, Any] | None = None
    reason: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    remember: Remember | None = None
    approved: bool | UnsetType = UNSET


@command("approval", Approval, needs="approval.decide")
async def approval(context: Context, payload: Approval) -> Any:
    """Decide; one wins."""
    from apps.agents.services.approvals import ApprovalService

    decision = _decision(payload)
    service = ApprovalService(context.actor)
    return await context.once(
        payload,
        lambda: service.decide(
            guid=context.guid,
            approval_id=payload.approval_id,
            decision=decision.value,
            args_digest=payload.args_digest,
            edited_args=payload.edited_args,
            reason=payload.reason or "",
            remember=payload.remember,
        ),
    )


def _decision(payload: Approval) -> Decision:
    """Return what was decided, in either form. Raises ``InvalidField``."""
    if payload.approved is not UNSET:
        if payload.decision is not None:
            raise InvalidField("Give decision or approved, not both.", field="approved")
        return Decision.APPROVE if payload.approved else Decision.REJECT
    if payload.decision is None:
        raise InvalidField("What is the decision?", field="decision")
    return payload.decision
