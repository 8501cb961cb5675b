"""What the composition root puts around every view: policy, correlation, static files, no threads held."""

import asyncio
import re
import threading

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

import autocode.urls
from apps.core.correlation import current_correlation_id


async def where(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return JsonResponse({"thread": threading.current_thread().name, "correlation": current_correlation_id()})


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


# The site's own addresses follow, because its error pages link to them.
urlpatterns = [path("where", where), path("plain", plain), path("api/v1/where", where), *autocode.urls.urlpatterns]


@pytest.fixture(autouse=True)
def own_urls(settings):
    settings.ROOT_URLCONF = __name__


async def test_an_async_view_runs_in_the_event_loop():
    answer = (await AsyncClient().get("/where")).json()
    assert answer["thread"] == threading.current_thread().name


@pytest.mark.parametrize("address", ["/where", "/plain", "/nowhere"])
def test_every_response_carries_the_policy(address):
    headers = Client().get(address).headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


@pytest.mark.parametrize(("secure", "scheme"), [(False, "ws"), (True, "wss")])
def test_the_policy_lets_a_page_open_its_own_socket(secure, scheme):
    policy = Client().get("/plain", secure=secure).headers["Content-Security-Policy"]
    assert f"connect-src 'self' {scheme}://testserver;" in policy


async def test_a_callers_correlation_id_is_kept_and_answered():
    response = await AsyncClient().get("/where", headers={"X-Request-ID": "upstream-12345"})
    assert response.json()["correlation"] == response.headers["X-Request-ID"] == "upstream-12345"


@pytest.mark.parametrize("hostile", ["short", "x" * 65, "with space inside", "line\nbreak-123"])
def test_an_ill_formed_correlation_id_is_replaced(hostile):
    response = Client().get("/plain", headers={"X-Request-ID": hostile})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_answers_of_the_api_are_not_stored():
    assert Client().get("/api/v1/where").headers["Cache-Control"] == "no-store"


def test_the_api_is_refused_without_tls_where_pages_are_redirected(settings):
    settings.SECURE_SSL_REDIRECT = True
    client = Client()
    assert client.get("/plain").status_code == 301
    assert client.get("/api/v1/where").status_code == 403
    assert client.get("/api/v1/where", secure=True).status_code == 200


STYLES = "/static/admin/css/base.css"


async def test_static_files_are_served_to_async_requests_without_a_warning(recwarn):
    response = await AsyncClient().get(STYLES)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/css")
    assert int(response.headers["Content-Length"]) == len(response.content) > 1000
    assert not [warning for warning in recwarn if "StreamingHttpResponse" in str(warning.message)]


def test_static_files_know_ranges_conditions_and_methods():
    client = Client()
    whole = client.get(STYLES)
    part = client.get(STYLES, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, whole.content[:10])
    again = client.get(STYLES, headers={"If-Modified-Since": whole.headers["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(STYLES).content == b""
    assert client.post(STYLES).status_code == 405


@pytest.mark.parametrize(
    "address", ["/static/../manage.py", "/static/%2e%2e/manage.py", "/static//etc/passwd", "/static/"]
)
def test_nothing_outside_the_static_files_is_served(address):
    assert Client().get(address).status_code == 404
