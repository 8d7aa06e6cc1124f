"""The front of everything that is served: whom a request is for, its Host, and the handler of the unexpected."""

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from telvend.dialects.contract import Context, Dialect, Endpoint, Request, Response
from telvend.dialects.dispatch import PROBES, Dispatch, is_host
from telvend.dialects.serving import DialectApp
from telvend.errors import HostNotValid, InvariantBroken, TelvendError
from tests.unit.asgi import Reply, request


class Named:
    """Answers with its name and the Host that it sees; refuses with the error's class."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.raises: Exception | None = None
        self.begins = False
        self.cannot_refuse = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002
        if self.raises is not None and not self.begins:
            raise self.raises
        host = dict(scope["headers"]).get(b"host", b"")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"seen", host)]})
        if self.raises is not None:
            raise self.raises
        await send({"type": "http.response.body", "body": self.name.encode()})

    async def refuse(self, scope: Any, send: Any, error: TelvendError) -> None:
        if self.cannot_refuse:
            raise RuntimeError("broken too")
        status = 400 if isinstance(error, HostNotValid) else 500
        headers = [(b"x-request-id", dict(scope["headers"]).get(b"x-request-id", b""))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{self.name} {type(error).__name__}".encode()})


def front() -> tuple[Dispatch, dict[str, Named]]:
    apps = {base: Named(base) for base in ("/api", "/api/v1", "pages")}
    return Dispatch({base: app for base, app in apps.items() if base != "pages"}, apps["pages"]), apps


async def test_the_longest_base_path_wins_and_a_longer_word_is_not_below_it() -> None:
    app, _ = front()
    for path, expected in {
        "/api": "/api", "/api/": "/api", "/api/v1": "/api/v1", "/api/v1/x": "/api/v1", "/api/v10": "/api",
        "/api/v2": "/api", "/apis": "pages", "/": "pages", "": "pages", "/v1/api": "pages",
    }.items():  # fmt: skip
        assert (await request(app, "GET", path)).body == expected.encode(), path


# Host -------------------------------------------------------------------------------------------------------------------

GOOD = [
    "shop.example", "SHOP.example.", "shop", "my_shop", "a-b.c", "127.0.0.1", "127.0.0.1:8000", "shop:1", "shop:65535", "[::1]",
    "[::1]:8000", "[2001:db8::7]:80", "[::ffff:1.2.3.4]", "xn--bcher-kva.example:443", "1", "a" * 63 + ".example",
]  # fmt: skip
BAD = [
    "", " ", ":80", "shop:", "shop:x", "shop:-1", "shop:0", "shop:65536", "shop:99999999999", "shop:80:80", "a b", "a@b", "user:pw@b",
    "a/b", "a\\b", "a?b", "a#b", "a,b", "a;b", "a..b", ".a", "a\x00b", "a\r\nb", "a\tb", "a\x7fb", "\xe9.example", "%65vil",
    "<script>", "'", '"', "::1", "[::1", "::1]", "[]", "[:]", "[::1%25eth0]", "[gggg::]", "[1.2.3.4]", "[::1]x", "[[::1]]",
    "http://shop", "{shop}", "a" * 64, "a." * 200, "$(x)",
]  # fmt: skip


@pytest.mark.parametrize("host", GOOD)
async def test_a_host_that_can_stand_in_an_address_is_taken(host: str) -> None:
    assert is_host(host.encode())


@pytest.mark.parametrize("host", BAD)
async def test_any_other_host_is_refused_in_the_shape_of_what_was_asked(host: str) -> None:
    app, _ = front()
    for path, name in {"/api/v1/x": "/api/v1", "/": "pages", "/healthz": "pages"}.items():
        reply = await request(app, "GET", path, raw_headers=[(b"host", host.encode("latin-1"))])
        assert (reply.status, reply.body) == (400, f"{name} HostNotValid".encode())


async def test_blanks_around_a_host_are_not_part_of_it() -> None:
    app, _ = front()
    reply = await request(app, "GET", "/api", raw_headers=[(b"host", b" shop:80 \t"), (b"x", b" y ")])
    assert (reply.status, reply.header("seen")) == (200, "shop:80")


async def test_two_hosts_are_refused_alike_or_not_also_for_probes() -> None:
    app, _ = front()
    for second in (b"a", b"b", b""):
        for path in ("/api", "/healthz"):
            reply = await request(app, "GET", path, raw_headers=[(b"host", b"a"), (b"host", second)])
            assert reply.status == 400


async def test_a_missing_host_is_refused_in_http_1_1_except_for_probes() -> None:
    app, _ = front()
    assert (await request(app, "GET", "/api/v1", raw_headers=())).status == 400
    assert (await request(app, "GET", "/metrics", raw_headers=())).status == 400
    for probe in PROBES:
        assert (await request(app, "GET", probe, raw_headers=())).status == 200


async def test_http_1_0_needs_no_host_and_is_told_the_address_that_was_reached() -> None:
    app, _ = front()
    reply = await request(app, "GET", "/api/v1", raw_headers=(), http_version="1.0")
    assert (reply.status, reply.header("seen")) == (200, "127.0.0.1:8000")
    assert (await request(app, "GET", "/", raw_headers=[(b"host", b"a@b")], http_version="1.0")).status == 400


# The unexpected ---------------------------------------------------------------------------------------------------------


async def test_an_unexpected_exception_is_one_critical_line_and_a_500_with_the_same_request_id() -> None:
    app, apps = front()
    apps["pages"].raises = RuntimeError("secret detail")
    for given in ({}, {"x-request-id": "mine-1"}, {"x-request-id": "bad\tid"}):
        app, apps = front()
        apps["pages"].raises = RuntimeError("secret detail")
        with capture_logs() as lines:
            reply = await request(app, "GET", "/", headers=given)
        assert (reply.status, reply.body) == (500, b"pages InvariantBroken")
        (line,) = lines
        assert line["log_level"] == "critical"
        assert line["request_id"] == reply.header("x-request-id") != ""
        assert given.get("x-request-id", "") != "mine-1" or line["request_id"] == "mine-1"


async def test_the_same_failure_again_is_counted_and_not_logged() -> None:
    app, apps = front()
    apps["/api"].raises = RuntimeError()
    with capture_logs() as lines:
        for _ in range(5):
            assert (await request(app, "GET", "/api")).status == 500
    assert len(lines) == 1


async def test_where_not_even_the_error_can_be_rendered_there_is_a_bare_500() -> None:
    app, apps = front()
    apps["/api"].raises, apps["/api"].cannot_refuse = RuntimeError("secret detail"), True
    with capture_logs() as lines:
        reply = await request(app, "GET", "/api")
    assert (reply.status, reply.json) == (500, {"error": "Unexpected server error."})
    assert reply.header("cache-control") == "no-store"
    assert [line["request_id"] for line in lines] == [reply.header("x-request-id")]


async def test_an_answer_that_has_begun_is_left_to_the_server() -> None:
    app, apps = front()
    apps["/api"].raises, apps["/api"].begins = RuntimeError(), True
    sent: list[Any] = []

    async def send(message: Any) -> None:
        if sent and message["type"] == "http.response.start":
            raise RuntimeError("already started")
        sent.append(message)

    scope = {"type": "http", "path": "/api", "method": "GET", "headers": [(b"host", b"x")], "http_version": "1.1"}
    with capture_logs() as lines:
        await app(scope, cast(Any, None), send)
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert len(lines) == 1


async def test_nothing_but_http_is_served() -> None:
    app, _ = front()
    for kind in ("websocket", "lifespan"):
        await app({"type": kind}, cast(Any, None), cast(Any, None))


async def dialect(render: Any, **more: Any) -> Reply:
    """What a dialect whose only endpoint answers something that is no JSON says, behind the front."""

    async def handler(_: Context[Any]) -> Response:
        return Response(200, object())

    services: Any = type("Services", (), {"resellers": People(), "public_url": ""})()
    app = DialectApp(
        Dialect(
            name="test",
            title="",
            base_path="/base",
            key_of=lambda _: "good",
            error=render,
            endpoints=(Endpoint("GET", "/thing", handler, "", {}),),
            **more,
        ),
        services,
        cast(Any, People()),
    )
    return await request(Dispatch({"/base": app}, Named("pages")), "GET", "/base/thing")


class People:
    """Knows everybody and allows everything."""

    def cached(self, *_: Any) -> Any:
        return type("Caller", (), {"purchase_limit": 1, "read_limit": 1, "key_bytes": b"", "key_id": 1})()

    authenticate = cached

    async def take(self, *_: Any) -> Any:
        return type("Verdict", (), {"allowed": True, "remaining": 0, "limit": 1, "reset_s": 0, "retry_after_s": 0})()


async def test_what_breaks_outside_of_a_handler_has_the_dialects_own_shape() -> None:
    def render(error: TelvendError, request: Request) -> Response:
        return Response(500, {"broken": isinstance(error, InvariantBroken), "id": request.request_id.decode()})

    with capture_logs() as lines:
        reply = await dialect(render)
    (line,) = lines
    assert (reply.status, reply.json) == (500, {"broken": True, "id": line["request_id"]})
    assert (reply.header("cache-control"), reply.header("x-content-type-options")) == ("no-store", "nosniff")
