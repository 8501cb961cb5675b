"""Plain prose takes a shortcut that nobody can tell from the long way."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.projects import markdown


@given(st.text(alphabet="abcXYZ0189,.;:?!() \n\t-_*#<>&'\"`~|[]\\/@+=é\u200b\u202e", max_size=40))
@example("A list: 1. one 2) two")
@example("www.example.com http://example.com a@b.c")
@example("Setext\n===")
@example("(c) (r) ... -- !x :smile:")
def test_what_is_rendered_is_what_markdown_says(text: str) -> None:
    assert markdown.render(text) == markdown._rendered(text)


@pytest.mark.parametrize("text", ["hello", "Please use dataclasses, and add a test for empty input.", "a"])
def test_prose_takes_the_shortcut(text: str) -> None:
    assert markdown._PROSE.fullmatch(text)
    assert markdown.render(text) == f"<p>{text}</p>\n"
