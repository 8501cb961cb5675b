"""The settings that protect a site, as production really has them, and the headers of every answer."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from packaging.version import Version

from tests.architecture.test_settings import GOOD
from tests.flows.test_rights import routes
from tests.support.factories import a_person, a_project

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import json
from django.conf import settings
names = [name for name in dir(settings) if name.isupper()]
print(json.dumps({name: getattr(settings, name) for name in names}, default=str))
"""


def shown(**environment: str) -> dict[str, Any]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    clean |= {"DJANGO_SETTINGS_MODULE": "autocode.settings.production"} | GOOD | environment
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", SHOW],
        cwd=ROOT, env=clean, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    """The settings of a site behind a proxy that ends TLS."""
    return shown()


WANTED = {
    "DEBUG": False,
    "ALLOWED_HOSTS": ["rooms.example.org"],
    "SECURE_SSL_REDIRECT": True,
    "SECURE_HSTS_SECONDS": 31_536_000,
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
    "SECURE_CONTENT_TYPE_NOSNIFF": True,
    "SECURE_REFERRER_POLICY": "same-origin",
    "SECURE_CROSS_ORIGIN_OPENER_POLICY": "same-origin",
    "X_FRAME_OPTIONS": "DENY",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_COOKIE_NAME": "__Host-sessionid",
    "CSRF_COOKIE_SECURE": True,
    "CSRF_COOKIE_NAME": "__Host-csrftoken",
    "CSRF_COOKIE_SAMESITE": "Lax",
    "CSRF_TRUSTED_ORIGINS": [],
    "SESSION_COOKIE_DOMAIN": None,
    "SESSION_COOKIE_PATH": "/",
    "CSRF_COOKIE_DOMAIN": None,
    "USE_X_FORWARDED_HOST": False,
    "USE_X_FORWARDED_PORT": False,
    "SESSION_ENGINE": "apps.accounts.session_store",
    "SESSION_SERIALIZER": "django.contrib.sessions.serializers.JSONSerializer",
    "WHITENOISE_ALLOW_ALL_ORIGINS": False,
    "DATA_UPLOAD_MAX_MEMORY_SIZE": 1024 * 1024,
    "DATA_UPLOAD_MAX_NUMBER_FIELDS": 200,
    "DATA_UPLOAD_MAX_NUMBER_FILES": 10,
}


@pytest.mark.parametrize("name", WANTED)
def test_a_setting_of_a_site(site, name):
    assert site[name] == WANTED[name]


def test_sessions_are_short_and_passwords_are_hard_to_guess(site):
    assert site["SESSION_COOKIE_AGE"] <= 12 * 3_600
    assert len(site["AUTH_PASSWORD_VALIDATORS"]) == 4
    assert site["PASSWORD_HASHERS"][0].endswith("PBKDF2PasswordHasher")
    assert "MD5" not in " ".join(site["PASSWORD_HASHERS"])


def test_tokens_are_short_of_this_site_and_of_one_kind(site):
    jwt = site["SIMPLE_JWT"]
    assert jwt["ALGORITHM"] == "HS256"
    assert (jwt["ISSUER"], jwt["AUDIENCE"]) == ("autocode", "autocode")
    assert jwt["LEEWAY"] <= 30
    assert jwt["ACCESS_TOKEN_LIFETIME"] == "0:05:00"
    assert jwt["REFRESH_TOKEN_LIFETIME"] == "1 day, 0:00:00"
    assert len(bytes.fromhex(jwt["SIGNING_KEY"])) == 32
    assert jwt["SIGNING_KEY"] not in site["SECRET_KEY"]
    assert shown(AUTOCODE_SECRET_KEY="y" * 60)["SIMPLE_JWT"]["SIGNING_KEY"] != jwt["SIGNING_KEY"]


def test_the_api_denies_whoever_shows_nothing_and_speaks_json_only(site):
    rest = site["REST_FRAMEWORK"]
    assert rest["DEFAULT_PERMISSION_CLASSES"] == ["rest_framework.permissions.IsAuthenticated"]
    assert rest["DEFAULT_RENDERER_CLASSES"] == ["rest_framework.renderers.JSONRenderer"]
    assert rest["DEFAULT_PARSER_CLASSES"] == ["rest_framework.parsers.JSONParser"]
    assert rest["NUM_PROXIES"] == 0


def test_a_database_cannot_be_held_for_long(site):
    options = site["DATABASES"]["default"]["OPTIONS"]
    assert options["connect_timeout"] <= 5
    for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert re.search(rf"-c {limit}=[1-9]\d{{3,4}}\b", options["options"]), limit
    assert options["pool"]["timeout"] <= 5


def test_sqlite_of_a_site_keeps_what_it_committed():
    options = shown(DATABASE_URL="sqlite:////tmp/x.sqlite3")["DATABASES"]["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        assert pragma in options["init_command"]


def test_the_proxys_word_is_taken_only_where_there_is_one(site):
    assert site["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]
    assert shown(AUTOCODE_TLS_PROXY="off")["SECURE_PROXY_SSL_HEADER"] is None


@pytest.mark.parametrize(
    "variables", [{"AUTOCODE_SECRET_KEY": "short"}, {"AUTOCODE_SECRET_KEY": ""}, {"AUTOCODE_ALLOWED_HOSTS": ""}]
)
def test_a_site_does_not_start_without_what_protects_it(variables):
    with pytest.raises(subprocess.CalledProcessError):
        shown(**variables)


FLOORS = {
    "daphne": "4.2.2",  # CVE-2026-44545, -44546
    "autobahn": "26.10.1",  # CVE-2026-77528, -116579
    "Twisted": "24.7",  # CVE-2024-41671, -41810
    "Django": "5.2.14",  # CVE-2026-33034, -5766
    "djangorestframework": "3.18.2",  # CVE-2026-114137
    "djangorestframework-simplejwt": "5.5.1",  # CVE-2024-22513
    "PyJWT": "2.15.0",  # CVE-2026-32597, -48523
    "channels": "3.0.3",  # CVE-2020-35681
    "redis": "4.5.4",  # CVE-2023-28858, -28859
    "websockets": "9.1",  # CVE-2021-33880
}
"""Older ones have holes that were published."""


@pytest.mark.parametrize("package", FLOORS)
def test_no_part_is_older_than_its_last_published_hole(package):
    assert Version(importlib.metadata.version(package)) >= Version(FLOORS[package])


def test_nothing_offers_http2_or_compression():
    # Both are attacks of their own on memory, and nothing here needs them: nginx does.
    for extra in ("h2", "priority"):
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(extra)


# --- every answer -------------------------------------------------------------------------------------------------

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def addresses(ids: dict[str, str]) -> list[str]:
    """Return an address for every route of the site, and some that lead nowhere."""
    found = []
    for route, _ in routes():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: ids.get(part[1], "x"), route)
        found.append("/" + re.sub(r"\(\?P<(\w+)>[^)]*\)|[\^$]|\\Z|\.\*", "", path))
    return [*dict.fromkeys(found), "/nowhere/", "/static/nothing.css", "/static/admin/css/base.css", "/api/nowhere"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["get", "post", "options", "delete"])
def test_every_answer_carries_the_headers(settings, method):
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.MIDDLEWARE = list(settings.MIDDLEWARE)  # built anew, with the setting above
    owner = a_person("root", is_staff=True, is_superuser=True)
    project = a_project(owner)
    ids = {"guid": str(project.guid), "user_id": str(owner.pk), "object_id": "1", "app_label": "accounts"}
    member, stranger = Client(raise_request_exception=False), Client(raise_request_exception=False)
    member.force_login(owner)
    tried = addresses(ids)
    assert len(tried) > 80
    for address in tried:
        if address.endswith(("/events/stream/", "/logout/")):
            continue  # one never ends, the other ends the login
        for client in (member, stranger):
            answer = getattr(client, method)(address, secure=True)
            assert answer.status_code < 500, address
            for name, value in EVERYWHERE.items():
                assert answer.headers.get(name) == value, (method, address, name)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy, address
            assert "unsafe" not in policy, address
            assert "frame-ancestors 'none'" in policy, address
            assert "camera=()" in answer.headers["Permissions-Policy"], address
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000"), address
            assert "Access-Control-Allow-Origin" not in answer.headers, address
            if address.startswith("/api/"):
                assert answer.headers["Cache-Control"] == "no-store", address
            assert not re.search("daphne|django|python|twisted", str(answer.headers.get("Server", "")), re.IGNORECASE)


@pytest.mark.django_db
def test_errors_tell_nothing_of_the_inside():
    client = Client(raise_request_exception=False)
    for address in ("/nowhere/", "/api/v1/nowhere/", "/admin/nowhere/", "/static/x", "/projects/x/"):
        text = client.get(address).content.decode()
        for word in ("Traceback", "DEBUG", "Django", "urlpatterns", "site-packages", "settings"):
            assert word not in text, (address, word)


@pytest.mark.django_db
def test_cookies_of_a_login_are_out_of_reach_of_scripts_and_other_sites(settings, site):
    for name in ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        setattr(settings, name, site[name])
    a_person("ada")
    client = Client()
    page = client.get("/admin/login/", secure=True)
    answer = client.post("/admin/login/", {"username": "ada", "password": "secret-pass"}, secure=True)
    cookies = {name: cookie for one in (page.cookies, answer.cookies) for name, cookie in one.items()}
    session: Any = cookies["__Host-sessionid"]
    csrf: Any = cookies["__Host-csrftoken"]
    assert session["httponly"]
    for cookie in (session, csrf):
        assert (cookie["secure"], cookie["path"], cookie["domain"], cookie["samesite"]) == (True, "/", "", "Lax")


@pytest.mark.django_db
def test_a_login_gets_a_session_of_its_own():
    a_person("ada")
    client = Client()
    client.get("/admin/login/")
    session = client.session
    session["planted"] = "x"
    session.save()
    planted = str(session.session_key)
    client.cookies["sessionid"] = planted
    client.post("/admin/login/", {"username": "ada", "password": "secret-pass"})
    assert client.cookies["sessionid"].value != planted


@pytest.mark.django_db
def test_logging_in_and_out_need_a_form_of_ours(settings):
    a_person("ada")
    client = Client(enforce_csrf_checks=True)
    client.get("/admin/login/")
    form = {"username": "ada", "password": "secret-pass"}
    assert client.post("/admin/login/", form).status_code == 403
    assert client.post("/logout/").status_code == 403
    assert client.get("/logout/").status_code == 405


@pytest.mark.django_db
def test_a_browser_that_logs_out_forgets_the_rooms():
    client = Client()
    client.force_login(a_person("ada"))
    answer = client.post("/logout/")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get("/api/v1/me/").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_reading_changes_nothing():
    """A link or an image of another site can make a browser read anything: no GET may have an effect."""
    from apps.accounts.models import User
    from apps.projects.models import Membership, ProjectEvent

    owner = a_person("root", is_staff=True, is_superuser=True)
    project = a_project(owner)
    client = Client(raise_request_exception=False)
    client.force_login(owner)

    def state() -> tuple[Any, ...]:
        project.refresh_from_db()
        return (
            ProjectEvent.objects.count(), Membership.objects.count(), project.status, project.last_seq,
            *User.objects.values_list("access_version", "is_active", "password").order_by("pk"),
        )  # fmt: skip

    before = state()
    for address in addresses({"guid": str(project.guid), "user_id": str(owner.pk), "object_id": str(owner.pk)}):
        if not address.endswith("/events/stream/"):
            client.get(address)
            client.get(address, {"action": "end_all_access", "_selected_action": str(owner.pk), "confirm": "yes"})
            client.get(
                address, {"archived": "yes", "confirmed": "yes", "name": "x", "status": "archived", "role": "viewer"}
            )
    assert state() == before


def test_every_view_that_writes_asks_for_the_token_or_takes_no_cookie():
    """Exempt from Django's check are the API's views alone: they ask sessions themselves."""
    for route, view in routes():
        if getattr(view, "csrf_exempt", False):
            assert route.startswith("api/"), route


@pytest.mark.django_db(transaction=True)
def test_no_session_writes_without_the_token_of_a_page():
    owner = a_person("owner")
    project = a_project(owner)
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    below = f"/api/v1/projects/{project.guid}/"
    command = {"type": "create_task", "id": "c1", "data": {"title": "New"}}
    for address, body in (
        ("/projects/new/", {"name": "x", "brief": "x"}),
        (f"/projects/{project.guid}/about/", {"name": "x"}),
        ("/api/v1/projects/", {"name": "x"}),
        (f"{below}tasks/", {"title": "x"}),
        (f"{below}commands/", command),
    ):
        kind: dict[str, Any] = {"content_type": "application/json"} if address.startswith("/api/") else {}
        assert client.post(address, body, **kind).status_code == 403, address
        foreign: dict[str, Any] = {"HTTP_ORIGIN": "https://evil.example", "HTTP_X_CSRFTOKEN": "x" * 32}
        client.cookies["csrftoken"] = "x" * 32
        assert client.post(address, body, secure=True, **kind, **foreign).status_code == 403, address
        del client.cookies["csrftoken"]
