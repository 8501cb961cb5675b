"""What ``manage.py seed_demo`` makes: five people and three projects. Knows services, not tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5

from django.db import transaction

from apps.accounts.services import AccountService, Person
from apps.core.actor import SYSTEM, Actor
from apps.projects.events import ProjectStatus
from apps.projects.permissions import Role
from apps.projects.selectors.projects import existing_guids, status_of
from apps.projects.services.members import MembershipService
from apps.projects.services.projects import ProjectService

OWNER: Final = "ada"
PEOPLE: Final = (
    Person("ada", "Ada", admin=True),
    Person("bob", "Bob"),
    Person("cleo", "Cleo"),
    Person("eve", "Eve"),
    Person("mallory", "Mallory"),  # a member of nothing: shows what a stranger sees
)
MEMBERS: Final = {"bob": Role.CONTRIBUTOR, "cleo": Role.APPROVER, "eve": Role.VIEWER}


@dataclass(frozen=True, slots=True)
class Sample:
    """A project of the demo. With ``start`` the agents begin when its room is first opened.

    Whoever comes sees the story from its beginning; the others wait for a person to start them.
    """

    slug: str
    name: str
    description: str
    brief: str
    start: bool = False

    @property
    def guid(self) -> UUID:
        """The same everywhere, so that a second run finds what the first one made, whatever it is called by then."""
        return uuid5(NAMESPACE_DNS, f"{self.slug}.demo.autocode")


SAMPLES: Final = (
    Sample(
        "to-do-api",
        "To-do API",
        "A small web service that keeps a to-do list.",
        "Build a REST API for a to-do list: list, create, change, complete and delete items, with the"
        " standard library alone. Every item has a title and a state. Wrong input gets a clear error. Write tests and a"
        " short README.",
        start=True,
    ),
    Sample(
        "table-formatter",
        "Table formatter",
        "Makes the columns of Markdown tables line up.",
        "Write a Markdown table formatter: it reads Markdown from standard input, lines up the columns of every table"
        " in it and leaves everything else as it was. Keep the alignment marks. Write tests and a short README.",
    ),
    Sample(
        "bug-118",
        "Bug 118",
        "The first page of a list is skipped.",
        "Fix the bug in this package: page 1 shows the items of page 2, and the last page is lost. See the failing"
        " tests first, then repair it with the smallest change that makes them pass, and say what was wrong.",
    ),
)


def seed(password: str) -> list[str]:
    """Make what is missing of the demo and return it in words; what people changed since stays as they left it.

    Every person's password becomes ``password``. Two queries when all is there.
    """
    people = AccountService(SYSTEM).ensure_people(PEOPLE, password=password)
    known = existing_guids([sample.guid for sample in SAMPLES])
    made = []
    for sample in SAMPLES:
        if sample.guid not in known:
            _make(sample, people[OWNER])
            made.append(sample.name)
    return made


def begins_when_opened(guid: str) -> bool:
    """Tell whether this is a project of the demo that starts with its first visitor."""
    return any(sample.start and str(sample.guid) == guid for sample in SAMPLES)


def begin(guid: str) -> None:
    """Let the agents begin, unless the project was started before."""
    if status_of(guid) == ProjectStatus.DRAFT.value:
        ProjectService(SYSTEM).set_status(guid=guid, status=ProjectStatus.IN_PROGRESS)


def _make(sample: Sample, owner: Actor) -> None:
    projects, members = ProjectService(owner), MembershipService(owner)
    with transaction.atomic():
        projects.create(name=sample.name, description=sample.description, brief=sample.brief, guid=sample.guid)
        for username, role in MEMBERS.items():
            members.add(guid=sample.guid, username=username, role=role)
