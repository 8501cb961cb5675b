"""The rate of one user across connections: counted in this process, or in Redis for all processes."""

from __future__ import annotations

import abc
import logging
from typing import Any, Final

from apps.core import clock
from apps.realtime.limits import Buckets

logger = logging.getLogger(__name__)

# KEYS[1] a hash; ARGV rate a second, burst, tokens wanted. The time is Redis's own, so that clocks of machines do not
# matter. Returns how many tokens were taken (at least one), or the milliseconds until there is one as a negative.
TAKE: Final = """
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if state[1] then
  tokens = math.min(burst, tonumber(state[1]) + math.max(0, at - tonumber(state[2])) * rate)
end
local answer
if tokens >= 1 then
  answer = math.min(wanted, math.floor(tokens))
  tokens = tokens - answer
else
  answer = -math.max(1, math.ceil((1 - tokens) / rate * 1000))
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', at))
redis.call('EXPIRE', KEYS[1], math.ceil(burst / rate) + 1)
return answer
"""

LOT: Final = 8  # tokens fetched at once, so that a busy user costs Redis one call for eight commands
CREDIT: Final = 1 / 8
"""The share of a second's tokens that a process gives without asking: whoever sends little costs Redis nothing."""
USERS: Final = 10_000  # lots of so many users, then those that are over are forgotten
LOT_S: Final = 1.0  # how long fetched tokens are good


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
        self._lots: dict[str, tuple[int, float]] = {}
        self._away_until = 0.0

    async def take(self, user_id: str) -> int:
        """See ``UserRate``. Redis is asked by lots, and only for who sent more than the credit within a second."""
        now = clock.monotonic()
        if now < self._away_until:
            return await self._local.take(user_id)
        left, until = self._lots.get(user_id, (0, 0.0))
        if left and now < until:
            self._lots[user_id] = left - 1, until
            return 0
        credit = int(self._rate * CREDIT)
        if credit and now >= until:
            self._keep(user_id, credit - 1, now)
            return 0
        wanted = LOT if now < until else 1
        try:
            key = f"{self._prefix}:rate:{user_id}"
            answer = int(await self._take(keys=[key], args=[self._rate, self._rate, wanted]))
            if answer < 0:
                return -answer
            self._keep(user_id, answer - 1, now)
            return 0
        except Exception as error:  # noqa: BLE001 - any failure of Redis means the same here
            logger.warning("Redis does not count commands (%s); this process counts for itself", type(error).__name__)
            self._away_until = clock.monotonic() + 5.0
            return await self._local.take(user_id)

    def _keep(self, user_id: str, left: int, now: float) -> None:
        if len(self._lots) >= USERS:
            self._lots = {user: lot for user, lot in self._lots.items() if now < lot[1]}
        self._lots[user_id] = left, now + LOT_S

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._client.aclose()
