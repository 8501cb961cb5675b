"""JSON values to structs and back: one declaration gives the check of a request and its part of the description."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from apps.core.errors import InvalidField, InvalidMessage

S = TypeVar("S")

_PLACE = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_NAMED = re.compile(r"(?:unknown|missing required) field `(?P<name>[^`]*)`")


def from_json(value: Any, kind: type[S]) -> S:
    """Return ``value`` (JSON values) as a ``kind``.

    Raises ``InvalidField`` naming the field that is missing, unknown or wrong, ``InvalidMessage`` when it is no object.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _PLACE.search(text)
        parts = [place["path"]] if place and place["path"] else []
        if named := _NAMED.search(text):
            parts.append(named["name"])
        message = _PLACE.sub("", text)
        if not parts:
            raise InvalidMessage(f"{message}.") from error
        raise InvalidField(f"{message}.", field=".".join(parts)) from error


def to_json(value: Any) -> Any:
    """Return a struct, or a list of them, as JSON values with the names of the wire."""
    return msgspec.to_builtins(value)
