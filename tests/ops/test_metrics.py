"""``/metrics``: for the scraper next door and the staff, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client

from tests.support.factories import a_person

pytestmark = pytest.mark.django_db(transaction=True)


HERE = {"Host": "127.0.0.1:8000"}


async def asked(path: str, **options: Any) -> Any:
    """Ask with a Host header of one's own, which Django's asynchronous client would only add to its own."""
    return await sync_to_async(Client().get)(path, **options)


async def test_a_scraper_on_the_same_machine_reads_the_figures():
    answer = await asked("/metrics", headers=HERE)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert 'autocode_link_state{state="connected"}' in text
    assert "autocode_link_queued 0.0" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize(
    "headers",
    [HERE | {"X-Forwarded-For": "127.0.0.1"}, HERE | {"X-Real-IP": "127.0.0.1"}, HERE | {"Forwarded": "for=127.0.0.1"},
     HERE | {"X-Forwarded-Host": "rooms.example.org"}, {"Host": "testserver"}],
    ids=["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "the site's name"],
)  # fmt: skip
async def test_what_came_through_a_proxy_is_refused(headers):
    assert (await asked("/metrics", headers=headers)).status_code == 404


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "10.0.0.5:8000", "[::1]:8000", "[fd00::5]", "localhost", "192.0.2.7"]
)
async def test_who_asks_by_address_needs_not_know_the_sites_name(settings, host):
    settings.ALLOWED_HOSTS = ["rooms.example.org"]
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await asked(path, headers={"Host": host})).status_code == 200, path
    assert (await asked("/", headers={"Host": host})).status_code == 400


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost.evil.example", ""]
)
async def test_another_name_is_refused_there_too(settings, host):
    settings.ALLOWED_HOSTS = ["rooms.example.org"]
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await asked(path, headers={"Host": host})).status_code == 400, path


async def test_staff_read_them_from_anywhere_and_others_do_not():
    for is_staff, status in ((True, 200), (False, 404)):
        client = AsyncClient()
        await sync_to_async(client.force_login)(await sync_to_async(a_person)(is_staff=is_staff))
        assert (await client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})).status_code == status
    assert (await AsyncClient().post("/metrics")).status_code == 404
