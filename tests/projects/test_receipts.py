"""Receipts are kept for as long as a client may send again, and no longer."""

from __future__ import annotations

import datetime as dt

import pytest

from apps.core import clock
from apps.core.ids import first_at
from apps.projects.models import CommandReceipt
from apps.projects.services.commands import KEPT, forget_old_receipts
from tests.support.factories import a_person


@pytest.mark.django_db
def test_a_receipt_is_forgotten_after_its_week():
    ada = a_person()
    for age in (KEPT - dt.timedelta(minutes=1), KEPT + dt.timedelta(minutes=1)):
        made = clock.now() - age
        name = f"c{age.total_seconds():.0f}"
        CommandReceipt.objects.create(
            id=first_at(made), user_id=ada.pk, command_id=name, fingerprint="f", reply={}, at=made
        )
    assert forget_old_receipts() == 1
    assert [one.command_id for one in CommandReceipt.objects.all()] == [f"c{KEPT.total_seconds() - 60:.0f}"]
