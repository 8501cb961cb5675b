"""Text of agents and people: rendered, listed, written to terminals; none of it acts, and none misleads."""

from __future__ import annotations

import json
import re
import subprocess
import time
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.template import Context, Template
from django.test import Client

from apps.agents.services.agents import AgentService
from apps.core.actor import AGENTS_SERVER
from apps.core.text import literal, visible
from apps.projects.events import NotificationKind
from apps.projects.markdown import render
from apps.projects.services.messages import MessageService
from apps.projects.services.notifications import NotificationService
from tests.client.node import node
from tests.dashboard.reading import Page
from tests.security import payloads
from tests.support.factories import a_person, a_project

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "apps" / "dashboard" / "static" / "dashboard" / "js"
TAGS = {"a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
        "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}  # fmt: skip


class Read(HTMLParser):
    """The elements and attributes that HTML holds, as a browser would find them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.other: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def handle_decl(self, decl: str) -> None:
        self.other.append(decl)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


@pytest.mark.parametrize("text", payloads.MARKDOWN)
def test_markdown_becomes_nothing_that_acts(text):
    for around in ("{}", "- {}", "> {}", "before {} after", "| {} |\n|---|\n| {} |", "# {}"):
        read = Read(render(around.replace("{}", text)))
        assert not read.other
        for tag, attributes in read.found:
            assert tag in TAGS
            assert attributes.keys() <= {"href", "title", "rel", "class", "start"}
            if (target := attributes.get("href")) is not None:
                # As browsers read it: without controls and spaces around, tabs and line breaks within.
                cleaned = re.sub(r"[\t\n\r]", "", target.strip("".join(map(chr, range(33)))))
                assert urlsplit(cleaned).scheme in {"http", "https", "mailto"}, target
                assert {"noopener", "noreferrer", "nofollow"} <= set((attributes.get("rel") or "").split())


@pytest.mark.parametrize(
    "text",
    ["[" * 30_000, "](" * 15_000, "*a " * 10_000, "_" * 30_000, "`" * 30_000, "> " * 15_000, "- " * 15_000,
     "![" * 15_000, "<" * 30_000, "&" * 30_000, "|" * 30_000, "~" * 30_000, "[a](" * 8_000, "a**b" * 8_000,
     "\n" * 30_000, "`a" * 15_000, "[[a](b)" * 4_000, "|a" * 5_000 + "\n" + "|-" * 5_000, "<!--" * 8_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_markdown_costs_no_more_than_its_length(text):
    began = time.process_time()
    render(text)
    assert time.process_time() - began < 5, "seconds; what grows with the square takes minutes"


def test_what_turns_or_hides_is_marked_in_rendered_text():
    html = render(
        f"**{payloads.TURNING}** and `rm{payloads.HIDING} -rf`\n\n```\n{payloads.HIDING}\n```\n\n    {payloads.HIDING}"
    )
    assert not [character for character in html if character in payloads.TURNING]
    for code in re.findall(r"<code[^>]*>(.*?)</code>", html, re.DOTALL):
        assert not [character for character in code if character in payloads.HIDING]
    assert "⟨U+202E⟩" in html
    assert "⟨U+200B⟩" in html


@pytest.mark.parametrize(
    "prose",
    [
        "می\u200cخواهم",
        "שלום\u200f world",
        "👨\u200d👩\u200d👧 and 🏳️\u200d🌈",
        "Tiếng Việt",
        "हिन्दी",
        "日本語",
        "naïve café",
        "ไทยน้ำ",
    ],
)
def test_no_language_and_no_emoji_is_harmed(prose):
    assert visible(prose) == prose
    assert prose in render(prose)


def test_towers_of_marks_are_cut():
    for shown in (visible(payloads.TOWER), literal(payloads.TOWER)):
        assert len(shown) == 9
    assert visible("é" * 100) == "é" * 100


def test_the_page_and_the_server_mark_alike():
    singles = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and suspicious(code)]
    texts = [*singles, payloads.EVERYTHING, payloads.TOWER, "plain", "a\tb\nc", "👨‍👩‍👧"]
    script = (
        f"import {{ visible, literal }} from {json.dumps(str(SCRIPTS / 'lib' / 'visible.js'))};"
        "let all = ''; for await (const part of process.stdin) all += part;"
        "console.log(JSON.stringify(JSON.parse(all).map((text) => [visible(text), literal(text)])));"
    )
    done = subprocess.run(
        [node(), "--input-type=module", "-e", script], input=json.dumps(texts), capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == [[visible(text), literal(text)] for text in texts]


def suspicious(code: int) -> bool:
    return unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp", "Mn"} or code < 0x3000


def test_every_format_character_of_unicode_is_marked_in_code():
    missed = [
        f"U+{code:04X}"
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp"} and chr(code) not in "\t\n"
        and literal(chr(code)) == chr(code)
    ]  # fmt: skip
    # Signs before numbers in Arabic and other scripts: they are seen.
    assert set(missed) <= {
        *(f"U+{code:04X}" for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)),
        *(f"U+{code:04X}" for code in (*range(0x13430, 0x13440), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B))),
    }


def test_the_scripts_of_the_page_hold_against_hostile_text():
    path = Path(__file__).with_name("hostile.test.js")
    done = subprocess.run(
        [node(), "--test", "--test-reporter=tap", str(path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        ("#message-1", True), ("/projects/x/", True), ("/", True), ("#", True), ("", False), ("//a.example", False),
        ("/\\a.example", False), ("/\t/a.example", False), ("/\n/a.example", False), ("https://a.example", False),
        ("javascript:owned()", False), (" /x", False), ("/x y", False), ("/\u202ex", False), ("\\\\a.example", False),
    ],
)  # fmt: skip
@pytest.mark.django_db
def test_links_of_notices_lead_nowhere_else(link, kept):
    project = a_project()
    event = NotificationService(AGENTS_SERVER).notify(
        guid=project.guid, kind=NotificationKind.DONE, title="Done", link=link
    )
    assert event
    assert json.loads(event.data)["link"] == (link if kept else "")


@pytest.mark.django_db
def test_a_message_of_an_agent_brings_no_html_of_its_own():
    from apps.agents.link import messages

    names = {
        field
        for kind in vars(messages).values()
        if hasattr(kind, "__struct_encode_fields__")
        for field in kind.__struct_encode_fields__
    }
    assert "html" not in names
    project = a_project()
    event = MessageService(AGENTS_SERVER).post(guid=project.guid, content="<img src=x onerror=owned()>")
    assert "<img" not in json.loads(event.data)["html"]


@pytest.mark.django_db
def test_pages_show_what_names_hold():
    owner = a_person("owner")
    project = a_project(
        owner, name=f"Shop{payloads.TURNING}", description=f"x{payloads.TURNING}<script>owned()</script>"
    )
    AgentService(AGENTS_SERVER).spawn(guid=project.guid, agent_id="coder", name=f"Ada{payloads.HIDING}")
    client = Client()
    client.force_login(owner)
    for address in ("/", *(f"/projects/{project.guid}/{page}" for page in ("", "about/", "members/"))):
        html = client.get(address).content.decode()
        page = Page(client.get(address))
        assert not page.inline
        # The data for the scripts keeps every character; JSON in a page is no text that anybody sees.
        seen = re.sub(
            r"<script[^>]*type=\"application/json\".*?</script>|value=\"[^\"]*\"|<textarea.*?</textarea>",
            "",
            html,
            flags=re.DOTALL,
        )
        assert not [hex(ord(one)) for one in seen if one in payloads.TURNING], address
        assert "<script>owned" not in html


def test_the_filter_of_templates_marks():
    template = Template("{% load dashboard %}{{ name|seen }}")
    assert template.render(Context({"name": "<b>\u202e"})) == "&lt;b&gt;⟨U+202E⟩"


def test_ids_named_like_parts_of_objects_are_only_ids():
    names = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "prototype", "__defineGetter__"]
    state: dict[str, Any] = {"lastSeq": 0, "tasks": [], "agents": [], "messages": [], "activity": [], "stages": []}
    events = [
        {"type": "task_created", "seq": number, "timestamp": "2026-01-01T00:00:00.000Z",
         "data": {"task": {"taskId": name, "number": number, "title": name, "position": number, "status": "todo"}}}
        for number, name in enumerate(names, 1)
    ]  # fmt: skip
    source = ROOT / "apps" / "realtime" / "client" / "src" / "fold.js"
    script = (
        f"import {{ fold }} from {json.dumps(str(source))};"
        "let all = ''; for await (const part of process.stdin) all += part;"
        "let { state, events } = JSON.parse(all); for (const event of events) state = fold(state, event);"
        "console.log(JSON.stringify([state.tasks.map((task) => task.taskId), Object.keys({}), ({}).title ?? null]));"
    )
    done = subprocess.run(
        [node(), "--input-type=module", "-e", script], input=json.dumps({"state": state, "events": events}),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == [names, [], None]


def test_raw_html_stays_text_and_the_allow_list_holds_even_if_it_did_not(monkeypatch):
    from markdown_it import MarkdownIt

    from apps.projects import markdown

    assert render("<b>x</b> <script>owned()</script>").count("&lt;") == 4
    monkeypatch.setattr(markdown, "_parser", MarkdownIt("commonmark", {"html": True}).enable(["table"]))
    assert render("<b>x</b><i>y</i>") == "<p>xy</p>\n"
    for text in payloads.MARKUP:
        for tag, attributes in Read(render(f"a {text} b\n\n{text}")).found:
            assert tag in TAGS
            assert attributes.keys() <= {"href", "title", "rel", "class", "start"}
            assert not re.match(r"(?!https?:|mailto:)", attributes.get("href") or "https:")
