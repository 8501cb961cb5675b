"""Text of others, made to look like what it is: what turns the order of its neighbours, hides or controls is marked.

The page's ``lib/visible.js`` does the same; a test holds the two together. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_ALWAYS: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e01ef"
_IN_CODE: Final = (
    "\r\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
)
_HOSTILE: Final = re.compile(f"[{_ALWAYS}]")
_INEXACT: Final = re.compile(f"[{_ALWAYS}{_IN_CODE}]")
MARKS: Final = 8  # combining marks on one letter; no language uses more


def visible(text: str) -> str:
    """Return any text with what is never meant well marked: controls, overrides of direction, tags."""
    return _level(_HOSTILE.sub(_mark, text))


def literal(text: str) -> str:
    """Return a command, code, a path or a machine's name with every character that would not be seen marked."""
    return _level(_INEXACT.sub(_mark, text))


def _mark(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def _level(text: str) -> str:
    """Cut towers of combining marks, which would run over the lines above."""
    if text.isascii():
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        if marks <= MARKS:
            kept.append(character)
    return "".join(kept)
