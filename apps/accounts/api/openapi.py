"""The description of the REST API (OpenAPI 3.1), made from the structs that check the requests and make the answers.

``described`` stands on every method of every view; ``complete`` is drf-spectacular's last step and adds what it cannot
know: the structs' schemas, and which bodies are required.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from msgspec import UNSET, UnsetType

from apps.core.events import Struct

F = TypeVar("F", bound=Callable[..., Any])
Description = Callable[[], dict[str, Any]]

_REF: Final = "#/components/schemas/{name}"
_others: list[tuple[Description, Description]] = []
_structs: dict[Any, None] = {}
"""Every struct that a method takes or returns, in the order of declaration."""


class ErrorBody(Struct):
    """What went wrong: ``code`` for programs, ``message`` for people, ``field`` with dots."""

    code: str
    message: str
    retryable: bool
    field: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET


class ErrorAnswer(Struct):
    """Every error of the API has this form."""

    error: ErrorBody


ERRORS: Final = {
    400: "A field is missing, unknown or wrong, or the body is not strict JSON.",
    401: "Nobody is logged in, or the token is not good (any more).",
    403: "The role does not allow this, or the CSRF token is missing.",
    404: "There is no such thing, or it is not yours to see; the two are never told apart.",
    409: "The state has moved on, or the key was used for something else.",
    410: "Too late.",
    413: "The body is too large.",
    415: "The body must be application/json.",
    429: "Too many requests; Retry-After says when to come again.",
    503: "A part that this needs does not answer.",
}
ALWAYS: Final = (401, 429, 503)
BODY: Final = (400, 403, 413, 415)

IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
    OpenApiParameter.HEADER,
    description="A request sent twice with one key is carried out once; the second gets the first one's answer.",
)


def reference(kind: Any) -> dict[str, Any]:
    """Return a reference to the schema of ``kind`` and see to it that the description will hold it."""
    _structs[kind] = None
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def described(
    operation_id: str,
    *,
    returns: Any = None,
    status: int = 200,
    takes: Any = None,
    errors: Iterable[int] = (),
    parameters: Iterable[OpenApiParameter] = (),
) -> Callable[[F], F]:
    """Describe one method of a view; its docstring becomes the text.

    ``takes`` and ``returns`` are structs (None: no body); ``errors`` are statuses besides those that every method has
    (and those of a body when it takes one).
    """
    codes = sorted({*ALWAYS, *errors, *(BODY if takes is not None else ())})
    answers: dict[Any, Any] = {
        status: OpenApiResponse(reference(returns) if returns is not None else None, description="Done.")
    }
    answers |= {code: OpenApiResponse(reference(ErrorAnswer), description=ERRORS[code]) for code in codes}
    decorate: Callable[[F], F] = extend_schema(
        operation_id=operation_id,
        request={"application/json": reference(takes)} if takes is not None else None,
        responses=answers,
        parameters=list(parameters),
    )
    return decorate


def also(paths: Description, schemas: Description) -> None:
    """Describe operations whose views are not REST framework's: ``paths`` and the ``schemas`` that they name."""
    _others.append((paths, schemas))


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: FBT001
    """Add what others describe and the structs' schemas; mark the bodies that must be sent (drf-spectacular's hook)."""
    for paths, more in _others:
        result["paths"] = dict(sorted((result["paths"] | paths()).items()))
        result.setdefault("components", {}).setdefault("schemas", {}).update(more())
    _, components = msgspec.json.schema_components(list(_structs), ref_template=_REF)
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.update({name: components[name] for name in sorted(components)})
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content and "$ref" in content["schema"]:
                name = content["schema"]["$ref"].rpartition("/")[2]
                operation["requestBody"]["required"] = bool(components.get(name, {}).get("required"))
    return result


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # registers by being declared
    """How ``TokenAuthentication`` looks in the description."""

    target_class = "apps.accounts.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def query(name: str, schema: Any, text: str) -> OpenApiParameter:
    """Describe an optional query parameter."""
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=text)


def in_path(name: str, text: str, schema: Any = OpenApiTypes.STR) -> OpenApiParameter:
    """Describe a part of the path."""
    return OpenApiParameter(name, schema, OpenApiParameter.PATH, description=text)
