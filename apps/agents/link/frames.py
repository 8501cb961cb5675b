"""Frames of the link: bounded JSON in, envelopes out. Pure: knows neither sockets nor the database."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from apps.core import clock
from apps.core.errors import AutoCodeError, InvalidField, InvalidMessage, MalformedJson, TooDeep, TooLarge
from apps.core.ids import is_key

DEPTH = 16
KEYS = 1_000
STRING = 262_144
"""Characters of the longest text: a tool's output."""
INTEGER = 2**53 - 1
BATCH = 10_000
"""Messages of one frame: each of them is answered, so a frame of nothing but commas must not become a million."""


@dataclass(slots=True)
class Envelope:
    """One message of the agents-server. ``guid`` and ``id`` None: not given."""

    type: str
    id: str | None
    guid: str | None
    data: dict[str, Any]
    offset: int | None = None
    size: int = field(default=0, compare=False)


@dataclass(slots=True)
class Bad:
    """Something that cannot be taken; ``id`` when it can be answered."""

    error: AutoCodeError
    id: str | None = None
    type: str = ""
    body: str = ""


def read_frame(raw: str | bytes, *, longest: int) -> list[Envelope | Bad]:
    """Return the envelopes of one frame, in order; ``longest`` is in bytes of the whole frame. Raises nothing."""
    if isinstance(raw, bytes):
        return [Bad(MalformedJson("Frames are text."), body=repr(raw[:200]))]
    size = len(raw.encode(errors="replace"))
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return [Bad(MalformedJson(), body=raw[:2_000])]
    values = value if isinstance(value, list) else [value]
    if not values:
        return [Bad(InvalidMessage("The batch is empty."))]
    if len(values) > BATCH:
        return [Bad(TooLarge(f"A batch has at most {BATCH} messages."), body=raw[:2_000])]
    return [_read(one, size, longest) for one in values]


def _read(value: Any, size: int, longest: int) -> Envelope | Bad:
    known = value.get("id") if isinstance(value, dict) else None
    known = known if isinstance(known, str) and is_key(known) else None
    kind = value.get("type") if isinstance(value, dict) else None
    try:
        if size > longest:
            raise TooLarge(f"A frame has at most {longest} bytes.")
        return _envelope(value, size)
    except AutoCodeError as error:
        return Bad(error, id=known, type=kind if isinstance(kind, str) else "", body=_shown(value))


def _shown(value: Any) -> str:
    """Return the beginning of a message that cannot be taken, for the operator."""
    try:
        return msgspec.json.encode(value).decode()[:16_384]
    except RecursionError:  # just not too deep to be read
        return ""


def _envelope(value: Any, size: int) -> Envelope:
    if not isinstance(value, dict):
        raise InvalidMessage("A message is a JSON object.")
    check(value)
    kind, given, offset = value.get("type"), value.get("id"), value.get("offset")
    data = value.get("data", value.get("payload", {}))
    if not isinstance(kind, str) or not kind:
        raise InvalidField("A message has a type.", field="type")
    if given is not None and (not isinstance(given, str) or not is_key(given)):
        raise InvalidField("Ids are 1-64 characters of A-Z a-z 0-9 . _ : -", field="id")
    if not isinstance(data, dict):
        raise InvalidField("data is an object.", field="data")
    if offset is not None and (not isinstance(offset, int) or isinstance(offset, bool) or offset < 0):
        raise InvalidField("An offset counts from 0.", field="offset")
    return Envelope(type=kind, id=given, guid=_guid(value), data=data, offset=offset, size=size)


def _guid(value: dict[str, Any]) -> str | None:
    for name in ("projectGuid", "project_guid", "projectId", "project_id"):
        given = value.get(name)
        if given is None:
            continue
        try:
            return str(UUID(given))
        except (ValueError, AttributeError, TypeError):
            raise InvalidField("A projectGuid is a UUID.", field="projectGuid") from None
    return None


def check(value: Any, depth: int = 0) -> None:
    """Refuse what no table or browser can hold: NUL, endless texts, deep nesting, integers beyond 53 bits.

    Raises ``InvalidField``, ``TooLarge``, ``TooDeep``. (Lone surrogates do not decode in the first place.)
    """
    if depth > DEPTH:
        raise TooDeep
    if isinstance(value, dict):
        if len(value) > KEYS:
            raise TooLarge(f"An object has at most {KEYS} keys.")
        for name, item in value.items():
            _check_text(name)
            check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check(item, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int | float):
        _check_number(value)


def _check_text(value: str) -> None:
    if "\x00" in value:
        raise InvalidField("NUL characters are not allowed.")
    if len(value) > STRING:
        raise TooLarge(f"A text has at most {STRING} characters.")


def _check_number(value: float) -> None:
    if isinstance(value, int) and abs(value) > INTEGER:
        raise InvalidField("Integers have at most 53 bits.")
    if not math.isfinite(value):
        raise InvalidField("Numbers are finite.")


def pack(kind: str, data: Any, *, guid: str | None = None, id: str | None = None) -> dict[str, Any]:  # noqa: A002
    """Return an envelope of AutoCode's as plain JSON values."""
    built = {
        "type": kind,
        "projectGuid": guid,
        "data": msgspec.to_builtins(data),
        "timestamp": clock.to_wire(clock.now()),
    }
    return built if id is None else built | {"id": id}


def encode(envelopes: list[dict[str, Any]]) -> str:
    """Return one frame: a single envelope, or a batch."""
    return joined([encoded(envelope) for envelope in envelopes])


def encoded(envelope: dict[str, Any]) -> bytes:
    """Return one envelope, as it stands in a frame."""
    return msgspec.json.encode(envelope)


def joined(envelopes: list[bytes]) -> str:
    """Return the frame of encoded envelopes."""
    return (envelopes[0] if len(envelopes) == 1 else b"[" + b",".join(envelopes) + b"]").decode()
