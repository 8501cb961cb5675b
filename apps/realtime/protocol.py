"""The codec of ``autocode.v1``: text to checked envelopes, and facts to frames.

Knows JSON and the limits of the protocol page, section 8; knows neither Django nor sockets. Whatever arrives, only
errors of ``core.errors`` are raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import msgspec

from apps.core import clock
from apps.core.errors import AutoCodeError, InvalidField, InvalidMessage, MalformedJson, TooLarge
from apps.core.events import topic_of
from apps.core.ids import is_key, new_id
from apps.projects.records import LoggedEvent
from apps.realtime.coalescing import Piece
from apps.realtime.jsonscan import scan
from apps.realtime.topics import room_topic

SUBPROTOCOL: Final = "autocode.v1"
TOKEN_PREFIX: Final = "autocode.jwt."  # noqa: S105 - the name of a subprotocol
MAX_FRAME: Final = 65_536  # bytes
MAX_BATCH: Final = 64  # envelopes in one incoming array

_ALIASES: Final = {
    "payload": "data",
    "project_guid": "projectGuid",
    "project_id": "projectGuid",
    "projectId": "projectGuid",
}
_FIELDS: Final = frozenset({"type", "projectGuid", "data", "timestamp", "id"})
_SHORT: Final = frozenset({"subscribe", "unsubscribe", "ping"})
_encoder = msgspec.json.Encoder(decimal_format="string")
encode = _encoder.encode


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as it arrived, in its canonical form. ``id`` is None when the sender gave none."""

    type: str
    project_guid: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """One envelope of a frame that is wrong, and why; the others of the frame are carried out."""

    error: AutoCodeError
    id: str | None = None
    project_guid: str | None = None


def decode(frame: str | bytes, *, limit: int = MAX_FRAME) -> list[Envelope | Refused]:
    """Return the envelopes of one text frame, in order.

    Raises ``TooLarge``, ``TooDeep``, ``MalformedJson`` or ``InvalidMessage`` when the frame as a whole cannot be used.
    """
    try:
        raw = frame.encode() if isinstance(frame, str) else frame
    except UnicodeEncodeError:
        raise MalformedJson("Lone surrogates are not text.") from None
    if len(raw) > limit:
        raise TooLarge(f"A frame has at most {limit} bytes.")
    value = scan(raw)
    if isinstance(value, list):
        if not value:
            raise InvalidMessage("An empty batch says nothing.")
        if len(value) > MAX_BATCH:
            raise TooLarge(f"A batch has at most {MAX_BATCH} messages.")
        return [_one(item) for item in value]
    return [_one(value)]


def _one(value: Any) -> Envelope | Refused:
    if not isinstance(value, dict):
        return Refused(InvalidMessage("A message is a JSON object."))
    given = value.get("id")
    known_id = given if isinstance(given, str) and is_key(given) else None
    try:
        return _envelope(_short_form(value) if "action" in value else value)
    except AutoCodeError as error:
        return Refused(error, known_id)


def _short_form(value: dict[str, Any]) -> dict[str, Any]:
    """Turn ``{"action", "topic"}`` into the envelope that it stands for."""
    for name in value:
        if name not in {"action", "topic", "id"}:
            raise InvalidField("The short form has action, topic and id only.", field=name)
    action = value["action"]
    if not isinstance(action, str) or action not in _SHORT:
        raise InvalidField("An action is subscribe, unsubscribe or ping.", field="action")
    full: dict[str, Any] = {"type": action, "data": {"topic": value["topic"]} if "topic" in value else {}}
    if action == "ping":
        full["data"] = {}
    return full | ({"id": value["id"]} if "id" in value else {})


def _envelope(value: dict[str, Any]) -> Envelope:
    fields: dict[str, Any] = {}
    for name, item in value.items():
        canonical = _ALIASES.get(name, name)
        if canonical not in _FIELDS:
            raise InvalidField("The envelope has no such field.", field=name)
        if canonical in fields:
            raise InvalidField("This field is given twice.", field=name)
        fields[canonical] = item
    type_ = fields.get("type")
    if not isinstance(type_, str) or not type_:
        raise InvalidField("A message has a type.", field="type")
    data = fields.get("data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise InvalidField("The data of a message is an object.", field="data")
    message_id = fields.get("id")
    if message_id is not None and not (isinstance(message_id, str) and is_key(message_id)):
        raise InvalidField("Ids are 1-64 characters of A-Z a-z 0-9 . _ : -", field="id")
    timestamp = fields.get("timestamp")
    if timestamp is not None and not isinstance(timestamp, str):
        raise InvalidField("A time is RFC 3339 text.", field="timestamp")
    return Envelope(type_, _guid(fields.get("projectGuid")), data, message_id)


def _guid(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise InvalidField("A projectGuid is a UUID.", field="projectGuid") from None


# --- out --------------------------------------------------------------------------------------------------------


def event_frame(guid: str, event: LoggedEvent) -> bytes:
    """Return the envelope of a durable event: its payload goes in as it is stored, byte for byte."""
    topic = room_topic(guid, topic_of(event.type))
    return b'{"type":"%b","projectGuid":"%b","data":%b,"timestamp":"%b","id":"%b","seq":%d,"topic":"%b"}' % (
        event.type.encode(),
        guid.encode(),
        event.data,
        event.at.encode(),
        event.id.encode(),
        event.seq,
        topic.encode(),
    )


def piece_frame(guid: str, piece: Piece) -> bytes:
    """Return the envelope of news that is never stored; it has no ``seq``."""
    return encode(
        {
            "type": piece.type,
            "projectGuid": guid,
            "data": piece.data,
            "timestamp": piece.at,
            "id": new_id(),
            "topic": room_topic(guid, topic_of(piece.type)),
        }
    )


def reply_frame(
    type_: str, data: Any, *, guid: str | None = None, reply_to: str | None = None, raw: dict[str, bytes] | None = None
) -> bytes:
    """Return the envelope of a reply or a direct message; ``raw`` are fields of ``data`` as JSON bytes."""
    if raw:
        built = data if isinstance(data, dict) else msgspec.to_builtins(data)
        data = built | {name: msgspec.Raw(value) for name, value in raw.items()}
    body = {"type": type_, "projectGuid": guid, "data": data, "timestamp": clock.to_wire(clock.now()), "id": new_id()}
    if reply_to is not None:
        body["replyTo"] = reply_to
    return encode(body)


def error_data(error: AutoCodeError) -> dict[str, Any]:
    """Return an error as it stands on the wire, over the socket and over HTTP alike (protocol page, section 6)."""
    data: dict[str, Any] = {"code": error.code, "message": error.message, "retryable": error.retryable}
    if error.field is not None:
        data["field"] = error.field
    if error.retry_after_ms is not None:
        data["retryAfterMs"] = error.retry_after_ms
    if error.details is not None:
        data["details"] = error.details
    return data


def error_frame(error: AutoCodeError, *, guid: str | None = None, reply_to: str | None = None) -> bytes:
    """Return the ``error`` envelope."""
    return reply_frame("error", error_data(error), guid=guid, reply_to=reply_to)


def batch(frames: Iterable[str]) -> str:
    """Return several envelopes as one frame."""
    return f"[{','.join(frames)}]"


def plain(data: Any) -> Any:
    """Return a reply's data without what it does not say."""
    if isinstance(data, msgspec.Struct):
        built = msgspec.to_builtins(data)
        return {name: value for name, value in built.items() if value is not None or name == "t"}
    return data
