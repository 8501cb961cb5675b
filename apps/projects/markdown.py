"""Markdown of people and agents to HTML that is safe to insert. Rendered once, when the text is written.

Agents' text is hostile input: raw HTML is off in the parser, and what comes out goes through an allow-list.
"""

from __future__ import annotations

import re

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

from apps.core.text import literal, visible

_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}
_WHOLE = re.compile(r"https?://|mailto:", re.IGNORECASE)
_MAX_NESTING = 20  # deeper quotes and lists than anybody writes; bounds the parser's work

_parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": _MAX_NESTING}).enable(
    ["table", "strikethrough"]
)


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep an attribute's value; an address that is not whole would lead somewhere within this site."""
    return None if name == "href" and not _WHOLE.match(value) else value


def _show_what_code_holds(state: StateCore) -> None:
    """Mark every character of code that would not be seen."""
    for token in state.tokens:
        for part in (token, *(token.children or ())):
            if part.type in {"code_inline", "code_block", "fence"}:
                part.content = literal(part.content)


_parser.core.ruler.push("show_what_code_holds", _show_what_code_holds)


_PROSE = re.compile(r"[A-Za-z](?:[A-Za-z0-9,.;:?!() ]*[A-Za-z0-9,.;:?!()])?")
"""One line in which no character means anything to Markdown, to HTML or to ``visible``: most of what people say."""


def render(text: str) -> str:
    """Return ``text`` (Markdown) as sanitised HTML: no scripts, no images, links to http(s) and mailto only."""
    return f"<p>{text}</p>\n" if _PROSE.fullmatch(text) else _rendered(text)


def _rendered(text: str) -> str:
    return nh3.clean(
        _parser.render(visible(text)),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
