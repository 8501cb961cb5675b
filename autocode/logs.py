"""Logging: lines for people in a terminal, one JSON object a line elsewhere, each with its correlation id.

Tokens never reach an output: both formatters mask what looks like one in the finished line, so that a traceback or
a third party's message is covered too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

from apps.core.correlation import current_correlation_id

# A JWT anywhere; a bearer or subprotocol token; the value of anything whose name says that it is secret.
SECRETS: Final = re.compile(
    r"""eyJ[\w-]{8,}\.[\w-]+\.[\w-]*
    | (?P<scheme>\b(?:bearer\s+|autocode\.jwt\.))[^\s"',;]+
    | (?P<name>\b(?:authorization|cookie|password|secret|token|access|refresh|sessionid|csrftoken)["']?\s*[=:]\s*["']?)
      (?!bearer\b)[^\s"',;&}]+""",
    re.IGNORECASE | re.VERBOSE,
)
# What a message could use to forge a line or to drive a terminal.
CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code != 9}
# Attributes that every record has; whatever else a record carries was given as `extra`.
STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "correlation_id"}


def masked(text: str) -> str:
    """Return ``text`` with everything that looks like a token or a password replaced by ``***``."""
    return SECRETS.sub(lambda found: f"{found['scheme'] or found['name'] or ''}***", text)


class Correlation(logging.Filter):
    """Note the correlation id where the record is made: a handler may run in another context."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add ``correlation_id`` to the record; never drops one."""
        if not hasattr(record, "correlation_id"):
            record.correlation_id = current_correlation_id()
        return True


class Brief(logging.Filter):
    """Drop the traceback of a record: what a client sent is no failure of ours, and each would cost 2 KiB of log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clear ``exc_info``; never drops one."""
        record.exc_info = None
        return True


class Flood(logging.Filter):
    """Let ``most`` warnings of one kind through in a second; the next one says how many were left out.

    A kind is a logger and a message before its arguments, so that whoever makes us complain cannot fill the disk.
    """

    def __init__(self, most: int = 10) -> None:
        super().__init__()
        self._most = most
        self._second = 0.0
        self._seen: Counter[tuple[str, object]] = Counter()
        self._left_out: Counter[tuple[str, object]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if record.levelno < logging.WARNING:
            return True
        if abs(record.created - self._second) >= 1:
            self._second = record.created
            self._seen.clear()
        kind = record.name, record.msg
        self._seen[kind] += 1
        if self._seen[kind] > self._most:
            if len(self._left_out) < 1_000:
                self._left_out[kind] += 1
            return False
        if left_out := self._left_out.pop(kind, 0):
            record.left_out = left_out
        return True


class ConsoleFormatter(logging.Formatter):
    """``12:30:01 INFO    apps.realtime  message  [correlation]``, in UTC; control characters are made visible."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        correlation_id = getattr(record, "correlation_id", "")
        line = f"{time} {record.levelname:<7} {record.name}  {record.getMessage()}".translate(CONTROLS)
        if correlation_id:
            line += f"  [{correlation_id}]"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return masked(line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, correlation, and what ``extra`` gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as text; values that JSON does not know are written as ``str`` writes them."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        correlation_id = getattr(record, "correlation_id", "")
        if correlation_id:
            entry["correlation"] = correlation_id
        for name, value in record.__dict__.items():
            if name not in STANDARD:
                entry[name] = masked_value(name, value)
        if record.exc_info:
            entry["traceback"] = masked(self.formatException(record.exc_info))
        return json.dumps(entry, default=lambda value: masked(str(value)), ensure_ascii=False)


def masked_value(name: str, value: object) -> object:
    """Return what is logged for one ``extra``: text is masked, and so is a value whose name says that it is secret."""
    if not isinstance(value, str):
        return value
    return masked(value) if masked(f"{name}={value}") == f"{name}={value}" else "***"


def configuration(form: str, level: str) -> dict[str, Any]:
    """Return Django's LOGGING for ``form`` (auto, console or json) and the quietest ``level`` that is logged."""
    if form == "auto":
        form = "console" if sys.stderr.isatty() else "json"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"correlation": {"()": Correlation}, "brief": {"()": Brief}, "flood": {"()": Flood}},
        "formatters": {"console": {"()": ConsoleFormatter}, "json": {"()": JsonFormatter}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": form, "filters": ["flood", "correlation"]}
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers would print every line a second time, and unmasked.
            "django": {"handlers": [], "propagate": True, "level": level},
            "django.server": {"handlers": [], "propagate": True, "level": level},
            "django.security.DisallowedHost": {"filters": ["brief"]},
            "django.db.backends": {"level": "INFO"},  # at DEBUG it logs every query with its parameters
            "daphne": {"level": "WARNING"},  # its access log names full URLs; nginx keeps that log
            "asyncio": {"level": "WARNING"},
            "websockets": {"level": "WARNING"},  # at DEBUG it logs whole frames
        },
    }
