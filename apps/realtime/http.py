"""What the HTTP views of the rooms share: who asks, errors in one form, and a viewer that is not a socket."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.views.decorators.csrf import csrf_exempt

from apps.accounts.identity import Identity
from apps.accounts.sessions import user_from_session
from apps.accounts.tokens import user_from_token
from apps.core.addresses import network_of
from apps.core.correlation import current_correlation_id
from apps.core.errors import (
    AutoCodeError,
    Forbidden,
    Internal,
    InvalidField,
    InvalidMessage,
    NotAuthenticated,
    Unavailable,
)
from apps.projects.aio import in_thread, log_failure, not_now
from apps.projects.api.errors import REQUEST_ERRORS, as_error
from apps.realtime.frames import Frame, Frames
from apps.realtime.protocol import encode, error_data
from apps.realtime.viewers import Viewer

logger = logging.getLogger(__name__)

View = Callable[..., Awaitable[HttpResponseBase]]
Route = Callable[..., Any]
"""A view as Django's stubs have it: they know no async ones."""


def api(method: str) -> Callable[[View], Route]:
    """Make an async view of the API: one method, errors as JSON, CSRF checked for sessions and for them alone."""

    def decorate(view: View) -> Route:
        @functools.wraps(view)
        async def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method not in {method, "HEAD" if method == "GET" else method}:
                return error_response(InvalidMessage(f"This answers {method} only."), status=405, allow=method)
            try:
                return await view(request, *args, **kwargs)
            except AutoCodeError as error:
                return error_response(error)
            except REQUEST_ERRORS as refused:
                return error_response(as_error(refused)[0])
            except Exception as error:  # noqa: BLE001 - every failure is answered
                log_failure(logger, error, "a view of the rooms failed")
                if not_now(error):
                    return error_response(Unavailable(retry_after_ms=1_000))
                return error_response(Internal(details={"correlationId": current_correlation_id()}))

        return csrf_exempt(wrapped)

    return decorate


def error_response(error: AutoCodeError, *, status: int | None = None, allow: str = "") -> HttpResponse:
    """Return an error as the API answers it."""
    response = json_response({"error": error_data(error)}, status=status or error.http_status)
    if error.retry_after_ms is not None:
        response["Retry-After"] = str(max(1, -(-error.retry_after_ms // 1000)))
    if response.status_code == 401:
        response["WWW-Authenticate"] = "Bearer"
    if allow:
        response["Allow"] = allow
    return response


def json_response(data: Any, *, status: int = 200) -> HttpResponse:
    """Return ``data`` (with raw parts, if it has some) as JSON."""
    return HttpResponse(encode(data), content_type="application/json", status=status)


async def identity_of(request: HttpRequest) -> Identity:
    """Return who asks: a Bearer token, else a session (whose unsafe requests must carry the CSRF token).

    Raises ``NotAuthenticated``, ``TokenExpired``, ``Forbidden``.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await in_thread(user_from_token, token.strip())
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not key:
        raise NotAuthenticated
    identity = await in_thread(user_from_session, key)
    if request.method not in {"GET", "HEAD"} and (refusal := _csrf(request)):
        raise Forbidden(f"CSRF: {refusal}")
    return identity


def network(request: HttpRequest) -> str:
    """Return the network address that the request counts for. Headers are not asked: anybody can write them."""
    return network_of(str(request.META.get("REMOTE_ADDR") or "unknown"))


class Begun:
    """The parts of a streamed answer, of which the first is made already; ended for certain when the answer is closed.

    Django closes the iterator that it puts around them, and they would wait for a garbage collection.
    """

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes]) -> None:
        self._first, self._rest = first, rest
        self._loop = asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield all of them."""
        yield self._first
        async for part in self._rest:
            yield part

    def close(self) -> None:
        """End them. Django calls this in a thread."""
        asyncio.run_coroutine_threadsafe(self._rest.aclose(), self._loop)


async def begun(parts: AsyncGenerator[bytes]) -> Begun:
    """Return ``parts`` begun. What they raise instead of the first one is raised here, and answered like any error."""
    return Begun(await anext(parts), parts)


class _Csrf(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _csrf(request: HttpRequest) -> str:
    """Return why the request's CSRF token is not good, or ``""``."""
    check = _Csrf(lambda _: HttpResponse())
    check.process_request(request)
    refusal: Any = check.process_view(request, HttpResponse, (), {})
    return str(refusal) if refusal else ""


def number(request: HttpRequest, name: str, *, least: int, most: int) -> int | None:
    """Return a whole number of the query, ``most`` if it is more; None when it is absent.

    Raises ``InvalidField``, also beyond 53 bits.
    """
    text = request.GET.get(name)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not least <= int(text) < 2**53:
        raise InvalidField(f"A whole number, at least {least}.", field=name)
    return min(int(text), most)


class Listener:
    """A viewer's owner that is not a socket: frames wait in a bounded queue until they are asked for."""

    def __init__(self, limit: int) -> None:
        self.frames: deque[Frame] = deque()
        self.ended: str | None = None
        self._limit = limit
        self._size = 0
        self._wake = asyncio.Event()

    def put(self, frame: Frame) -> None:
        """See ``Owner``. A reader that is too slow is ended; it comes back with its cursor: nothing follows a hole."""
        if self.ended is not None:
            return
        if self._size + frame.size > self._limit:
            self.end("too_slow")
            return
        self._size += frame.size
        self.frames.append(frame)
        self._wake.set()

    def put_all(self, frames: Frames) -> None:
        """See ``Owner``."""
        for frame in frames:
            self.put(frame)

    def access_lost(self, viewer: Viewer, error: AutoCodeError) -> None:
        """See ``Owner``."""
        self.end("removed")

    def access_changed(self, viewer: Viewer) -> None:
        """See ``Owner``. Readers see the same whatever their role."""

    def position_lost(self, viewer: Viewer, reason: str) -> None:
        """See ``Owner``."""
        self.end(reason)

    def end(self, reason: str) -> None:
        """Let the reader see no more."""
        if self.ended is None:
            self.ended = reason
        self._wake.set()

    async def wait(self, seconds: float) -> None:
        """Return when there is something, when it has ended, or after ``seconds``."""
        if self.frames or self.ended is not None:
            return
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    def take(self) -> list[Frame]:
        """Return what waits."""
        taken = list(self.frames)
        self.frames.clear()
        self._size = 0
        return taken


def raw(frame: Frame | bytes) -> msgspec.Raw:
    """Return a frame as a part of another JSON text."""
    return msgspec.Raw(frame if isinstance(frame, bytes) else frame.data)
