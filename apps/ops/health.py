"""``/healthz`` (this process lives) and ``/readyz`` (it should get traffic): plain async views, JSON, 200 or 503."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.core import readiness
from apps.projects.aio import in_thread


async def healthz(request: HttpRequest) -> HttpResponse:
    """Answer while the process lives; asks nothing of any other part, so that a slow database restarts nobody."""
    if request.method not in {"GET", "HEAD"}:
        return _not_allowed()
    return _answer({"status": "alive"}, 200)


async def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when the database, Redis and whatever else registered answer and the process is not draining."""
    if request.method not in {"GET", "HEAD"}:
        return _not_allowed()
    if readiness.is_draining():
        return _answer({"status": "draining", "checks": {}}, 503)
    checks = await readiness.report()
    ready = all(word == "ok" for word in checks.values())
    return _answer({"status": "ready" if ready else "unready", "checks": checks}, 200 if ready else 503)


def _answer(body: dict[str, object], status: int) -> HttpResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _not_allowed() -> HttpResponse:
    body = {"error": {"code": "invalid_message", "message": "This answers GET only.", "retryable": False}}
    return JsonResponse(body, status=405, headers={"Allow": "GET, HEAD"})


async def check_database() -> None:
    """Ask the database the smallest question, on the pool that serves the rooms."""
    await in_thread(_ask_database)


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def check_redis() -> None:
    """Ping Redis over a connection of its own: probes are rare, and a kept one would belong to one event loop."""
    from redis.asyncio import Redis

    async with Redis.from_url(settings.AUTOCODE_REDIS_URL, socket_connect_timeout=2, socket_timeout=2) as redis:
        await redis.ping()


def register_checks() -> None:
    """Make what every process needs part of readiness. Called once, when the app is ready."""
    readiness.register("database", check_database)
    if settings.AUTOCODE_REDIS_URL:
        readiness.register("redis", check_redis)
