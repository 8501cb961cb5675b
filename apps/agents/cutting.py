"""Cutting long texts to what a room needs to see; the whole is kept in the table. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

SHOWN_RESULT = 4_000
"""Characters of a tool's result in an event."""
STORED_RESULT = 64 * 1024
"""Characters of a tool's result in the table."""
SHOWN_PATCH = 16 * 1024
"""Characters of a patch in an event."""
DECIDED_PATCH = 64 * 1024
"""Characters of a patch that somebody decides about."""
SHOWN_ARGS = 16 * 1024
"""Bytes of a call's arguments in an event."""
SHOWN_ARGUMENT = 2_000
"""Characters of one text among arguments that are too long together."""


def cut(text: str, longest: int) -> str:
    """Return ``text``, at most ``longest`` characters: its head and tail around what is missing."""
    if len(text) <= longest:
        return text
    room = longest - 60  # for the line between; 60 holds any number
    head, tail = room - room // 3, room // 3
    return f"{text[:head]}\n… {len(text) - head - tail} characters left out …\n{text[-tail:]}"


def cut_args(args: dict[str, Any]) -> dict[str, Any]:
    """Return ``args`` when they are small; else with long texts cut; else only their names."""
    if len(msgspec.json.encode(args)) <= SHOWN_ARGS:
        return args
    shorter: dict[str, Any] = _shorter(args)
    if len(msgspec.json.encode(shorter)) <= SHOWN_ARGS:
        return shorter
    return {name[:100]: "… left out …" for name in list(args)[:50]}


def _shorter(value: Any) -> Any:
    if isinstance(value, str):
        return cut(value, SHOWN_ARGUMENT)
    if isinstance(value, dict):
        return {name: _shorter(item) for name, item in value.items()}
    return [_shorter(item) for item in value] if isinstance(value, list) else value
