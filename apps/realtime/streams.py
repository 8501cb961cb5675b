"""The publisher's side of news that is never stored: merged in a window, kept for latecomers, flushed before facts.

One ``StreamMerger`` a project. Knows nothing of time or the layer: the caller says when the window is over. Pure.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from apps.core.events import type_of
from apps.projects.records import Ephemeral
from apps.realtime.coalescing import ENDING, SHAPES, Kept, Piece, Shape, key_of, merge_all

LONGEST: Final = 262_144
"""Characters of one stream that are kept; a longer one is begun anew with its last half."""

PIECE: Final = 65_536
"""Characters in one piece; longer ones are cut, so that no frame grows without bound."""


class StreamMerger:
    """Merges the news of one project.

    ``add`` returns what goes out now: the first piece of a quiet key does, later ones wait for ``flush``.
    """

    def __init__(self) -> None:
        self.kept = Kept()
        self._waiting: list[Piece] = []
        self._hot: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether the window is open: something waits, or went out within it."""
        return bool(self._waiting or self._hot)

    def add(self, news: Ephemeral, at: str) -> list[Piece]:
        """Take one piece of news."""
        piece = self._placed(news, at)
        if piece.shape is Shape.TEXT and not piece.text and piece.offset:
            return []
        self.kept.add(piece)
        if piece.key in self._hot:
            self._waiting.append(piece)
            return []
        self._hot.add(piece.key)
        return cut(piece)

    def flush(self) -> list[Piece]:
        """Return what waits, merged. Keys that were quiet since the last flush send their next piece at once."""
        merged = merge_all(self._waiting)
        self._hot = {piece.key for piece in merged}
        self._waiting = []
        return [part for piece in merged for part in cut(piece)]

    def ended_by(self, type_: str, data: bytes) -> None:
        """Forget what a durable event ends. Call it after ``flush``."""
        if type_ in ENDING and self.kept:
            keys = self.kept.ended_by(type_, msgspec.json.decode(data))
            self.kept.drop(keys)
            self._hot.difference_update(keys)

    def so_far(self) -> list[Piece]:
        """Return the texts so far and the latest values, for a process that opens the room now."""
        return [part for piece in self.kept.pieces() for part in cut(piece)]

    def _placed(self, news: Ephemeral, at: str) -> Piece:
        """Return the news as a piece, with the offset that follows what went before."""
        type_ = type_of(news.payload).name
        data: dict[str, Any] = msgspec.to_builtins(news.payload)
        key, shape = key_of(type_, data, news.key), SHAPES.get(type_, Shape.LATEST)
        if shape is Shape.TEXT:
            data["delta"] = data.get("delta") or ""
            so_far = self.kept.text(key)
            if len(so_far) + len(data["delta"]) > LONGEST:
                data["delta"] = (so_far + data["delta"])[-LONGEST // 2 :]
                data["offset"] = 0
            else:
                data["offset"] = len(so_far)
        return Piece(type=type_, key=key, shape=shape, data=data, at=at)


def cut(piece: Piece) -> list[Piece]:
    """Return ``piece``, or the parts of a long text that do the same."""
    if piece.shape is not Shape.TEXT or len(piece.text) <= PIECE:
        return [piece]
    text, start = piece.text, piece.offset
    return [
        Piece(
            type=piece.type,
            key=piece.key,
            shape=piece.shape,
            data={**piece.data, "delta": text[at : at + PIECE], "offset": start + at},
            at=piece.at,
        )
        for at in range(0, len(text), PIECE)
    ]
