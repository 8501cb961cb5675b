"""A room full of attacks, in a real browser: nothing runs, nothing is fetched, nothing looks like something else."""

# ruff: noqa: E501 - scripts for the page keep their own lines

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright

from apps.agents import events as a
from apps.agents.services.agents import AgentService
from apps.agents.services.approvals import ApprovalService
from apps.agents.services.calls import ToolCallService
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.runs import RunService
from apps.core.actor import AGENTS_SERVER
from apps.projects.events import ActorRef, LogLevel, NotificationKind, PlanItem
from apps.projects.services.locks import FileLockService, Held
from apps.projects.services.logs import LogService
from apps.projects.services.messages import MessageService
from apps.projects.services.notifications import NotificationService
from apps.projects.services.plans import PlanService
from apps.projects.services.stages import ProjectStageService
from apps.projects.services.tasks import TaskService
from tests.realtime.conftest import do
from tests.security import payloads
from tests.support.browser import session_of
from tests.support.factories import a_person, a_project

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(120)]

ALL = payloads.EVERYTHING.replace("\x00", "")
"""No NUL: services refuse it."""


def hostile_room() -> tuple[Any, Any]:
    """Return a person and a room in which agents and people have written attacks into every text."""
    owner = a_person("owner", display_name=ALL[:100])
    project = a_project(owner, name=f"Room {ALL[:90]}", description=ALL[:150], brief=ALL)
    guid, short = project.guid, ALL[:110]
    for start in range(0, len(payloads.MARKDOWN), 12):
        some = [text.replace("\x00", "") for text in payloads.MARKDOWN[start : start + 12]]
        MessageService(owner.actor).post(guid=guid, content="\n\n".join(some))
    MessageService(owner.actor).post(guid=guid, content=payloads.TOWER + ALL)
    AgentService(AGENTS_SERVER).spawn(guid=guid, agent_id="coder", name=short, role=short, model=short, branch=short)
    RunService(AGENTS_SERVER).start(guid=guid, run_id="run", agent_id="coder")
    calls = ToolCallService(AGENTS_SERVER)
    patch = f"--- a/{short}\n+++ b/{short}\n@@ -1,2 +1,2 @@\n-{ALL}\n+{ALL}\n {ALL}".replace("\r", "")
    diff = a.Diff(files=[a.FileDiff(path=short, added=1, removed=1)], patch=patch)
    for key, args in (("one", {"command": ALL}), ("two", {ALL: ALL, "list": [ALL], "deep": {"x": ALL}})):
        calls.start(guid=guid, tool_call_id=key, run_id="run", agent_id="coder", tool=short, title=short, args=args)
    calls.finish(
        guid=guid, tool_call_id="one", run_id="run", status=a.ToolStatus.ERROR, result=ALL, diff=diff,
        error=a.RunError(code="x", message=ALL),
    )  # fmt: skip
    ApprovalService(AGENTS_SERVER).request(
        guid=guid, approval_id="ask", agent_id="coder", run_id="run", tool=short, title=short, args={"command": ALL},
        reasons=[ALL], diff=diff, options=[a.ApprovalOption(id="x", label=short)],
    )  # fmt: skip
    TaskService(AGENTS_SERVER).create(guid=guid, title=short, description=ALL, task_id="task")
    ProjectStageService(AGENTS_SERVER).update(guid=guid, stage_key="s", name=short, summary=ALL)
    PlanService(AGENTS_SERVER).publish(guid=guid, plan_id="p", title=short, items=[PlanItem(key="k", title=ALL[:200])])
    holder = ActorRef(kind="agent", id="coder", name=short)
    FileLockService(AGENTS_SERVER).replace(guid=guid, locks=[Held(path=short, holder=holder, reason=short)])
    for link in ("javascript:owned()", "/\\evil.example", "//evil.example", "#x"):
        NotificationService(AGENTS_SERVER).notify(
            guid=guid, kind=NotificationKind.DONE, title=short, body=ALL, link=link
        )
    LogService(AGENTS_SERVER).write(guid=guid, level=LogLevel.ERROR, source="x", lines=[ALL, ALL])
    FeedbackService(owner.actor).send(guid=guid, content=ALL)
    return owner, project


FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-features=LocalNetworkAccessChecks",  # a page that the test hands over has no address of its own
]

KEPT = re.compile(
    r"(Id|Ids|At|Key|seq|Seq|guid|html|status|state|kind|type|format|role|mode|source|risk|severity|previous|to|from|"
    r"operation|level|decision|op|epoch|timestamp|currency|totalCost|priority|trigger|id|key|allowed|stopReason|digest|"
    r"Digest|dependsOn|at|since|capabilities|perModel|requiredRole|onTimeout|budget)$"
)
"""Fields that the server fills with words of its own, ids and times. Their forms are checked where they come in."""


def overwritten(value: Any, name: str = "") -> Any:
    """Return a snapshot in which every other text is an attack."""
    if isinstance(value, dict):
        return {key: overwritten(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [overwritten(item, name) for item in value]
    if name in {"link", "url"}:
        return "javascript:owned()"
    return ALL if isinstance(value, str) and value and not KEPT.search(name) else value


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed; ./test installs it")
        pytest.skip("chromium is not installed; ./test installs it")
    async with async_playwright() as started:
        browser = await started.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


class Watched:
    """A page, and everything that should not have happened on it."""

    def __init__(self, page: Page, own: str) -> None:
        self.page, self.own = page, own
        self.wrong: list[str] = []
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog {dialog.message}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error {error}"))
        page.on("popup", lambda popup: self.wrong.append(f"popup {popup.url}"))
        page.on("frameattached", lambda frame: self.wrong.append(f"frame {frame.url}"))
        page.on("request", lambda request: self._requested(request.url))
        page.on("console", lambda line: self._said(line.text))

    def _requested(self, url: str) -> None:
        if urlsplit(url).netloc != self.own and not url.startswith("data:image"):
            self.wrong.append(f"request {url}")

    def _said(self, text: str) -> None:
        if "Content Security Policy" in text or "TrustedHTML" in text:
            self.wrong.append(f"policy {text}")

    async def nothing_wrong(self) -> None:
        self.wrong += await self.page.evaluate(LOOK)
        assert not self.wrong, "\n".join(self.wrong[:10])


LOOK = r"""() => {
  const wrong = [];
  if (window.wasOwned) wrong.push("owned() ran");
  const foreign = "img, iframe, frame, object, embed, applet, base, math, style, audio, video, portal, template,"
    + " form[action^='javascript' i], [formaction], meta[http-equiv], marquee, isindex, plaintext, xmp";
  for (const el of document.body.querySelectorAll(foreign)) wrong.push(`element ${el.outerHTML.slice(0, 200)}`);
  for (const el of document.querySelectorAll("script")) {
    if (el.type !== "application/json" && !el.src.startsWith(location.origin + "/static/")) wrong.push(`script ${el.outerHTML.slice(0, 99)}`);
  }
  for (const el of document.querySelectorAll("*")) {
    for (const { name, value } of el.attributes) {
      if (name.startsWith("on") || name === "style" && /url\(/.test(value)) wrong.push(`attribute ${name}=${value}`);
    }
  }
  for (const el of document.querySelectorAll("a[href], use[href]")) {
    const to = new URL(el.getAttribute("href"), location.href);
    if (!["http:", "https:", "mailto:"].includes(to.protocol)) wrong.push(`link ${to.href}`);
    if (to.host !== location.host && to.protocol !== "mailto:") {
      if (el.target !== "_blank" || !/noopener/.test(el.rel) || !el.closest(".prose, .attachments")) wrong.push(`way out ${el.outerHTML}`);
    }
  }
  const text = document.body.innerText;
  const turned = text.match(/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u000e-\u001f\u007f-\u009f]/);
  if (turned) wrong.push(`U+${turned[0].codePointAt(0).toString(16)} near ${text.slice(turned.index - 30, turned.index + 30)}`);
  for (const el of document.querySelectorAll("code, pre, .mono, .agent-name, .approval-title")) {
    const hidden = el.textContent.match(/[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\u{e0000}-\u{e007f}]/u);
    if (hidden) wrong.push(`U+${hidden[0].codePointAt(0).toString(16)} hides in ${el.className} ${el.textContent.slice(0, 60)}`);
  }
  return wrong;
}"""


async def opened(chromium: Browser, server: Any, person: Any, path: str, *, rewrite: bool = False) -> Watched:
    """Open a page as this person; with ``rewrite`` every text of its snapshot becomes an attack on the way."""
    own = f"127.0.0.1:{server.port}"
    context = await chromium.new_context(viewport={"width": 1440, "height": 2_000})
    key = await do(session_of, person)
    await context.add_cookies([{"name": "sessionid", "value": key, "url": f"http://{own}/"}])
    page = await context.new_page()
    await page.add_init_script("window.owned = () => { window.wasOwned = true; };")
    if rewrite:
        await page.route(re.compile(r"/projects/[0-9a-f-]{36}/$"), rewritten)
    watched = Watched(page, own)
    await page.goto(f"http://{own}{path}")
    return watched


async def rewritten(route: Route) -> None:
    answer = await route.fetch()
    html = await answer.text()
    pattern = re.compile(r'(<script id="room-snapshot" type="application/json">)(.*?)(</script>)', re.DOTALL)
    found = pattern.search(html)
    assert found
    state = json.dumps(overwritten(json.loads(found[2])))
    for character in "<>&":
        state = state.replace(character, f"\\u{ord(character):04x}")
    await route.fulfill(response=answer, body=html[: found.start(2)] + state + html[found.end(2) :])


async def open_everything(page: Page) -> None:
    """Unfold whatever can be unfolded, on every view of the room."""
    await page.wait_for_function("() => window.wsManager?.state.status === 'connected'", timeout=15_000)
    await page.get_by_test_id("message").first.wait_for(timeout=15_000, state="attached")
    await page.evaluate("""() => {
      for (const el of document.querySelectorAll("details")) el.open = true;
      for (const el of document.querySelectorAll(".call-head[aria-expanded=false], .terminal-more:not([hidden])")) el.click();
    }""")


@pytest.mark.parametrize("rewrite", [False, True], ids=["through the services", "in every field of the snapshot"])
async def test_a_room_of_attacks_is_only_text(serve, chromium, transactional_db, rewrite):
    owner, project = await do(hostile_room)
    server = await serve(AUTOCODE_DEBUG="on")
    watched = await opened(chromium, server, owner, f"/projects/{project.guid}/", rewrite=rewrite)
    page = watched.page
    await open_everything(page)
    assert await page.get_by_test_id("message").count() >= 10, "the room is drawn"
    assert await page.get_by_test_id("approval-card").count() == 1
    assert await page.get_by_test_id("diff").count() >= 1
    await watched.nothing_wrong()
    for view in ("board", "agents", "files", "inbox", "room"):
        await page.evaluate("(view) => { location.hash = view; }", view)
        await asyncio.sleep(0)
        await open_everything(page)
        await watched.nothing_wrong()
    if not rewrite:
        # What comes in while somebody looks goes the same way.
        def more() -> None:
            MessageService(AGENTS_SERVER).post(guid=project.guid, content=f"arrived {ALL}")
            TaskService(AGENTS_SERVER).create(guid=project.guid, title=ALL[:100], task_id="later")

        await do(more)
        await page.wait_for_function("() => document.body.innerText.includes('arrived')")
        await watched.nothing_wrong()


@pytest.mark.parametrize("path", ["/", "/projects/{}/about/", "/projects/{}/members/"])
async def test_other_pages_show_names_as_text(serve, chromium, transactional_db, path):
    owner, project = await do(hostile_room)
    server = await serve(AUTOCODE_DEBUG="on")
    watched = await opened(chromium, server, owner, path.format(project.guid))
    await watched.page.wait_for_load_state("networkidle")
    await watched.nothing_wrong()


async def test_no_script_makes_markup_but_by_the_one_policy(serve, chromium, transactional_db):
    owner = await do(a_person, "owner")
    project = await do(a_project, owner)
    server = await serve(AUTOCODE_DEBUG="on")
    watched = await opened(chromium, server, owner, f"/projects/{project.guid}/")
    await watched.page.wait_for_function("() => window.wsManager?.state.status === 'connected'")
    refused = await watched.page.evaluate("""() => {
      const tries = {
        innerHTML: () => { document.createElement("p").innerHTML = "<b>x</b>"; },
        insertAdjacentHTML: () => document.createElement("p").insertAdjacentHTML("beforeend", "<b>x</b>"),
        write: () => document.write("<b>x</b>"),
        parser: () => new DOMParser().parseFromString("<b>x</b>", "text/html"),
        src: () => { document.createElement("script").src = "/x.js"; },
        policy: () => trustedTypes.createPolicy("other", { createHTML: (text) => text }),
        twice: () => trustedTypes.createPolicy("autocode", { createHTML: (text) => text }),
      };
      return Object.entries(tries).filter(([, go]) => { try { go(); return false; } catch { return true; } }).map(([name]) => name);
    }""")
    assert set(refused) == {"innerHTML", "insertAdjacentHTML", "write", "parser", "src", "policy", "twice"}
