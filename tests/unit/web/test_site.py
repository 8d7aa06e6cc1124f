"""What pages have in common: headers on every answer, and an error page for whatever goes wrong."""

from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route, Router

from telvend.errors import BodyTooLarge, Busy, InvalidInput, InvariantBroken, NotFound, TelvendError
from telvend.web.pages import error_json
from telvend.web.site import HEADERS, Site
from tests.unit.asgi import request


def site(raises: BaseException | None = None, **headers: str) -> Site:
    async def page(request: Any) -> Response:
        if raises is not None:
            raise raises
        return Response(request.path_params["name"], headers=headers)

    return Site(Router(routes=[Route("/x/{name}", page)], redirect_slashes=False), error_json)


async def test_every_answer_has_the_headers_of_a_page() -> None:
    for path in ("/x/a", "/nothing"):
        reply = await request(site(), "GET", path)
        assert {name: reply.header(name) for name in HEADERS} == HEADERS
        assert reply.header("x-request-id")


async def test_a_pages_own_headers_win() -> None:
    reply = await request(site(**{"cache-control": "public", "x-request-id": "own"}), "GET", "/x/a")
    assert reply.header("cache-control") == "public"
    assert reply.header("x-request-id") == "own"
    assert reply.header("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("name", ["a\x00b", "\ufffd", "a\nb", "\u2028", "a" * 2000])
async def test_a_path_that_nothing_can_have_never_reaches_a_page(name: str) -> None:
    scope_path = f"/x/{name}"
    seen = site(AssertionError("reached"))
    reply = await request_with_path(seen, scope_path)
    assert (reply.status, reply.json) == (404, {"error": "There is nothing at this path."})


async def request_with_path(app: Any, path: str) -> Any:
    async def bent(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"path": path}, receive, send)

    return await request(bent, "GET", "/")


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound("Page"), 404), (Busy(7), 503), (BodyTooLarge(1), 413), (InvalidInput("a", "must be b"), 400)],
)
async def test_an_error_that_a_page_did_not_answer_has_its_status(error: TelvendError, status: int) -> None:
    reply = await request(site(error), "GET", "/x/a")
    assert (reply.status, reply.json) == (status, {"error": str(error)})
    assert reply.header("retry-after") == ("7" if status == 503 else None)


async def test_what_is_broken_is_left_to_the_handler_of_the_unexpected() -> None:
    for error in (InvariantBroken("secret"), RuntimeError("secret")):
        with pytest.raises(type(error)):
            await request(site(error), "GET", "/x/a")


async def test_refusing_says_nothing_of_what_is_ours() -> None:
    async def refused(scope: Any, receive: Any, send: Any) -> None:
        await site().refuse(scope, send, InvariantBroken("secret"))

    reply = await request(refused, "GET", "/x/a")
    assert (reply.status, reply.json) == (500, {"error": "Unexpected server error."})
    assert reply.header("cache-control") == "no-store"


async def test_nobody_is_answered_who_has_gone() -> None:
    assert (await request(site(ClientDisconnect()), "GET", "/x/a")).status == 0
