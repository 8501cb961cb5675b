"""The short way into the database writes what the models would."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from django.db import models

from apps.agents.models import DeadLetter, InboxReceipt, OutboxMessage
from apps.core import clock
from apps.projects.models import CommandReceipt, Message, Project, ProjectEvent
from apps.projects.services import sql
from tests.support.factories import a_person, a_project

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 3, 1, 12, 30, 15, 123_456, tzinfo=dt.UTC)


def little(model: type[models.Model]) -> dict[str, Any]:
    """Return what a row of this model cannot be without."""
    person, project = a_person(), a_project()
    rows: dict[type[models.Model], dict[str, Any]] = {
        ProjectEvent: {"project_id": project.pk, "seq": 77, "type": "log", "data": '{"a":"é\\u2028"}', "at": AT},
        Message: {"project_id": project.pk, "key": "m1", "seq": 77, "author": {"name": "O'Hara 😀"}, "content": "x%sy"},
        CommandReceipt: {"user_id": person.pk, "command_id": "c:1", "fingerprint": "f", "reply": {"seq": 1, "a": None}},
        OutboxMessage: {"project_id": project.pk, "type": "chat", "data": None, "due_at": AT},
        InboxReceipt: {"server": "s", "message_id": "m", "type": "log", "outcome": "applied", "note": None},
        DeadLetter: {"direction": "in", "code": "bad", "reason": "because", "resolved_at": AT},
    }
    return rows[model]


@pytest.mark.parametrize("model", [ProjectEvent, Message, CommandReceipt, OutboxMessage, InboxReceipt, DeadLetter])
def test_a_row_is_as_its_model_would_save_it(model: type[models.Model], monkeypatch: pytest.MonkeyPatch) -> None:
    values = little(model)
    kept = {field.attname for field in model._meta.concrete_fields if not (field.unique or field.primary_key)}
    monkeypatch.setattr(clock, "_now", lambda: AT)

    sql.insert(model, [values])
    [short] = model._default_manager.filter(**without_json(model, values)).values(*kept)
    model._default_manager.all().delete()
    model(**values).save(force_insert=True)
    [long] = model._default_manager.filter(**without_json(model, values)).values(*kept)

    assert short == long


def without_json(model: type[models.Model], values: dict[str, Any]) -> dict[str, Any]:
    """Return what can be looked for alike in every database."""
    return {name: value for name, value in values.items() if isinstance(value, str | int)}


def test_rows_that_say_different_things_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    project = a_project()
    monkeypatch.setattr(sql, "PARAMETERS", 50)  # some statements
    said = [{"project_id": project.pk, "type": "chat", "ref": f"r{number}"} for number in range(20)]
    said[3] |= {"attempts": 4}

    sql.insert(OutboxMessage, said)

    rows = OutboxMessage.objects.filter(project=project, type="chat").order_by("id")
    assert [(row.ref, row.attempts) for row in rows] == [(f"r{n}", 4 if n == 3 else 0) for n in range(20)]
    assert len({row.key for row in rows}) == 20


def test_nothing_is_nothing() -> None:
    sql.insert(OutboxMessage, [])


def test_a_model_that_only_saving_fills_is_refused() -> None:
    with pytest.raises(TypeError, match="updated_at"):
        sql.insert(Project, [{"guid": uuid4(), "name": "Shop"}])


@pytest.mark.parametrize("name", ["reff", "project"])
def test_a_name_that_the_model_has_not_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        sql.insert(OutboxMessage, [{"project_id": a_project().pk, "type": "chat", name: "x"}])
