"""The catalogue of bad JSON, one row a case, for everything that reads JSON: the socket and REST."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A text that is no message of ours. ``code`` is what it is refused with."""

    row: str
    what: str
    text: str
    code: str = "malformed_json"

    def __str__(self) -> str:
        return f"{self.row} {self.what}"


def holding(value: str, *, type_: str = "chat", key: str = "message") -> str:
    """Return a message with ``value`` (JSON text, right or wrong) in one field of its data."""
    return f'{{"type":"{type_}","id":"bad","data":{{"{key}":{value}}}}}'


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + ("1" if ":" in opening else "") + closing * depth


MANY_KEYS = "{" + ",".join(f'"k{number}":1' for number in range(5_000)) + "}"

WHOLE = [
    Text("J1", "nothing but a space", " "),
    Text("J1", "nothing but line breaks", "\r\n\t\n"),
    Text("J2", "a word", "hello"),
    Text("J2", "half an object", '{"type":'),
    Text("J2", "a comment", '{"type":"ping"} // please'),
    Text("J2", "a comment within", '{"type":/* */"ping"}'),
    Text("J4", "a comma too many in a list", '[{"type":"ping"},]'),
    Text("J4", "a comma too many in an object", '{"type":"ping",}'),
    Text("J5", "single quotes", "{'type':'ping'}"),
    Text("J5", "a key without quotes", '{type:"ping"}'),
    Text("J6", "a byte order mark", '\ufeff{"type":"ping"}'),
    Text("J7", "two values", '{"type":"ping"}{"type":"ping"}'),
    Text("J7", "two lines", '{"type":"ping"}\n{"type":"ping"}'),
    Text("J7", "something behind it", '{"type":"ping"} x'),
    Text("J7", "a NUL behind it", '{"type":"ping"}\x00'),
    Text("J15", "fifty thousand brackets", "[" * 50_000, "too_deep"),
    Text("J15", "brackets of both kinds", '[{"a":' * 5_000, "too_deep"),
    Text("J15", "strings that hide nothing", '["' + "[" * 40 + '",' + nested(17) + "]", "too_deep"),
    Text("J16", "a list 900 deep", nested(900), "too_deep"),
    Text("J16", "an object 5,000 deep", nested(5_000, '{"a":', "}"), "too_deep"),
    Text("J16", "a list that is not closed", nested(17, "[", ""), "too_deep"),
    Text("J17", "5,000 keys", MANY_KEYS, "too_large"),
    Text("J22", "null", "null", "invalid_message"),
    Text("J22", "a number", "17", "invalid_message"),
    Text("J22", "a text", '"ping"', "invalid_message"),
    Text("J22", "true", "true", "invalid_message"),
    Text("J24", "a key of 40 KiB", '{"' + "k" * 40_960 + '":1,"type":"ping"}', "too_large"),
    Text("J25", "a key twice", '{"type":"ping","type":"chat"}'),
    Text("J25", "a key twice, in another spelling", '{"type":"ping","ty\\u0070e":"chat"}'),
    Text("J25", "a key twice, deep inside", '{"type":"ping","data":{"t":{"a":1,"\\u0061":2}}}'),
]
"""Texts of which nothing can be made."""

VALUES = [
    Text("J2", "a word", "hello"),
    Text("J2", "an octal number", "017"),
    Text("J2", "a hexadecimal number", "0x11"),
    Text("J2", "a number with a plus", "+1"),
    Text("J2", "a number without an end", "1."),
    Text("J2", "a number without a beginning", ".5"),
    Text("J2", "true, as Python has it", "True"),
    Text("J9", "a line break in a text", '"a\nb"'),
    Text("J9", "a tab in a text", '"a\tb"'),
    Text("J9", "a NUL in a text", '"a\x00b"'),
    Text("J9", "an escape that is none", '"\\x41"'),
    Text("J9", "half an escape", '"\\u12"'),
    Text("J10", "NaN", "NaN"),
    Text("J10", "Infinity", "Infinity"),
    Text("J10", "minus Infinity", "-Infinity"),
    Text("J11", "1e400", "1e400"),
    Text("J11", "-1e400", "-1e400"),
    Text("J12", "an integer of 54 bits", "9007199254740992"),
    Text("J12", "a negative one", "-9007199254740992"),
    Text("J12", "4,300 digits", "9" * 4_300),
    Text("J12", "4,301 digits", "9" * 4_301),
    Text("J12", "40,000 digits", "9" * 40_000),
    Text("J19", "half a character", '"\\ud800"'),
    Text("J19", "the other half", '"\\udfff"'),
    Text("J19", "both halves the wrong way round", '"\\ude80\\ud83d"'),
    Text("J19", "half a character as a key", '{"\\ud800":1}'),
    Text("J20", "an escaped NUL", '"a\\u0000b"'),
    Text("J20", "an escaped NUL as a key", '{"\\u0000":1}'),
    Text("J15", "20 levels", nested(20), "too_deep"),
    Text("J29", "32 KiB and a byte", '"' + "x" * 32_769 + '"', "too_large"),
    Text("J29", "32 KiB and a byte of UTF-8", '"' + "é" * 16_384 + 'x"', "too_large"),
    Text("J29", "the same, escaped", '"' + "\\u00e9" * 4_096 + "é" * 12_288 + 'x"', "too_large"),
    Text("J17", "201 keys", json.dumps({f"k{number}": 1 for number in range(201)}), "too_large"),
]
"""Values that spoil the whole message in which they stand."""

WRONG_TYPES = [
    Text("J14", "1.0 for an integer", "1.0", "invalid_field"),
    Text("J14", "1e2 for an integer", "1e2", "invalid_field"),
    Text("J14", "0.5 for an integer", "0.5", "invalid_field"),
    Text("J26", "a number as text", '"1"', "invalid_field"),
    Text("J26", "true for a number", "true", "invalid_field"),
    Text("J26", "a list for a number", "[1]", "invalid_field"),
    Text("J26", "an object for a number", '{"a":1}', "invalid_field"),
    Text("J26", "a negative number", "-1", "invalid_field"),
]
"""Values for an integer from 0 up that are none: nothing is coerced."""

NAUGHTY = [
    "undefined", "null", "None", "NaN", "true", "0", "-0", "1e400", "0x0", "Infinity", "1/0", "--", "\\",
    "\\\\", '"', "'", "`", "%s%s%n%x", "%", "%00", "{0}", "${7*7}", "{{7*7}}", "#{7*7}", "<%= 7*7 %>",
    "$(touch x)", "; ls", "| cat", "&& id", "../../../../etc/passwd", "C:\\CON", "file:///etc/passwd",
    "//evil.example", "javascript:alert(1)", "' OR 1=1 --", "1; DROP TABLE projects_project", "*)(uid=*",
    "<!--#exec -->", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "</textarea><svg onload=alert(1)>", "&lt;&amp;&#x27;", "]]>", "<?xml version='1.0'?>", "a\u00a0b",
    "a\u2028b\u2029c", "a\ufeffb", "a\u200bb", "a\u200db", "\u202eabc", "\u2066abc\u2069", "a\u00adb",
    "Ω≈ç√∫˜µ≤≥÷", "田中さんにあげて下さい", "ﷺ", "مُنَاقَشَةُ", "העברית", "ทดสอบ", "한국어", "ʇunpǝ", "𝒯𝑒𝓍𝓉",
    "Z̮̞̠͙͔ͅ", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏿", "🇪🇺", "\U0001f680", "\U0010ffff", "\ufffe", "\ufffd", "\x7f",
    "\x01\x02\x1f", "\x1b[31mred\x1b[0m", "\x80\x9f", "e\u0301", "é", "ﬁ", "İ", "ß", "ǆ", "a\tb", "a\nb",
    "a\r\nb", "a\rb", "[click](javascript:alert(1))", "![x](http://evil.example/x.png)", "# head",
    "* list\n* list", "```\ncode\n```", "| a |\n|---|", "@everyone", "/slash", "=cmd|' /C calc'!A0", "+1",
    "-1", "@SUM(1)", "a" * 150, "\u0410dmin", "аdmin", "con", "__proto__", "constructor", "hasOwnProperty",
    "toString", "[object Object]", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
]  # fmt: skip
"""Texts that break programs which take them for something else. To be kept as they are, every character."""
