"""Merging news that is never stored: pieces of a stream grow together, of a latest value only the newest counts.

The rule that everything here keeps (and a property test holds it to): folding the merged pieces gives the same state as
folding the raw ones. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final

import msgspec


class Shape(enum.IntEnum):
    """How pieces of a type merge."""

    LATEST = 0
    """The newer one replaces the older."""
    TEXT = 1
    """``delta`` at ``offset`` (code points); offset 0 replaces what was there."""
    LINES = 2
    """``lines`` are appended; there is no position."""
    MEMBERS = 3
    """``joined`` and ``left``: two differences make one."""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """One piece of news. ``data`` is the payload as JSON values; ``key`` names the value or stream within its room."""

    type: str
    key: str
    shape: Shape
    data: dict[str, Any]
    at: str

    @property
    def text(self) -> str:
        """The text that this piece of a TEXT stream adds."""
        return self.data.get("delta") or ""

    @property
    def offset(self) -> int:
        """Where the text of this piece stands in its stream."""
        return int(self.data.get("offset", 0))


KEY_FIELDS: dict[str, tuple[str, ...]] = {
    "message": ("runId", "messageId"),
    "thinking": ("runId", "messageId"),
    "tool_output": ("runId", "toolCallId"),
    "log": ("runId", "toolCallId", "source", "level"),
    "usage": ("runId",),
    "agent_status_update": ("agentId",),
    "coordination_update": (),
    "agents_link": (),
    "presence_state": (),
}
"""Which fields name a value or stream. ``message`` and ``thinking`` of one id are different streams."""

SHAPES: dict[str, Shape] = {
    "message": Shape.TEXT,
    "thinking": Shape.TEXT,
    "tool_output": Shape.TEXT,
    "log": Shape.LINES,
    "presence_diff": Shape.MEMBERS,
}

FOLLOWS_RUN = frozenset({"message", "thinking", "tool_output", "log", "usage"})
"""What belongs to a run and ends with it."""


def key_of(type_: str, data: dict[str, Any], default: str = "") -> str:
    """Return the key of a payload; types without a rule of their own take ``default``."""
    fields = KEY_FIELDS.get(type_)
    if fields is None:
        return f"{type_}:{default}"
    return ":".join([type_, *(str(data.get(field) or "") for field in fields)])


def merge(earlier: Piece, later: Piece) -> Piece | None:
    """Return one piece that does what both do, or None when there is none. Both have the same key."""
    if later.shape is Shape.LATEST:
        return later
    if later.shape is Shape.LINES:
        return _with(earlier, later.at, lines=[*earlier.data["lines"], *later.data["lines"]])
    if later.shape is Shape.MEMBERS:
        return _with(earlier, later.at, **_members(earlier.data, later.data))
    if later.offset == 0:
        return later
    if later.offset == earlier.offset + len(earlier.text):
        return _with(earlier, later.at, delta=earlier.text + later.text)
    return None


def merge_all(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the fewest pieces that do the same, each key's in order, keys in the order of their first piece."""
    merged: dict[str, list[Piece]] = {}
    for piece in pieces:
        chain = merged.setdefault(piece.key, [])
        one = merge(chain[-1], piece) if chain else None
        if one is None:
            chain.append(piece)
        else:
            chain[-1] = one
    return [piece for chain in merged.values() for piece in chain]


def fold_text(text: str, piece: Piece) -> str:
    """Return the text after ``piece``. A piece beyond the end is not for this text and changes nothing."""
    if piece.offset == 0:
        return piece.text
    if piece.offset > len(text):
        return text
    return text[: piece.offset] + piece.text


MOST_KEPT: Final = 1_024
"""Open streams and values of one project; more are only made by a server that never ends what it begins."""


class Kept:
    """What late joiners need: the text so far of every open stream and the newest value of every key.

    Lines of logs are not kept: they have no position, so they could be shown twice. Presence has a state of its own.
    """

    def __init__(self) -> None:
        self._pieces: dict[str, Piece] = {}

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def knows(self, piece: Piece) -> bool:
        """Tell whether ``piece`` says nothing new: a text so far, or a value, that everybody here was given before."""
        before = self._pieces.get(piece.key)
        if before is None or piece.shape in {Shape.LINES, Shape.MEMBERS}:
            return False
        if piece.shape is Shape.LATEST:
            return piece.data == before.data
        return piece.offset == 0 and bool(piece.text) and before.text.startswith(piece.text)

    def lacks(self, piece: Piece) -> bool:
        """Tell whether what comes before ``piece`` of its text was lost on the way, so that somebody may still have it.

        A text that is not here because there are too many is nowhere: every process keeps as many.
        """
        if piece.shape is not Shape.TEXT:
            return False
        before = self._pieces.get(piece.key)
        if before is None:
            return piece.offset > 0 and len(self._pieces) < MOST_KEPT
        return piece.offset > len(before.text)

    def add(self, piece: Piece) -> None:
        """Take a piece that was sent. Beyond ``MOST_KEPT`` keys the oldest is forgotten."""
        if piece.shape in {Shape.LINES, Shape.MEMBERS}:
            return
        before = self._pieces.get(piece.key)
        if before is None and len(self._pieces) >= MOST_KEPT:
            del self._pieces[next(iter(self._pieces))]
        if piece.shape is Shape.LATEST or piece.offset == 0:
            self._pieces[piece.key] = piece
        elif before is not None:
            whole = fold_text(before.text, piece)
            self._pieces[piece.key] = _with(before, piece.at, delta=whole)

    def pieces(self) -> list[Piece]:
        """Return one piece for each key: values as they are, texts whole with offset 0."""
        return list(self._pieces.values())

    def value(self, key: str) -> Piece | None:
        """Return the newest value of a key."""
        return self._pieces.get(key)

    def text(self, key: str) -> str:
        """Return the text so far of a stream, or ``""``."""
        piece = self._pieces.get(key)
        return piece.text if piece else ""

    def drop(self, keys: Iterable[str]) -> None:
        """Forget these keys."""
        for key in keys:
            self._pieces.pop(key, None)

    def ended_by(self, type_: str, data: dict[str, Any]) -> list[str]:
        """Return the kept keys that this durable event ends or replaces."""
        if type_ == "done":
            run_id = data.get("runId")
            return [
                key
                for key, piece in self._pieces.items()
                if piece.type in FOLLOWS_RUN and piece.data.get("runId") == run_id
            ]
        if type_ == "tool_end":
            return [key_of("tool_output", data)]
        if type_ in {"message", "thinking", "usage", "agent_status_update"}:
            return [key_of(type_, data)]
        return []


ENDING = frozenset({"done", "tool_end", "message", "thinking", "usage", "agent_status_update"})
"""Durable types that end or replace something kept."""


def _members(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    gone = set(later["left"])
    joined = {member["userId"]: member for member in earlier["joined"] if member["userId"] not in gone}
    joined |= {member["userId"]: member for member in later["joined"]}
    left = [user for user in earlier["left"] if user not in joined and user not in gone]
    return {"joined": list(joined.values()), "left": [*left, *later["left"]]}


def _with(piece: Piece, at: str, **data: Any) -> Piece:
    return Piece(type=piece.type, key=piece.key, shape=piece.shape, data={**piece.data, **data}, at=at)
