"""The tables of a project. Written by services alone."""

from apps.projects.models.board import FileLock, Plan, Task
from apps.projects.models.log import CommandReceipt, ProjectEvent
from apps.projects.models.message import Message, Notification
from apps.projects.models.project import Membership, Project, Stage

__all__ = [
    "CommandReceipt",
    "FileLock",
    "Membership",
    "Message",
    "Notification",
    "Plan",
    "Project",
    "ProjectEvent",
    "Stage",
    "Task",
]
