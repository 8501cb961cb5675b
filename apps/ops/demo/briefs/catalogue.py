"""Which brief fits a text."""

from __future__ import annotations

from apps.ops.demo.briefs import pager, table, todo
from apps.ops.demo.briefs.shape import Brief

BRIEFS = (pager.BRIEF, todo.BRIEF, table.BRIEF, table.GENERAL)


def choose(key: str, text: str) -> Brief:
    """Return the brief with this key, else the one whose words are in ``text``, else the general one."""
    for brief in BRIEFS:
        if brief.key == key:
            return brief
    return next((brief for brief in BRIEFS if brief.matches(text)), table.GENERAL)
