"""A frame on its way to viewers: encoded once, shared by all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.realtime.coalescing import Piece, Shape, merge
from apps.realtime.protocol import encode, piece_frame

_HEADS = {0x7E: 4, 0x7F: 10}
"""Bytes before the text, by the second one: longer lengths stand in bytes of their own."""


class Frame:
    """One envelope. ``data`` is its JSON in UTF-8; ``text`` the same as ASGI servers want it, made at first use.

    ``seq`` is 0 for everything that is not a durable event.

    Frames of news that is never stored know their ``piece``, so that pending ones of one key can merge.
    """

    __slots__ = ("__weakref__", "_data", "_text", "guid", "piece", "seq", "size", "wire")

    wire: bytes
    """The envelope as one unmasked text frame of RFC 6455 (section 5.2), made at first use, once for all viewers."""

    def __init__(self, data: bytes, *, guid: str = "", seq: int = 0, piece: Piece | None = None) -> None:
        self._data: bytes | None = data  # None: not encoded yet; empty: see ``wire``
        self._text: str | None = None
        self.guid = guid
        self.seq = seq
        self.piece = piece
        self.size = len(data)

    @property
    def data(self) -> bytes:
        """The envelope's JSON, UTF-8."""
        if self._data is None:
            assert self.piece is not None  # noqa: S101 - only frames of pieces come without data
            self._data = piece_frame(self.guid, self.piece)
        return self._data or self.wire[_HEADS.get(self.wire[1], 2) :]

    @property
    def text(self) -> str:
        """The envelope's JSON as text."""
        if self._text is None:
            self._text = self.data.decode()
        return self._text

    def __getattr__(self, name: str) -> Any:
        """Make ``wire``: what is asked for once a viewer is a slot, not a property.

        The envelope is kept once: what waits for a slow reader takes the memory that it is counted with.
        """
        if name != "wire":
            raise AttributeError(name)
        data = self.data
        length = len(data)
        if length < 126:
            head = bytes((0x81, length))
        elif length < 65_536:
            head = b"\x81\x7e" + length.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + length.to_bytes(8, "big")
        self.wire = head + data
        self._data = b""
        return self.wire

    def merged(self, later: Frame) -> Frame | None:
        """Return one frame that does what this and then ``later`` do, or None. Encoded only if it is ever sent."""
        if self.piece is None or later.piece is None or self.piece.key != later.piece.key:
            return None
        piece = merge(self.piece, later.piece)
        if piece is None:
            return None
        if piece is later.piece:
            return later
        # Exact for texts; for the rest a little too much, because the envelope counts twice.
        grown = len(encode(later.piece.text)) - 2 if piece.shape is Shape.TEXT else later.size
        return unencoded(self.guid, piece, self.size + grown)


class Frames(list[Frame]):
    """Frames that came together. ``wire`` is all of them in one piece of bytes, joined once for all viewers."""

    __slots__ = ("_wire", "size")

    def __init__(self, frames: Iterable[Frame]) -> None:
        super().__init__(frames)
        self._wire: bytes | None = None
        self.size = sum([frame.size for frame in self])

    @property
    def wire(self) -> bytes:
        """The frames of RFC 6455, one after the other."""
        if self._wire is None:
            self._wire = b"".join([frame.wire for frame in self])
        return self._wire


def of_piece(guid: str, piece: Piece) -> Frame:
    """Return the frame of ``piece``, encoded."""
    return Frame(piece_frame(guid, piece), guid=guid, piece=piece)


def unencoded(guid: str, piece: Piece, size: int) -> Frame:
    """Return the frame of ``piece``, which is encoded when it leaves, if it ever does. ``size`` is about its bytes."""
    frame = Frame.__new__(Frame)
    frame._data = frame._text = None  # noqa: SLF001 - its own constructor
    frame.guid, frame.piece, frame.seq, frame.size = guid, piece, 0, size
    return frame


def text_in(data: bytes, limit: int) -> bytes | None:
    """Return the text of a client's frame if ``data`` is just one whole text message, as nearly all that arrives is.

    None for everything else, faulty or not: more or less than one frame, other opcodes, fragments, reserved bits, no
    mask, a length that is written too long or beyond ``limit``, bytes that are no UTF-8 (RFC 6455, 5.2, 5.3, 8.1).
    """
    size = len(data)
    if size < 6 or data[0] != 0x81 or data[1] < 0x80:
        return None
    length, head = data[1] & 0x7F, 6
    if length == 126:
        length, head = int.from_bytes(data[2:4], "big"), 8
        if length < 126:
            return None
    elif length == 127:
        return None
    if length > limit or size != head + length:
        return None
    mask, masked = data[head - 4 : head], data[head:]
    pattern = (mask * (length // 4 + 1))[:length]
    text = (int.from_bytes(masked, "big") ^ int.from_bytes(pattern, "big")).to_bytes(length, "big")
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    return text
