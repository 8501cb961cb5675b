"""Servers of our own for tests: ``manage.py serve`` (or plain Daphne) on the test's database."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from tests.support.services import free_port

ROOT = Path(__file__).resolve().parents[2]


def database_url() -> str:
    """Return the URL of the database that this test uses."""
    row = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{row['NAME']}"
    return f"postgres://{row['USER']}:{row['PASSWORD']}@{row['HOST']}:{row['PORT']}/{row['NAME']}"


class Serving:
    """One server process; ``url`` is where its sockets are."""

    def __init__(
        self,
        log: Path,
        *,
        plain_daphne: bool = False,
        arguments: Sequence[str] = (),
        port: int = 0,
        launcher: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        **environment: Any,
    ) -> None:
        """Start it, through ``launcher`` if given.

        ``arguments`` replace the address of ``manage.py serve``; ``port`` says then where it listens.
        """
        self.port = port or free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.log = log / f"serve-{self.port}.log"
        where = arguments or ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [*launcher, sys.executable, "manage.py", "serve", *where]
        if plain_daphne:
            command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "-v", "0"]
            command.append("autocode.asgi:application")
        values = {
            "DJANGO_SETTINGS_MODULE": "autocode.settings.local",
            "AUTOCODE_SECRET_KEY": settings.SECRET_KEY,
            "AUTOCODE_DATA": str(log),
            "DATABASE_URL": database_url(),
            "AUTOCODE_REDIS_URL": "",
            "AUTOCODE_AGENTS_URL": "",
            "AUTOCODE_DRAIN_S": "0.5",
            "AUTOCODE_POSITION_CHECK_S": "0.2",
        }
        values |= {name: str(value) for name, value in environment.items()}
        self.environment = os.environ | values
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    async def ready(self) -> Serving:
        """Return when the server answers."""
        async with asyncio.timeout(20):
            while True:
                assert self.process.poll() is None, self.log.read_text()
                if await asyncio.to_thread(self._answers):
                    return self
                await asyncio.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def memory(self) -> int:
        """Return the process's resident memory in bytes."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Return the exit code, once there is one."""
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), 20)

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
