"""How files of a project must look after what people asked for: applied to every text before it is written."""

from __future__ import annotations

import tokenize

from apps.ops.demo import rewriting
from apps.ops.demo.state import ProjectDoc


def shape(doc: ProjectDoc, path: str, text: str, hints: rewriting.Hints) -> str:
    """Return ``text`` with the project's renames and styles; what does not parse yet is left alone."""
    for old, new in doc.renames:
        text = _renamed(path, text, old, new)
    if not path.endswith(".py"):
        return text
    for style in doc.styles:
        text = styled(text, style, path, hints)
    return text


def styled(text: str, style: str, path: str, hints: rewriting.Hints) -> str:
    """Return Python ``text`` in one style (dataclasses, hints); tests keep their plain form."""
    if path.startswith("tests/"):
        return text
    try:
        return rewriting.to_dataclasses(text, hints) if style == "dataclasses" else rewriting.add_hints(text, hints)
    except SyntaxError:
        return text


def snippet(doc: ProjectDoc, text: str) -> str:
    """Return a piece of code as it stands in a file that was shaped."""
    for old, new in doc.renames:
        text = rewriting.rename_in_text(text, old, new)
    return text


def _renamed(path: str, text: str, old: str, new: str) -> str:
    if not path.endswith(".py"):
        return rewriting.rename_in_text(text, old, new)
    try:
        return rewriting.rename(text, old, new)
    except (SyntaxError, tokenize.TokenError):
        return text
