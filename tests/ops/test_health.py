"""``/healthz`` and ``/readyz``: what a load balancer goes by."""

from __future__ import annotations

import asyncio

import pytest
from django.test import AsyncClient

from apps.core import readiness
from apps.ops import health


@pytest.fixture
def checks(monkeypatch):
    """The registered checks, to be replaced; the old ones come back."""
    monkeypatch.setattr(readiness, "_checks", {})
    yield readiness._checks
    readiness.set_draining(False)


@pytest.mark.django_db(transaction=True)
async def test_a_process_that_works_is_alive_and_ready():
    client = AsyncClient()
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (200, "ok")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_what_fails_is_named_and_its_reason_is_not(checks):
    async def broken() -> None:
        raise OSError("password=hush")

    async def fine() -> None:
        return None

    readiness.register("redis", broken)
    readiness.register("database", fine)
    answer = await AsyncClient().get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unready", "checks": {"redis": "failed", "database": "ok"}}
    assert (await AsyncClient().get("/healthz")).status_code == 200


async def test_what_does_not_answer_is_slow_and_holds_nobody_up(checks):
    readiness.register("database", lambda: asyncio.sleep(30))
    assert await readiness.report(patience=0.01) == {"database": "slow"}


async def test_a_draining_process_is_alive_and_not_ready(checks):
    readiness.set_draining()
    answer = await AsyncClient().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")
    assert (await AsyncClient().get("/healthz")).status_code == 200


async def test_only_reading_is_answered(checks):
    for path in ("/healthz", "/readyz"):
        answer = await AsyncClient().post(path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert (await AsyncClient().head(path)).status_code == 200


@pytest.mark.redis
async def test_redis_is_asked(settings, redis_url):
    settings.AUTOCODE_REDIS_URL = redis_url
    await health.check_redis()


async def test_redis_that_is_not_there_is_no_surprise(settings):
    settings.AUTOCODE_REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(Exception, match=r".+"):
        await health.check_redis()
