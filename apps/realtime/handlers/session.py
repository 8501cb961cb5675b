"""Logging in on a socket, and its heartbeat."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from apps.accounts.tokens import user_from_token
from apps.core.events import Struct
from apps.projects.aio import in_thread
from apps.realtime.commands import Rate, command
from apps.realtime.context import Context


class Authenticate(Struct):
    """Show an access token; on a socket that is logged in it renews, for the same user only."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class Ping(Struct):
    """Ask for a sign of life; ``t`` comes back as it is."""

    t: int | float | str | None = None


@command("authenticate", Authenticate, joined=False, reply="authenticated", over_http=False, anonymous=True)
async def authenticate(context: Context, payload: Authenticate) -> Any:
    """Log in or renew."""
    identity = await in_thread(user_from_token, payload.token)
    return await context.socket.authenticated(identity)


@command("ping", Ping, joined=False, reply="pong", over_http=False, rate=Rate.PING, anonymous=True)
async def ping(context: Context, payload: Ping) -> Any:
    """Answer at once."""
    return context.socket.pong(payload.t)
