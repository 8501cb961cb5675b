"""The rooms over HTTP in the description of the REST API: their views are no REST framework's, which would find them.

What an envelope's ``data`` holds for each type stands in the AsyncAPI document; here commands alone are described
whole, because they are what a client writes. Made from the registry, as everything is.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from apps.accounts.api.openapi import ALWAYS, BODY, ERRORS, ErrorAnswer, reference
from apps.core.events import Struct, catalogue
from apps.core.ids import KEY_PATTERN
from apps.realtime import handlers
from apps.realtime.commands import COMMANDS
from apps.realtime.replies import REPLIES

ROOM: Final = "/api/v1/projects/{guid}/"
SEQ: Final = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
_REF: Final = "#/components/schemas/"
_KEY: Final = {"type": "string", "pattern": f"^{KEY_PATTERN.pattern}$"}
_NULL: Final = {"type": "null"}
_HELD: Final = "A user has a bounded number of open streams and waiting polls; one too many is refused with 429."
_GUID: Final = {"type": "string", "format": "uuid"}


def paths() -> dict[str, Any]:
    """Return the operations by path."""
    return {
        f"{ROOM}events/": {"get": _events()},
        f"{ROOM}events/stream/": {"get": _stream()},
        f"{ROOM}snapshot/": {"get": _snapshot()},
        f"{ROOM}commands/": {"post": _commands()},
    }


def schemas() -> dict[str, Any]:
    """Return the components that the operations name; their names begin with ``Room.``, so that they meet no others."""
    handlers.load()
    shapes = [*(row.payload for row in COMMANDS.values() if row.over_http), *_answers(), REPLIES["project_joined"]]
    _, found = msgspec.json.schema_components(shapes, ref_template=f"{_REF}Room.{{name}}")
    envelope = {
        "type": "object",
        "required": ["type", "projectGuid", "data", "timestamp", "id"],
        "properties": {
            "type": {"type": "string", "enum": sorted({*catalogue(), *REPLIES})},
            "projectGuid": _GUID,
            "data": {"type": "object"},
            "timestamp": {"type": "string", "format": "date-time"},
            "id": {"type": "string"},
            "seq": {"type": "integer", "minimum": 1},
            "topic": {"type": "string"},
            "replyTo": {"type": "string"},
        },
        "additionalProperties": False,
    }
    return {f"Room.{name}": found[name] for name in sorted(found)} | {"Room.Envelope": envelope}


def _events() -> dict[str, Any]:
    envelopes = {"type": "array", "items": {"$ref": f"{_REF}Room.Envelope"}}
    page = {
        "type": "object",
        "required": ["results", "next", "previous", "epoch", "lastSeq", "recovered"],
        "properties": {
            "results": envelopes,
            "next": {"type": ["string", "null"]},
            "previous": {"type": ["string", "null"]},
            "epoch": {"type": "string"},
            "lastSeq": {"type": "integer", "minimum": 0},
            "recovered": {"type": "boolean", "description": "False: take a snapshot, the cursor leads nowhere."},
            "reason": {"type": "string", "enum": ["epoch_changed", "trimmed"]},
            "live": envelopes | {"description": "With ``after``: who is here, and how the link stands."},
        },
        "additionalProperties": False,
    }
    return _operation(
        "listEvents",
        f"Return a page of the room's log; with ``wait``, when there is something, or after so many seconds. {_HELD}",
        {"200": _answer(page)},
        parameters=[
            _query("after", SEQ, "Events with a larger ``seq``, the oldest first (default 0)."),
            _query("before", SEQ | {"minimum": 1}, "Instead of ``after``: the last ones with a smaller ``seq``."),
            _query("limit", SEQ | {"minimum": 1, "default": 200}, "At most 1,000 come."),
            _query("wait", SEQ | {"default": 0}, "At most 30 s."),
            _query("epoch", {"type": "string"}, "Where the cursor is from."),
        ],
    )


def _stream() -> dict[str, Any]:
    stream = {
        "description": "Each event's ``data`` is an envelope, its ``id`` the cursor (``<epoch>:<seq>``). The first "
        "envelope is ``project_joined``.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    return _operation(
        "streamEvents",
        "Stream the room's events (Server-Sent Events) until the connection, the login or the membership ends. "
        f"{_HELD}",
        {"200": stream},
        parameters=[
            _query("after", SEQ, "Begin behind this ``seq``; else with a snapshot."),
            _query("epoch", {"type": "string"}, "Where ``after`` is from."),
            {
                "in": "header",
                "name": "Last-Event-ID",
                "schema": {"type": "string", "pattern": "^([^\\x00-\\x1f\\x7f]*:[0-9]{1,16})?$"},
                "description": "Go on behind this event; stands above ``after`` and ``epoch``.",
            },
        ],
    )


def _snapshot() -> dict[str, Any]:
    return _operation(
        "getSnapshot",
        "Return the room's state, exact at its ``lastSeq``, as ``project_joined`` has it.",
        {"200": _answer({"$ref": f"{_REF}Room.{_name(REPLIES['project_joined'])}"})},
        errors=(),
    )


def _commands() -> dict[str, Any]:
    handlers.load()
    takes = {
        "oneOf": [
            {
                "type": "object",
                "title": name,
                "required": ["type", "data"] if _needs_data(row.payload) else ["type"],
                "properties": {
                    "type": {"const": name},
                    "data": {"$ref": f"{_REF}Room.{_name(row.payload)}"},
                    "id": {"anyOf": [_KEY, _NULL]},
                    "timestamp": {"type": ["string", "null"]},
                },
                "additionalProperties": False,
            }
            for name, row in sorted(COMMANDS.items())
            if row.over_http
        ]
    }
    data = {"anyOf": [{"$ref": f"{_REF}Room.{_name(shape)}"} for shape in _answers()]}
    reply = {"allOf": [{"$ref": f"{_REF}Room.Envelope"}], "type": "object", "properties": {"data": data}}
    operation = _operation(
        "sendCommand",
        "Carry out one command; the answer is the envelope that a socket would get.",
        {"200": _answer(reply)},
        errors=(409, 410, *BODY),
        parameters=[
            {
                "in": "header",
                "name": "Idempotency-Key",
                "schema": _KEY,
                "description": "The command's ``id``, where the envelope has none: it is carried out once.",
            }
        ],
    )
    return operation | {"requestBody": {"required": True, "content": {"application/json": {"schema": takes}}}}


def _answers() -> list[type[Struct]]:
    return [REPLIES["ack"], catalogue()["user_feedback_response"].payload]


def _needs_data(payload: type[Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(payload))


def _name(shape: type[Struct]) -> str:
    return shape.__name__


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": schema, "description": text}


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _operation(
    operation_id: str,
    text: str,
    answers: dict[str, Any],
    *,
    errors: tuple[int, ...] = (400,),
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    guid = {"in": "path", "name": "guid", "required": True, "schema": _GUID, "description": "The project's ``guid``."}
    refusals = {
        str(code): {
            "description": ERRORS[code],
            "content": {"application/json": {"schema": reference(ErrorAnswer)}},
        }
        for code in sorted({*ALWAYS, 403, 404, *errors})
    }
    return {
        "operationId": operation_id,
        "description": text,
        "parameters": [guid, *(parameters or [])],
        "tags": ["projects"],
        "security": [{"token": []}, {"cookieAuth": []}],
        "responses": answers | refusals,
    }
