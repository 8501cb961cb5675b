"""The ASGI application: Django for HTTP, the rooms for WebSocket. ``daphne autocode.asgi:application`` serves it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

if TYPE_CHECKING:
    from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autocode.settings.production")

# Fills the app registry, so it must come before anything that imports models.
django_application = get_asgi_application()

from autocode.routing import websocket_application  # noqa: E402 - after the registry, see above


def at_root(application: ASGI3Application) -> ASGI3Application:
    """Return ``application`` with ``root_path`` emptied.

    Daphne fills it from the client's ``Daphne-Root-Path`` header. Django strips it from the path before routing, so
    a client could make one path look like another to whatever stands in front.
    """

    async def rooted(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope.get("root_path"):
            scope = {**scope, "root_path": ""}  # type: ignore[assignment] # still one of the three scopes
        await application(scope, receive, send)

    return rooted


application = at_root(ProtocolTypeRouter({"http": django_application, "websocket": websocket_application}))
