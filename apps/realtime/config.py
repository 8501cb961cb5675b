"""The figures of this app, read from the settings in one place.

Those that have no environment variable are settings all the same: ``AUTOCODE_<NAME>`` overrides the default here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed


@dataclass(frozen=True, slots=True)
class Config:
    """Limits and times. ``_s`` seconds, ``_ms`` milliseconds, ``_bytes`` bytes."""

    stream_window_ms: int = 100
    heartbeat_s: float = 27.0
    heartbeat_grace_s: float = 10.0
    auth_timeout_s: float = 10.0
    request_s: float = 30.0
    access_check_s: float = 3.0
    socket_max_age_s: int = 43_200
    drain_s: float = 10.0
    presence_ttl_s: int = 60
    position_check_s: float = 1.0
    link_check_s: float = 5.0
    """How long a room may believe of the agents link what is no longer so, when nobody is left who would tell it."""
    max_frame_bytes: int = 65_536
    commands_per_s: float = 20.0
    command_burst: int = 40
    feedbacks_per_s: float = 5.0
    user_commands_per_s: float = 60.0
    connections_per_user: int = 10
    connections_per_address: int = 50
    rooms_per_connection: int = 50
    outbound_bytes: int = 1_048_576
    replay_events: int = 2000
    replay_bytes: int = 4_194_304
    presence_leave_s: float = 5.0
    """How long somebody stays present after the last tab is gone: a reload takes less."""
    typing_s: float = 5.0
    """After so long without a sign of it, nobody is typing."""
    bad_frames: int = 20
    bad_frames_window_s: float = 60.0
    """So many malformed frames in so long close the connection."""
    excess_commands: int = 60
    """So many refusals for the rate within ten seconds close the connection."""
    command_queue: int = 128
    """Commands of one connection that wait behind a slow one."""
    pings_per_s: float = 2.0
    hole_wait_ms: int = 50
    """How long a missing event may still arrive by the layer before the log is read."""
    room_linger_s: float = 5.0
    """How long a room without viewers stays subscribed: reloads and hand-overs come back."""
    token_warning_s: float = 60.0
    redis_url: str = ""
    redis_prefix: str = "autocode"


@functools.cache
def config() -> Config:
    """Return the present figures. They are read once; Django tells when a test changes settings."""
    given = {
        field.name: getattr(settings, f"AUTOCODE_{field.name.upper()}")
        for field in fields(Config)
        if hasattr(settings, f"AUTOCODE_{field.name.upper()}")
    }
    return Config(**given)


def _changed(**_: Any) -> None:
    config.cache_clear()


setting_changed.connect(_changed, dispatch_uid="realtime.config")
