"""What the tables share."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from django.db import models

from apps.core import clock
from apps.core.ids import uuid7

WIRE_ID = 64
"""The longest id on the wire, in characters."""


def choices(values: type[enum.StrEnum]) -> list[tuple[str, str]]:
    """Return the members of ``values`` as Django's choices: the words of the wire, unchanged."""
    return [(value.value, value.value) for value in values]


def words(values: Iterable[enum.StrEnum]) -> list[str]:
    """Return the words of ``values``, for queries."""
    return [value.value for value in values]


class Row(models.Model):
    """A row with a UUIDv7 and the moment at which it was made."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True
