"""The error tree. Each class is one code on the wire and one HTTP status.

AutoCodeError
 ├── InvalidMessage        the form of a message is wrong             invalid_message  400
 │    ├── MalformedJson    not JSON, or not the JSON we accept         malformed_json   400
 │    ├── UnknownType      no such message type                        unknown_type     400
 │    ├── InvalidField     a field is missing, unknown or wrong        invalid_field    400
 │    ├── TooLarge         frame, string or list over its limit        too_large        413
 │    └── TooDeep          nested deeper than allowed                  too_deep         400
 ├── NotAuthenticated      nobody is logged in                         not_authenticated 401
 │    └── TokenExpired     the token was good once                     token_expired    401
 ├── Forbidden             logged in, a member, but the role is too low forbidden       403
 ├── NotFound              absent, or not for you: never told apart    not_found        404
 ├── NotJoined             a command for a room that is not joined     not_joined       409
 ├── Conflict              stale version, or an id used for two things conflict         409
 │    ├── AlreadyDecided   somebody else was first                     already_decided  409
 │    └── Expired          too late                                    expired          410
 ├── RateLimited           too many in too short a time                rate_limited     429
 ├── DuplicateInProgress   the same command is being carried out       duplicate_in_progress 409
 ├── AgentsUnavailable     the agents-server cannot be reached         agents_unavailable 503
 ├── Unavailable           the database or the layer does not answer   unavailable      503
 └── Internal              our bug; logged with its correlation id     internal         500

Knows neither Django nor the wire's JSON. Texts are safe to show: no secret, no stack trace.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

LONGEST: Final = 500
"""Characters of a message: it may name what was given, and need not repeat all of it."""
LONGEST_FIELD: Final = 256


class AutoCodeError(Exception):
    """Base of all expected errors.

    ``message`` is for people; ``field`` names the offending field with dots; ``details`` must be JSON;
    ``retry_after_ms`` is how long to wait before another try.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "Something went wrong."

    def __init__(
        self,
        message: str = "",
        *,
        field: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        self.message = (message or self.default_message)[:LONGEST]
        self.field = field if field is None else field[:LONGEST_FIELD]
        self.details = details
        self.retry_after_ms = retry_after_ms
        super().__init__(self.message)


class InvalidMessage(AutoCodeError):
    """The message as a whole has the wrong form."""

    code = "invalid_message"
    http_status = 400
    default_message = "The message has the wrong form."


class MalformedJson(InvalidMessage):
    """The text is not JSON as RFC 8259 has it, or holds what we do not accept (NUL, lone surrogates)."""

    code = "malformed_json"
    default_message = "The message is not valid JSON."


class UnknownType(InvalidMessage):
    """The registry has no such type."""

    code = "unknown_type"
    default_message = "There is no such message type."


class InvalidField(InvalidMessage):
    """One field is missing, unknown or has a wrong value; ``field`` says which."""

    code = "invalid_field"
    default_message = "A field has a wrong value."


class TooLarge(InvalidMessage):
    """Over a limit of size."""

    code = "too_large"
    http_status = 413
    default_message = "The message is too large."


class TooDeep(InvalidMessage):
    """Nested deeper than the limit."""

    code = "too_deep"
    default_message = "The message is nested too deep."


class NotAuthenticated(AutoCodeError):
    """Nobody is logged in on this connection, or the credentials are not good."""

    code = "not_authenticated"
    http_status = 401
    default_message = "Please log in."


class TokenExpired(NotAuthenticated):
    """The token was good once."""

    code = "token_expired"
    default_message = "The token has expired."


class Forbidden(AutoCodeError):
    """The actor may see the project, but not do this."""

    code = "forbidden"
    http_status = 403
    default_message = "Your role does not allow this."


class NotFound(AutoCodeError):
    """Absent, or not visible to the actor; the two are never told apart."""

    code = "not_found"
    http_status = 404
    default_message = "There is no such thing, or it is not yours to see."


class NotJoined(AutoCodeError):
    """The command needs a joined room."""

    code = "not_joined"
    http_status = 409
    default_message = "Join the project first."


class Conflict(AutoCodeError):
    """The state has moved on, or one id was used for two different commands."""

    code = "conflict"
    http_status = 409
    default_message = "This has changed in the meantime."


class AlreadyDecided(Conflict):
    """Somebody else was first; ``details`` holds ``by``, ``at`` and ``decision``."""

    code = "already_decided"
    default_message = "This was already decided."


class Expired(Conflict):
    """Its time is over."""

    code = "expired"
    http_status = 410
    default_message = "It is too late for this."


class RateLimited(AutoCodeError):
    """Too many commands in too short a time; ``retry_after_ms`` says when to try again."""

    code = "rate_limited"
    http_status = 429
    retryable = True
    default_message = "Too many messages; wait a moment."


class DuplicateInProgress(AutoCodeError):
    """The same command id is being carried out right now."""

    code = "duplicate_in_progress"
    http_status = 409
    retryable = True
    default_message = "The same command is being carried out."


class AgentsUnavailable(AutoCodeError):
    """No agents-server is configured or reachable, and the command cannot wait."""

    code = "agents_unavailable"
    http_status = 503
    retryable = True
    default_message = "The agents are not connected."


class Unavailable(AutoCodeError):
    """A part that AutoCode needs does not answer."""

    code = "unavailable"
    http_status = 503
    retryable = True
    default_message = "AutoCode cannot do this right now; try again."


class Internal(AutoCodeError):
    """A bug of ours. The cause is in the server's log under the correlation id."""

    default_message = "Something went wrong on our side."
