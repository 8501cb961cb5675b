"""The rate of one user across connections: counted in this process, or in Redis for all processes."""

from __future__ import annotations

import abc
import logging
from typing import Any, Final

from apps.core import clock
from apps.realtime.limits import Buckets

logger = logging.getLogger(__name__)

# KEYS[1] a hash; ARGV rate a second, burst. The time is Redis's own, so that clocks of machines do not matter.
# Returns after how many milliseconds there is a token; 0 means that one was taken.
TAKE: Final = """
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if state[1] then
  tokens = math.min(burst, tonumber(state[1]) + math.max(0, at - tonumber(state[2])) * rate)
end
local wait = 0
if tokens >= 1 then
  tokens = tokens - 1
else
  wait = math.max(1, math.ceil((1 - tokens) / rate * 1000))
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', at))
redis.call('EXPIRE', KEYS[1], math.ceil(burst / rate) + 1)
return wait
"""


class UserRate(abc.ABC):
    """A token bucket for each user."""

    @abc.abstractmethod
    async def take(self, user_id: str) -> int:
        """Take one token; return 0, or after how many milliseconds there will be one."""

    async def close(self) -> None:
        """Give back what is held open; memory holds nothing."""
        return


class MemoryUserRate(UserRate):
    """For one process."""

    def __init__(self, rate: float) -> None:
        self._buckets = Buckets(rate, rate, clock.monotonic)

    async def take(self, user_id: str) -> int:
        """See ``UserRate``."""
        return self._buckets.take(user_id)


class RedisUserRate(UserRate):
    """For many processes. While Redis is away each process counts for itself."""

    def __init__(self, client: Any, prefix: str, rate: float) -> None:
        self._client = client
        self._prefix = prefix
        self._rate = rate
        self._take = client.register_script(TAKE)
        self._local = MemoryUserRate(rate)
        self._away_until = 0.0

    async def take(self, user_id: str) -> int:
        """See ``UserRate``."""
        if clock.monotonic() < self._away_until:
            return await self._local.take(user_id)
        try:
            return int(await self._take(keys=[f"{self._prefix}:rate:{user_id}"], args=[self._rate, self._rate]))
        except Exception as error:  # noqa: BLE001 - any failure of Redis means the same here
            logger.warning("Redis does not count commands (%s); this process counts for itself", type(error).__name__)
            self._away_until = clock.monotonic() + 5.0
            return await self._local.take(user_id)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._client.aclose()
