"""From a person's words to something that this small agent can do. Pure; English phrases only, no guessing.

Kinds: dataclasses, hints, rename {old new}, empty_test, skip_stage {stage}, run_tests, note (anything else).
"""

from __future__ import annotations

import re

from apps.ops.demo.state import Intent

KINDS = ("dataclasses", "hints", "rename", "empty_test", "skip_stage", "run_tests", "note")

_RENAME = re.compile(r"\brename\s+[`'\"]?(\w+)[`'\"]?(?:\(\))?\s+(?:to|into|as|->|→)\s+[`'\"]?(\w+)", re.IGNORECASE)
_SKIP = re.compile(r"\b(?:skip|leave out|drop|omit|no need for|without)\b.*?\b(docs?|documentation|readme|tests?|testing|build|plan)\b")
_STAGES = {"doc": "docs", "rea": "docs", "tes": "test", "bui": "build", "pla": "plan"}


def recognise(text: str) -> Intent:
    """Return what ``text`` asks for; ``note`` when this agent cannot do it by itself."""
    low = " ".join(text.lower().split())
    if found := _RENAME.search(text):
        return Intent(kind="rename", args={"old": found[1], "new": found[2]}, text=text)
    if re.search(r"\bdata\s?class(es)?\b", low):
        return Intent(kind="dataclasses", text=text)
    if re.search(r"\b(type[ -]?(hints?|annotations?)|annotate)\b", low):
        return Intent(kind="hints", text=text)
    if re.search(r"\btests?\b.*\b(empty|blank)\b|\b(empty|blank)\b.*\btests?\b", low):
        return Intent(kind="empty_test", text=text)
    if found := _SKIP.search(low):
        return Intent(kind="skip_stage", args={"stage": _STAGES[found[1][:3]]}, text=text)
    if re.search(r"\b(re-?)?run\b.*\b(tests?|pytest|suite)\b", low):
        return Intent(kind="run_tests", text=text)
    return Intent(kind="note", text=text)


def title(intent: Intent) -> str:
    """Return a task's title for an intent."""
    match intent.kind:
        case "dataclasses":
            return "Use dataclasses for the model"
        case "hints":
            return "Add type hints"
        case "rename":
            return f"Rename {intent.args['old']} to {intent.args['new']}"
        case "empty_test":
            return "Add a test for empty input"
        case "skip_stage":
            return f"Skip the {intent.args['stage']} stage"
        case "run_tests":
            return "Run the tests"
        case _:
            words = " ".join(intent.text.split())
            return f"Note: {words[:80]}" if words else "Note"
