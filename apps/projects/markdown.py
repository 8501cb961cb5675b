"""Markdown of people and agents to HTML that is safe to insert. Rendered once, when the text is written.

Agents' text is hostile input: raw HTML is off in the parser, and what comes out goes through an allow-list.
"""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}
_MAX_NESTING = 20  # deeper quotes and lists than anybody writes; bounds the parser's work

_parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": _MAX_NESTING}).enable(
    ["table", "strikethrough"]
)


def render(text: str) -> str:
    """Return ``text`` (Markdown) as sanitised HTML: no scripts, no images, links to http(s) and mailto only."""
    return nh3.clean(
        _parser.render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
