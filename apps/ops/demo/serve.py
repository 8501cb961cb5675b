"""The command: options in, an exit code out. Opens the data directory, listens, and leaves cleanly on a signal."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.ops.demo.hub import Hub
from apps.ops.demo.journal import Journal
from apps.ops.demo.pace import Pace
from apps.ops.demo.server import Server

log = logging.getLogger("demo_agents")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; shared by ``manage.py demo_agents`` and ``python -m apps.ops.demo``."""
    parser.add_argument("--port", type=int, default=8765, help="port to listen on; 0 takes a free one and prints it")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--token",
        default=os.environ.get("AUTOCODE_AGENTS_TOKEN", ""),
        help="bearer token that AutoCode must send; none: everybody is let in (default: $AUTOCODE_AGENTS_TOKEN)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("AUTOCODE_DATA") or "data") / "agents",
        help="directory for state and workspaces (default: agents/ in AUTOCODE_DATA)",
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the small pauses pass; 2 is twice as fast")


def main(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Return 0, or 1 when the data directory is in use or the port is taken."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("websockets").setLevel(logging.ERROR)
    data: Path = options.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(data):
            asyncio.run(_serve(options, data))
    except OSError as error:
        log.error("cannot serve: %s", error)  # noqa: TRY400 - a taken port needs a sentence, not a trace
        return 1
    return 0


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Hold the data directory: two servers on one journal would both send it."""
    with (data / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"{data.name} is used by another demo agents-server") from None
        yield


async def _serve(options: argparse.Namespace, data: Path) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    journal = Journal(data / "state.sqlite3")
    hub = Hub(journal, data, Pace(options.speed))
    server = Server(journal, hub, token=options.token)
    try:
        async with server.listening(options.host, options.port) as port:
            print(f"demo agents-server listening on ws://{options.host}:{port}", flush=True)  # noqa: T201 - the program's output
            hub.start()
            await stopped.wait()
            await hub.stop()
    finally:
        journal.close()
