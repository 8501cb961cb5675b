"""Where the benchmark ran: the machine, its programs, and which core does what."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import install

_ASK_VERSIONS = (
    "import json, sys; from importlib.metadata import version, PackageNotFoundError\n"
    "found = {}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = version(name)\n"
    "    except PackageNotFoundError: pass\n"
    "print(json.dumps(found))"
)
PYTHON_PACKAGES = (
    "django", "channels", "channels-redis", "daphne", "autobahn", "twisted", "uvicorn", "uvloop", "httptools",
    "python-socketio", "python-engineio", "websockets", "redis", "hiredis", "msgspec", "psycopg",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores do what: one server process, several of them, the load, and Redis with PostgreSQL."""

    server: set[int]
    servers: set[int]
    load: set[int]
    services: set[int]

    @property
    def words(self) -> str:
        """One sentence for the report."""
        named = f"Servers on core {_names(self.server)} (two processes: {_names(self.servers)})"
        return f"{named}, load on {_names(self.load)}, Redis and PostgreSQL on {_names(self.services)}"


def share_out(available: set[int]) -> Cores:
    """Divide the cores. The load never shares the core of a single server process, unless there is only one core."""
    cores = sorted(available)
    first, last = cores[0], cores[-1]
    if len(cores) < 3:
        # Two server processes share a core with the load here: their CPU is right, their top speed is not.
        return Cores({first}, {first, last}, {last}, {last})
    if len(cores) == 3:
        return Cores({first}, {first, cores[1]}, {last}, {cores[1]})
    return Cores({first}, {first, cores[1]}, {last}, {cores[2]})


def describe(cores: Cores) -> dict[str, object]:
    """Return what a reader must know to compare the figures with their own."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memoryGiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "node": _first_line("node", "--version"),
        "redis": _first_line("redis-server", "--version"),
        "busyBefore": round(os.getloadavg()[0], 2),  # processes that wanted to run in the minute before
        "placement": cores.words,
        "placementCores": {name: sorted(value) for name, value in asdict(cores).items()},
        "peers": _versions(install.PYTHON) | _node_versions(),
        "autocode": _versions(Path(install.ROOT / ".venv/bin/python")) | {"commit": _commit()},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions(python: Path) -> dict[str, str]:
    if not python.exists():
        return {}
    answer = subprocess.run(
        [str(python), "-c", _ASK_VERSIONS, *PYTHON_PACKAGES], capture_output=True, text=True, timeout=20, check=False
    )
    found: dict[str, str] = json.loads(answer.stdout or "{}")
    return found


def _node_versions() -> dict[str, str]:
    found = {}
    for name in ("socket.io", "engine.io", "ws"):
        package = install.NODE_MODULES / name / "package.json"
        if package.exists():
            found[f"{name} (Node)"] = json.loads(package.read_text())["version"]
    return found


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    ask = [git, "-C", str(install.ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False).stdout.strip()


def _first_line(program: str, argument: str) -> str:
    found = shutil.which(program)
    if found is None:
        return ""
    answer = subprocess.run([found, argument], capture_output=True, text=True, timeout=10, check=False).stdout
    words = answer.split("\n")[0].split()
    # redis-server tells its build as well; the version is the word behind "v=".
    return next((word[2:] for word in words if word.startswith("v=")), words[0] if words else "")


def _names(cores: set[int]) -> str:
    return ",".join(str(core) for core in sorted(cores))
