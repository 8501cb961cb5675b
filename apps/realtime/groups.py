"""Names of the channel layer's groups. Pure."""

from __future__ import annotations

from typing import Final

CONTROL: Final = "autocode.control"
"""Every process listens here: access changes, streams that are wanted."""


def room_group(guid: str) -> str:
    """Return the group of a room: fewer than 100 characters of ``[-_.a-zA-Z0-9]``."""
    return f"autocode.room.{guid}"
