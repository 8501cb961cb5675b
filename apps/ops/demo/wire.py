"""Envelopes: how frames are read and what is refused. Knows JSON and the contract; knows no sockets.

Contract: ``apps/agents/link/messages.py``.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from apps.agents.link import messages as m
from apps.core import clock, ids

SUBPROTOCOL = "autocode.agents.v1"
PROTOCOL = "autocode.v1"

MAX_FRAME = 4 * 1024 * 1024
"""Bytes of a frame that we read: a whole board of a large project comes in one."""

_NAMES = {payload: name for name, payload in m.INBOUND.items()}


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """A message that cannot be taken; goes back as ``nack`` when it has an id, else as ``error``."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class Envelope(msgspec.Struct, kw_only=True):
    """An arriving envelope; fields that we do not know are AutoCode's business."""

    type: str
    data: dict[str, Any] = {}
    id: str | None = None
    project_guid: str | None = msgspec.field(name="projectGuid", default=None)


def envelope(kind: str, data: dict[str, Any], guid: str | None = None) -> dict[str, Any]:
    """Return an envelope that is not kept: no id, no offset."""
    return {"type": kind, "projectGuid": guid, "data": data, "timestamp": clock.to_wire(clock.now())}


def pack(payload: msgspec.Struct, guid: str) -> dict[str, Any]:
    """Return the envelope of one of the contract's payloads; what is None is left out, as the contract allows."""
    data = _without_none(msgspec.to_builtins(payload))
    return {"type": _NAMES[type(payload)], "projectGuid": guid, "data": data}  # type: ignore[index]


def read_frame(raw: str | bytes) -> list[Any]:
    """Return the envelopes of a frame, unchecked. Raises ``Refused`` when it is no JSON object or array."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("malformed_json", "the frame is not JSON") from None
    values = value if isinstance(value, list) else [value]
    if not values:
        raise Refused("invalid_message", "the batch is empty")
    return values


def read_envelope(value: Any) -> Envelope:
    """Return one envelope. Raises ``Refused``."""
    try:
        read = msgspec.convert(value, Envelope)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Refused("invalid_message", str(error)) from None
    if read.id is not None and not ids.is_key(read.id):
        raise Refused("invalid_message", "the id is not 1-64 of [A-Za-z0-9._:-]")
    if read.project_guid is not None:
        try:
            read.project_guid = str(uuid.UUID(read.project_guid))
        except ValueError:
            raise Refused("invalid_message", "projectGuid is not a UUID") from None
    return read


def read_command(read: Envelope) -> m.Outbound:
    """Return the payload of a command. Raises ``Refused``: unknown type, wrong fields, no project."""
    payload = m.OUTBOUND.get(read.type)
    if payload is None:
        raise Refused("unknown_type", f"unknown type {read.type[:60]!r}")
    if read.project_guid is None and payload is not m.ProjectStatusSync:
        raise Refused("invalid_message", f"{read.type} needs a projectGuid")
    try:
        return msgspec.convert(read.data, payload)
    except msgspec.ValidationError as error:
        raise Refused("invalid_field", str(error)) from None


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
