"""Good payloads of any shape on the wire, made from its declaration: for round trips and as seeds of the fuzzing."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXT = st.text(CHARACTERS, max_size=20)
DEEPEST = 3
"""Levels of values where a shape allows any: a message has sixteen in all."""

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=DEEPEST,
)


@cache
def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of JSON values that the shape ``kind`` (a struct) accepts."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: PLR0911, PLR0912 - a table
    match info:
        case inspect.Metadata():
            return _of(info.type)
        case inspect.StructType():
            required = {one.encode_name: _of(one.type) for one in info.fields if one.required}
            optional = {one.encode_name: _of(one.type) for one in info.fields if not one.required}
            return st.fixed_dictionaries(required, optional=optional)
        case inspect.UnionType():
            return st.one_of([_of(one) for one in info.types])
        case inspect.ListType():
            most = 2 if info.max_length is None else min(2, info.max_length)
            return st.lists(
                _of(info.item_type), min_size=info.min_length or 0, max_size=max(most, info.min_length or 0)
            )
        case inspect.DictType():
            return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=2)
        case inspect.StrType():
            return _texts(info)
        case inspect.IntType():
            low = info.ge if info.ge is not None else -(2**31) if info.gt is None else info.gt + 1
            high = info.le if info.le is not None else 2**31 if info.lt is None else info.lt - 1
            return st.integers(low, high)
        case inspect.FloatType():
            return st.floats(
                info.ge if info.ge is not None else info.gt,
                info.le if info.le is not None else info.lt,
                exclude_min=info.gt is not None,
                exclude_max=info.lt is not None,
                allow_nan=False,
                allow_infinity=False,
            )
        case inspect.EnumType():
            return st.sampled_from([one.value for one in info.cls])
        case inspect.LiteralType():
            return st.sampled_from(list(info.values))
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return anything
        case inspect.DecimalType():
            return st.decimals(0, 10**6, places=4).map(str)
        case inspect.DateTimeType():
            return st.sampled_from(["2026-01-01T00:00:00Z", "2038-01-19T03:14:08.123+02:00"])
    raise TypeError(f"no values for {info}")


def _texts(info: inspect.StrType) -> st.SearchStrategy[str]:
    least, most = info.min_length or 0, 2**20 if info.max_length is None else info.max_length
    if info.pattern is None:
        return st.text(CHARACTERS, min_size=least, max_size=max(least, min(20, most)))
    return st.from_regex(re.compile(info.pattern), fullmatch=True).filter(lambda text: least <= len(text) <= most)
