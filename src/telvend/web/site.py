"""What all pages share: headers on every answer, and an error page for every error.

    Site(router, render)        render(status, error) -> Response, in the shape of these pages

A page answers what it expects itself, and raises the rest. Its own headers win over those that are added here.
"""

from collections.abc import Callable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telvend import errors
from telvend.errors import TelvendError, UnknownPath
from telvend.kit.addresses import server_url
from telvend.kit.ids import request_id_of

HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
}
"""On every answer that does not say otherwise: nobody keeps, frames or interprets it, or tells others its address."""

LONGEST_PATH: Final = 1024
"""No page has a longer address."""

STATUS_BY_ERROR: Final[dict[type[TelvendError], int]] = {
    errors.InvalidInput: 400,
    errors.NotAuthenticated: 401,
    errors.NotPermitted: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.AlreadyExists: 409,
    errors.BodyTooLarge: 413,
    errors.TooManyRequests: 429,
    errors.Busy: 503,
}
"""What an error that a page did not answer itself is in HTTP; every other one is 500."""


class Site:
    """An ASGI application of pages. `routes` are those of its router."""

    def __init__(self, app: ASGIApp, render: Callable[[int, TelvendError], Response]) -> None:
        self._app = app
        self._render = render
        self.routes = getattr(app, "routes", [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if len(path) > LONGEST_PATH or not path.isprintable() or "\ufffd" in path:
            # A NUL, a line end, or bytes that are no UTF-8: nothing has such a name, and no table can be asked for it.
            await self.refuse(scope, send, UnknownPath(path))
            return
        # Blanks around a value are not part of it (RFC 9110, section 5.5); the parser removes the leading ones only.
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        try:
            await self._app(scope, receive, _with_headers(scope, send))
        except ClientDisconnect:
            return
        except TelvendError as error:
            if _status_of(error) == 500:
                raise
            await self.refuse(scope, send, error)

    def page_of(self, scope: Scope, status: int, error: TelvendError) -> Response:  # noqa: ARG002
        """Return the error page of this request."""
        return self._render(status, error)

    async def refuse(self, scope: Scope, send: Send, error: TelvendError) -> None:
        """Send the error page for `error`, which for a 500 shows no details."""
        response = self.page_of(scope, _status_of(error), error)
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            response.headers["retry-after"] = str(retry_after_s)
        if isinstance(error, errors.MethodNotAllowed):
            response.headers["allow"] = ", ".join(error.allowed)
        await response(scope, _nothing_more, _with_headers(scope, send))


def _status_of(error: TelvendError) -> int:
    return next((STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR), 500)


def _with_headers(scope: Scope, send: Send) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("x-request-id", request_id_of(dict(scope["headers"]).get(b"x-request-id")).decode())
        await send(message)

    return headed


def base_url_of(request: Request, public_url: str) -> str:
    """How clients reach this server, without a slash at its end: the setting, else what the request says."""
    return server_url(public_url, request.url.scheme, request.url.netloc)


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}
