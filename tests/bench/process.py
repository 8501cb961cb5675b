"""Server processes: started on chosen cores, watched through /proc, and ended for certain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
GRACE_S = 5.0
"""A server that has not ended so long after SIGTERM is killed."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Server:
    """A server process with its children, in a session of its own."""

    def __init__(
        self, command: Sequence[str], *, cores: set[int], log: Path, env: Mapping[str, str], cwd: Path
    ) -> None:
        self.log = log

        def prepare() -> None:
            os.sched_setaffinity(0, cores)
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # even if the benchmark itself is killed

        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), cwd=cwd,
                start_new_session=True, preexec_fn=prepare,  # noqa: PLW1509 - we have one thread, and only here can a process be pinned before it starts
            )  # fmt: skip

    @property
    def pids(self) -> list[int]:
        """The process and all that descend from it."""
        return tree(self.process.pid)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(errors="replace")[-1500:]

    def stop(self) -> None:
        """End it and everything it started."""
        if self.alive:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def tree(root: int) -> list[int]:
    """Return ``root`` and its living descendants."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        for task in _listed(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                todo.extend(int(child) for child in children.split())
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time of the processes; those that have ended count nothing."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            # The name stands in parentheses and may hold spaces: the fields are counted from behind it.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def pss_kib(pids: Iterable[int]) -> int:
    """Return the memory of the processes in KiB; pages that they share count once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total


def pin(pids: Iterable[int], cores: set[int]) -> None:
    """Move running processes, with all their threads, to ``cores``."""
    for pid in pids:
        for task in _listed(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(task), cores)


def syn_retransmits() -> int:
    """Return how many SYNs this machine has sent again so far."""
    names, values = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines()[:2]]
    return int(values[names.index("TCPSynRetrans")])


def wait_until(condition: Callable[[], bool], *, seconds: float, step: float = 0.02) -> bool:
    """Call ``condition`` until it is true or the time is over; return which."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(step)
    return condition()


def _listed(directory: str) -> list[str]:
    try:
        return [path.name for path in Path(directory).iterdir()]
    except OSError:
        return []
