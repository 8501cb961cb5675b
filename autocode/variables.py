"""The table of environment variables: name, type, default, unit, meaning. Knows nothing of how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

Value = str | int | float | bool | tuple[str, ...]


class Kind(Enum):
    """How a value is written in the environment."""

    TEXT = "text"
    SECRET = "text, secret"  # noqa: S105 - the name of a kind
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "on or off"
    NAMES = "list, separated by commas"
    CHOICE = "one of"
    PATH = "path"
    URL = "URL"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    ``default`` is used when the variable is absent or empty. ``required`` names a variable without which production
    does not start. ``minimum`` bounds numbers from below and the length of texts, both inclusive.
    """

    name: str
    kind: Kind
    default: Value
    meaning: str
    unit: str = ""
    required: bool = False
    minimum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Variables that belong together, under one heading of ``env.example``."""

    title: str
    variables: tuple[Variable, ...]


SECTIONS: Final = (
    Section(
        "The site",
        (
            Variable(
                "AUTOCODE_DEBUG",
                Kind.FLAG,
                default=False,
                meaning="Show tracebacks in the browser and allow the demo. The local settings turn it on by default.",
            ),
            Variable(
                "AUTOCODE_SECRET_KEY",
                Kind.SECRET,
                default="",
                meaning="Signs sessions and tokens. The local settings make one and keep it in AUTOCODE_DATA.",
                unit="at least 50 characters",
                required=True,
                minimum=50,
            ),
            Variable(
                "AUTOCODE_SECRET_KEY_FALLBACKS",
                Kind.NAMES,
                default=(),
                meaning="Former secret keys that still verify sessions while they are being replaced.",
            ),
            Variable(
                "AUTOCODE_ALLOWED_HOSTS",
                Kind.NAMES,
                default=(),
                meaning="Host names that the site answers to, for example rooms.example.org. No wildcards.",
                required=True,
            ),
            Variable(
                "AUTOCODE_TRUSTED_ORIGINS",
                Kind.NAMES,
                default=(),
                meaning="Full origins whose pages may post forms and open sockets, for example "
                "https://rooms.example.org. Empty: only pages of the very host that is asked.",
            ),
            Variable(
                "AUTOCODE_HTTPS",
                Kind.FLAG,
                default=True,
                meaning="People reach the site over TLS: secure cookies, HSTS, redirects. Off only in a closed test "
                "network. Ignored by the local settings.",
            ),
            Variable(
                "AUTOCODE_TLS_PROXY",
                Kind.FLAG,
                default=False,
                meaning="A reverse proxy ends TLS and always overwrites X-Forwarded-Proto. On without such a proxy, a "
                "client could claim to be on TLS.",
            ),
            Variable(
                "HOST", Kind.TEXT, default="127.0.0.1", meaning="Address that `./run` and `manage.py serve` listen on."
            ),
            Variable("PORT", Kind.INTEGER, default=8000, meaning="Port that they listen on.", minimum=0),
        ),
    ),
    Section(
        "Where things are kept",
        (
            Variable(
                "AUTOCODE_DATA",
                Kind.PATH,
                default="data",
                meaning="Directory of the SQLite database, the generated secrets and the demo's workspaces; relative "
                "to the repository.",
            ),
            Variable(
                "DATABASE_URL",
                Kind.URL,
                default="",
                meaning="postgres://user:password@host:5432/name, or sqlite:///path. Empty: SQLite in AUTOCODE_DATA.",
            ),
            Variable(
                "AUTOCODE_DB_THREADS",
                Kind.INTEGER,
                default=8,
                meaning="Threads of a process that run database work for sockets; it also sizes the PostgreSQL pool.",
                unit="threads",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_REDIS_URL",
                Kind.URL,
                default="",
                meaning="redis://host:6379/0. Joins several processes. Empty: one process, everything in its memory.",
            ),
            Variable(
                "AUTOCODE_REDIS_PREFIX",
                Kind.TEXT,
                default="autocode",
                meaning="Begins every key and channel, so that installations can share one Redis.",
                minimum=1,
            ),
        ),
    ),
    Section(
        "The link to the agents-server",
        (
            Variable(
                "AUTOCODE_AGENTS_URL",
                Kind.URL,
                default="",
                meaning="ws:// or wss:// address of the agents-server. Empty: no link. `./run` sets its own demo.",
            ),
            Variable(
                "AUTOCODE_AGENTS_TOKEN",
                Kind.SECRET,
                default="",
                meaning="Bearer token that AutoCode shows to the agents-server.",
            ),
            Variable(
                "AUTOCODE_AGENTS_ACKS",
                Kind.FLAG,
                default=True,
                meaning="Expect an acknowledgement for each message. Off for servers that never send one.",
            ),
            Variable(
                "AUTOCODE_AGENTS_LINK",
                Kind.CHOICE,
                default="embedded",
                choices=("embedded", "separate", "off"),
                meaning="Where the link runs: inside `serve`, in a process of its own, or nowhere.",
            ),
        ),
    ),
    Section(
        "Sockets",
        (
            Variable(
                "AUTOCODE_STREAM_WINDOW_MS",
                Kind.INTEGER,
                default=100,
                meaning="Streamed text, typing and progress are merged for this long before they are sent.",
                unit="milliseconds",
                minimum=0,
            ),
            Variable(
                "AUTOCODE_HEARTBEAT_S",
                Kind.NUMBER,
                default=27.0,
                meaning="A quiet connection is asked for a sign of life this often; below the 30 s and 60 s at which "
                "proxies commonly cut.",
                unit="seconds",
                minimum=0.1,
            ),
            Variable(
                "AUTOCODE_HEARTBEAT_GRACE_S",
                Kind.NUMBER,
                default=10.0,
                meaning="A connection that has not answered after this is closed.",
                unit="seconds",
                minimum=0.1,
            ),
            Variable(
                "AUTOCODE_AUTH_TIMEOUT_S",
                Kind.NUMBER,
                default=10.0,
                meaning="A connection that opened without a login must show a token within this time.",
                unit="seconds",
                minimum=0.1,
            ),
            Variable(
                "AUTOCODE_REQUEST_S",
                Kind.NUMBER,
                default=30.0,
                meaning="A request must arrive within this, from its first line to its last byte. A connection that "
                "says nothing is cut after half of it, one that takes nothing of its answer after all of it.",
                unit="seconds",
                minimum=0.1,
            ),
            Variable(
                "AUTOCODE_ACCESS_CHECK_S",
                Kind.NUMBER,
                default=3.0,
                meaning="The logins behind open connections are looked up this often, in case the message that one "
                "of them has ended was lost.",
                unit="seconds",
                minimum=0.1,
            ),
            Variable(
                "AUTOCODE_SOCKET_MAX_AGE_S",
                Kind.INTEGER,
                default=43_200,
                meaning="Age at which a connection is asked to reconnect; below the 24 h at which Daphne and channel "
                "groups give up on their own.",
                unit="seconds",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_UVLOOP",
                Kind.FLAG,
                default=True,
                meaning="Run `serve` on uvloop where it is installed, not on asyncio's own loop.",
            ),
            Variable(
                "AUTOCODE_DRAIN_S",
                Kind.NUMBER,
                default=10.0,
                meaning="On SIGTERM, connections are spread over this time and told to reconnect before the end.",
                unit="seconds",
                minimum=0,
            ),
            Variable(
                "AUTOCODE_PRESENCE_TTL_S",
                Kind.INTEGER,
                default=60,
                meaning="A viewer whose process fell silent disappears after this.",
                unit="seconds",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_POSITION_CHECK_S",
                Kind.NUMBER,
                default=1.0,
                meaning="A room compares its position with the log this often; bounds how late lost news can be.",
                unit="seconds",
                minimum=0.01,
            ),
        ),
    ),
    Section(
        "Limits",
        (
            Variable(
                "AUTOCODE_MAX_FRAME_BYTES",
                Kind.INTEGER,
                default=65_536,
                meaning="A longer frame closes its connection.",
                unit="bytes",
                minimum=1024,
            ),
            Variable(
                "AUTOCODE_COMMANDS_PER_S",
                Kind.NUMBER,
                default=20.0,
                meaning="Commands of one connection, sustained.",
                unit="commands a second",
                minimum=0.01,
            ),
            Variable(
                "AUTOCODE_COMMAND_BURST",
                Kind.INTEGER,
                default=40,
                meaning="Commands that one connection may send at once.",
                unit="commands",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_FEEDBACKS_PER_S",
                Kind.NUMBER,
                default=5.0,
                meaning="Feedback of one user: each one wakes an agent.",
                unit="commands a second",
                minimum=0.01,
            ),
            Variable(
                "AUTOCODE_USER_COMMANDS_PER_S",
                Kind.NUMBER,
                default=60.0,
                meaning="Commands of one user over all connections.",
                unit="commands a second",
                minimum=0.01,
            ),
            Variable(
                "AUTOCODE_CONNECTIONS_PER_USER",
                Kind.INTEGER,
                default=10,
                meaning="Open sockets of one user; as many event streams and waiting polls may be open besides.",
                unit="connections",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_CONNECTIONS_PER_ADDRESS",
                Kind.INTEGER,
                default=50,
                meaning="The same for one network address; an office behind one address needs more.",
                unit="connections",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_ROOMS_PER_CONNECTION",
                Kind.INTEGER,
                default=50,
                meaning="Rooms that one connection may have joined.",
                unit="rooms",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_OUTBOUND_BYTES",
                Kind.INTEGER,
                default=1_048_576,
                meaning="Bytes that may wait for one slow reader before it is closed.",
                unit="bytes",
                minimum=1024,
            ),
            Variable(
                "AUTOCODE_REPLAY_EVENTS",
                Kind.INTEGER,
                default=2000,
                meaning="A reader further behind gets a snapshot instead of the events.",
                unit="events",
                minimum=0,
            ),
            Variable(
                "AUTOCODE_REPLAY_BYTES",
                Kind.INTEGER,
                default=4_194_304,
                meaning="The same by size.",
                unit="bytes",
                minimum=0,
            ),
        ),
    ),
    Section(
        "How long the log is kept",
        (
            Variable(
                "AUTOCODE_LOG_DAYS",
                Kind.INTEGER,
                default=30,
                meaning="Events younger than this can be replayed.",
                unit="days",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_AUDIT_DAYS",
                Kind.INTEGER,
                default=365,
                meaning="Entries of the audit trail are kept this long. The database refuses to lose younger ones than "
                "90 days.",
                unit="days",
                minimum=90,
            ),
            Variable(
                "AUTOCODE_LOG_EVENTS",
                Kind.INTEGER,
                default=100_000,
                meaning="At most so many events of one project are kept.",
                unit="events",
                minimum=1,
            ),
        ),
    ),
    Section(
        "Tokens",
        (
            Variable(
                "AUTOCODE_JWT_ACCESS_S",
                Kind.INTEGER,
                default=300,
                meaning="Life of an access token.",
                unit="seconds",
                minimum=1,
            ),
            Variable(
                "AUTOCODE_JWT_REFRESH_S",
                Kind.INTEGER,
                default=86_400,
                meaning="Life of a refresh token; each use replaces it.",
                unit="seconds",
                minimum=1,
            ),
        ),
    ),
    Section(
        "Logging and the demo",
        (
            Variable(
                "AUTOCODE_LOG_FORMAT",
                Kind.CHOICE,
                default="auto",
                choices=("auto", "console", "json"),
                meaning="Lines for people, or one JSON object a line. auto: console in a terminal, JSON elsewhere.",
            ),
            Variable(
                "AUTOCODE_LOG_LEVEL",
                Kind.CHOICE,
                default="INFO",
                choices=("DEBUG", "INFO", "WARNING", "ERROR"),
                meaning="Quietest message that is logged.",
            ),
            Variable(
                "AUTOCODE_DEMO_PASSWORD",
                Kind.SECRET,
                default="",
                meaning="Password of the demo users. Empty: random on the first `./run`, kept in AUTOCODE_DATA.",
            ),
        ),
    ),
)

VARIABLES: Final[Mapping[str, Variable]] = {
    variable.name: variable for section in SECTIONS for variable in section.variables
}
