"""Reading rights: who is a member of what, in which role. The only answers that joins, replays and views go by."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.core.errors import AutoCodeError, Forbidden, NotFound
from apps.projects.models import Membership, Project
from apps.projects.permissions import Role, may
from apps.projects.records import Position


@dataclass(frozen=True, slots=True)
class Access:
    """One user's access to one project at one moment."""

    project_id: UUID
    guid: str
    name: str
    role: Role
    read_seq: int
    position: Position


def as_guid(value: str | UUID) -> UUID:
    """Return ``value`` as a UUID. Raises ``NotFound`` for anything else: a wrong form is nobody's project."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise NotFound from None


def access_to(user_id: str, guid: str | UUID, action: str = "project.view") -> Access:
    """Return the user's access to the project. One query.

    Raises ``NotFound`` for a project that is absent or where the user is no member, ``Forbidden`` when the role does
    not allow ``action``.
    """
    row = _members().filter(project__guid=as_guid(guid), user_id=user_id).first()
    return _access(row, action)


def accesses_to(asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Access | Exception]:
    """Return ``access_to`` of many (user id, guid), with its errors as values. One query."""
    guids: dict[str, UUID] = {}
    for _, guid in asked:
        with contextlib.suppress(NotFound):
            guids[guid] = as_guid(guid)
    rows = {
        (str(row[0]), row[4]): row
        for row in _members().filter(project__guid__in=set(guids.values()), user_id__in={user for user, _ in asked})
    }
    found: dict[tuple[str, str], Access | Exception] = {}
    for user_id, guid in asked:
        try:
            found[user_id, guid] = _access(rows.get((user_id, guids[guid])) if guid in guids else None, "project.view")
        except AutoCodeError as error:
            found[user_id, guid] = error
    return found


def _members() -> QuerySet[Membership, tuple[Any, ...]]:
    return Membership.objects.filter(user__is_active=True).values_list(
        "user_id",
        "role",
        "read_seq",
        "project_id",
        "project__guid",
        "project__name",
        "project__epoch",
        "project__last_seq",
        "project__first_seq",
        "project__access_version",
    )


def _access(row: tuple[Any, ...] | None, action: str) -> Access:
    if row is None:
        raise NotFound
    _, word, read_seq, project_id, guid, name, epoch, last, first, version = row
    role = Role.from_word(word)
    if not may(role, action):
        raise Forbidden
    return Access(
        project_id=project_id,
        guid=str(guid),
        name=name,
        role=role,
        read_seq=read_seq,
        position=Position(project_id=project_id, epoch=epoch, last_seq=last, first_seq=first, access_version=version),
    )


def role_in(user_id: str, guid: str | UUID) -> Role | None:
    """Return the user's role in the project, or None when there is no such project or membership."""
    try:
        return access_to(user_id, guid).role
    except NotFound:
        return None


def roles_in(project_id: UUID, user_ids: Collection[str]) -> dict[str, Role]:
    """Return the present roles of these users (active ones only); who is missing is no member. One query."""
    rows = Membership.objects.filter(project_id=project_id, user_id__in=user_ids, user__is_active=True).values_list(
        "user_id", "role"
    )
    return {str(user_id): Role.from_word(word) for user_id, word in rows}


def project_guid(project_id: UUID) -> str:
    """Return the public key of the project. Raises ``NotFound`` when it is gone."""
    guid = Project.objects.filter(pk=project_id).values_list("guid", flat=True).first()
    if guid is None:
        raise NotFound
    return str(guid)
