"""Which stores this process uses: Redis when it is configured, else memory."""

from __future__ import annotations

from typing import Any

from apps.realtime.config import Config
from apps.realtime.presence import MemoryPresence, PresenceStore, RedisPresence
from apps.realtime.user_limits import MemoryUserRate, RedisUserRate, UserRate


def presence_store(settings: Config) -> PresenceStore:
    """Return the store of presence."""
    if not settings.redis_url:
        return MemoryPresence()
    return RedisPresence(_client(settings), settings.redis_prefix, settings.presence_ttl_s)


def user_rate(settings: Config) -> UserRate:
    """Return the counter of users' commands."""
    if not settings.redis_url:
        return MemoryUserRate(settings.user_commands_per_s)
    return RedisUserRate(_client(settings), settings.redis_prefix, settings.user_commands_per_s)


def _client(settings: Config) -> Any:
    from redis.asyncio import BlockingConnectionPool, Redis

    # redis-py 8 refuses the 101st connection of a pool; a blocking one of a few waits instead.
    pool = BlockingConnectionPool.from_url(
        settings.redis_url, max_connections=8, timeout=2, socket_connect_timeout=2, socket_timeout=2
    )
    return Redis(connection_pool=pool)
