"""What is no dialect's: whether the server is ready, its metrics, the APIs' documents, and a first page."""

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from telvend.errors import Busy, NotFound
from telvend.resellers.service import Resellers


class Json(Response):
    """A JSON body, as msgspec writes it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


def pages(
    resellers: Resellers,
    public_url: str,
    documents: Mapping[str, dict[str, Any]],
    metrics: Callable[[], Awaitable[tuple[bytes, str]]],
    unready: Callable[[], Awaitable[str | None]],
) -> ASGIApp:
    """`unready` says in one sentence why the server is not ready, or None. `metrics` answers a body and its type."""

    async def first(_: Request) -> Response:
        return Json(
            {"name": "Telvend", "apis": {name: f"/openapi/{name}.json" for name in documents}, "health": "/healthz"}
        )

    async def health(_: Request) -> Response:
        why = await unready()
        return Json({"status": "ready"}) if why is None else Json({"status": "not ready", "why": why}, status_code=503)

    async def measured(_: Request) -> Response:
        try:
            body, media_type = await metrics()
        except Busy as error:
            return Json({"error": str(error)}, status_code=503)
        return Response(body, media_type=media_type)

    async def document(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in documents:
            return Json({"error": "There is no such API."}, status_code=404)
        base = public_url or f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
        return Json(documents[name] | {"servers": [{"url": base}]})

    async def logo(request: Request) -> Response:
        picture = _PICTURES.get(request.path_params["name"])
        return (
            _picture(picture, "image/svg+xml")
            if picture
            else Json({"error": "There is no such logo."}, status_code=404)
        )

    async def avatar(request: Request) -> Response:
        number = request.path_params["number"]
        try:
            if number.isascii() and number.isdigit() and len(number) < 19:
                return _picture(*await resellers.avatar(int(number)))
        except NotFound:
            pass
        except Busy as error:
            return Json({"error": str(error)}, status_code=503)
        return _picture(_PICTURES["nobody"], "image/svg+xml")

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await Json({"error": "There is nothing at this path."}, status_code=404)(scope, receive, send)

    return Router(
        routes=[
            Route("/", _Get(first)),
            Route("/healthz", _Get(health)),
            Route("/metrics", _Get(measured)),
            Route("/openapi/{name}.json", _Get(document)),
            Route("/logos/{name}.svg", _Get(logo)),
            Route("/avatars/{number}", _Get(avatar)),
        ],
        default=nothing,
        redirect_slashes=False,
    )


_PICTURES = {
    entry.name.removesuffix(".svg"): entry.read_bytes()
    for entry in files("telvend.web").joinpath("logos").iterdir()
    if entry.name.endswith(".svg")
}


def _picture(content: bytes, media_type: str) -> Response:
    """A picture that browsers may keep for a day, and that runs nothing."""
    headers = {
        "cache-control": "public, max-age=86400",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
        "x-content-type-options": "nosniff",
    }
    return Response(content, media_type=media_type, headers=headers)


class _Get:
    """A page that answers GET and HEAD, and says so in JSON to anything else."""

    def __init__(self, page: Callable[[Request], Awaitable[Response]]) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            response = await self._page(Request(scope, receive))
        else:
            response = Json({"error": "Method not allowed here."}, status_code=405, headers={"allow": "GET, HEAD"})
        await response(scope, receive, send)
