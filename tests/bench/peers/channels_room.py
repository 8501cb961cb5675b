# mypy: ignore-errors
# Runs in the environment of the peers, which mypy does not know.
"""The chat room of the Channels tutorial, settings and all, in one file. Run by Daphne and by uvicorn.

BENCH_REDIS_URL names Redis; BENCH_LAYER is pubsub or core.
"""

from __future__ import annotations

import json
import os
from typing import Any

import django
from django.conf import settings

redis_url = os.environ["BENCH_REDIS_URL"]
layers: dict[str, Any] = {
    "pubsub": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [redis_url]}},
    "core": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # With redis-py 8 its defaults break this layer: reads of five seconds, and a pool of a hundred connections.
        "CONFIG": {"hosts": [{"address": redis_url, "socket_timeout": None, "max_connections": 100_000}]},
    },
}
settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": layers[os.environ.get("BENCH_LAYER", "pubsub")]},
    USE_TZ=True,
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402 - Django must be set up first
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402


class ChatConsumer(AsyncWebsocketConsumer):
    """Word for word what the tutorial teaches."""

    async def connect(self) -> None:
        self.room_name = self.scope["url_route"]["kwargs"]["room_name"]
        self.room_group_name = f"chat_{self.room_name}"
        await self.channel_layer.group_add(self.room_group_name, self.channel_name)
        await self.accept()

    async def disconnect(self, close_code: int) -> None:
        await self.channel_layer.group_discard(self.room_group_name, self.channel_name)

    async def receive(self, text_data: str) -> None:
        message = json.loads(text_data)["message"]
        await self.channel_layer.group_send(self.room_group_name, {"type": "chat.message", "message": message})

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"message": event["message"]}))


application = ProtocolTypeRouter(
    {"websocket": URLRouter([re_path(r"ws/chat/(?P<room_name>\w+)/$", ChatConsumer.as_asgi())])}
)
