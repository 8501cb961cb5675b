"""Counters of this app, in the process's Prometheus registry; whoever serves /metrics needs to know nothing of them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Sent(Collector):
    """What left. Plain integers, because locked counters would cost as much as the write itself.

    ``singles`` are frames of one envelope, as nearly all are; ``frames`` and ``envelopes`` count the rest.
    """

    __slots__ = ("bytes", "envelopes", "frames", "singles")

    def __init__(self) -> None:
        self.singles = self.frames = self.envelopes = self.bytes = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Return the three counters."""
        yield CounterMetricFamily("autocode_frames_out", "Frames sent.", value=self.singles + self.frames)
        yield CounterMetricFamily("autocode_events_out", "Envelopes sent.", value=self.singles + self.envelopes)
        yield CounterMetricFamily("autocode_bytes_out", "Bytes sent.", value=self.bytes)


SENT = Sent()
REGISTRY.register(SENT)


def note_out(frames: int, envelopes: int, size: int) -> None:
    """Count what was handed over: WebSocket frames, envelopes in them, bytes of JSON. In the event loop only."""
    SENT.frames += frames
    SENT.envelopes += envelopes
    SENT.bytes += size


CONNECTIONS = Gauge("autocode_connections", "Open connections.", ["transport"])
ROOMS = Gauge("autocode_rooms", "Rooms that this process serves.")
JOINS = Counter("autocode_joins", "Joins and resumptions by their outcome.", ["outcome"])
FRAMES_IN = Counter("autocode_frames_in", "Frames received.")
BYTES_IN = Counter("autocode_bytes_in", "Bytes received.")
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
