"""HTTP requests that are held open, event streams and polls that wait: counted, since each costs what a socket does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from apps.core.errors import RateLimited
from apps.realtime.config import Config

RETRY_MS: Final = 5_000


class Held:
    """What is held open in this process, by user and by network address. Sockets are counted for themselves."""

    def __init__(self) -> None:
        self._users: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()

    @contextmanager
    def one(self, user_id: str, network: str, settings: Config) -> Iterator[None]:
        """Count one more for the length of the block. Raises ``RateLimited`` when there are as many as may be."""
        if self._users[user_id] >= settings.connections_per_user:
            raise RateLimited("Too many open requests of this user.", retry_after_ms=RETRY_MS)
        if self._networks[network] >= settings.connections_per_address:
            raise RateLimited("Too many open requests from this address.", retry_after_ms=RETRY_MS)
        counted = (self._users, user_id), (self._networks, network)
        for counter, key in counted:
            counter[key] += 1
        try:
            yield
        finally:
            for counter, key in counted:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
