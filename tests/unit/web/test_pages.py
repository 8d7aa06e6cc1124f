"""What is no dialect's: health, metrics, documents, pictures. JSON for whatever is asked, and only GET and HEAD."""

import asyncio
from decimal import Decimal
from typing import Any, cast

import pytest

from telvend.errors import Busy, NotFound
from telvend.kit.fresh import Fresh
from telvend.web.measurements import metrics_only
from telvend.web.pages import pages
from tests.unit.asgi import request

DOCUMENTS = {
    "openapi": {
        "netpluse": lambda base: {
            "openapi": "3.1.0",
            "info": {"title": "Netpluse", "description": "Bundles of Ghana. Keys are <b>secret</b>."},
            "price": Decimal("4.50"),
            "servers": [{"url": base}],
        }
    },
    "postman": {"netpluse": lambda base: {"variable": [{"key": "baseUrl", "value": base}]}},
}


TOKEN = "0f" * 32
AWAY = "a0" * 32


class State:
    why: str | None = None
    away = False


class People:
    """Only this token has a picture; the database is away when another one is asked for."""

    async def avatar(self, token: str) -> tuple[bytes, str]:
        if token == AWAY:
            raise Busy
        if token != TOKEN:
            raise NotFound("Picture")
        return b"\x89PNG\r\n\x1a\n...", "image/png"


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def app(state: State) -> Any:
    async def unready() -> str | None:
        return state.why

    async def metrics() -> bytes:
        if state.away:
            raise Busy
        return b"telvend_up 1\n"

    return pages(cast(Any, People()), "", DOCUMENTS, Fresh(metrics, 0), unready)


@pytest.mark.parametrize("kind", DOCUMENTS)
async def test_documents_have_no_slash_at_the_end_of_the_address_whatever_the_setting_has(kind: str) -> None:
    async def nothing() -> Any:
        return None

    site = pages(cast(Any, People()), "https://shop.example/", DOCUMENTS, Fresh(nothing, 0), nothing)
    reply = await request(site, "GET", f"/{kind}/netpluse.json")
    assert b'"https://shop.example"' in reply.body


async def test_health_says_whether_and_why(app: Any, state: State) -> None:
    reply = await request(app, "GET", "/healthz")
    assert (reply.status, reply.json) == (200, {"status": "ready"})
    state.why = "The database does not answer."
    reply = await request(app, "GET", "/healthz")
    assert (reply.status, reply.json) == (503, {"status": "not ready", "why": "The database does not answer."})
    assert (await request(app, "HEAD", "/healthz")).status == 503


async def test_a_process_says_that_it_lives_without_the_database_and_is_ready_as_health_says(
    app: Any, state: State
) -> None:
    state.why = "The database does not answer."
    reply = await request(app, "GET", "/livez")
    assert (reply.status, reply.json) == (200, {"status": "alive"})
    assert (await request(app, "GET", "/readyz")).status == 503
    state.why = None
    assert (await request(app, "GET", "/readyz")).json == {"status": "ready"}


async def test_only_documents_and_pictures_are_kept_by_anybody(app: Any) -> None:
    kept = {"/openapi/netpluse.json": "private, max-age=300", "/logos/gh-mtn.svg": "public, max-age=86400"}
    for path in ("/", "/healthz", "/metrics", "/nothing", "/logos/none.svg", *kept):
        assert (await request(app, "GET", path)).header("cache-control") == kept.get(path, "no-store"), path


async def test_metrics_are_text_and_503_while_the_database_is_away(app: Any, state: State) -> None:
    reply = await request(app, "GET", "/metrics")
    assert (reply.status, reply.body, reply.header("content-type")) == (
        200, b"telvend_up 1\n", "text/plain; version=0.0.4; charset=utf-8",
    )  # fmt: skip
    state.away = True
    reply = await request(app, "GET", "/metrics")
    assert reply.status == 503
    assert "busy" in reply.json["error"]


async def test_the_first_page_names_every_document_and_each_is_there(app: Any) -> None:
    first = (await request(app, "GET", "/")).json
    for address in (*first["apis"].values(), *first["collections"].values(), first["health"]):
        assert (await request(app, "GET", address)).status == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [("/openapi/netpluse.json", "telvend-netpluse-openapi.json"),
     ("/postman/netpluse.json", "telvend-netpluse.postman_collection.json")],
)  # fmt: skip
async def test_a_document_is_a_file_where_it_is_to_be_downloaded(app: Any, path: str, name: str) -> None:
    reply = await request(app, "GET", path)
    assert reply.header("content-disposition") is None
    again = await request(app, "GET", path, query=b"download")
    assert again.header("content-disposition") == f'attachment; filename="{name}"'
    assert again.body == reply.body


async def test_amounts_in_documents_are_numbers_with_all_their_decimals(app: Any) -> None:
    assert b'"price":4.50,' in (await request(app, "GET", "/openapi/netpluse.json")).body


@pytest.mark.parametrize(
    ("public_url", "host", "expected"),
    [("", "shop.example:8443", "http://shop.example:8443"), ("https://api.shop.example", "evil", "https://api.shop.example"),
     ("", None, "http://127.0.0.1:8000")],
)  # fmt: skip
async def test_a_document_says_where_the_server_is(public_url: str, host: str | None, expected: str) -> None:
    async def nothing() -> Any: ...

    app = pages(cast(Any, People()), public_url, DOCUMENTS, Fresh(nothing, 0), nothing)
    headers = {"host": host} if host else {}
    reply = await request(app, "GET", "/openapi/netpluse.json", headers=headers, raw_headers=())
    assert reply.json["servers"] == [{"url": expected}]
    reply = await request(app, "GET", "/postman/netpluse.json", headers=headers, raw_headers=())
    assert reply.json == {"variable": [{"key": "baseUrl", "value": expected}]}


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/healthz/",
        "//",
        "/openapi/other.json",
        "/openapi/",
        "/postman/other.json",
        "/other/netpluse.json",
        "/openapi/..%2f",
        "/HEALTHZ",
        "",
    ],
)
async def test_what_is_not_there_is_404_in_json(app: Any, path: str) -> None:
    reply = await request(app, "GET", path)
    assert reply.status == 404
    assert reply.json["error"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/openapi/netpluse.json", "/postman/netpluse.json"])
async def test_other_methods_are_refused_and_the_right_ones_listed(app: Any, path: str) -> None:
    for method in ("POST", "DELETE", "OPTIONS", "BREW"):
        reply = await request(app, method, path)
        assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")
        assert reply.json["error"]


@pytest.mark.parametrize(
    "name", ["ng-mtn", "ng-airtel", "ng-glo", "ng-9mobile", "gh-mtn", "gh-telecel", "gh-airteltigo"]
)
async def test_every_network_of_the_built_in_catalogue_has_a_logo(app: Any, name: str) -> None:
    reply = await request(app, "GET", f"/logos/{name}.svg")
    assert (reply.status, reply.header("content-type")) == (200, "image/svg+xml")
    assert (reply.header("x-content-type-options"), "default-src 'none'" in (reply.header("content-security-policy") or "")) == (
        "nosniff", True,
    )  # fmt: skip
    assert b"<svg" in reply.body
    assert b"<script" not in reply.body


@pytest.mark.parametrize("path", ["/logos/ng-nobody.svg", "/logos/..%2fpages.svg", "/logos/NG-MTN.svg", "/logos/"])
async def test_a_logo_that_is_not_there_is_404(app: Any, path: str) -> None:
    assert (await request(app, "GET", path)).status == 404


async def test_an_avatar_is_the_picture_that_was_given(app: Any) -> None:
    reply = await request(app, "GET", f"/avatars/{TOKEN}")
    assert (reply.status, reply.header("content-type"), reply.body[:4]) == (200, "image/png", b"\x89PNG")
    assert reply.header("cache-control") == "private, max-age=3600"
    assert reply.header("x-content-type-options") == "nosniff"
    assert "default-src 'none'" in (reply.header("content-security-policy") or "")


async def test_whoever_has_no_picture_is_nobody(app: Any) -> None:
    reply = await request(app, "GET", "/avatars/none")
    assert (reply.status, reply.header("content-type")) == (200, "image/svg+xml")


async def test_avatars_that_nobody_reads_share_what_they_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telvend.web.pages._PICTURES_BYTES", 250_000)

    class Large(People):
        async def avatar(self, name: str) -> tuple[bytes, str]:  # noqa: ARG002
            return b"x" * 100_000, "image/png"

    async def nothing() -> Any: ...

    app = pages(cast(Any, Large()), "", {}, Fresh(nothing, 0), nothing)
    gate = asyncio.Event()
    sizes: list[int] = []

    async def slow() -> int:
        status = 0

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            sizes.append(len(message.get("body", b"")))
            if status == 200:
                await gate.wait()

        scope = {"type": "http", "method": "GET", "path": f"/avatars/{TOKEN}", "headers": [], "query_string": b""}
        await app(scope, cast(Any, nothing), send)
        return status

    reading = [asyncio.create_task(slow()) for _ in range(5)]
    await asyncio.sleep(0.01)
    gate.set()
    assert sorted(await asyncio.gather(*reading)) == [200, 200, 503, 503, 503]
    assert max(sizes) <= 32 * 1024
    assert len((await request(app, "GET", f"/avatars/{TOKEN}")).body) == 100_000
    assert (await request(app, "HEAD", f"/avatars/{TOKEN}")).body == b""


@pytest.mark.parametrize(
    ("client", "header", "status"),
    [("127.0.0.1", None, 200), ("::1", None, 200), ("10.0.0.7", None, 403), ("192.0.2.1", None, 403),
     ("127.0.0.1", "x-forwarded-for", 403), ("127.0.0.1", "x-forwarded-host", 403), ("127.0.0.1", "forwarded", 403),
     ("127.0.0.1", "via", 403)],
)  # fmt: skip
async def test_metrics_are_for_who_asks_on_this_machine(client: str, header: str | None, status: int) -> None:
    async def metrics() -> bytes:
        return b"telvend_up 1\n"

    async def nothing() -> Any: ...

    headers = {header: "192.0.2.1"} if header else {}
    app = pages(cast(Any, People()), "", DOCUMENTS, Fresh(metrics, 0), nothing)
    for method in ("GET", "HEAD"):
        assert (await request(app, method, "/metrics", headers=headers, client=(client, 4711))).status == status
    public = pages(cast(Any, People()), "", DOCUMENTS, Fresh(metrics, 0), nothing, metrics_public=True)
    assert (await request(public, "GET", "/metrics", headers=headers, client=(client, 4711))).status == 200


async def test_a_client_behind_a_trusted_proxy_is_not_on_this_machine_whatever_its_address_says() -> None:
    async def metrics() -> bytes:
        return b"telvend_up 1\n"

    async def nothing() -> Any: ...

    app = pages(cast(Any, People()), "", DOCUMENTS, Fresh(metrics, 0), nothing)
    reply = await request(app, "GET", "/metrics", client=("127.0.0.1", 4711), peer="10.0.0.1")
    assert reply.status == 403


async def test_metrics_on_a_port_of_their_own_are_all_there_is(state: State) -> None:
    async def metrics() -> bytes:
        if state.away:
            raise Busy
        return b"telvend_up 1\n"

    app = metrics_only(Fresh(metrics, 0))
    reply = await request(app, "GET", "/metrics", headers={"x-forwarded-for": "192.0.2.1"}, client=("10.0.0.7", 4711))
    assert (reply.status, reply.body) == (200, b"telvend_up 1\n")
    assert (await request(app, "POST", "/metrics")).status == 405
    for path in ("/", "/healthz", "/api/v1/ping", "/metrics/"):
        assert (await request(app, "GET", path)).status == 404
    state.away = True
    assert (await request(app, "GET", "/metrics")).status == 503


@pytest.mark.parametrize(
    "word", ["1", "2", "7", "-7", "None", "٧", "9" * 40, "%00", TOKEN.upper(), TOKEN[:-1], TOKEN + "0"]
)
async def test_no_picture_is_found_by_a_number_or_another_word(app: Any, word: str) -> None:
    reply = await request(app, "GET", f"/avatars/{word}")
    assert (reply.status, reply.header("cache-control")) == (404, "no-store")


async def test_an_avatar_is_503_while_the_database_is_away(app: Any) -> None:
    assert (await request(app, "GET", f"/avatars/{AWAY}")).status == 503
