"""Logging in for tokens, going on, and what ends them."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from rest_framework_simplejwt.tokens import AccessToken

from apps.accounts.models import User
from apps.accounts.services import AccountService
from apps.accounts.throttling import AddressLoginThrottle, NameLoginThrottle
from apps.core.actor import SYSTEM
from tests.support.api import Answer, Api
from tests.support.browser import token_of
from tests.support.factories import a_person

pytestmark = pytest.mark.django_db


def log_in(username: str = "ada", password: str = "secret-pass") -> Answer:
    return Api().post("auth/token/", json={"username": username, "password": password})


def me(access: str) -> Answer:
    return Api().get("me/", headers={"Authorization": f"Bearer {access}"})


def test_a_password_becomes_tokens_that_say_who_i_am():
    ada = a_person("ada", display_name="Ada L")
    answer = log_in()
    assert answer.status == 200
    assert me(answer.json["access"]).json == {
        "userId": str(ada.pk),
        "username": "ada",
        "name": "Ada L",
        "kind": "person",
        "isStaff": False,
    }


@pytest.mark.parametrize(
    ("username", "password"), [("ada", "wrong"), ("nobody", "secret-pass"), ("ADA", "secret-pass")]
)
def test_wrong_credentials_are_told_alike(username, password):
    a_person("ada")
    answer = log_in(username, password)
    assert (answer.status, answer.code) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["error"]["message"] == "Username and password do not match."


def test_who_is_switched_off_gets_no_token():
    a_person("ada", is_active=False)
    assert log_in().status == 401


def test_a_refresh_token_is_good_for_one_use():
    a_person("ada")
    first = log_in().json["refresh"]
    second = Api().post("auth/token/refresh/", json={"refresh": first})
    assert second.status == 200
    third = Api().post("auth/token/refresh/", json={"refresh": second.json["refresh"]})
    assert third.status == 200
    assert Api().post("auth/token/refresh/", json={"refresh": first}).status == 401


def test_an_access_token_refreshes_nothing():
    a_person("ada")
    access = log_in().json["access"]
    assert Api().post("auth/token/refresh/", json={"refresh": access}).status == 401


def test_logging_out_uses_the_refresh_token_up():
    a_person("ada")
    refresh = log_in().json["refresh"]
    assert Api().post("auth/token/blacklist/", json={"refresh": refresh}).status == 204
    assert Api().post("auth/token/refresh/", json={"refresh": refresh}).status == 401
    assert Api().post("auth/token/blacklist/", json={"refresh": refresh}).status == 401


def test_verify_tells_what_a_token_stands_for():
    ada = a_person("ada")
    tokens = log_in().json
    for kind in ("access", "refresh"):
        answer = Api().post("auth/token/verify/", json={"token": tokens[kind]})
        assert (answer.status, answer.json["kind"], answer.json["userId"]) == (200, kind, str(ada.pk))
    assert Api().post("auth/token/verify/", json={"token": "x.y.z"}).status == 401


@pytest.mark.parametrize(
    "end",
    [
        lambda service, user: service.set_password(user_id=user.pk, password="another-secret"),
        lambda service, user: service.deactivate(user_id=user.pk),
        lambda service, user: service.end_all_sessions(user_id=user.pk),
    ],
    ids=["new password", "switched off", "log-out everywhere"],
)
def test_what_ends_access_ends_every_token_at_once(end):
    ada = a_person("ada")
    tokens = log_in().json
    end(AccountService(SYSTEM), ada)
    assert me(tokens["access"]).status == 401
    assert Api().post("auth/token/refresh/", json={"refresh": tokens["refresh"]}).status == 401


def test_an_expired_token_is_told_from_a_bad_one():
    ada = a_person("ada")
    assert me(token_of(ada, seconds=-60)).code == "token_expired"
    assert me("not.a.token").code == "not_authenticated"


@pytest.mark.parametrize("claims", [{"user_id": "no uuid"}, {"user_id": {"a": 1}}, {"ver": "0"}, {"ver": None}])
def test_a_signed_token_with_odd_claims_is_refused_and_breaks_nothing(claims):
    token = AccessToken(token_of(a_person("ada")))  # type: ignore[arg-type]
    for name, value in claims.items():
        token[name] = value
    assert me(str(token)).status == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "bearer \xff", "Bearer " + "x" * 5000])
def test_a_header_of_another_form_is_refused(header):
    assert Api().get("me/", headers={"Authorization": header}).status == 401


def test_who_is_nobody_is_told_how_to_log_in():
    answer = Api().get("me/")
    assert (answer.status, answer.code, answer.headers["WWW-Authenticate"]) == (401, "not_authenticated", "Bearer")


def test_guessing_is_slowed_down_by_address_and_by_name(monkeypatch):
    a_person("ada")
    cache.clear()
    for throttle in (AddressLoginThrottle, NameLoginThrottle):
        monkeypatch.setattr(throttle, "THROTTLE_RATES", {"login": "3/min", "anon": "9/min"})
    assert [log_in(password="wrong").status for _ in range(4)] == [401, 401, 401, 429]
    elsewhere = Api().post(
        "auth/token/", json={"username": "ADA", "password": "secret-pass"}, REMOTE_ADDR="192.0.2.7",
        headers={"X-Forwarded-For": "198.51.100.1"},
    )  # fmt: skip
    assert (elsewhere.status, elsewhere.code) == (429, "rate_limited")
    assert int(elsewhere.headers["Retry-After"]) > 0
    assert [Api().post("auth/token/", json={"username": f"n{n}", "password": "x"}).status for n in range(6)][-1] == 429
    cache.clear()


def test_a_good_password_ends_the_count(monkeypatch):
    a_person("ada")
    cache.clear()
    for throttle in (AddressLoginThrottle, NameLoginThrottle):
        monkeypatch.setattr(throttle, "THROTTLE_RATES", {"login": "2/min", "anon": "99/min"})
    assert [log_in().status for _ in range(5)] == [200] * 5
    cache.clear()


def test_a_session_needs_the_csrf_token_to_write(client):
    from django.test import Client

    ada = a_person("ada")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ada)
    assert browser.get("/api/v1/me/").status_code == 200
    refused = browser.post("/api/v1/projects/", {"name": "Shop"}, content_type="application/json")
    assert refused.status_code == 403
    browser.get("/admin/login/")
    page = browser.get("/admin/password_change/")
    token = page.context["csrf_token"] if page.context else browser.cookies["csrftoken"].value
    allowed = browser.post(
        "/api/v1/projects/", {"name": "Shop"}, content_type="application/json", headers={"X-CSRFToken": str(token)}
    )
    assert allowed.status_code == 201


def test_the_row_of_a_login_keeps_when_it_was():
    ada = a_person("ada")
    log_in()
    assert User.objects.get(pk=ada.pk).last_login is not None
