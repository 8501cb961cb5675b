"""What the others see of somebody: typing, and where they look. Never stored, never answered."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apps.core import clock
from apps.core.events import Struct
from apps.realtime.commands import command
from apps.realtime.context import Context

Pane = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Typing(Struct):
    """Ends by itself after some seconds."""

    on: bool


class FocusOn(Struct):
    """The panes that are in view; none means that the page is hidden."""

    panes: Annotated[list[Pane], msgspec.Meta(max_length=20)]
    agent_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None


@command("typing", Typing, needs="message.typing", reply=None, over_http=False)
async def typing(context: Context, payload: Typing) -> None:
    """Show it."""
    room, viewer = context.place
    context.socket.manager.presence.typing(room, viewer, on=payload.on)


@command("focus", FocusOn, needs="project.focus", reply=None, over_http=False)
async def focus(context: Context, payload: FocusOn) -> None:
    """Show it."""
    room, viewer = context.place
    context.socket.manager.presence.update(
        room, viewer, panes=payload.panes, agent_id=payload.agent_id, focused=clock.monotonic()
    )
