"""Who may do what: one table, used by REST, the WebSocket and the admin alike. Pure."""

from __future__ import annotations

import enum


class Role(enum.IntEnum):
    """Roles in a project, each with all rights of the one before."""

    VIEWER = 1
    CONTRIBUTOR = 2
    APPROVER = 3
    MAINTAINER = 4
    OWNER = 5

    @property
    def word(self) -> str:
        """The role as it is written on the wire and in the database."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> Role:
        """Return the role written ``word``. Raises ``ValueError`` for any other word."""
        try:
            return cls[word.upper()]
        except KeyError as error:
            msg = f"no such role: {word}"
            raise ValueError(msg) from error


NEEDS: dict[str, Role] = {
    "project.view": Role.VIEWER,
    "project.mark_read": Role.VIEWER,
    "project.focus": Role.VIEWER,
    "message.post": Role.CONTRIBUTOR,
    "message.typing": Role.CONTRIBUTOR,
    "feedback.send": Role.CONTRIBUTOR,
    "run.cancel": Role.CONTRIBUTOR,
    "task.create": Role.CONTRIBUTOR,
    "task.update": Role.CONTRIBUTOR,
    "task.delete": Role.CONTRIBUTOR,
    "task.move": Role.CONTRIBUTOR,
    "task.reset": Role.CONTRIBUTOR,
    "approval.decide": Role.APPROVER,
    "lock.release": Role.MAINTAINER,
    "project.update": Role.MAINTAINER,
    "project.set_status": Role.MAINTAINER,
    "stage.update": Role.MAINTAINER,
    "member.view": Role.VIEWER,
    "member.manage": Role.MAINTAINER,
    "member.manage_owner": Role.OWNER,
    "project.archive": Role.OWNER,
}
"""The lowest role that may carry out each action."""


def may(role: Role | None, action: str) -> bool:
    """Tell whether ``role`` (None: no member) may do ``action``. Raises ``KeyError`` for an unknown action."""
    needed = NEEDS[action]
    return role is not None and role >= needed


def permissions_of(role: Role) -> list[str]:
    """Return every action that ``role`` may do, sorted."""
    return sorted(action for action, needed in NEEDS.items() if role >= needed)
