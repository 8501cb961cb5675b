"""The administration's login is the site's login: for every person, counted like the one over REST."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.throttling import AddressLoginThrottle, NameLoginThrottle
from tests.support.factories import a_person

pytestmark = pytest.mark.django_db


def log_in(browser: Client, password: str) -> int:
    form = {"username": "bob", "password": password, "next": "/"}
    return browser.post("/admin/login/?next=/", form).status_code


def test_a_person_who_is_no_staff_logs_in_there_and_is_let_into_no_administration():
    a_person("bob")
    browser = Client()
    assert log_in(browser, "secret-pass") == 302
    assert browser.get("/api/v1/me/").json()["username"] == "bob"
    assert browser.get("/admin/projects/project/").status_code == 302


def test_a_wrong_password_is_refused():
    a_person("bob")
    assert log_in(Client(), "wrong") == 200


def test_guessing_is_slowed_down_and_shares_the_count_with_rest(monkeypatch):
    a_person("bob")
    cache.clear()
    for throttle in (AddressLoginThrottle, NameLoginThrottle):
        monkeypatch.setattr(throttle, "THROTTLE_RATES", {"login": "2/min", "anon": "9/min"})
    browser = Client()
    for _ in range(2):
        browser.post("/api/v1/auth/token/", {"username": "bob", "password": "x"}, content_type="application/json")
    answer = browser.post("/admin/login/", {"username": "bob", "password": "secret-pass"}, REMOTE_ADDR="192.0.2.9")
    assert answer.status_code == 200
    assert "Too many attempts" in answer.content.decode()
    cache.clear()
