"""The administration shows every table and answers dead letters; nothing is edited there."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.urls import reverse

from apps.agents.models import DeadLetter, OutboxMessage
from tests.support.factories import a_person, a_project

pytestmark = pytest.mark.django_db

TABLES = [model for model in apps.get_app_config("agents").get_models() if admin.site.is_registered(model)]


@pytest.fixture
def operator(client):
    client.force_login(a_person("op", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def letter():
    row = OutboxMessage.objects.get(project=a_project())
    OutboxMessage.objects.update(state="dead")
    return DeadLetter.objects.create(direction="out", project=row.project, outbox=row, code="no", reason="no")


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_every_table_is_listed_and_none_is_edited(operator, model):
    name = f"admin:agents_{model._meta.model_name}"
    assert operator.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code in {200, 302}
    assert operator.get(reverse(f"{name}_add")).status_code == 403


def test_a_letter_is_tried_again(operator, letter):
    url = reverse("admin:agents_deadletter_changelist")
    for _ in range(2):
        assert operator.post(url, {"action": "try_again", "_selected_action": [letter.pk]}).status_code == 302
    assert OutboxMessage.objects.get().state == "pending"
    assert DeadLetter.objects.get().resolution == "retried"


def test_a_letter_is_put_aside(operator, letter):
    url = reverse("admin:agents_deadletter_changelist")
    operator.post(url, {"action": "put_aside", "_selected_action": [letter.pk]})
    assert OutboxMessage.objects.get().state == "dropped"


def test_the_command_sends_all_letters_again(letter, capsys):
    call_command("resend_dead_letters")
    assert "1 will be sent again" in capsys.readouterr().out
    assert OutboxMessage.objects.get().state == "pending"
