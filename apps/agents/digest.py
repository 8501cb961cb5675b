"""The digest that binds a decision to the arguments it was taken about. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def args_digest(tool: str, args: dict[str, Any]) -> str:
    """Return ``"sha256:"`` and the hex SHA-256 of the canonical JSON of ``{"args": args, "tool": tool}``.

    Canonical: UTF-8, no blanks, the keys of every object sorted by code point, text not escaped beyond what JSON
    demands, numbers as Python writes them (an integer without a point). The same form as Python's
    ``json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)``.
    """
    canonical = msgspec.json.encode({"tool": tool, "args": args}, order="deterministic")
    return "sha256:" + hashlib.sha256(canonical).hexdigest()
