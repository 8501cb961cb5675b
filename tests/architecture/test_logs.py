"""Log lines: complete, one line each, and without secrets."""

import json
import logging
import sys

import pytest

from apps.core.correlation import correlated
from autocode.logs import ConsoleFormatter, Correlation, Flood, JsonFormatter

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiMSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("apps.test").makeRecord(
        "apps.test", logging.INFO, "file", 1, message, args, None, extra=extra
    )
    Correlation().filter(made)
    return made


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"refused {JWT}", JWT),
        (f"offered autocode.v1, autocode.jwt.{JWT}", JWT),
        ("Authorization: Bearer abc123def456", "abc123def456"),
        ("header authorization=Bearer abc123def456 seen", "abc123def456"),
        ("GET /ws/?token=hush-hush", "hush-hush"),
        ("{'password': 'correct horse'}", "correct"),
        ("Cookie: sessionid=0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_secrets_are_masked(formatter, line, secret):
    written = formatter.format(record("%s", line))
    assert secret not in written
    assert "***" in written


def test_a_secret_in_a_traceback_is_masked():
    try:
        raise ValueError(f"bad token {JWT}")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    for formatter in (ConsoleFormatter(), JsonFormatter()):
        assert JWT not in formatter.format(made)


def test_json_has_the_correlation_and_what_extra_gave():
    with correlated("abc-12345"):
        made = record("joined %s", "room", room="r1", viewers=3, token="hush")
    entry = json.loads(JsonFormatter().format(made))
    assert entry["message"] == "joined room"
    assert (entry["correlation"], entry["room"], entry["viewers"], entry["token"]) == ("abc-12345", "r1", 3, "***")


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JsonFormatter()])
def test_a_message_cannot_forge_a_second_line(formatter):
    written = formatter.format(record("name: %s", "bob\n12:00:00 INFO fake\x1b[2J\r"))
    assert "\n" not in written
    assert "\x1b" not in written


def test_ordinary_words_are_left_alone():
    line = "token refreshed for ada; 3 secrets kept; access granted"
    assert json.loads(JsonFormatter().format(record("%s", line)))["message"] == line


def test_a_flood_of_complaints_costs_few_lines_and_is_counted():
    flood, complaint = Flood(most=3), logging.WARNING
    made = [record("refused") for _ in range(10)]
    for number, one in enumerate(made):
        one.levelno, one.created = complaint, 100.0 + number / 100
    assert [flood.filter(one) for one in made] == [True] * 3 + [False] * 7
    quiet, other = record("connected"), record("another complaint")
    other.levelno, other.created = complaint, 100.2
    assert flood.filter(quiet)
    assert flood.filter(other)
    later = record("refused")
    later.levelno, later.created = complaint, 101.5
    assert flood.filter(later)
    assert getattr(later, "left_out", 0) == 7
