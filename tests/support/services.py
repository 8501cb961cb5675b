"""A private PostgreSQL and Redis for tests: started on free loopback ports from Debian's binaries, gone afterwards.

For fixtures and fault tests::

    with Redis() as redis:
        redis.url            # redis://127.0.0.1:40123/0
        redis.kill()         # as a crash would end it
        redis.start()        # again, on the same port and without its data

For the shell: ``python tests/support/services.py COMMAND…`` runs the command with AUTOCODE_TEST_REDIS_URL and
AUTOCODE_TEST_POSTGRES_URL set, stops both servers, and exits with the command's code.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self


class MissingError(Exception):
    """The server's programs are not installed."""


def free_port() -> int:
    """Return a loopback port that was free a moment ago, and that no outgoing connection takes until it is used."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)  # Linux gives connections ports from 32,768 on
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for_port(port: int, *, process: subprocess.Popen[bytes], log: Path, seconds: float = 15) -> None:
    """Return when something listens on the loopback ``port``; raises with the log if ``process`` ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}:\n{log.read_text(errors='replace')[-2000:]}")


class Service:
    """A server process with a port and a directory of its own. ``start`` after ``stop`` or ``kill`` keeps both."""

    user: str | None = None
    stop_signal = signal.SIGTERM

    def __init__(self, within: Path | None = None) -> None:
        """Take the directory (of the system's temporary one unless given) in which the server gets its own."""
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"autocode-{type(self).__name__.lower()}-", dir=within))
        self.log = self.directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what the server needs in its directory; called before each start."""

    def ready(self) -> None:
        """Return when the server answers queries; it listens already."""

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.prepare()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self.user,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C is for the tests, not for their servers
            )
        wait_for_port(self.port, process=self.process, log=self.log)
        self.ready()

    def stop(self) -> None:
        """End the server in its own way, and wait for it."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server as a crash would, and wait for it."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """Stop the server and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Redis(Service):
    """redis-server without persistence."""

    def __init__(self) -> None:
        super().__init__()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise MissingError("redis-server is not installed; ./test installs it")
        return [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]


class Postgres(Service):
    """PostgreSQL that trusts everybody on loopback and never waits for the disk; ``url`` names an empty database."""

    stop_signal = signal.SIGINT  # "fast": cuts sessions instead of waiting for them

    def __init__(
        self, within: Path | None = None, *, copy_of: Path | None = None, wal: Path | None = None, **options: Any
    ) -> None:
        """Begin empty, or with a ``copy_of`` another one's data; ``options`` are for ``postgresql.conf``.

        ``wal`` is where the log of writes goes if not to the data. Its segments are small, so that a full disk is
        noticed soon.
        """
        super().__init__(within)
        self.programs = self._programs()
        self._copy_of, self._wal, self.options = copy_of, wal, options
        self.data = self.directory / "data"
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/autocode"
        if os.geteuid() == 0:
            self.user = "postgres"  # it refuses to run as root
            self._own(self.directory)

    def _own(self, directory: Path) -> None:
        """Give the directory, with all that is in it, to the server's user."""
        account = pwd.getpwnam(self.user or "")
        for path in (directory, *directory.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)

    def crash(self) -> None:
        """End it as "immediate" does: no goodbye, no checkpoint; the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Stop all its processes where they are; ``thaw`` lets them go on."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """End ``freeze``."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, how: signal.Signals) -> None:
        """Send a signal to the server and its sessions, the server first: it begins no more of them."""
        assert self.process is not None
        os.kill(self.process.pid, how)
        sessions = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), how)

    @staticmethod
    def _programs() -> Path:
        """Return the directory of the newest installed version; Debian does not put it on PATH."""
        versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
        if versions:
            return max(versions, key=lambda path: int(path.parent.name))
        found = shutil.which("initdb")
        if found is None:
            raise MissingError("postgresql is not installed; ./test installs it")
        return Path(found).parent

    def prepare(self) -> None:
        if self.data.exists():
            (self.data / "postmaster.pid").unlink(missing_ok=True)  # left by kill()
            return
        if self._copy_of is not None:
            shutil.copytree(self._copy_of, self.data, symlinks=True)
            if self._wal is not None:
                shutil.move(self.data / "pg_wal", self._wal)
                (self.data / "pg_wal").symlink_to(self._wal)
            if self.user is not None:
                self._own(self.data)
                self._own(self._wal or self.data)
            return
        self._run("initdb", "--pgdata", str(self.data), "--username=postgres", "--auth=trust", "--no-sync",
                  "--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1")  # fmt: skip

    def command(self) -> list[str]:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            "shared_buffers": "64MB",
        } | self.options
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), *settings]

    def ready(self) -> None:
        import psycopg

        deadline = time.monotonic() + 15
        while True:
            try:
                with psycopg.connect(f"postgres://postgres@127.0.0.1:{self.port}/postgres", autocommit=True) as db:
                    if db.execute("SELECT 1 FROM pg_database WHERE datname = 'autocode'").fetchone() is None:
                        db.execute("CREATE DATABASE autocode")
                    return
            except psycopg.OperationalError:  # it listens a moment before it has recovered
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), *arguments], check=True, capture_output=True, user=self.user,
            cwd=self.directory,
        )  # fmt: skip


def main(command: list[str]) -> int:
    """Run ``command`` with both servers; return its exit code, or 128 + n if signal n ended it."""
    # The command gets the terminal's signals itself; this process only has to outlive it and clean up. A handler, and
    # not SIG_IGN, because the command would inherit the latter.
    for passed_on in (signal.SIGINT, signal.SIGHUP):
        signal.signal(passed_on, lambda *_: None)
    with Redis() as redis, Postgres() as postgres:
        added = {"AUTOCODE_TEST_REDIS_URL": redis.url, "AUTOCODE_TEST_POSTGRES_URL": postgres.url}
        process = subprocess.Popen(command, env=os.environ | added)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
