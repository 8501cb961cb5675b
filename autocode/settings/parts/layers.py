"""What joins the processes: the channel layer and the cache, in memory or in Redis."""

import socket
from typing import Any

from autocode.settings.parts.places import ENVIRONMENT

AUTOCODE_REDIS_URL = ENVIRONMENT.text("AUTOCODE_REDIS_URL")
AUTOCODE_REDIS_PREFIX = ENVIRONMENT.text("AUTOCODE_REDIS_PREFIX")


KEEPALIVE = {
    "TCP_KEEPIDLE": 5,  # seconds
    "TCP_KEEPINTVL": 5,  # seconds
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 15_000,  # milliseconds that something sent may stay unacknowledged
}
LAYER_SOCKET: dict[str, Any] = {
    # Who sends has a deadline of its own, and who listens may hear nothing for hours: it asks and counts for itself.
    "socket_timeout": None,
    "socket_keepalive": True,
    # Not every system has them all.
    "socket_keepalive_options": {
        getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)
    },
}


def channel_layers(redis_url: str, prefix: str) -> dict[str, Any]:
    """Return the channel layers for Redis at ``redis_url``, or for one process when it is empty."""
    if not redis_url:
        return {
            "default": {
                "BACKEND": "channels.layers.InMemoryChannelLayer",
                # Each loss in here is silent: a full channel drops the newest message, and one expired message
                # removes its channel from every group. Neither may happen before a room's own limits act.
                "CONFIG": {"capacity": 100_000, "expiry": 86_400, "group_expiry": 10 * 365 * 86_400},  # seconds
            },
        }
    return {
        "default": {
            "BACKEND": "apps.realtime.redis_layer.PubSubChannelLayer",
            "CONFIG": {
                "hosts": [{"address": redis_url, "socket_connect_timeout": 2, **LAYER_SOCKET}],
                "prefix": prefix,
            },
        },
    }


def caches(redis_url: str, prefix: str) -> dict[str, Any]:
    """Return the caches: throttles count in Redis when there is one, so that processes share the count."""
    if not redis_url:
        return {
            "default": {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                # At Django's 300 a guesser could push out the count of his own attempts.
                "OPTIONS": {"MAX_ENTRIES": 100_000},
            },
        }
    return {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": redis_url,
            "KEY_PREFIX": f"{prefix}:cache",
            "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},  # seconds
        },
    }


CHANNEL_LAYERS = channel_layers(AUTOCODE_REDIS_URL, AUTOCODE_REDIS_PREFIX)
CACHES = caches(AUTOCODE_REDIS_URL, AUTOCODE_REDIS_PREFIX)
