"""The ASGI application: Django for HTTP, the rooms for WebSocket. ``daphne autocode.asgi:application`` serves it."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autocode.settings.production")

# Fills the app registry, so it must come before anything that imports models.
django_application = get_asgi_application()

from autocode.gate import gate  # noqa: E402 - as below
from autocode.routing import websocket_application  # noqa: E402 - after the registry, see above

application = gate(ProtocolTypeRouter({"http": django_application, "websocket": websocket_application}))
