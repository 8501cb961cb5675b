"""What the project list shows of each project, as plain values. Reads selectors; knows neither requests nor HTML."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.functional import Promise

from apps.agents.selectors.work import agents_at_work, approvals_waiting_for
from apps.dashboard.words import PROJECT, STAGE
from apps.projects.events import ProjectStatus, StageStatus
from apps.projects.selectors.projects import projects_for

QUIET = frozenset({ProjectStatus.DONE, ProjectStatus.CANCELLED, ProjectStatus.ARCHIVED, ProjectStatus.DRAFT})
"""No agent works there, so none is counted."""

SHOWN_UNREAD = 999


@dataclass(frozen=True, slots=True)
class StageStep:
    """One stage in the track of a card; ``percent`` 0 is not shown."""

    name: str
    status: str
    words: str | Promise
    percent: int


@dataclass(frozen=True, slots=True)
class Card:
    """One project of a person. ``needs`` counts decisions that wait for this person, ``unread`` is capped."""

    guid: str
    name: str
    description: str
    url: str
    status: str
    words: str | Promise
    tone: str
    stages: list[StageStep]
    needs: int
    agents: int
    unread: str
    changed: dt.datetime


def cards_for(user_id: UUID | str) -> list[Card]:
    """Return the person's projects: those where something waits for them first, then the most recently changed."""
    waiting = Counter(one.guid for one in approvals_waiting_for(user_id))
    mine = projects_for(user_id)
    at_work = agents_at_work([one.project.guid for one in mine if ProjectStatus(one.project.status) not in QUIET])
    cards = [_card(found, waiting, at_work) for found in mine]
    return sorted(cards, key=lambda card: (card.status == ProjectStatus.ARCHIVED, card.needs == 0))


def side_list(user_id: UUID | str) -> list[dict[str, Any]]:
    """Return the person's projects for the room's left side and its palette, as JSON values."""
    waiting = Counter(one.guid for one in approvals_waiting_for(user_id))
    return [
        {
            "guid": str(found.project.guid),
            "name": found.project.name,
            "url": reverse("dashboard:room", kwargs={"guid": found.project.guid}),
            "tone": PROJECT[ProjectStatus(found.project.status)][1],
            "needs": waiting[str(found.project.guid)],
        }
        for found in projects_for(user_id)
        if found.project.status != ProjectStatus.ARCHIVED
    ]


def _card(found: Any, waiting: Counter[str], at_work: Counter[UUID]) -> Card:
    project = found.project
    guid, status = str(project.guid), ProjectStatus(project.status)
    words, tone = PROJECT[status]
    return Card(
        guid=guid,
        name=project.name,
        description=project.description,
        url=reverse("dashboard:room", kwargs={"guid": guid}),
        status=status.value,
        words=words,
        tone=tone,
        stages=[_step(stage) for stage in found.stages],
        needs=waiting[guid],
        agents=at_work[project.guid],
        unread=str(found.unread) if found.unread <= SHOWN_UNREAD else f"{SHOWN_UNREAD}+",
        changed=project.updated_at,
    )


def _step(stage: Any) -> StageStep:
    status = StageStatus(stage.status)
    goes_on = status in {StageStatus.IN_PROGRESS, StageStatus.WAITING_USER, StageStatus.PAUSED}
    return StageStep(
        name=stage.name,
        status=status.value,
        words=STAGE[status],
        percent=round(stage.progress * 100) if goes_on else 0,
    )
