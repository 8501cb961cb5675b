"""The link's own words: hello, welcome, ack, nack, ping and pong. Pure."""

from __future__ import annotations

import msgspec


class _Loose(msgspec.Struct, rename="camel", kw_only=True):
    """What an agents-server adds to its own words is its business."""


class Resume(_Loose):
    """How far AutoCode took the server's messages: all up to ``offset`` of that ``epoch``."""

    epoch: str
    offset: int


class Hello(_Loose):
    """The first message of AutoCode. ``lease_epoch`` rises with each holder of the link: obey the highest."""

    bridge_id: str
    protocol: str
    lease_epoch: int
    resume: Resume


class Welcome(_Loose):
    """The answer. ``epoch`` changes when the server lost its memory; ``offset`` is the highest it has given."""

    server_id: str = ""
    epoch: str = ""
    offset: int = 0
    acks: bool = True


class Ack(_Loose):
    """The message ``id`` is kept."""

    id: str


class Nack(_Loose):
    """The message ``id`` was not taken; ``retryable``: send it again later."""

    id: str
    code: str = ""
    message: str = ""
    retryable: bool = False


class Beat(_Loose):
    """``ping`` and its ``pong``: ``t`` is the asker's own and comes back as it is."""

    t: float | None = None
