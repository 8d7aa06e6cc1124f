"""The edge of a real server, over bare sockets: Host, methods, hostile bytes, headers, and a log that nobody can fill."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from tests.e2e.conftest import Keys
from tests.e2e.shop import Shop
from tests.e2e.wire import Reply, Wire

# A path of each thing that is served, and what its errors have.
PLACES = {
    "/api/v1/ping": {"error"},
    "/api/user": {"success", "message"},
    "/v2/customers/2348031234567/plans": {"statusCode", "statusMessage", "transactionId"},
    "/v1/oauth/access_token": {"statusCode", "statusMessage", "transactionId"},
    "/gateways/paystack/notice": {"error"},
    "/openapi/netpluse.json": {"error"},
    "/pay/sandbox/abc": None,
}


async def raw(shop: Shop, *requests: bytes) -> list[Reply]:
    """The answers to these bytes, each on a connection of its own."""
    answers = []
    for sent in requests:
        async with Wire(shop.port) as wire:
            answers.append(await wire.send(sent, sent.startswith(b"HEAD")))
    return answers


def has_shape(reply: Reply, names: set[str] | None) -> bool:
    if names is None:
        return reply.headers["content-type"].startswith("text/html") and b"<h1>" in reply.body
    return json.loads(reply.body).keys() >= names


def log_since(shop: Shop, length: int) -> list[str]:
    return shop.log()[length:].splitlines()


BAD_HOSTS = [
    b"host: a@b\r\n", b"host: a/b\r\n", b"host: a\\b\r\n", b"host: :80\r\n", b"host: \r\n", b"host: a b\r\n", b"host: \xff\r\n",
    b"host: a:99999\r\n", b"host: a\r\nhost: a\r\n", b"Host: a\r\nHOST: b\r\n", b"", b"host: [::1\r\n", b"host: <script>\r\n",
]  # fmt: skip


@pytest.mark.parametrize("path", PLACES)
async def test_a_host_that_cannot_be_used_is_400_in_the_shape_of_what_was_asked(shop: Shop, path: str) -> None:
    for host in BAD_HOSTS:
        (reply,) = await raw(shop, f"GET {path} HTTP/1.1\r\n".encode() + host + b"\r\n")
        assert (reply.status, has_shape(reply, PLACES[path])) == (400, True), (host, reply)
        assert b"script" not in reply.body
        assert (reply.headers["cache-control"], reply.headers["x-content-type-options"]) == ("no-store", "nosniff")


async def test_probes_and_http_1_0_need_no_host(shop: Shop, keys: Keys) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        with_none, twice = await raw(
            shop, f"GET {path} HTTP/1.1\r\n\r\n".encode(), f"GET {path} HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".encode()
        )
        assert (with_none.status, twice.status) == (200, 400)
    old, document = await raw(
        shop,
        f"GET /api/v1/ping HTTP/1.0\r\nx-api-key: {keys.ama}\r\n\r\n".encode(),
        b"GET /openapi/netpluse.json HTTP/1.0\r\n\r\n",
    )
    assert old.status == 200
    assert json.loads(document.body)["servers"] == [{"url": shop.url}]


async def test_a_target_that_names_another_server_than_host_is_refused(shop: Shop, keys: Keys) -> None:
    key = f"x-api-key: {keys.ama}\r\n\r\n"
    same, other, credentials = await raw(
        shop,
        f"GET http://shop/api/v1/ping HTTP/1.1\r\nhost: shop\r\n{key}".encode(),
        f"GET http://evil/api/v1/ping HTTP/1.1\r\nhost: shop\r\n{key}".encode(),
        f"GET http://u:p@shop/api/v1/ping HTTP/1.1\r\nhost: shop\r\n{key}".encode(),
    )
    assert (same.status, other.status, credentials.status) == (200, 400, 400)


@pytest.mark.parametrize("path", PLACES)
async def test_a_method_that_there_is_not_is_405_in_the_shape_of_what_was_asked(shop: Shop, path: str) -> None:
    for method in ("FROB", "get", "PURGE", "TRACE", "DELETE"):
        (reply,) = await raw(shop, f"{method} {path} HTTP/1.1\r\nhost: shop\r\n\r\n".encode())
        assert (reply.status, has_shape(reply, PLACES[path])) == (405, True), reply
        assert {"GET", "POST", "PATCH"} & set(reply.headers["allow"].split(", "))


HOSTILE = [
    b"/pay/sandbox/a%00b", b"/pay/return/a%00b", b"/avatars/%00", b"/logos/%00.svg", b"/openapi/%00.json", b"/gateways/%00/notice",
    b"/pay/sandbox/%ff", b"/pay/sandbox/%c3%28", b"/pay/sandbox/" + b"x" * 30_000, b"/api/v1/order-status/a%00b", b"/%0d%0ax:y",
    b"/api/transactions/%00", b"/api/verification/nin/%00", b"/v2/customers/%00/plans", b"/pay/sandbox/\xc3\xa9", b"/pay/sandbox/\x01",
    b"/api/data-plans?network=%00", b"/api/transactions?page=" + b"9" * 30, b"/api/transactions?start_date=0001-01-01&end_date=9999-12-31",
]  # fmt: skip


async def test_hostile_paths_are_answered_without_a_5xx_or_a_traceback(shop: Shop, keys: Keys) -> None:
    length = len(shop.log())
    credentials = f"x-api-key: {keys.ama}\r\nauthorization: Token {keys.ama}\r\n".encode()
    for path in HOSTILE:
        for method in (b"GET", b"POST"):
            head = method + b" " + path + b" HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\n" + credentials
            (reply,) = await raw(shop, head + b"\r\n{}")
            assert 400 <= reply.status < 500, (method, path[:60], reply)
    said = "\n".join(log_since(shop, length))
    assert "Traceback" not in said
    assert '"critical"' not in said
    assert keys.ama not in said


async def test_nobody_without_a_key_fills_the_disk_with_log(shop: Shop, keys: Keys) -> None:
    revoked = "np_live_" + keys.ama[8:28] + "Z" * 20
    floods: Sequence[bytes] = [
        f"GET /api/v1/ping HTTP/1.1\r\nhost: shop\r\nx-api-key: {revoked}\r\n\r\n".encode(),
        b"GET /api/user HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"POST /gateways/paystack/notice HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /gateways/sandbox/notice HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\n\r\n{}",
        b"GET /api/v1/ping HTTP/1.1\r\nhost: a@b\r\n\r\n",
        b"DELETE /api/v1/ping HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"POST /v1/oauth/access_token HTTP/1.1\r\nhost: shop\r\ncontent-length: 2\r\n\r\n{}",
        b"GET /nowhere HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"GET /api/v1/ping HTTP/1.1\r\nhost: shop\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"nonsense\r\n\r\n",
    ]
    length = len(shop.log())

    async def flood(sent: bytes) -> None:
        for _ in range(40):
            await raw(shop, sent)

    await asyncio.gather(*(flood(sent) for sent in floods))
    lines = log_since(shop, length)
    # Two processes; a line of each kind in each, and not all kinds are worth one.
    assert len(lines) <= 2 * (len(floods) + 2), lines
    said = "\n".join(lines)
    assert revoked not in said
    assert "notice_forged" in said
    assert any('"hint":' in line and "127.0.0.1" in line for line in lines if "not_authenticated" in line)
