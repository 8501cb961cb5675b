"""Why a socket is closed, in numbers: the range tells the client what to do next (protocol page, section 5). Pure."""

from __future__ import annotations

import enum

from apps.core.errors import AutoCodeError, Forbidden, NotAuthenticated, Unavailable


class CloseCode(enum.IntEnum):
    """The codes that the server sends. 1000 is the client's own, 1009 the frame limit's."""

    DRAINING = 4101
    TOO_SLOW = 4102
    POSITION_LOST = 4103
    NO_HEARTBEAT = 4104
    MAXIMUM_AGE = 4105
    OVERLOADED = 4201
    RATE_LIMITED = 4202
    TOKEN_EXPIRED = 4301
    NOT_AUTHENTICATED = 4302
    MALFORMED = 4400
    BAD_CREDENTIALS = 4401
    NO_LONGER_ALLOWED = 4403
    TOO_MANY_CONNECTIONS = 4408
    SESSION_ENDED = 4409
    NO_COMMON_SUBPROTOCOL = 4410


class Advice(enum.StrEnum):
    """What a client does after a close."""

    RECONNECT = "reconnect"
    BACK_OFF = "backOff"
    RENEW_TOKEN = "renewToken"  # noqa: S105 - a word on the wire
    STOP = "stop"


MEANINGS: dict[CloseCode, str] = {
    CloseCode.DRAINING: "the server is being restarted",
    CloseCode.TOO_SLOW: "the client reads too slowly",
    CloseCode.POSITION_LOST: "the position in the room was lost; join again",
    CloseCode.NO_HEARTBEAT: "nothing was heard from the client",
    CloseCode.MAXIMUM_AGE: "the connection is old; open a new one",
    CloseCode.OVERLOADED: "the server has too much to do",
    CloseCode.RATE_LIMITED: "too many messages",
    CloseCode.TOKEN_EXPIRED: "the token has expired",
    CloseCode.NOT_AUTHENTICATED: "no login within the time allowed",
    CloseCode.MALFORMED: "too many malformed messages",
    CloseCode.BAD_CREDENTIALS: "the credentials are not good",
    CloseCode.NO_LONGER_ALLOWED: "no longer a member",
    CloseCode.TOO_MANY_CONNECTIONS: "too many connections",
    CloseCode.SESSION_ENDED: "logged out, or the user was disabled",
    CloseCode.NO_COMMON_SUBPROTOCOL: "no common subprotocol",
}


def advice(code: int) -> Advice:
    """Return what a client does after ``code``: the hundreds decide, so that a new code needs no new client."""
    match code // 100:
        case 42:
            return Advice.BACK_OFF
        case 43:
            return Advice.RENEW_TOKEN
        case 44:
            return Advice.STOP
        case _:
            return Advice.RECONNECT


def because(code: CloseCode) -> AutoCodeError:
    """Return the error that says ``code`` in words."""
    match code:
        case CloseCode.NOT_AUTHENTICATED | CloseCode.SESSION_ENDED | CloseCode.BAD_CREDENTIALS:
            return NotAuthenticated(f"{MEANINGS[code].capitalize()}.")
        case CloseCode.NO_LONGER_ALLOWED:
            return Forbidden("You are no longer a member of this project.")
        case _:
            return Unavailable(f"{MEANINGS[code].capitalize()}.")
