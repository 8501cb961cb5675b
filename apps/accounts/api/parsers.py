"""JSON as RFC 8259 has it and nothing looser: what two readers could understand differently is refused.

Refused: duplicate keys, NaN and infinities, integers beyond 53 bits, NUL and lone surrogates in any text, bytes that
are not UTF-8, more than 1 MiB, deeper than 16 and wider than 200 keys. (PostgreSQL cannot store NUL; SQLite would.)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, Final, NoReturn

from django.conf import settings
from django.http import UnreadablePostError
from rest_framework.parsers import BaseParser

from apps.core.errors import MalformedJson, TooDeep, TooLarge

DEEPEST: Final = 16
WIDEST: Final = 200
SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that JavaScript holds exactly."""

_HINT = "The body is not valid JSON."


class StrictJSONParser(BaseParser):
    """Parses ``application/json`` strictly. Raises ``MalformedJson``, ``TooDeep``, ``TooLarge``."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            body = stream.read(limit + 1)
        except UnreadablePostError as error:
            raise MalformedJson("The body ended early.") from error
        if len(body) > limit:
            raise TooLarge(f"A body has at most {limit} bytes.")
        return strict_json(body)


def strict_json(body: bytes) -> Any:
    """Return the value that ``body`` holds. Raises ``MalformedJson`` and ``TooDeep``."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except RecursionError as error:
        raise TooDeep from error
    except UnicodeDecodeError as error:
        raise MalformedJson("The body is not UTF-8.") from error
    except ValueError as error:
        raise MalformedJson(_HINT) from error
    _inspect(value, 0)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise MalformedJson("An object names a key twice.")
    if len(made) > WIDEST:
        raise MalformedJson(f"An object has at most {WIDEST} keys.")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJson(f"{name} is not JSON.")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise MalformedJson("A number is too large.")
    return value


def _integer(digits: str) -> int:
    # By the digits first: turning thousands of them into an integer takes quadratic time.
    if len(digits) > 17 or abs(int(digits)) > SAFE_INTEGER:
        raise MalformedJson("An integer has at most 53 bits.")
    return int(digits)


def _inspect(value: Any, depth: int) -> None:
    if isinstance(value, str):
        _inspect_text(value)
    elif isinstance(value, dict | list):
        if depth >= DEEPEST:
            raise TooDeep
        if isinstance(value, dict):
            for name in value:
                _inspect_text(name)
        for item in value.values() if isinstance(value, dict) else value:
            _inspect(item, depth + 1)


def _inspect_text(text: str) -> None:
    if "\x00" in text:
        raise MalformedJson("NUL characters are not allowed.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise MalformedJson("A text holds half a character (a lone surrogate).") from None
