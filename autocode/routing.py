"""Which WebSocket path leads where: one endpoint, and a clean refusal for everything else."""

from __future__ import annotations

from typing import Any, cast

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from channels.routing import URLRouter
from django.urls import re_path

from apps.realtime.consumers import RoomConsumer


async def refuse(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Close before accepting, which the client sees as HTTP 403; an unrouted path would be a traceback and 500."""
    await send({"type": "websocket.close", "code": 4404, "reason": ""})


# The consumer reads the login and the Origin from the scope itself: it closes with a code that tells the client
# what to do next, where a middleware in front could only refuse with 403.
websocket_urlpatterns = [
    re_path(r"^ws/$", cast("Any", RoomConsumer.as_asgi())),  # Any: Django's stubs expect a view here
    re_path(r"", cast("Any", refuse)),
]

websocket_application = URLRouter(websocket_urlpatterns)
