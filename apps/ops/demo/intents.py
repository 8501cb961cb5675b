"""From a person's words to something that this small agent can do. Pure; English phrases only, no guessing.

Kinds: dataclasses, hints, rename {old new}, empty_test, skip_stage {stage}, run_tests, note (anything else).
"""

from __future__ import annotations

import re

from apps.ops.demo.state import Intent

KINDS = ("dataclasses", "hints", "rename", "empty_test", "skip_stage", "run_tests", "note")

_RENAME = re.compile(r"\brename\s+[`'\"]?(\w+)[`'\"]?(?:\(\))?\s+(?:to|into|as|->|→)\s+[`'\"]?(\w+)", re.IGNORECASE)
_SKIP = re.compile(
    r"\b(?:skip|leave out|drop|omit|no need for)\b.*?\b(docs?|documentation|readme|tests?|testing|build|plan)\b"
)
_STAGES = {"doc": "docs", "rea": "docs", "tes": "test", "bui": "build", "pla": "plan"}

_PHRASES = (
    ("dataclasses", re.compile(r"\bdata\s?class(es)?\b")),
    ("hints", re.compile(r"\b(type[ -]?(hints?|annotations?)|annotate)\b")),
    ("empty_test", re.compile(r"\btests?\b.*\b(empty|blank)\b|\b(empty|blank)\b.*\btests?\b")),
    ("run_tests", re.compile(r"^\W*(please )?(re-?)?run\b.*\b(tests?|pytest|suite)\b")),
)
_TITLES = {
    "dataclasses": "Use dataclasses for the model",
    "hints": "Add type hints",
    "empty_test": "Add a test for empty input",
    "run_tests": "Run the tests",
}


def recognise(text: str) -> Intent:
    """Return what ``text`` asks for; ``note`` when this agent cannot do it by itself."""
    low = " ".join(text.lower().split())
    if found := _RENAME.search(text):
        return Intent(kind="rename", args={"old": found[1], "new": found[2]}, text=text)
    for kind, pattern in _PHRASES:
        if pattern.search(low):
            return Intent(kind=kind, text=text)
    if found := _SKIP.search(low):
        return Intent(kind="skip_stage", args={"stage": _STAGES[found[1][:3]]}, text=text)
    return Intent(kind="note", text=text)


def title(intent: Intent) -> str:
    """Return a task's title for an intent."""
    if intent.kind == "rename":
        return f"Rename {intent.args['old']} to {intent.args['new']}"
    if intent.kind == "skip_stage":
        return f"Skip the {intent.args['stage']} stage"
    return _TITLES.get(intent.kind) or f"Note: {' '.join(intent.text.split())[:80]}"
