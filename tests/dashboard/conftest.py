"""People at their browsers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from apps.accounts.models import User


@pytest.fixture
def browser_of() -> Callable[[User], Client]:
    """A function that returns the browser of a person who has logged in."""

    def open_browser(person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    return open_browser
