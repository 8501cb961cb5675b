"""``/metrics``: for the scraper next door and the staff, and for nobody else."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from tests.support.factories import a_person

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_scraper_on_the_same_machine_reads_the_figures():
    answer = await AsyncClient().get("/metrics")
    assert answer.status_code == 200
    text = answer.content.decode()
    assert 'autocode_link_state{state="connected"}' in text
    assert "autocode_link_queued 0.0" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
async def test_what_came_through_a_proxy_is_refused(header):
    assert (await AsyncClient().get("/metrics", headers={header: "127.0.0.1"})).status_code == 404


async def test_staff_read_them_from_anywhere_and_others_do_not():
    for is_staff, status in ((True, 200), (False, 404)):
        client = AsyncClient()
        await sync_to_async(client.force_login)(await sync_to_async(a_person)(is_staff=is_staff))
        assert (await client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})).status_code == status
    assert (await AsyncClient().post("/metrics")).status_code == 404
