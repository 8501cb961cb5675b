"""The published contract: an AsyncAPI 3 document, made from the catalogue, the registry and the close codes.

Nothing in here is written twice by hand; a type that is declared is in the document.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from apps.core import errors
from apps.core.errors import AutoCodeError
from apps.core.events import Struct, catalogue
from apps.projects.permissions import NEEDS
from apps.realtime import handlers
from apps.realtime.close_codes import MEANINGS, CloseCode, advice
from apps.realtime.commands import COMMANDS
from apps.realtime.protocol import SUBPROTOCOL
from apps.realtime.replies import REPLIES

VERSION: Final = "1.0.0"
_REF: Final = "#/components/schemas/{name}"


def error_tree() -> list[type[AutoCodeError]]:
    """Return every error class that has a code of its own, by code."""
    found = {
        cls.code: cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, AutoCodeError) and cls is not AutoCodeError
    }
    return [found[code] for code in sorted(found)]


def shapes() -> dict[str, type[Struct]]:
    """Return every payload class by the name of its schema. Commands have the suffix ``Command`` where names meet."""
    handlers.load()
    named: dict[str, type[Struct]] = {}
    for row in catalogue().values():
        named[row.payload.__name__] = row.payload
    for reply in REPLIES.values():
        named[reply.__name__] = reply
    for command in COMMANDS.values():
        named[command_name(command.payload)] = command.payload
    return named


def command_name(payload: type[Struct]) -> str:
    """Return the schema's name of a command's payload."""
    return f"{payload.__name__}Command"


def document() -> dict[str, Any]:
    """Return the document."""
    named = shapes()
    payloads = list(named.values())
    _, schemas = msgspec.json.schema_components(payloads, ref_template=_REF)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "AutoCode rooms",
            "version": VERSION,
            "description": "One WebSocket carries any number of rooms. A frame is one envelope or an array of them.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "rooms": {
                "address": "/ws/",
                "title": f"The socket; subprotocol {SUBPROTOCOL}",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages()},
            }
        },
        "operations": {
            "command": _operation("receive", (f"command.{name}" for name in COMMANDS)),
            "event": _operation("send", (f"event.{name}" for name in catalogue())),
            "reply": _operation("send", (f"reply.{name}" for name in REPLIES)),
        },
        "components": {"messages": _messages(), "schemas": schemas | _envelope()},
        "x-close-codes": {
            str(int(code)): {"name": code.name, "meaning": MEANINGS[code], "client": advice(code).value}
            for code in CloseCode
        },
        "x-errors": {
            cls.code: {"meaning": cls.default_message, "httpStatus": cls.http_status, "retryable": cls.retryable}
            for cls in error_tree()
        },
    }


def _operation(action: str, names: Iterable[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/rooms"},
        "messages": [{"$ref": f"#/channels/rooms/messages/{name}"} for name in names],
    }


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        needs = command.needs
        messages[f"command.{name}"] = _message(name, command.payload) | {
            "x-needs": None if needs is None else {"action": needs, "role": NEEDS[needs].word},
            "x-joined": command.joined,
            "x-reply": command.reply,
            "x-over-http": command.over_http,
        }
    for name, row in catalogue().items():
        messages[f"event.{name}"] = _message(name, row.payload) | {
            "x-classes": sorted(kind.value for kind in row.classes),
            "x-topic": row.topic,
        }
    for name, shape in REPLIES.items():
        messages[f"reply.{name}"] = _message(name, shape)
    return messages


def _message(name: str, shape: type[Struct]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": (inspect.getdoc(shape) or "").split("\n\n")[0].replace("\n", " "),
        "payload": {
            "allOf": [{"$ref": "#/components/schemas/Envelope"}],
            "type": "object",
            "properties": {"type": {"const": name}, "data": {"$ref": _REF.format(name=_schema_name(shape))}},
        },
    }


def _schema_name(shape: type[Struct]) -> str:
    (reference,), _ = msgspec.json.schema_components([shape], ref_template="{name}")
    return str(reference["$ref"])


def _envelope() -> dict[str, Any]:
    return {
        "Envelope": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"type": "string"},
                "projectGuid": {"type": ["string", "null"], "format": "uuid"},
                "data": {"type": "object"},
                "timestamp": {"type": "string", "format": "date-time"},
                "id": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
                "seq": {"type": "integer", "minimum": 1},
                "topic": {"type": "string"},
                "replyTo": {"type": "string"},
            },
        }
    }
