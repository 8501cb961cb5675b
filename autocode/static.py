"""Static files by WhiteNoise, without holding a thread for the requests that are not for one.

WhiteNoise's own middleware is synchronous, and one synchronous middleware makes Django run everything behind it in
a thread: a long poll would occupy that thread until it ends. This one passes such requests on untouched.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFiles(WhiteNoiseMiddleware):
    """Answer requests below ``STATIC_URL``; all others go on. Takes WhiteNoise's settings."""

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._answer_async(request)
        return self._file(request) or cast("HttpResponseBase", self.get_response(request))

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(self.static_prefix):
            response = await to_thread(self._file, request)
            if response is not None:
                return response
        return cast("HttpResponseBase", await self.get_response(request))

    def _file(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response for a static file, or None if the path names none.

        The file is read whole: Django collects a synchronous stream in memory under ASGI anyway, with a warning.
        """
        path = request.path_info
        if not path.startswith(self.static_prefix):
            return None
        file = self.find_file(path) if self.autorefresh else self.files.get(path)
        if file is None:
            return None
        found = file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with found.file as opened:
                content = opened.read()
        response = HttpResponse(content, status=int(found.status))
        del response["Content-Type"]
        for name, value in found.headers:
            response[name] = value
        return response
