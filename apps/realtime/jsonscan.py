"""JSON that we accept: RFC 8259 and stricter, with every limit checked. Pure.

Depth is counted on the bytes before anything is parsed, so that a bomb of brackets costs a scan and no recursion.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from apps.core.errors import InvalidField, MalformedJson, TooDeep, TooLarge

MAX_DEPTH: Final = 16
MAX_KEYS: Final = 200
MAX_STRING: Final = 32_768  # bytes of UTF-8
MAX_INTEGER: Final = 2**53 - 1

# A string, or one bracket: what lies between does not matter to the depth. A string without an end is taken to the last
# byte: tried again at each quote that it holds, it would cost the square of its length.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def scan(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Return ``raw`` as JSON values.

    Raises ``TooDeep``; ``TooLarge`` for a string or object over its limit; ``MalformedJson`` for everything that is
    not JSON,
    for a byte order mark, NaN, infinities, numbers outside of what a double or 53 bits hold, NUL, lone surrogates and
    keys given twice.
    """
    if raw.startswith(b"\xef\xbb\xbf"):
        raise MalformedJson("A message does not begin with a byte order mark.")
    _check_depth(raw, max_depth)
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        raise MalformedJson("The message is not UTF-8.") from None
    except (ValueError, RecursionError):
        raise MalformedJson from None
    _check_strings(value)
    return value


def _check_depth(raw: bytes, max_depth: int) -> None:
    if raw.count(b"[") + raw.count(b"{") <= max_depth:
        return
    depth = 0
    for found in _TOKENS.finditer(raw):
        match raw[found.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += 1
                if depth > max_depth:
                    raise TooDeep(f"At most {max_depth} levels.")
            case 0x5D | 0x7D:  # ] }
                depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise TooLarge(f"An object has at most {MAX_KEYS} keys.")
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedJson("An object has a key twice.")
    return value


def _constant(name: str) -> Any:
    raise MalformedJson(f"{name} is not a JSON number.")


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(value := int(digits)) > MAX_INTEGER:
        raise MalformedJson("Integers have at most 53 bits.")
    return value


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise MalformedJson("The number is too large.")
    return value


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
)


def _check_strings(value: Any, name: str = "") -> None:
    """Check every string, keys included, without recursion into depth that was not checked."""
    if isinstance(value, str):
        _check_string(value, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_string(key, name)
            _check_strings(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for item in value:
            _check_strings(item, name)


def _check_string(text: str, name: str) -> None:
    if "\x00" in text:
        raise MalformedJson("NUL characters are not allowed.", field=name or None)
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise MalformedJson("Lone surrogates are not text.") from None
    if size > MAX_STRING:
        raise TooLarge(f"A text has at most {MAX_STRING} bytes.", field=name or None)
    if len(name) > 400:
        raise InvalidField("A field's name is too long.")
