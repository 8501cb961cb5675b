"""A real Chromium against real processes: the server, the demo agents-server, and the means to kill, start and cut them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.support.services import free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "demo-password-for-tests"
expect.set_options(timeout=30_000)  # milliseconds; two cores run the servers, the agents and the browser


class Program:
    """A process of AutoCode that a test may kill and start again on the same port."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], port: int, log: Path) -> None:
        self.name, self.arguments, self.environment, self.port, self.log = name, arguments, environment, port, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
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
    """A whole AutoCode: one or more servers on one database, one demo agents-server."""

    def __init__(self, directory: Path, *, servers: int = 1, redis_url: str = "") -> None:
        self.directory = directory
        agents_port = free_port()
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "autocode.settings.local",
            "AUTOCODE_DATA": str(directory / "data"),
            "AUTOCODE_DEMO_PASSWORD": PASSWORD,
            "AUTOCODE_AGENTS_URL": f"ws://127.0.0.1:{agents_port}/",
            "AUTOCODE_AGENTS_TOKEN": secrets.token_urlsafe(16),
            "AUTOCODE_REDIS_URL": redis_url,
            "AUTOCODE_DRAIN_S": "1",
            "PYTHONUNBUFFERED": "1",
        }
        environment.pop("DATABASE_URL", None)
        self.environment = environment
        for command in (["migrate", "--verbosity", "0"], ["seed_demo"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True, timeout=60)
        self.agents = Program(
            "agents",
            ["demo_agents", "--port", str(agents_port), "--speed", "4"],
            environment,
            agents_port,
            directory / "agents.log",
        )
        self.servers = []
        for number in range(servers):
            port = free_port()
            self.servers.append(
                Program(
                    f"server {number}",
                    ["serve", "--port", str(port)],
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
        for server in self.servers:
            server.start()

    def stop(self) -> None:
        for program in (*self.servers, self.agents):
            program.stop()


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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One server and the demo agents-server, on SQLite and the in-memory layer."""
    with site_of(tmp_path) as running:
        yield running


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Site]:
    """Two servers over Redis and the demo agents-server."""
    with site_of(tmp_path, servers=2, redis_url=redis_url) as running:
        yield running


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed; ./test installs it")
        pytest.skip("chromium is not installed; ./test installs it")
    browser = playwright.chromium.launch(
        executable_path=program,
        args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"],
    )
    yield browser
    browser.close()


@pytest.fixture
def open_browser(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """A function that opens a fresh browser (own cookies); all are closed at the end."""
    contexts: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        context = chromium.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


def log_in(page: Page, url: str, username: str) -> None:
    """Log in on the admin's login page and arrive at the project list."""
    page.goto(f"{url}/")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_url(re.compile(r"/(\?.*)?$"))


def open_room(page: Page, name: str) -> str:
    """Click the project ``name`` in the list; return its guid when the room is connected."""
    page.get_by_role("link", name=name).first.click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/"))
    found = re.search(r"/projects/([0-9a-f-]{36})/", page.url)
    assert found is not None
    wait_for(page, "window.wsManager && window.wsManager.state.status === 'connected'")
    return found.group(1)


def wait_for(page: Page, expression: str, *, timeout: float = 30_000) -> None:
    """Wait until the JavaScript ``expression`` is true."""
    page.wait_for_function(f"() => Boolean({expression})", timeout=timeout)


def until(condition: Callable[[], bool], *, seconds: float = 20, what: str = "") -> None:
    """Wait for a condition outside the page."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        time.sleep(0.05)
