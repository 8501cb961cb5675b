"""The list of projects keeps itself fresh while somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import log_in
from tests.support.site import Site

pytestmark = pytest.mark.browser

MAKE = """async (name) => {
  const token = document.cookie.match(/csrftoken=([^;]+)/)[1];
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
  const answer = await fetch("/api/v1/projects/", { method: "POST", headers, body: JSON.stringify({ name }) });
  return answer.status;
}"""


def look(page: Page) -> None:
    """Come back to the tab: the page looks at once, and not only when its time has come."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_project_appears_in_an_open_list_the_first_one_too(
    site: Site, open_browser: Callable[..., BrowserContext]
) -> None:
    page = open_browser().new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    log_in(page, site.url(), "mallory")
    expect(page.get_by_text("You are in no project yet")).to_be_visible()
    assert page.evaluate(MAKE, "First") == 201
    look(page)
    expect(page.get_by_role("link", name="First")).to_be_visible()
    page.evaluate("window.sameDocument = true")
    assert page.evaluate(MAKE, "Second") == 201
    look(page)
    expect(page.get_by_role("link", name="Second")).to_be_visible()
    expect(page.locator("#cards > li")).to_have_count(2)
    assert page.evaluate("window.sameDocument")
    assert problems == []
