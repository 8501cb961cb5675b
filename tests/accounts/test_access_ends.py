"""What ends a person's access ends it everywhere: sessions, tokens, and open rooms are told."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import AccountService, Person
from apps.accounts.sessions import session_hash
from apps.core.actor import SYSTEM
from apps.core.errors import NotFound
from apps.core.ids import uuid7
from apps.projects.signals import access_changed
from tests.support.factories import a_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def heard(django_capture_on_commit_callbacks):
    """A function that runs a deed, commits, and returns what rooms heard of it."""

    def run(deed: Any) -> list[Any]:
        changes: list[Any] = []

        def hear(change: Any, **_: Any) -> None:
            changes.append(change)

        access_changed.connect(hear, weak=False)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                deed()
        finally:
            access_changed.disconnect(hear)
        return changes

    return run


def version(user: User) -> int:
    return User.objects.values_list("access_version", flat=True).get(pk=user.pk)


def test_logging_out_ends_that_session_alone(heard):
    ada = a_person("ada", is_staff=True)
    browser, other = Client(), Client()
    browser.force_login(ada)
    other.force_login(ada)
    key = browser.session.session_key or ""
    [change] = heard(lambda: browser.post("/admin/logout/"))
    assert (change.user_id, change.session_hash, change.reason) == (str(ada.pk), session_hash(key), "logout")
    assert other.get("/api/v1/me/").status_code == 200


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (lambda ada: AccountService(SYSTEM).set_password(user_id=ada.pk, password="another-one"), "password"),
        (lambda ada: AccountService(SYSTEM).deactivate(user_id=ada.pk), "deactivated"),
        (lambda ada: AccountService(SYSTEM).end_all_sessions(user_id=ada.pk), "ended"),
        (lambda ada: _save(ada, "set_password", "another-one"), "password"),
        (lambda ada: _save(ada, "set_unusable_password"), "password"),
        (lambda ada: ada.delete(), "deleted"),
    ],
)
def test_rooms_hear_why_all_access_ended(heard, deed, reason):
    ada = a_person("ada")
    user_id = str(ada.pk)
    [change] = heard(lambda: deed(ada))
    assert (change.user_id, change.guid, change.session_hash, change.reason) == (user_id, None, None, reason)


def _save(user: User, method: str, *arguments: str) -> None:
    getattr(user, method)(*arguments)
    user.save()


@pytest.mark.parametrize("deed", ["set_password", "deactivate", "end_all_sessions"])
def test_every_session_ends(deed):
    ada = a_person("ada")
    browser = Client()
    browser.force_login(ada)
    options = {"password": "another-one"} if deed == "set_password" else {}
    getattr(AccountService(SYSTEM), deed)(user_id=ada.pk, **options)
    assert browser.get("/api/v1/me/").status_code == 401


def test_changing_ones_own_password_keeps_the_session_in_which_it_was_done(heard):
    ada = a_person("ada", is_staff=True)
    browser, other = Client(), Client()
    browser.force_login(ada)
    other.force_login(ada)
    form = {"old_password": "secret-pass", "new_password1": "quite-another-1", "new_password2": "quite-another-1"}
    [change] = heard(lambda: browser.post("/admin/password_change/", form))
    assert change.reason == "password"
    assert browser.get("/api/v1/me/").status_code == 200
    assert other.get("/api/v1/me/").status_code == 401


def test_a_rehash_at_login_ends_nothing(heard, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    ada = a_person("ada")
    ada.password = PBKDF2PasswordHasher().encode("secret-pass", "salt", iterations=1)
    User.objects.filter(pk=ada.pk).update(password=ada.password)
    assert heard(lambda: Client().login(username="ada", password="secret-pass")) == []
    ada.refresh_from_db()
    assert "$1$" not in ada.password
    assert ada.access_version == 0


def test_other_changes_end_nothing(heard):
    ada = a_person("ada")
    assert heard(lambda: _renamed(ada)) == []
    assert version(ada) == 0


def _renamed(user: User) -> None:
    user.display_name = "Ada"
    user.save()


def test_nobody_is_not_found():
    for deed in ("deactivate", "activate", "end_all_sessions"):
        with pytest.raises(NotFound):
            getattr(AccountService(SYSTEM), deed)(user_id=uuid7())


def test_switched_on_again_a_person_logs_in_anew():
    ada = a_person("ada")
    service = AccountService(SYSTEM)
    service.deactivate(user_id=ada.pk)
    assert not Client().login(username="ada", password="secret-pass")
    service.activate(user_id=ada.pk)
    assert Client().login(username="ada", password="secret-pass")


def test_people_are_made_once_and_get_the_password_that_is_wanted(django_assert_num_queries):
    people = [Person("ada", "Ada", admin=True), Person("bob")]
    service = AccountService(SYSTEM)
    made = service.ensure_people(people, password="first-one")
    with django_assert_num_queries(1):
        assert service.ensure_people(people, password="first-one") == made
    service.ensure_people([*people, Person("cleo")], password="second-one")
    for username in ("ada", "bob", "cleo"):
        assert Client().login(username=username, password="second-one")
    assert User.objects.get(username="ada").is_superuser
