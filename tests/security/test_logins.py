"""Logging in: guessing is slow however it is done, names cannot be found out, refresh tokens are good for one use."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import jwt
import pytest
from django.conf import settings as present
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection, connections
from django.test import Client
from rest_framework.throttling import SimpleRateThrottle
from rest_framework_simplejwt.settings import api_settings

from apps.accounts import throttling
from apps.accounts.models import TokenFamily
from apps.accounts.services import TokenService, forget_ended_logins
from apps.accounts.throttling import AddressLoginThrottle, NameLoginThrottle, name_key
from apps.accounts.tokens import user_from_token
from apps.core.addresses import network_of
from apps.core.errors import NotAuthenticated
from tests.support.api import Answer, Api
from tests.support.browser import token_of
from tests.support.factories import a_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def rates(monkeypatch):
    """Set the rates of names and addresses: ``rates("3/min", "9/min")``."""
    cache.clear()
    throttling.HERE.clear()

    def set_rates(login: str, anon: str) -> None:
        monkeypatch.setattr(throttling.WindowThrottle, "THROTTLE_RATES", {"login": login, "anon": anon})

    yield set_rates
    cache.clear()


def log_in(username: str = "ada", password: str = "secret-pass", **options: Any) -> Answer:
    return Api().post("auth/token/", json={"username": username, "password": password}, **options)


# --- guessing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["ada", "ADA", "ａｄａ", "ada ", "Ada"])
def test_no_spelling_of_a_name_gets_attempts_of_its_own(rates, spelling):
    rates("3/hour", "99/hour")
    a_person("ada")
    for number in range(3):
        assert log_in(password="wrong", REMOTE_ADDR=f"192.0.2.{number}").status == 401
    assert log_in(spelling, REMOTE_ADDR="192.0.2.9").status == 429


def test_attempts_that_come_at_once_are_all_counted(rates):
    class Five(throttling.WindowThrottle):
        rate = "5/hour"

        def get_cache_key(self, request: Any, view: Any) -> None: ...

    throttle = Five()
    with ThreadPoolExecutor(16) as threads:
        waits = list(threads.map(lambda _: throttle.wait_for(name_key("ada")), range(64)))
    assert waits.count(0.0) == 5


def test_an_ipv6_household_is_one_address(rates):
    rates("99/hour", "4/hour")
    for number in range(4):
        assert log_in(f"n{number}", REMOTE_ADDR=f"2001:db8:1:2::{number:x}").status == 401
    assert log_in("n9", REMOTE_ADDR="2001:db8:1:2:ffff::1").status == 429
    assert log_in("n9", REMOTE_ADDR="2001:db8:1:3::1").status == 401


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"),
     ("fe80::1%eth0", "fe80::/64"), ("", ""), ("unix", "unix")],
)  # fmt: skip
def test_the_network_of_an_address(address, network):
    assert network_of(address) == network


def test_what_a_client_says_about_its_address_is_not_heard(rates):
    rates("99/hour", "2/hour")
    for number in range(2):
        log_in(f"n{number}", headers={"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"})
    assert log_in("n9", headers={"X-Forwarded-For": "198.51.100.9", "Forwarded": "for=198.51.100.9"}).status == 429


def test_the_page_and_the_api_count_together_and_the_page_by_address_too(rates):
    rates("99/hour", "3/hour")
    page = Client()
    for number in range(3):
        page.post("/admin/login/", {"username": f"n{number}", "password": "x"})
    assert log_in("n9").status == 429
    assert "Too many attempts" in page.post("/admin/login/", {"username": "m", "password": "x"}).content.decode()


def test_without_the_shared_cache_each_process_still_counts(rates, monkeypatch):
    rates("2/hour", "99/hour")
    broken = mock.Mock(spec=["add", "incr", "delete"])
    broken.add.side_effect = broken.incr.side_effect = broken.delete.side_effect = ConnectionError("gone")
    monkeypatch.setattr(throttling.WindowThrottle, "cache", broken)
    assert [log_in(password="wrong").status for _ in range(3)] == [401, 401, 429]


def test_while_the_shared_cache_is_away_whoever_is_logged_in_goes_on_and_waits_for_it_once(rates, monkeypatch):
    rates("99/hour", "99/hour")
    monkeypatch.setitem(throttling.WindowThrottle.THROTTLE_RATES, "user", "2/hour")
    broken = mock.Mock(spec=["add", "incr", "delete", "get", "set"])
    for call in ("add", "incr", "delete", "get", "set"):
        getattr(broken, call).side_effect = ConnectionError("gone")
    for kind in (throttling.WindowThrottle, SimpleRateThrottle):
        monkeypatch.setattr(kind, "cache", broken)
    ada = Api(a_person("ada"))
    assert [ada.get("projects/").status for _ in range(3)] == [200, 200, 429]
    assert len(broken.mock_calls) == 1


def test_a_guesser_cannot_push_out_his_own_count(rates):
    rates("2/hour", "99/hour")
    throttle = NameLoginThrottle()
    assert [throttle.wait_for("login:name:a") > 0 for _ in range(3)] == [False, False, True]
    for number in range(2_000):
        throttle.wait_for(f"login:name:other-{number}")
    assert throttle.wait_for("login:name:a") > 0


def test_a_throttled_attempt_does_no_work(rates, settings):
    rates("1/hour", "99/hour")
    a_person("ada")
    log_in(password="wrong")
    with mock.patch.object(MD5PasswordHasher, "encode", side_effect=AssertionError("hashed")):
        assert log_in().status == 429


def test_the_end_of_a_token_is_throttled_by_address(rates):
    rates("99/hour", "3/hour")
    for path in ("auth/token/refresh/", "auth/token/blacklist/", "auth/token/verify/"):
        assert Api().post(path, json={"token" if "verify" in path else "refresh": "x.y.z"}).status == 401
    assert Api().post("auth/token/refresh/", json={"refresh": "x.y.z"}).status == 429


def test_the_settings_of_a_site_slow_guessing_down():
    from autocode.settings.parts.rest import REST_FRAMEWORK

    rates_of_a_site = REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    assert all(rates_of_a_site[scope] for scope in (NameLoginThrottle.scope, AddressLoginThrottle.scope, "user"))
    assert REST_FRAMEWORK["NUM_PROXIES"] == 0


# --- finding out names --------------------------------------------------------------------------------------------


def test_whoever_tries_the_answer_and_the_work_are_the_same():
    a_person("ada")
    a_person("gone", is_active=False)
    robot = a_person("robot")
    robot.set_unusable_password()
    robot.save()
    answers, work = [], []
    for username in ("ada", "nobody", "gone", "robot", "ＡＤＡ"):
        with mock.patch.object(
            MD5PasswordHasher, "encode", autospec=True, side_effect=MD5PasswordHasher.encode
        ) as made:
            answer = log_in(username, "wrong")
            page = Client().post("/admin/login/", {"username": username, "password": "wrong"})
        told = page.context["form"].non_field_errors()
        answers.append((answer.status, answer.json, page.status_code, list(told)))
        work.append(made.call_count)
    assert len({repr(answer) for answer in answers}) == 1
    assert set(work) == {2}, "one hash for each attempt, whoever it is for"


@pytest.mark.parametrize("kind", ["agent", "system"])
def test_whoever_is_no_person_does_not_log_in(kind):
    a_person("robot", kind=kind)
    assert log_in("robot").status == 401
    page = Client()
    assert page.post("/admin/login/", {"username": "robot", "password": "secret-pass"}).status_code == 200
    assert page.get("/api/v1/me/").status_code == 401
    person = a_person("ada")
    browser = Client()
    browser.force_login(person)
    tokens = log_in().json
    person.kind = kind
    person.save()
    assert (browser.get("/api/v1/me/").status_code, me(tokens["access"])) == (401, 401)


def test_a_password_that_is_too_long_is_refused_before_it_is_hashed():
    a_person("ada")
    with mock.patch.object(MD5PasswordHasher, "encode", side_effect=AssertionError("hashed")):
        assert log_in(password="x" * 5_000).status == 400
        page = Client().post("/admin/login/", {"username": "ada", "password": "x" * 5_000})
    assert page.status_code == 200
    assert page.context["form"].errors


# --- tokens -------------------------------------------------------------------------------------------------------


def refreshed(token: str) -> Answer:
    return Api().post("auth/token/refresh/", json={"refresh": token})


def me(access: str) -> int:
    return Api().get("me/", headers={"Authorization": f"Bearer {access}"}).status


def test_a_refresh_token_that_comes_back_ends_the_whole_login():
    a_person("ada")
    first, elsewhere = log_in().json, log_in().json
    second = refreshed(first["refresh"]).json
    assert me(second["access"]) == 200
    thief = refreshed(first["refresh"])
    assert (thief.status, thief.code) == (401, "not_authenticated")
    assert refreshed(second["refresh"]).status == 401
    assert [me(access) for access in (first["access"], second["access"])] == [401, 401]
    assert me(elsewhere["access"]) == 200, "another login of the same person goes on"
    assert TokenFamily.objects.get(ended_by="reuse").user.username == "ada"


@pytest.mark.django_db(transaction=True)
def test_of_many_that_use_one_token_at_once_one_wins_and_the_login_ends():
    user = a_person("ada")
    _, refresh = TokenService().begin(user)

    def use(_: int) -> bool:
        try:
            TokenService().rotate(refresh)
        except NotAuthenticated:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(use, range(8))) == 1
    assert TokenFamily.objects.filter(user=user, ended_by="reuse").count() == 1
    connection.close()


def test_logging_out_ends_the_access_token_and_no_other_login():
    a_person("ada")
    here, elsewhere = log_in().json, log_in().json
    assert Api().post("auth/token/blacklist/", json={"refresh": here["refresh"]}).status == 204
    assert (me(here["access"]), me(elsewhere["access"])) == (401, 200)
    assert refreshed(here["refresh"]).status == 401
    assert Api().post("auth/token/verify/", json={"token": here["refresh"]}).status == 401


def test_a_used_refresh_token_is_not_called_good_and_still_logs_out():
    a_person("ada")
    first = log_in().json
    second = refreshed(first["refresh"]).json
    assert Api().post("auth/token/verify/", json={"token": first["refresh"]}).status == 401
    assert me(second["access"]) == 200, "asking about a token is no use of it"
    assert Api().post("auth/token/blacklist/", json={"refresh": first["refresh"]}).status == 204
    assert me(second["access"]) == 401


def test_no_token_is_kept_anywhere_in_the_database():
    a_person("ada")
    tokens = log_in().json
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows = repr(cursor.fetchall())
            for token in tokens.values():
                assert token not in rows
                assert token.rpartition(".")[2] not in rows


def test_no_session_can_be_taken_from_the_database():
    a_person("ada")
    page = Client()
    page.post("/admin/login/", {"username": "ada", "password": "secret-pass"})
    key = page.cookies["sessionid"].value
    assert page.get("/api/v1/me/").status_code == 200
    [stored] = Session.objects.values_list("session_key", flat=True)
    assert key not in {stored, stored[: len(key)]}
    thief = Client()
    thief.cookies["sessionid"] = stored
    assert thief.get("/api/v1/me/").status_code == 401
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            assert key not in repr(cursor.fetchall()), table
    page.post("/logout/")
    assert not Session.objects.exists()


def test_logins_whose_last_token_is_over_are_forgotten(move_clock):
    a_person("ada")
    log_in()
    assert forget_ended_logins() == 0
    move_clock(2 * 86_400)
    assert forget_ended_logins() == 2
    assert not TokenFamily.objects.exists()


def forged(person: Any, key: str | None = None, **claims: Any) -> str:
    """Return an access token with these claims; None leaves one out."""
    good = jwt.decode(token_of(person), options={"verify_signature": False})
    made = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(made, key or api_settings.SIGNING_KEY, algorithm="HS256")


NOW = dt.datetime.now(dt.UTC).timestamp()


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None}, {"jti": None}, {"token_type": None}, {"user_id": None}, {"fam": None}, {"ver": None},
        {"iss": None}, {"aud": None}, {"iss": "other"}, {"aud": "other"}, {"aud": ["other"]}, {"token_type": "refresh"},
        {"nbf": NOW + 600}, {"iat": NOW + 600}, {"exp": NOW - 600}, {"exp": "soon"}, {"exp": 1e30}, {"exp": -1},
        {"exp": True}, {"exp": [NOW]}, {"user_id": ["x"]}, {"user_id": "' OR 1=1 --"}, {"user_id": "x" * 3_000},
        {"user_id": 1}, {"user_id": {}}, {"fam": 1}, {"fam": []}, {"fam": "x"}, {"fam": "' OR 1=1 --"},
        {"ver": "0"}, {"ver": 1}, {"ver": -1}, {"ver": 0.5}, {"ver": []},
    ],
    ids=lambda claims: next(iter(claims)),  # no times: every process has to make the same names
)  # fmt: skip
def test_a_rightly_signed_token_with_odd_claims_is_refused(claims):
    person = a_person("ada")
    assert user_from_token(forged(person)).user_id == str(person.pk)
    with pytest.raises(NotAuthenticated):
        user_from_token(forged(person, **claims))
    assert me(forged(person, **claims)) == 401


def test_a_token_of_another_key_or_kind_is_refused():
    person, other = a_person("ada"), a_person("bob")
    refresh = TokenService().begin(person)[1]
    unsigned = jwt.encode(jwt.decode(token_of(person), options={"verify_signature": False}), "", algorithm="none")
    longer = jwt.encode(
        jwt.decode(token_of(person), options={"verify_signature": False}), api_settings.SIGNING_KEY, algorithm="HS512"
    )
    for token in (forged(person, key="k" * 64), forged(person, key=present.SECRET_KEY), refresh, unsigned, longer,
                  forged(person, user_id=str(other.pk)), forged(person, fam=str(other.pk))):  # fmt: skip
        assert me(token) == 401
