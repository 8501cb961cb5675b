"""Nothing on a page is refused by its own content policy, and nothing in its files goes around it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests.dashboard.reading import Page
from tests.support.factories import a_person, a_project

STATIC = Path(__file__).resolve().parents[2] / "apps" / "dashboard" / "static" / "dashboard"
TEMPLATES = STATIC.parents[3].parent / "templates"
SCRIPTS = sorted(STATIC.rglob("*.js"))
SHEETS = sorted(STATIC.rglob("*.css"))


@pytest.fixture
def pages(browser_of):
    owner = a_person("<b>owner</b>")
    project = a_project(owner, name="</script><script>alert(1)</script>", brief="<!-- <script>")
    browser = browser_of(owner)
    room = f"/projects/{project.guid}/"
    answers = {
        "login": Client().get("/admin/login/?next=/"),
        "wrong login": Client().post("/admin/login/?next=/", {"username": "x", "password": "y"}),
        "home": browser.get("/"),
        "empty home": browser_of(a_person()).get("/"),
        "new": browser.get("/projects/new/"),
        "refused": browser.post("/projects/new/", {}),
        "room": browser.get(room),
        "members": browser.get(f"{room}members/"),
        "about": browser.get(f"{room}about/"),
        "absent": browser.get("/projects/00000000-0000-0000-0000-000000000000/"),
        "no such page": browser.get("/nowhere/"),
    }
    return {name: Page(answer) for name, answer in answers.items()}


@pytest.mark.django_db
def test_no_page_has_anything_inline(pages):
    assert {name: page.inline for name, page in pages.items() if page.inline} == {}


@pytest.mark.django_db
def test_every_file_that_a_page_loads_exists(pages):
    for name, page in pages.items():
        assert page.assets, name
        for address in page.assets:
            assert address.startswith("/static/"), f"{name} loads {address}"
            assert finders.find(address.removeprefix("/static/")), f"{name} loads {address}, which is not there"


@pytest.mark.django_db
def test_the_room_has_what_tests_and_scripts_look_for(pages):
    room = pages["room"]
    assert {"conn-state", "agents-link-state"} <= set(room.testids)
    for place in ("timeline", "composer", "needs", "board", "inbox", "stages", "presence", "toasts", "announce"):
        assert f'id="{place}"' in room.html


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(STATIC)))
def test_a_script_is_small_and_parses_no_html_but_the_servers(path):
    text = path.read_text()
    assert len(text.splitlines()) < 400
    for banned in (
        r"\beval\(",
        r"\bnew Function\b",
        r"document\.write",
        r"insertAdjacentHTML",
        r"outerHTML\s*=[^=]",
        r"setAttribute\(\"on",
    ):
        assert not re.search(banned, text), banned
    if path.name != "dom.js":  # `setSafeHtml` is the one place
        assert "innerHTML" not in text
    for place in re.findall(r"^import (?:.*? from )?\"([^\"]+)\"", text, re.MULTILINE):
        assert place.startswith("."), f"imports {place}"
        assert (path.parent / place).resolve().is_file(), f"imports {place}, which is not there"


def test_every_icon_that_is_asked_for_is_in_the_sprite():
    there = set(re.findall(r'symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    asked = set()
    for path in SCRIPTS:
        asked |= set(re.findall(r"""\bicon\("([a-z]+)\"""", path.read_text()))
        asked |= set(re.findall(r"""\bicon: "([a-z]+)\"""", path.read_text()))
    for path in TEMPLATES.rglob("*.html"):
        asked |= set(re.findall(r'{% icon "([a-z]+)"', path.read_text()))
    assert asked
    assert asked <= there


def test_every_property_that_a_sheet_uses_is_declared_somewhere():
    declared, used = set(), set()
    for path in SHEETS:
        text = path.read_text()
        declared |= set(re.findall(r"(--[a-z0-9-]+)\s*:", text))
        used |= set(re.findall(r"var\((--[a-z0-9-]+)\)", text))  # one with a fallback may be missing
    assert used <= declared
