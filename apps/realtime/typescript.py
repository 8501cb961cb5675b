"""The wire as TypeScript: ``client/src/wire.d.ts``, made from the same structs as the AsyncAPI document."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec
from msgspec import inspect as types

from apps.core.events import EventClass, catalogue
from apps.realtime.asyncapi import error_tree
from apps.realtime.close_codes import MEANINGS, CloseCode
from apps.realtime.commands import COMMANDS
from apps.realtime.replies import REPLIES

HEAD: Final = """\
/**
 * The wire protocol `autocode.v1`, generated from the server's own classes by `manage.py client_types`. Do not edit.
 */

/** One message. `seq` is set on durable events alone, `replyTo` on answers alone. */
export interface Envelope<T extends string = string, D = unknown> {
  type: T;
  projectGuid: string | null;
  data: D;
  timestamp: string;
  id: string;
  seq?: number;
  topic?: string;
  replyTo?: string;
}
"""

_SIMPLE: Final[dict[type, str]] = {
    types.AnyType: "unknown",
    types.NoneType: "null",
    types.BoolType: "boolean",
    types.IntType: "number",
    types.FloatType: "number",
    types.StrType: "string",
    types.DateTimeType: "string",
    types.UUIDType: "string",
    types.RawType: "unknown",
}


class Writer:
    """Writes interfaces, each once, in the order in which they are first met."""

    def __init__(self) -> None:
        self._names: dict[type, str] = {}
        self._taken: set[str] = set()
        self.blocks: list[str] = []

    def name(self, cls: type, wish: str = "") -> str:
        """Return the TypeScript name of a struct or enumeration, and write it if it is new."""
        known = self._names.get(cls)
        if known is not None:
            return known
        name = wish or cls.__name__
        if name in self._taken:
            # Two classes of one name: the module tells them apart.
            name = f"{cls.__module__.rsplit('.', 1)[-1].capitalize()}{name}"
        self._names[cls] = name
        self._taken.add(name)
        info = types.type_info(cls)
        if isinstance(info, types.EnumType):
            members = " | ".join(msgspec.json.encode(member.value).decode() for member in info.cls)
            self.blocks.append(f"{doc(cls)}export type {name} = {members};\n")
        elif isinstance(info, types.StructType):
            self.blocks.append(self._interface(cls, name, info))
        return name

    def _interface(self, cls: type, name: str, info: types.StructType) -> str:
        fields = [
            f"  {property_name(field.encode_name)}{'' if field.required else '?'}: {self.type(field.type)};"
            for field in info.fields
        ]
        body = "\n".join(fields)
        return (
            f"{doc(cls)}export interface {name} {{\n{body}\n}}\n"
            if fields
            else f"{doc(cls)}export interface {name} {{}}\n"
        )

    def type(self, info: types.Type) -> str:
        """Return the TypeScript of one type."""
        if isinstance(info, types.Metadata):
            return self.type(info.type)
        if isinstance(info, (types.StructType, types.EnumType)):
            return self.name(info.cls)
        if isinstance(info, types.ListType):
            item = self.type(info.item_type)
            return f"({item})[]" if " " in item else f"{item}[]"
        if isinstance(info, types.DictType):
            return f"Record<string, {self.type(info.value_type)}>"
        if isinstance(info, types.UnionType):
            parts = [self.type(part) for part in info.types if not isinstance(part, _unset())]
            return " | ".join(dict.fromkeys(parts))
        return _SIMPLE.get(type(info), "unknown")


def _unset() -> type:
    unset: Any = getattr(types, "UnsetType", type(None))
    return type(unset) if not isinstance(unset, type) else unset


def property_name(name: str) -> str:
    """Return ``name`` as a property; all of ours are plain identifiers."""
    return name if name.isidentifier() else msgspec.json.encode(name).decode()


def doc(cls: type) -> str:
    """Return the class's docstring as a comment."""
    text = inspect.getdoc(cls) or ""
    lines = text.replace("``", "`").replace("*/", "* /").splitlines()
    if not lines:
        return ""
    if len(lines) == 1:
        return f"/** {lines[0]} */\n"
    return "/**\n" + "\n".join(f" * {line}".rstrip() for line in lines) + "\n */\n"


def declarations() -> str:
    """Return the whole file."""
    writer = Writer()
    events = {name: writer.name(row.payload) for name, row in sorted(catalogue().items())}
    replies = {name: writer.name(shape) for name, shape in sorted(REPLIES.items())}
    commands = {
        name: writer.name(row.payload, f"{row.payload.__name__}Command") for name, row in sorted(COMMANDS.items())
    }
    durable = [name for name, row in sorted(catalogue().items()) if EventClass.DURABLE in row.classes]
    parts = [
        HEAD,
        *writer.blocks,
        _map("Events", "What a room shows, by type.", events),
        f"/** Types that are in the log and have a `seq`. */\nexport type DurableType = {_union(durable)};\n",
        _map("Replies", "What the server answers or says to one connection, by type.", replies),
        _map("Commands", "What a client sends, by type.", commands),
        _map("CommandReplies", "What answers a command; `never`: nothing does.", _answers()),
        f"/** The codes of errors. */\nexport type ErrorCode = {_union([cls.code for cls in error_tree()])};\n",
        _codes(),
        _FOOT,
    ]
    return "\n".join(parts)


_FOOT: Final = """\
/** Any event of a room. */
export type RoomEvent = { [T in keyof Events]: Envelope<T, Events[T]> }[keyof Events];

/** Any reply. */
export type Reply = { [T in keyof Replies]: Envelope<T, Replies[T]> }[keyof Replies];
"""


def _answers() -> dict[str, str]:
    special = {"join_project": "project_joined", "leave_project": "project_left", "resync": "project_joined"}
    found = {}
    for name, row in sorted(COMMANDS.items()):
        answer = special.get(name, row.reply)
        found[name] = "never" if answer is None else msgspec.json.encode(answer).decode()
    return found


def _map(name: str, meaning: str, rows: dict[str, str]) -> str:
    body = "\n".join(f"  {property_name(key)}: {value};" for key, value in rows.items())
    return f"/** {meaning} */\nexport interface {name} {{\n{body}\n}}\n"


def _union(names: list[str]) -> str:
    return "\n  | " + "\n  | ".join(f'"{name}"' for name in names)


def _codes() -> str:
    rows = "\n".join(f"  /** {MEANINGS[code]} */\n  | {int(code)}" for code in CloseCode)
    return f"/** The codes with which the server closes. */\nexport type CloseCode =\n{rows};\n"
