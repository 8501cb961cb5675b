"""A real Chromium against real processes."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.support.site import PASSWORD, Site, site_of

expect.set_options(timeout=30_000)  # milliseconds; two cores run the servers, the agents and the browser


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


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Playwright, for one file: as long as it is there its event loop runs in this thread, and no async test can."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
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
