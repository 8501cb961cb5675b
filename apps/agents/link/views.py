"""The truth about the link, for the rooms: sent when it changes, at most once in each look."""

from __future__ import annotations

from apps.agents import events as a
from apps.agents.selectors.link import link_status, link_views, waiting_counts
from apps.core.events import EventClass
from apps.projects.records import Ephemeral
from apps.projects.selectors.projects import active_guids
from apps.projects.signals import ephemeral_emitted


class LinkViews:
    """Compares the link with what the rooms were told last. ``send_changes`` is called about once a second."""

    def __init__(self) -> None:
        self._state: tuple[object, ...] = ()
        self._counts: dict[str, int] = {}

    def send_changes(self) -> None:
        """Tell all active rooms a change of the link, and a room a change of what waits for it."""
        counts = waiting_counts()
        status = link_status()
        state = (status.state, status.since, status.gap, status.acks)
        if state != self._state:
            concerned = active_guids()
        else:
            concerned = [guid for guid in {*counts, *self._counts} if counts.get(guid, 0) != self._counts.get(guid, 0)]
        for guid, view in link_views(concerned).items() if concerned else ():
            self._send(guid, view)
        self._state, self._counts = state, counts

    def _send(self, guid: str, view: a.AgentsLink) -> None:
        news = Ephemeral(guid=guid, key="agents_link", event_class=EventClass.LATEST, payload=view)
        ephemeral_emitted.send_robust(sender=Ephemeral, news=news)
