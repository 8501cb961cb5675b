"""The tables of the agents' work and of the link. Written by services alone."""

from apps.agents.models.agent import Agent, AgentMail, ProjectUsage, Run, ToolCall
from apps.agents.models.decision import Approval, ApprovalRule, ApprovalVote, Feedback
from apps.agents.models.link import DeadLetter, InboxReceipt, LinkLease, LinkStatus, OutboxMessage

__all__ = [
    "Agent",
    "AgentMail",
    "Approval",
    "ApprovalRule",
    "ApprovalVote",
    "DeadLetter",
    "Feedback",
    "InboxReceipt",
    "LinkLease",
    "LinkStatus",
    "OutboxMessage",
    "ProjectUsage",
    "Run",
    "ToolCall",
]
