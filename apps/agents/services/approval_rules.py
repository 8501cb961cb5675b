"""Remembered consent: a rule that a person makes with one approval, and that decides the next ones of its kind."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import msgspec
from django.db.models import Q

from apps.accounts.database_clock import database_now
from apps.agents import events as a
from apps.agents.models import Approval, ApprovalRule
from apps.core.errors import InvalidField
from apps.projects.permissions import Role
from apps.projects.services.log import ProjectLog

NEVER_REMEMBERED = frozenset({a.Risk.CRITICAL.value, a.Risk.UNKNOWN.value})
LONGEST_RULE = 30 * 24 * 3600
"""Seconds that a rule may last."""


@dataclass(frozen=True, slots=True)
class Remember:
    """A wish to have the next ones of the kind decided alike.

    ``scope`` once (no rule), run or project; ``match`` tool (any arguments) or exact (the same arguments); ``ttl_s``
    seconds, None: as long as the scope lasts (a project's rule: 30 days at most).
    """

    scope: str = "once"
    match: str = "tool"
    ttl_s: int | None = None


def keep(log: ProjectLog, approval: Approval, remember: Remember | None) -> None:
    """Make the rule that the acting person wished for together with their consent. Raises ``InvalidField``."""
    if remember is None or remember.scope == "once":
        return
    if remember.scope not in {"run", "project"} or remember.match not in {"tool", "exact"}:
        raise InvalidField("Rules are for a run or the project, by tool or exact.", field="remember")
    if approval.risk in NEVER_REMEMBERED or approval.quorum > 1 or not approval.tool:
        raise InvalidField("Approvals of this risk are asked for every time.", field="remember")
    if remember.scope == "run" and not approval.run_key:
        raise InvalidField("This approval belongs to no run.", field="remember")
    ttl = min(remember.ttl_s or LONGEST_RULE, LONGEST_RULE)
    ApprovalRule.objects.create(
        project=log.project,
        user_id=log.actor.id,
        by=msgspec.to_builtins(log.author),
        kind=approval.kind,
        tool=approval.tool,
        run_key=approval.run_key if remember.scope == "run" else "",
        args_digest=approval.args_digest if remember.match == "exact" else "",
        expires_at=database_now() + dt.timedelta(seconds=max(1, ttl)),
    )


def covering(log: ProjectLog, approval: Approval) -> ApprovalRule | None:
    """Return a rule that covers the question and whose maker may still decide it, or None."""
    if approval.risk in NEVER_REMEMBERED or approval.quorum > 1 or "approve" not in approval.allowed:
        return None
    rules = ApprovalRule.objects.filter(
        Q(run_key="") | Q(run_key=approval.run_key),
        Q(args_digest="") | Q(args_digest=approval.args_digest),
        project=log.project,
        kind=approval.kind,
        tool=approval.tool,
        revoked_at=None,
        expires_at__gt=database_now(),
    ).select_related("user")
    needed = Role.from_word(approval.required_role)
    for rule in rules:
        role = log.role_of(rule.user.actor)
        if role is not None and role >= needed:
            return rule
    return None
