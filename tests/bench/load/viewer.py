"""One connection of the load, what is published over it, and what is written down about it."""

from __future__ import annotations

import enum
import socket
import struct
import time
from array import array
from dataclasses import dataclass, field

clock = time.monotonic_ns

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: no TIME_WAIT, or repeats would run out of ports


class Phase(enum.IntEnum):
    """A viewer's life."""

    CONNECTING = 0
    UPGRADING = 1
    JOINING = 2
    JOINED = 3
    CLOSED = 4


class Viewer:
    """One connection."""

    __slots__ = (
        "carry", "close_code", "fd", "joined_at", "last", "narrow", "out", "phase", "received", "recv_into", "room",
        "seat", "sock", "started",
    )  # fmt: skip

    def __init__(self, seat: int, room: int, *, narrow: bool = False) -> None:
        self.seat, self.room, self.narrow = seat, room, narrow
        self.started = self.joined_at = 0
        self.close_code = 0
        self.received = 0
        self.last = bytearray()
        self.fresh()

    def fresh(self) -> None:
        """Make a new socket; ``narrow`` ones take few bytes before their sender has to wait."""
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if self.narrow:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.fd = self.sock.fileno()
        self.recv_into = self.sock.recv_into
        self.phase = Phase.CONNECTING
        self.carry = b""
        self.out = b""


@dataclass(slots=True)
class Record:
    """What arrived of the messages that were sent from ``since`` on and before ``until`` (ns). Latencies in ns."""

    since: int = 1 << 62
    until: int = 1 << 62
    latencies: array[int] = field(default_factory=lambda: array("q"))
    lateness: array[int] = field(default_factory=lambda: array("q"))
    """How much later than planned each message was sent: the generator's own trouble."""
    sent: int = 0


@dataclass(slots=True)
class Plan:
    """Messages to publish: ``rate`` a second, rooms in turn."""

    rate: float
    rooms: int
    size: int = 100
    due: int = 0
    number: int = 0
    end: int = 1 << 62
    """No message of this number or above is published."""
