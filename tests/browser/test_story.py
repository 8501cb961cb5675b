"""The whole story with the real servers: from the login to a room that survives the death of every part."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import log_in, open_room, wait_for
from tests.support.site import Site

pytestmark = pytest.mark.browser


def room(page: Page, guid: str, expression: str) -> object:
    """Return the value of ``expression``, in which ``room`` is the page's room."""
    return page.evaluate(f"() => {{ const room = wsManager.join('{guid}'); return {expression}; }}")


def record_events(page: Page, guid: str) -> None:
    """From now on the page writes down the ``seq`` of every durable event that its room applied."""
    page.evaluate(
        f"""() => {{
            const room = wsManager.join('{guid}');
            window.seen = []; window.resets = 0;
            room.on('event', (envelope) => {{ if (envelope.seq) window.seen.push(envelope.seq); }});
            room.on('change', (change) => {{ if (change.reset) window.resets += 1; }});
        }}"""
    )


def assert_exact(page: Page, guid: str) -> None:
    """What the page applied rises by one each, and the page stands where the log stands."""
    seen, last = page.evaluate(f"() => [window.seen.slice(), wsManager.join('{guid}').lastSeq]")
    assert seen == list(range(seen[0], seen[0] + len(seen))), "a gap or a repeat"
    assert seen[-1] == last
    snapshot = page.evaluate(
        f"""async () => {{
            const answer = await fetch('/api/v1/projects/{guid}/snapshot/');
            return (await answer.json()).snapshot;
        }}"""
    )
    wait_for(page, f"wsManager.join('{guid}').lastSeq >= {snapshot['lastSeq']}")
    if room(page, guid, "room.lastSeq") == snapshot["lastSeq"]:
        state = room(page, guid, "room.state")
        assert isinstance(state, dict)
        for part in ("stages", "messages", "tasks", "runs", "toolCalls", "approvals", "feedback", "locks", "agents"):
            assert state[part] == snapshot[part], part


def approve_first(page: Page) -> None:
    """Approve the first thing that waits, with the confirmation that a high risk asks for."""
    card = page.get_by_test_id("approval-card").filter(has=page.get_by_test_id("approve")).first
    card.get_by_test_id("approve").click()
    confirm = page.get_by_test_id("confirm-approve")
    if confirm.count():
        confirm.first.click()


def test_the_whole_story(site: Site, open_browser: Callable[..., BrowserContext]) -> None:
    page = open_browser(viewport={"width": 1440, "height": 900}).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    log_in(page, site.url(), "ada")
    guid = open_room(page, "To-do API")
    record_events(page, guid)

    # The agents work: a stage moves, text streams, a task changes, all without a reload.
    expect(page.locator("[data-testid^=stage-]").first).to_be_visible()
    expect(page.get_by_test_id("agent-card").first).to_be_visible()
    expect(page.get_by_test_id("approve").first).to_be_visible(timeout=60_000)
    approve_first(page)  # the plan
    expect(page.get_by_test_id("stream").first).to_be_visible()
    expect(page.get_by_test_id("tool-call").first).to_be_visible()
    wait_for(page, f"wsManager.join('{guid}').state.tasks.some((task) => task.status !== 'todo')")

    wait_for(
        page, f"wsManager.join('{guid}').state.approvals.every((one) => one.state === 'approved' && one.appliedAt)"
    )

    # Feedback goes its way to "applied".
    page.get_by_test_id("composer-input").fill("Please use dataclasses")
    page.get_by_test_id("composer-mode").select_option("steer")
    page.get_by_test_id("composer-send").click()
    item = page.get_by_test_id("feedback-item").filter(has_text="dataclasses").first
    expect(item).to_be_visible()
    wait_for(
        page,
        f"wsManager.join('{guid}').state.feedback.some((one) => /dataclasses/.test(one.content)"
        " && one.state === 'applied')",
        timeout=90_000,
    )
    expect(item.get_by_test_id("feedback-state")).to_contain_text(re.compile("appl|change", re.IGNORECASE))
    states = room(
        page, guid, "room.state.feedback.find((one) => /dataclasses/.test(one.content)).steps.map((s) => s.state)"
    )
    assert states == ["received", "forwarded", "delivered", "consumed", "applied"]

    # The agents-server dies: the page says so, what people write waits, and nothing of it is lost.
    site.agents.kill()
    expect(page.get_by_test_id("agents-link-state")).not_to_have_attribute("data-state", "connected", timeout=20_000)
    page.evaluate(f"() => wsManager.join('{guid}').send('chat', {{message: 'Are you still there?'}})")
    site.agents.start()
    expect(page.get_by_test_id("agents-link-state")).to_have_attribute("data-state", "connected", timeout=40_000)
    wait_for(
        page,
        f"""(() => {{
            const said = wsManager.join('{guid}').state.messages;
            const at = said.findIndex((one) => one.content === 'Are you still there?');
            return at >= 0 && said.slice(at + 1).some((one) => one.kind === 'agent');
        }})()""",
        timeout=60_000,
    )

    # The server dies: the page recovers every event, once.
    site.server.kill()
    wait_for(page, "wsManager.state.status !== 'connected'")
    site.server.start()
    wait_for(page, "wsManager.state.status === 'connected'", timeout=60_000)
    answer = page.evaluate(f"() => wsManager.join('{guid}').send('chat', {{message: 'After the restart'}})")
    wait_for(page, f"wsManager.join('{guid}').lastSeq >= {answer['seq']}")
    assert_exact(page, guid)
    assert page.evaluate("() => window.resets") == 0, "recovered by replay, not by a new snapshot"
    assert problems == []


def test_a_risky_command_runs_only_after_a_yes(site: Site, open_browser: Callable[..., BrowserContext]) -> None:
    page = open_browser(viewport={"width": 390, "height": 844}).new_page()
    log_in(page, site.url(), "ada")
    guid = open_room(page, "Table formatter")
    page.evaluate(
        f"""async () => {{
            const answer = await fetch('/api/v1/projects/{guid}/status/', {{
                method: 'POST',
                headers: {{
                    'Content-Type': 'application/json',
                    'X-CSRFToken': document.cookie.match(/csrftoken=([^;]+)/)[1],
                }},
                body: JSON.stringify({{status: 'inProgress'}}),
            }});
            if (!answer.ok) throw new Error(await answer.text());
        }}"""
    )
    asked = f"wsManager.join('{guid}').state.approvals.find((one) => one.kind === 'command')"
    wait_for(page, f"{asked}?.state === 'pending'", timeout=90_000)
    approval = page.evaluate(f"() => {asked}")
    calls = f"wsManager.join('{guid}').state.toolCalls.filter((one) => one.approvalId === '{approval['approvalId']}')"
    assert not page.evaluate(f"() => {calls}.some((one) => one.status === 'success')")
    page.locator(".bottom-bar [data-go=needs]").click()
    expect(page.get_by_test_id("approval-card").first).to_contain_text(approval["args"]["command"])
    approve_first(page)
    wait_for(page, f"{asked}.state === 'approved' && {asked}.appliedAt", timeout=60_000)
    wait_for(page, f"{calls}.some((one) => one.status === 'success')")


def test_a_blocked_socket_goes_on_by_polling_and_comes_back(
    site: Site, open_browser: Callable[..., BrowserContext]
) -> None:
    context = open_browser(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    blocked = {"on": False}

    def gate(socket: object) -> None:
        if blocked["on"]:
            socket.close(code=3000, reason="blocked by the test")  # type: ignore[attr-defined]
        else:
            sockets.append(socket)
            socket.connect_to_server()  # type: ignore[attr-defined]

    sockets: list[object] = []
    page.route_web_socket(re.compile(r".*/ws/.*"), gate)
    log_in(page, site.url(), "ada")
    guid = open_room(page, "Table formatter")
    record_events(page, guid)
    send = f"(text) => wsManager.join('{guid}').send('chat', {{message: text}})"
    page.evaluate(send, "before")

    blocked["on"] = True
    for socket in sockets:
        socket.close(code=3000, reason="blocked by the test")  # type: ignore[attr-defined]
    wait_for(page, "wsManager.state.status === 'polling'", timeout=90_000)
    expect(page.get_by_test_id("conn-state")).to_have_attribute("data-state", "polling")
    sent = page.evaluate(send, "while polling")
    wait_for(page, f"wsManager.join('{guid}').lastSeq >= {sent['seq']}")
    expect(page.get_by_test_id("message").filter(has_text="while polling")).to_be_visible()

    blocked["on"] = False
    wait_for(page, "wsManager.state.status === 'connected'", timeout=90_000)
    sent = page.evaluate(send, "back on the socket")
    wait_for(page, f"wsManager.join('{guid}').lastSeq >= {sent['seq']}")
    expect(page.get_by_test_id("message").filter(has_text="back on the socket")).to_be_visible()
    assert_exact(page, guid)


def test_two_browsers_on_two_servers_see_one_order(cluster: Site, open_browser: Callable[..., BrowserContext]) -> None:
    pages = []
    for number, name in enumerate(("ada", "bob")):
        page = open_browser(viewport={"width": 1280, "height": 800}).new_page()
        log_in(page, cluster.url(number), name)
        pages.append(page)
    ada, bob = pages
    guid = open_room(ada, "Bug 118")
    assert open_room(bob, "Bug 118") == guid
    for page in pages:
        record_events(page, guid)
        page.evaluate(
            f"""() => {{ window.order = [];
                wsManager.join('{guid}').on('event', (e) => {{
                    if (e.seq) window.order.push([e.seq, e.type, e.id]);
                }}); }}"""
        )
    send = f"""(name) => Promise.all(Array.from({{length: 15}}, (_, n) =>
        wsManager.join('{guid}').send('chat', {{message: name + ' ' + n}})))"""
    last = max(answer["seq"] for answer in ada.evaluate(send, "ada") + bob.evaluate(send, "bob"))
    for page in pages:
        wait_for(page, f"wsManager.join('{guid}').lastSeq >= {last}")
    first = max(page.evaluate("() => window.order[0][0]") for page in pages)
    orders = [[row for row in page.evaluate("() => window.order") if first <= row[0] <= last] for page in pages]
    assert orders[0] == orders[1]
    for page in pages:
        assert_exact(page, guid)

    # Presence: both people, and three tabs of one person are one person.
    for page in pages:
        expect(page.get_by_test_id("presence-item")).to_have_count(2)
    tabs = [ada.context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"{cluster.url(0)}/projects/{guid}/")
        wait_for(tab, "window.wsManager && wsManager.state.status === 'connected'")
    wait_for(bob, f"[...wsManager.join('{guid}').live.presence.values()].some((one) => one.tabs === 3)")
    expect(bob.get_by_test_id("presence-item")).to_have_count(2)
    assert room(bob, guid, "room.live.presence.size") == 2


def test_a_removed_member_is_shown_out_within_a_second(
    cluster: Site, open_browser: Callable[..., BrowserContext]
) -> None:
    ada = open_browser().new_page()
    eve = open_browser().new_page()
    log_in(ada, cluster.url(0), "ada")
    log_in(eve, cluster.url(1), "eve")
    guid = open_room(ada, "Bug 118")
    open_room(eve, "Bug 118")
    eve.evaluate(
        f"""() => {{
            window.left = 0;
            const now = () => performance.timeOrigin + performance.now();
            wsManager.join('{guid}').on('left', () => {{ window.left = now(); }});
        }}"""
    )
    took = ada.evaluate(
        f"""async () => {{
            const base = '/api/v1/projects/{guid}/members/';
            const {{results}} = await (await fetch(base)).json();
            const eve = results.find((one) => one.username === 'eve');
            const token = document.cookie.match(/csrftoken=([^;]+)/)[1];
            const at = performance.timeOrigin + performance.now();
            const headers = {{'X-CSRFToken': token}};
            const answer = await fetch(base + eve.userId + '/', {{method: 'DELETE', headers}});
            if (!answer.ok) throw new Error(String(answer.status));
            return at;
        }}"""
    )
    wait_for(eve, "window.left > 0", timeout=5_000)
    assert eve.evaluate("() => window.left") - took < 1_000
    assert eve.evaluate(f"async () => (await fetch('/api/v1/projects/{guid}/')).status") == 404


def test_an_archived_project_is_read_only_for_whoever_has_it_open(
    site: Site, open_browser: Callable[..., BrowserContext]
) -> None:
    ada, bob = open_browser().new_page(), open_browser().new_page()
    log_in(ada, site.url(), "ada")
    log_in(bob, site.url(), "bob")
    open_room(bob, "Bug 118")
    expect(bob.get_by_test_id("composer-input")).to_be_visible()

    open_room(ada, "Bug 118")
    ada.get_by_role("link", name="About").first.click()
    ada.get_by_role("textbox", name="Name").fill("Bug 118, over")
    ada.get_by_role("button", name="Save").click()
    expect(ada.get_by_text("Saved.")).to_be_visible()
    expect(bob.get_by_role("heading", name="Bug 118, over")).to_be_visible()

    ada.get_by_role("button", name="Archive the project").click()
    ada.get_by_test_id("confirm-yes").click()
    ada.wait_for_url(f"{site.url()}/")
    expect(bob.get_by_test_id("viewer-note")).to_contain_text("archived")
    expect(bob.get_by_test_id("composer-input")).to_have_count(0)

    ada.get_by_role("link", name="Bug 118, over").click()
    ada.get_by_role("link", name="About").first.click()
    ada.get_by_role("button", name="Take it back").click()
    expect(bob.get_by_test_id("composer-input")).to_be_visible()
