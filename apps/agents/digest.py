"""The digest that binds a decision to the arguments it was taken about. Pure."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

_EXPONENT = 1e16
"""From here on Python writes a float with an exponent, and PostgreSQL's jsonb gives it back with all its digits."""


def args_digest(tool: str, args: dict[str, Any]) -> str:
    """Return ``"sha256:"`` and the hex SHA-256 of the canonical JSON of ``{"args": args, "tool": tool}``.

    Canonical: UTF-8, no blanks, the keys of every object sorted by code point, text not escaped beyond what JSON
    demands, numbers as Python writes them (an integer without a point). The same form as Python's
    ``json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)``.
    """
    value = {"tool": tool, "args": args}
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def as_kept(value: Any) -> Any:
    """Return a JSON value with its numbers as every database gives them back, so that they keep their digest.

    A float from 1e16 on becomes an integer, -0.0 becomes 0.0; both are the same numbers.
    """
    if isinstance(value, dict):
        return {name: as_kept(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_kept(item) for item in value]
    if isinstance(value, float):
        return int(Decimal(repr(value))) if abs(value) >= _EXPONENT else value or 0.0
    return value
