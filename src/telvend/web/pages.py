"""What is no dialect's: whether the server is ready, its metrics, the APIs' documents and collections, and a first page."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from telvend.errors import Busy, NotFound, TelvendError
from telvend.kit import log
from telvend.kit.fresh import Fresh
from telvend.kit.turnstile import Budget, Turnstile
from telvend.resellers.service import Resellers
from telvend.web.documents import Document, DocumentResponse
from telvend.web.forwarded import is_local, peer_of
from telvend.web.measurements import PATH as METRICS
from telvend.web.measurements import answered
from telvend.web.pieces import LargeResponse
from telvend.web.site import Site, base_url_of


class Json(Response):
    """A JSON body, as msgspec writes it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encode(content)


def error_json(status: int, error: TelvendError) -> Response:
    """An error that a page did not answer itself; what went wrong inside us is not told."""
    return Json({"error": "Unexpected server error." if status == 500 else str(error)}, status_code=status)


# How many read a picture from the database together, and how many may wait for that.
_PICTURES_AT_ONCE: Final = (2, 64)
_PICTURES_BYTES: Final = 32 * 1024 * 1024

_METRICS_ADVICE: Final = "Read them on this machine, or see the settings metrics_port and metrics_public."
_logger = log.get("telvend.http")
_metrics_refused = log.LogLimit()

_encode = msgspec.json.Encoder(decimal_format="number").encode


def pages(
    resellers: Resellers,
    public_url: str,
    documents: Mapping[str, Mapping[str, Callable[[str], dict[str, Any]]]],
    metrics: Fresh[bytes],
    unready: Callable[[], Awaitable[str | None]],
    *,
    metrics_public: bool = False,
) -> Site:
    """`documents` gives for each kind of document (openapi, postman) and API what writes it for the server's address.

    `unready` says in one sentence why the server is not ready, or None. `metrics_public`: the metrics are for everybody, and
    not only for who asks on this machine.
    """
    written = {(kind, name): Document(write) for kind, made in documents.items() for name, write in made.items()}
    pictures = Turnstile(*_PICTURES_AT_ONCE)
    together = Budget(_PICTURES_BYTES)
    addresses = {kind: {name: f"/{kind}/{name}.json" for name in made} for kind, made in documents.items()}

    async def first(_: Request) -> Response:
        found = {"apis": addresses.get("openapi", {}), "collections": addresses.get("postman", {})}
        return Json({"name": "Telvend", **found, "health": "/healthz"}, headers=BY_ACCEPT)

    async def health(_: Request) -> Response:
        why = await unready()
        return Json({"status": "ready"}) if why is None else Json({"status": "not ready", "why": why}, status_code=503)

    async def alive(_: Request) -> Response:
        """Says only that this process answers; the database is not asked."""
        return Json({"status": "alive"})

    async def measured(request: Request) -> Response:
        if not metrics_public and not is_local(request.scope):
            _metrics_refused.write(
                _logger.warning, "metrics_refused", peer=peer_of(request.scope), advice=_METRICS_ADVICE
            )
            return Json({"error": "The metrics are not for everybody."}, status_code=403)
        return await answered(metrics)

    async def document(kind: str, request: Request) -> ASGIApp:
        name = request.path_params["name"]
        found = written.get((kind, name))
        if found is None:
            return Json({"error": "There is no such API."}, status_code=404)
        headers = {"cache-control": "private, max-age=300"}  # It holds the address by which it was asked for.
        if "download" in request.query_params:
            headers["content-disposition"] = f'attachment; filename="{_FILE_NAMES[kind].format(name=name)}"'
        return DocumentResponse(*found.at(base_url_of(request, public_url)), headers)

    async def logo(request: Request) -> Response:
        picture = _PICTURES.get(request.path_params["name"])
        return (
            _picture(picture, "image/svg+xml")
            if picture
            else Json({"error": "There is no such logo."}, status_code=404)
        )

    async def avatar(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "none":
            return _picture(_PICTURES["nobody"], "image/svg+xml")
        try:
            async with pictures:
                found = await resellers.avatar(name)
            return _picture(*found, together, cache_control="private, max-age=3600")
        except NotFound:
            return Json({"error": "There is no such picture."}, status_code=404, headers=_NOT_STORED)
        except Busy as error:
            return Json({"error": str(error)}, status_code=503, headers=_NOT_STORED)

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await Json({"error": "There is nothing at this path."}, status_code=404)(scope, receive, send)

    router = Router(
        routes=[
            Route("/", _Get(first)),
            Route("/healthz", _Get(health)),
            Route("/livez", _Get(alive)),
            Route("/readyz", _Get(health)),
            Route(METRICS, _Get(measured)),
            *(Route(f"/{kind}/{{name}}.json", _Get(partial(document, kind))) for kind in documents),
            Route("/logos/{name}.svg", _Get(logo)),
            Route("/avatars/{name}", _Get(avatar)),
        ],
        default=nothing,
        redirect_slashes=False,
    )
    return Site(router, error_json)


_FILE_NAMES = {"openapi": "telvend-{name}-openapi.json", "postman": "telvend-{name}.postman_collection.json"}
BY_ACCEPT = {"vary": "Accept"}
_NOT_STORED = {"cache-control": "no-store"}


_PICTURES = {
    entry.name.removesuffix(".svg"): entry.read_bytes()
    for entry in files("telvend.web").joinpath("logos").iterdir()
    if entry.name.endswith(".svg")
}


def _picture(
    content: bytes,
    media_type: str,
    budget: Budget | None = None,
    *,
    cache_control: str = "public, max-age=86400",
) -> Response:
    """A picture that browsers may keep, and that runs nothing. Raises Busy where `budget` has no more."""
    headers = {
        "cache-control": cache_control,
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
    }
    if budget is not None:
        return LargeResponse(budget, content, media_type=media_type, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


class EveryMethod:
    """An ASGI application of one function, for every method. A route of a plain function takes GET and HEAD only."""

    def __init__(self, page: Callable[[Request], Awaitable[Response]]) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._page(Request(scope, receive)))(scope, receive, send)


class _Get:
    """A page that answers GET and HEAD, and says so in JSON to anything else."""

    def __init__(self, page: Callable[[Request], Awaitable[ASGIApp]]) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            response: ASGIApp = await self._page(Request(scope, receive))
        else:
            response = Json({"error": "Method not allowed here."}, status_code=405, headers={"allow": "GET, HEAD"})
        await response(scope, receive, send)
