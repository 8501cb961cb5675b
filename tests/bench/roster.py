"""The peers: how each is started, how a viewer speaks to it, and what is fair to know about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import install
from tests.bench.load.dialects import Dialect, Plain, SocketIO

SOURCES = install.HERE / "peers"
BIN = install.PYTHON.parent
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer runs this time. ``processes`` is above 1 only for peers that ``scales`` says can."""

    port: int
    redis_url: str
    directory: Path
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Peer:
    """One system under test. ``command`` makes its command line; ``needs`` is python, node or autocode."""

    name: str
    label: str
    note: str
    needs: str
    command: Callable[[Place], list[str]]
    dialect: Callable[[], Dialect] = Plain
    uses_redis: bool = False
    scales: bool = False
    layer: str = ""
    durable: bool = False
    """Messages are ``chat`` commands of members, kept in the log: only AutoCode has them."""
    by_default: bool = True

    @property
    def is_autocode(self) -> bool:
        return self.needs == "autocode"

    def environment(self, place: Place) -> dict[str, str]:
        """Return the whole environment of the server process; nothing of the caller's leaks into it."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        return kept | {
            "BENCH_REDIS_URL": place.redis_url,
            "BENCH_LAYER": self.layer or "pubsub",
            "PYTHONPATH": str(SOURCES),
            "NODE_PATH": str(install.NODE_MODULES),
            "NODE_ENV": "production",
        }


def _daphne(place: Place) -> list[str]:
    application = "channels_room:application"
    return [str(BIN / "daphne"), "-b", LOOPBACK, "-p", str(place.port), "-v", "0", "--no-server-name", application]


def _uvicorn(application: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        line = [str(BIN / "uvicorn"), application, "--host", LOOPBACK, "--port", str(place.port)]
        # Compression is off with every peer: only some can do it, and nobody compresses 100 bytes.
        line += ["--no-access-log", "--log-level", "warning", "--ws-per-message-deflate", "false", "--lifespan", "off"]
        return line + (["--workers", str(place.processes)] if place.processes > 1 else [])

    return command


def _node(script: str) -> Callable[[Place], list[str]]:
    return lambda place: [shutil.which("node") or "node", str(SOURCES / "node" / script), str(place.port)]


def _broadcast(place: Place) -> list[str]:
    return [str(install.PYTHON), str(SOURCES / "broadcast_room.py"), str(place.port)]


def _serve(place: Place) -> list[str]:
    line = [str(autocode_python()), str(install.ROOT / "manage.py"), "serve", "--host", LOOPBACK]
    line += ["--port", str(place.port)]
    return line + (["--workers", str(place.processes)] if place.processes > 1 else [])


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            "channels-daphne", "Channels on Daphne", "the tutorial's room, channels_redis.pubsub",
            "python", _daphne, uses_redis=True,
        ),
        Peer(
            "channels-daphne-core", "Channels on Daphne (core layer)",
            "the tutorial's room, channels_redis.core with socket_timeout repaired; loses messages above its capacity",
            "python", _daphne, uses_redis=True, layer="core", by_default=False,
        ),
        Peer(
            "channels-uvicorn", "Channels on uvicorn", "the tutorial's room, channels_redis.pubsub, uvloop",
            "python", _uvicorn("channels_room:application"), uses_redis=True, scales=True,
        ),
        Peer(
            "python-socketio", "python-socketio", "on uvicorn with uvloop, Redis manager",
            "python", _uvicorn("socketio_room:application"), SocketIO, uses_redis=True, scales=True,
        ),
        Peer(
            "node-socketio", "Node socket.io", "in-process adapter: no Redis to pay for",
            "node", _node("socketio_room.cjs"), SocketIO,
        ),
        Peer("node-ws", "Node ws", "a loop of send(), one process: no Redis to pay for", "node", _node("ws_room.cjs")),
        Peer(
            "websockets", "websockets.broadcast", "asyncio, one process: no Redis to pay for", "python", _broadcast
        ),
        Peer(
            "autocode", "AutoCode, short-lived", "tool_output pieces of distinct streams, Redis, tokens, rights",
            "autocode", _serve, uses_redis=True, scales=True,
        ),
        Peer(
            "autocode-chat", "AutoCode, durable", "chat commands of a member: rights, log, commit, Redis",
            "autocode", _serve, uses_redis=True, durable=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filling:
    """What is in a filled AutoCode: its projects' guids, and for each of them the tokens of its members."""

    projects: list[str]
    tokens: list[list[str]]


def autocode_python() -> Path:
    """Return the Python of AutoCode's environment: the one that runs the benchmark."""
    return Path(sys.executable)


def autocode_ready() -> bool:
    """Tell whether this working copy has a server to measure."""
    return (install.ROOT / "apps/realtime/management/commands/serve.py").exists()


def autocode_environment(
    place: Place, *, secret: str, database_url: str, agents_port: int, viewers: int
) -> dict[str, str]:
    """Return what AutoCode needs: production's settings, and limits that leave room for one machine's viewers.

    Everything comes from one address here, and thousands of connections belong to a few hundred users.
    """
    many = str(viewers * 2 + 1000)
    return {
        "DJANGO_SETTINGS_MODULE": "autocode.settings.production",
        "AUTOCODE_SECRET_KEY": secret,
        "AUTOCODE_ALLOWED_HOSTS": LOOPBACK,
        "AUTOCODE_HTTPS": "off",
        "AUTOCODE_DATA": str(place.directory),
        "DATABASE_URL": database_url or f"sqlite:///{place.directory}/autocode.sqlite3",
        "AUTOCODE_REDIS_URL": place.redis_url,
        "AUTOCODE_REDIS_PREFIX": f"bench{place.port}",
        "AUTOCODE_AGENTS_URL": f"ws://{LOOPBACK}:{agents_port}/" if agents_port else "",
        "AUTOCODE_AGENTS_LINK": "embedded" if agents_port else "off",
        "AUTOCODE_AGENTS_TOKEN": "bench",
        "AUTOCODE_LOG_LEVEL": "WARNING",
        "AUTOCODE_LOG_FORMAT": "console",
        "AUTOCODE_DRAIN_S": "0",
        "AUTOCODE_UVLOOP": os.environ.get("AUTOCODE_UVLOOP", "on"),
        "AUTOCODE_JWT_ACCESS_S": "86400",
        "AUTOCODE_CONNECTIONS_PER_USER": many,
        "AUTOCODE_CONNECTIONS_PER_ADDRESS": many,
        "AUTOCODE_COMMANDS_PER_S": "1000000",
        "AUTOCODE_COMMAND_BURST": "1000000",
        "AUTOCODE_USER_COMMANDS_PER_S": "1000000",
    }


def autocode_fill(environment: dict[str, str], *, users: int, rooms: int) -> Filling:
    """Migrate and fill AutoCode. Raises ``RuntimeError``."""
    script = SOURCES / "autocode_setup.py"
    answer = subprocess.run(
        [str(autocode_python()), str(script), str(users), str(rooms)],
        env=environment, cwd=install.ROOT, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    if answer.returncode:
        raise RuntimeError(f"AutoCode could not be filled:\n{answer.stderr[-1500:]}")
    return Filling(**json.loads(answer.stdout))
