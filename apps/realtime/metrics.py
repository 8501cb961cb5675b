"""Counters of this app, in the process's Prometheus registry; whoever serves /metrics needs to know nothing of them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("autocode_connections", "Open connections.", ["transport"])
ROOMS = Gauge("autocode_rooms", "Rooms that this process serves.")
JOINS = Counter("autocode_joins", "Joins and resumptions by their outcome.", ["outcome"])
FRAMES_IN = Counter("autocode_frames_in", "Frames received.")
BYTES_IN = Counter("autocode_bytes_in", "Bytes received.")
FRAMES_OUT = Counter("autocode_frames_out", "Frames sent.")
EVENTS_OUT = Counter("autocode_events_out", "Envelopes sent.")
BYTES_OUT = Counter("autocode_bytes_out", "Bytes sent.")
COALESCED = Counter("autocode_coalesced", "Pieces merged into a pending one.")
COMMANDS = Counter("autocode_commands", "Commands by type and outcome (ok, or the error's code).", ["type", "outcome"])
COMMAND_SECONDS = Histogram(
    "autocode_command_seconds", "Time from a command's turn to its reply.", ["type"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
CLOSES = Counter("autocode_closes", "Connections closed by the server, by code.", ["code"])
PUBLISHED = Counter("autocode_published", "Messages given to the channel layer, by kind.", ["kind"])
PUBLISH_FAILURES = Counter("autocode_publish_failures", "Messages that the channel layer did not take.")
REPAIRS = Counter("autocode_repairs", "Holes in a room's order, by how they closed (late, log, restart).", ["how"])
DELIVERY_SECONDS = Histogram(
    "autocode_delivery_seconds", "Time from publishing an event to its viewers' outlets (machines' clocks must agree).",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
HANDLER_FAILURES = Counter("autocode_handler_failures", "Commands answered with internal.")
