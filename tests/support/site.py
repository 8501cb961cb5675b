"""A whole AutoCode as real processes: servers and the demo agents-server, to be killed and started at will."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.services import free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "demo-password-for-tests"


class Program:
    """A process of AutoCode that a test may kill and start again on the same port."""

    def __init__(
        self, name: str, arguments: list[str], environment: dict[str, str], port: int | None, log: Path
    ) -> None:
        """Take its arguments: of ``manage.py``, or of Python if they begin with ``-m``. Without a port it only runs."""
        self.name, self.arguments, self.environment, self.port, self.log = name, arguments, environment, port, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *([] if self.arguments[0] == "-m" else ["manage.py"]), *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if self.port is not None:
            wait_for_port(self.port, process=self.process, log=self.log, seconds=30)

    def kill(self) -> None:
        """End it as a crash would, with all that it started."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator would. Returns when it is gone."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if how == signal.SIGKILL else os.kill)(process.pid, how)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Site:
    """A whole AutoCode: one or more servers on one database, one demo agents-server.

    With ``daphne`` the servers are plain Daphnes, and the link has a process of its own: that needs a Redis.
    """

    def __init__(
        self,
        directory: Path,
        *,
        servers: int = 1,
        redis_url: str = "",
        speed: float = 4,
        daphne: bool = False,
        **variables: object,
    ) -> None:
        self.directory = directory
        agents_port = free_port()
        environment = (
            os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "autocode.settings.local",
                "AUTOCODE_DATA": str(directory / "data"),
                "AUTOCODE_DEMO_PASSWORD": PASSWORD,
                "AUTOCODE_AGENTS_URL": f"ws://127.0.0.1:{agents_port}/",
                "AUTOCODE_AGENTS_TOKEN": secrets.token_urlsafe(16),
                "AUTOCODE_REDIS_URL": redis_url,
                "AUTOCODE_AGENTS_LINK": "separate" if daphne else "embedded",
                "AUTOCODE_DRAIN_S": "1",
                "PYTHONUNBUFFERED": "1",
            }
            | {name: str(value) for name, value in variables.items()}
        )
        environment.pop("DATABASE_URL", None)
        self.environment = environment
        for command in (["migrate", "--verbosity", "0"], ["seed_demo"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True, timeout=60)
        self.agents = Program(
            "agents",
            ["demo_agents", "--port", str(agents_port), "--speed", str(speed)],
            environment,
            agents_port,
            directory / "agents.log",
        )
        self.link = Program("link", ["agent_link"], environment, None, directory / "link.log") if daphne else None
        plain = ["-m", "daphne", "-b", "127.0.0.1", "-v", "0", "autocode.asgi:application"]
        self.servers = []
        for number in range(servers):
            port = free_port()
            self.servers.append(
                Program(
                    f"server {number}",
                    [*plain, "-p", str(port)] if daphne else ["serve", "--port", str(port)],
                    environment | {"PORT": str(port)},
                    port,
                    directory / f"server{number}.log",
                )
            )

    @property
    def server(self) -> Program:
        return self.servers[0]

    def url(self, server: int = 0) -> str:
        return f"http://127.0.0.1:{self.servers[server].port}"

    def start(self) -> None:
        self.agents.start()
        for program in self._programs():
            if program is not self.agents:
                program.start()

    def stop(self) -> None:
        for program in self._programs():
            program.stop()

    def _programs(self) -> list[Program]:
        return [*self.servers, *filter(None, [self.link]), self.agents]


@contextlib.contextmanager
def site_of(directory: Path, **options: object) -> Iterator[Site]:
    site = Site(directory, **options)  # type: ignore[arg-type]
    try:
        site.start()
        yield site
    finally:
        site.stop()
        for log in directory.glob("*.log"):
            sys.stdout.write(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}\n")
