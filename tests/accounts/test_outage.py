"""A database that does not answer is not a bad token."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection

from apps.accounts.models import User
from apps.accounts.services import TokenService
from apps.accounts.tokens import user_from_token
from apps.core.errors import NotAuthenticated

pytestmark = pytest.mark.django_db


def no_answer(*_: Any) -> Any:
    raise OperationalError("the server closed the connection unexpectedly")


def test_an_outage_raises_its_own_error_and_the_token_is_good_again_after_it() -> None:
    person = User.objects.create_user("nina", password="a-long-password-1")
    token = TokenService().begin(person)[0]
    with connection.execute_wrapper(no_answer), pytest.raises(OperationalError):
        user_from_token(token)
    assert user_from_token(token).user_id == str(person.pk)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 5000, "\x00", "é.é.é"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(NotAuthenticated):
        user_from_token(token)
