"""Listening sockets that a process is given instead of opening them: by its parent, by a supervisor, by systemd.

Knows sockets and the environment; knows neither Daphne nor Twisted.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from pathlib import Path
from typing import Final

BACKLOG: Final = 4096  # Daphne's 50 makes the 51st of many simultaneous connections wait a second for its SYN
SYSTEMD_FIRST: Final = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


def from_systemd() -> list[int]:
    """Return the descriptors that systemd passed to this very process, and forget them for its children."""
    given = os.environ.get("LISTEN_FDS", "") if os.environ.get("LISTEN_PID") == str(os.getpid()) else ""
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return list(range(SYSTEMD_FIRST, SYSTEMD_FIRST + int(given))) if given.isdigit() else []


def inherited(descriptor: int) -> socket.socket:
    """Return the listening stream socket behind a descriptor, with our backlog. Raises ``OSError`` if it is none."""
    found = socket.socket(fileno=descriptor)
    try:
        if found.type != socket.SOCK_STREAM or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"file descriptor {descriptor} is not a listening stream socket")
        found.listen(BACKLOG)
    except OSError:
        found.detach()
        raise
    return found


def descriptor_of(endpoint: str) -> int | None:
    """Return the descriptor that Daphne's ``--fd`` made this endpoint of, None for other endpoints."""
    match = re.fullmatch(r"fd:fileno=(\d+)", endpoint)
    return int(match[1]) if match else None


def tcp(host: str, port: int) -> socket.socket:
    """Listen at a TCP address. Raises ``OSError``."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address[:2], family=family, backlog=BACKLOG, dualstack_ipv6=both)


def unix(path: str) -> socket.socket:
    """Listen at a path; a socket that a dead process left there is replaced. Raises ``OSError``."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(Path(path).stat().st_mode):
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe,
                contextlib.suppress(ConnectionRefusedError),
            ):
                probe.connect(path)
                raise OSError(f"{path} is in use")
            Path(path).unlink()
    listening.bind(path)
    Path(path).chmod(0o666)  # as Daphne does: the directory decides who may connect
    listening.listen(BACKLOG)
    return listening
