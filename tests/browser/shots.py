"""Pictures of the pages of a running AutoCode, to be looked at with one's own eyes. Not a test.

    python tests/browser/shots.py http://127.0.0.1:8000 --password … --out /tmp/shots [--only room,board] [--user ada]

Takes each page on a desktop and on a phone, light and dark, and prints what a glance would miss: errors of the
scripts, content that is wider than the screen, refused styles.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

SIZES = {"desktop": (1440, 900), "tablet": (900, 1100), "phone": (390, 844), "narrow": (360, 740)}

OVERFLOW = """() => {
  const wide = document.documentElement.scrollWidth > innerWidth + 1 ? ["the page is wider than the screen"] : [];
  for (const el of document.querySelectorAll("body *")) {
    const box = el.getBoundingClientRect();
    if (!box.width || el.closest("pre, .diff-lines, .stages, .board-columns, .sr-only, [hidden]")) continue;
    if (box.right <= innerWidth + 1 || getComputedStyle(el).clipPath !== "none") continue;
    wide.push(`${el.tagName}.${el.className} ends at ${Math.round(box.right)}`);
  }
  for (const el of document.querySelectorAll(".centre, .rail, .side, .topbar, .composer, .dialog")) {
    if (el.scrollWidth > el.clientWidth + 1) wide.push(`${el.className} holds ${el.scrollWidth} of ${el.clientWidth}`);
  }
  return wide.slice(0, 5);
}"""


def room(page: Page, name: str) -> None:
    """Open a room and wait until it is live."""
    page.get_by_role("link", name=name).first.click()
    page.wait_for_function("() => window.wsManager && wsManager.state.status === 'connected'", timeout=15_000)
    page.wait_for_timeout(1_200)


def view(key: str) -> Callable[[Page], None]:
    """Return what goes to a view of the room."""

    def go(page: Page) -> None:
        page.evaluate(f"() => {{ location.hash = '{key}' }}")
        page.wait_for_timeout(400)

    return go


def palette(page: Page) -> None:
    """Open the palette."""
    page.keyboard.press("Control+k")
    page.wait_for_timeout(300)


def opened(page: Page) -> None:
    """Unfold the last runs and a diff."""
    page.evaluate(
        """() => {
            const click = (selector) => [...document.querySelectorAll(selector)].slice(-2).forEach((el) => el.click());
            click(".run.folded > .run-head");
            click(".call:has(.counts *) .call-head");
            click(".call:has(.mono.call-title) .call-head");
        }"""
    )
    page.wait_for_timeout(400)


ROOM_VIEWS: dict[str, Callable[[Page], None]] = {
    "room": lambda page: None,
    "opened": opened,
    "needs": view("needs"),
    "agents": view("agents"),
    "tasks": view("tasks"),
    "plan": view("plan"),
    "files": view("files"),
    "cost": view("cost"),
    "board": view("board"),
    "inbox": view("inbox"),
    "more": view("more"),
    "palette": palette,
}


def shoot(browser: Browser, size: str, scheme: str, options: argparse.Namespace) -> None:
    """Take all pictures of one size and scheme."""
    width, height = SIZES[size]
    phone = width < 700
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        device_scale_factor=options.scale,
        has_touch=phone,
    )
    page = context.new_page()
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("console", lambda line: found.append(f"console: {line.text}") if line.type == "error" else None)

    def take(name: str) -> None:
        if options.only and name not in options.only:
            return
        path = options.out / f"{name}-{size}-{scheme}.png"
        page.screenshot(path=path)
        found.extend(page.evaluate(OVERFLOW))
        for what in dict.fromkeys(found):
            print(f"{path.name}: {what}")
        found.clear()

    page.goto(options.url)
    take("login")
    page.fill("input[name=username]", options.user)
    page.fill("input[name=password]", options.password)
    page.click("[type=submit]")
    page.wait_for_selector("#cards, .empty")
    take("home")
    page.goto(f"{options.url}/projects/new/")
    take("new")
    page.goto(options.url)
    room(page, options.project)
    address = page.url.split("#")[0]
    for name, go in ROOM_VIEWS.items():
        if options.only and name not in options.only:
            continue
        if name in {"more", "needs"} and not phone:
            continue
        page.goto(address)
        page.wait_for_function("() => window.wsManager && wsManager.state.status === 'connected'")
        page.wait_for_timeout(800)
        go(page)
        take(name)
    page.goto(f"{address}members/")
    page.wait_for_timeout(500)
    take("members")
    page.goto(f"{address}about/")
    take("about")
    page.goto(f"{options.url}/projects/00000000-0000-0000-0000-000000000000/")
    found.clear()  # the 404 itself is reported by the browser as an error
    take("404")
    context.close()


def main() -> None:
    """Take the pictures that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("--password", required=True)
    parser.add_argument("--user", default="ada")
    parser.add_argument("--project", default="To-do API")
    parser.add_argument("--out", type=Path, default=Path("/tmp/shots"))
    parser.add_argument("--only", type=lambda text: set(text.split(",")), default=set())
    parser.add_argument("--sizes", type=lambda text: text.split(","), default=["desktop", "phone"])
    parser.add_argument("--schemes", type=lambda text: text.split(","), default=["light", "dark"])
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    options.out.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for size in options.sizes:
            for scheme in options.schemes:
                shoot(browser, size, scheme, options)
        browser.close()


if __name__ == "__main__":
    main()
