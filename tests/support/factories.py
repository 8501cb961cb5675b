"""Rows that tests start from, made by the services themselves."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from django.contrib.auth import get_user_model

from apps.accounts.models import TokenFamily, User
from apps.core import clock
from apps.core.actor import Actor
from apps.projects.models import Project
from apps.projects.permissions import Role
from apps.projects.services.members import MembershipService
from apps.projects.services.projects import ProjectService

_numbers = itertools.count(1)


def a_person(username: str = "", **fields: Any) -> User:
    """Return a new person with the password ``secret-pass``."""
    username = username or f"person{next(_numbers)}"
    person = get_user_model().objects.create_user(username=username, password="secret-pass", **fields)
    now = clock.now()
    # The login of `token_of`: under the person's own id, so that nobody has to look it up.
    TokenFamily.objects.create(
        id=person.pk, user=person, current="", created_at=now, used_at=now, expires_at=now + dt.timedelta(days=1)
    )
    return person


def a_project(owner: User | None = None, *, name: str = "Shop", start: bool = True, **fields: Any) -> Project:
    """Return a new project in progress; its owner is a new person unless given."""
    owner = owner or a_person()
    return ProjectService(owner.actor).create(name=name, start=start, **fields)


def a_member(project: Project, role: str | Role = Role.CONTRIBUTOR, username: str = "") -> User:
    """Return a new person who is a member of the project in this role."""
    person = a_person(username)
    role = Role.from_word(role) if isinstance(role, str) else role
    MembershipService(owner_of(project)).add(guid=project.guid, username=person.username, role=role)
    return person


def owner_of(project: Project, username: str = "") -> Actor:
    """Return the project's owner (the one of that name) as an actor."""
    owners = User.objects.filter(memberships__project=project, memberships__role=Role.OWNER.word)
    return (owners.get(username=username) if username else owners.order_by("memberships__created_at")[0]).actor
