"""The live figures of one process, for staff (topic ``system/stats``) and for whoever asks this app."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY

from apps.realtime.events import SystemStats
from apps.realtime.frames import Frame
from apps.realtime.protocol import reply_frame

if TYPE_CHECKING:
    from apps.realtime.manager import WebSocketManager

_TOTALS = (
    "autocode_frames_in_total",
    "autocode_frames_out_total",
    "autocode_events_out_total",
    "autocode_bytes_in_total",
    "autocode_bytes_out_total",
    "autocode_coalesced_total",
    "autocode_publish_failures_total",
    "autocode_handler_failures_total",
)


def snapshot(manager: WebSocketManager) -> dict[str, Any]:
    """Return the figures as plain values."""
    totals = {
        name.removeprefix("autocode_").removesuffix("_total"): REGISTRY.get_sample_value(name) for name in _TOTALS
    }
    return {
        "pid": os.getpid(),
        "connections": len(manager.connections),
        "users": len(manager.by_user),
        "rooms": len(manager.rooms),
        "viewers": sum(len(room.viewers) for room in manager.rooms.values()),
        "waitingBytes": sum(connection.waiting for connection in manager.connections.values()),
        **totals,
    }


def figures(manager: WebSocketManager) -> Frame:
    """Return the figures as a frame."""
    return Frame(reply_frame("system_stats", SystemStats(process=manager.process, figures=snapshot(manager))))
