"""Who is present, folded from one entry a connection to one member a user. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from apps.realtime.events import Focus, PresenceMember


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One connection's presence in one room. ``expires``, ``focused`` and ``typing_until`` are seconds of one clock.

    Within a process that is ``clock.monotonic``, which does not jump; stores that processes share have their own.
    """

    user_id: str
    username: str
    role: str
    since: str
    expires: float
    panes: list[str] | None = None
    agent_id: str | None = None
    focused: float = 0.0
    """When the focus was told; the newest tab's one is shown."""
    typing_until: float = 0.0

    def moved(self, seconds: float) -> Entry:
        """Return the entry as a clock shows it that is ahead by so much."""
        return msgspec.structs.replace(
            self,
            expires=self.expires + seconds,
            focused=self.focused and self.focused + seconds,
            typing_until=self.typing_until and self.typing_until + seconds,
        )


def members_of(entries: Iterable[Entry], now: float) -> dict[str, PresenceMember]:
    """Return the members by user id; expired entries do not count.

    Somebody whose tabs all tell an empty list of panes is idle.
    """
    by_user: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.expires > now:
            by_user.setdefault(entry.user_id, []).append(entry)
    return {user_id: _member(tabs, now) for user_id, tabs in by_user.items()}


def _member(tabs: list[Entry], now: float) -> PresenceMember:
    told = [tab for tab in tabs if tab.panes is not None]
    latest = max(told, key=lambda tab: (bool(tab.panes), tab.focused), default=None)
    newest = max(tabs, key=lambda tab: tab.since)
    return PresenceMember(
        user_id=newest.user_id,
        username=newest.username,
        role=newest.role,
        tabs=len(tabs),
        state="idle" if all(tab.panes == [] for tab in tabs) else "active",
        since=min(tab.since for tab in tabs),
        focus=Focus(panes=latest.panes or [], agent_id=latest.agent_id) if latest else None,
        typing=any(tab.typing_until > now for tab in tabs),
    )


class Members:
    """The members of one room as this process last heard."""

    def __init__(self) -> None:
        self._by_user: dict[str, dict[str, Any]] = {}
        self._json: bytes | None = None

    def apply(self, diff: dict[str, Any]) -> None:
        """Apply the data of a ``presence_diff``."""
        self._json = None
        for user_id in diff["left"]:
            self._by_user.pop(user_id, None)
        for member in diff["joined"]:
            self._by_user[member["userId"]] = member

    def replace(self, members: dict[str, PresenceMember]) -> dict[str, Any] | None:
        """Take what the store says; return the difference as the data of a ``presence_diff``, or None."""
        now = {user_id: msgspec.to_builtins(member) for user_id, member in members.items()}
        joined = [member for user_id, member in now.items() if self._by_user.get(user_id) != member]
        left = [user_id for user_id in self._by_user if user_id not in now]
        self._by_user, self._json = now, None
        return {"joined": joined, "left": left} if joined or left else None

    def get(self, user_id: str) -> dict[str, Any] | None:
        """Return one member as it is on the wire, or None."""
        return self._by_user.get(user_id)

    def all(self) -> list[dict[str, Any]]:
        """Return all members as they are on the wire, the longest present first."""
        return sorted(self._by_user.values(), key=lambda member: (member["since"], member["userId"]))

    def json(self, me: Entry | None = None) -> bytes:
        """Return ``all`` as JSON, with the newcomer ``me`` at the end if the members do not show it yet.

        Encoded once for all who come between two changes.
        """
        if self._json is None:
            self._json = msgspec.json.encode(self.all())
        if me is None or me.user_id in self._by_user:
            return self._json
        mine = msgspec.json.encode(_member([me], 0.0))
        return b"[%b]" % mine if not self._by_user else b"%b,%b]" % (self._json[:-1], mine)
