"""Points at which a server process dies as if the power went: ``os._exit``, nothing is flushed, nobody says goodbye.

The product knows nothing of them. A server that runs with the settings ``tests.faults.crashing`` wraps the function
that ``CRASH_AT`` names, and dies there as soon as the file ``CRASH_FLAG`` exists. One without ``CRASH_AT`` takes the
agents link only then. ``CLOCK_AHEAD_S`` makes a process's clock wrong.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from django.apps import AppConfig

DIED: Final = 137
"""The exit code: the point was reached."""


def here() -> None:
    """Die, if it is time."""
    if Path(os.environ["CRASH_FLAG"]).exists():
        os._exit(DIED)


def before(owner: Any, name: str) -> None:
    """Die when ``owner.name`` is called."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        here()
        return function(*args, **kwargs)

    setattr(owner, name, called)


def after(owner: Any, name: str, *, when: Callable[..., Any] = lambda *_, **__: True) -> None:
    """Die when ``owner.name`` has done its work on arguments for which ``when`` holds."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if when(*args, **kwargs):
            here()
        return result

    setattr(owner, name, called)


def after_commit() -> None:
    """The event is stored, and nobody was told."""
    from apps.projects.services.log import ProjectLog

    before(ProjectLog, "_announce")


def before_ack() -> None:
    """The command is carried out, and its author was not told."""
    from apps.realtime.router import MessageRouter

    routers: Any = MessageRouter
    carry_out = routers.carry_out

    async def carried_out(self: Any, context: Any) -> Any:
        result = await carry_out(self, context)
        here()
        return result

    routers.carry_out = carried_out


def before_response() -> None:
    """The same over REST."""
    from apps.projects.api.base import WritingEndpoint

    after(WritingEndpoint, "carry_out")


def after_send() -> None:
    """The agents-server was told, and that is not written down."""
    from websockets.asyncio.client import ClientConnection

    connections: Any = ClientConnection
    send = connections.send

    async def sent(self: Any, frame: Any, *args: Any, **kwargs: Any) -> Any:
        await send(self, frame, *args, **kwargs)
        if '"type":"chat"' in str(frame):
            here()

    connections.send = sent


def before_mark() -> None:
    """The agents-server has acknowledged, and that is not written down."""
    from apps.agents.link.promises import Promises

    before(Promises, "has")


def in_the_middle_of_a_batch() -> None:
    """Some of a transaction's messages are carried out."""
    from apps.agents.link import dispatch

    after(dispatch, "carry_out", when=lambda _log, message, _texts: type(message).__name__ == "ToolStart")


def after_a_batch() -> None:
    """The messages are stored, and the agents-server was not told."""
    from apps.agents.link.session import Session

    before(Session, "_answer")


def in_the_sweep() -> None:
    """The old events are deleted, and the transaction is not committed."""
    from django.db.models import QuerySet

    after(QuerySet, "delete", when=lambda rows: rows.model.__name__ == "ProjectEvent")


def after_the_sweep() -> None:
    """The old events are gone."""
    from apps.projects.services import retention

    after(retention, "prune_project")


def while_a_stream_is_merged() -> None:
    """Pieces of a text wait for their window."""
    from apps.realtime.streams import StreamMerger

    before(StreamMerger, "flush")


POINTS: Final = {
    point.__name__: point
    for point in (
        after_commit, before_ack, before_response, after_send, before_mark, in_the_middle_of_a_batch, after_a_batch,
        in_the_sweep, after_the_sweep, while_a_stream_is_merged,
    )
}  # fmt: skip


def stand_by() -> None:
    """Leave the link to the one that is to die, until it may."""
    from apps.agents.services import lease

    acquire = lease.acquire

    def acquired(*args: Any, **kwargs: Any) -> Any:
        return acquire(*args, **kwargs) if Path(os.environ["CRASH_FLAG"]).exists() else None

    lease.acquire = acquired


def wrong_clock(ahead_s: float) -> None:
    """Let this process think that it is later than it is."""
    from apps.core import clock

    clocks: Any = clock
    now = clocks._now
    clocks._now = lambda: now() + dt.timedelta(seconds=ahead_s)


class Points(AppConfig):
    """Plants the point of this process, and lets the link be taken over within two seconds instead of fifteen."""

    name = "tests.faults.points"

    def ready(self) -> None:
        """See the class."""
        from apps.agents.link import handler
        from apps.agents.link.options import LinkOptions

        link: Any = handler
        quick = replace(LinkOptions(), lease_ttl=1.5, standby_poll=0.1, backoff_first=0.1, outbox_poll=0.1)
        link.LinkOptions = lambda: quick
        if ahead := os.environ.get("CLOCK_AHEAD_S"):
            wrong_clock(float(ahead))
        if point := os.environ.get("CRASH_AT"):
            POINTS[point]()
        elif "CRASH_FLAG" in os.environ:
            stand_by()
