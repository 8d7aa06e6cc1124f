"""What an answer from outside may take: bounded on the wire, unpacked, and in time. On real sockets."""

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable

import httpx
import pytest

from telvend.authorities.contract import Unavailable
from telvend.authorities.prembly.client import Prembly
from telvend.gateways.contract import PaymentUnknown
from telvend.gateways.paystack.client import Paystack
from telvend.kit import http
from telvend.kit.secret import Secret
from tests.broken_lines import Play, far_side


def says(body: bytes, *headers: str) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = ["HTTP/1.1 200 OK", f"content-length: {len(body)}", "connection: close", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return play


def without_end(head: bytes, piece: bytes, pause_s: float = 0.0) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return play


OK = b"HTTP/1.1 200 OK\r\n"
ZEROS = bytes(64 * 1024 * 1024)
BOMB = gzip.compress(ZEROS)

ATTACKS = {
    "gzip": says(BOMB, "content-encoding: gzip"),
    "gzip in gzip": says(gzip.compress(BOMB), "content-encoding: gzip, gzip"),
    "deflate": says(zlib.compress(ZEROS), "content-encoding: deflate"),
    "raw deflate": says(zlib.compress(ZEROS)[2:-4], "content-encoding: deflate"),
    "brotli": says(b"\x0b\x02\x80abc\x03", "content-encoding: br"),
    "zstd": says(b"abc", "content-encoding: zstd"),
    "nonsense": says(b"abcdefgh", "content-encoding: gzip"),
    "half a gzip": says(gzip.compress(b"{}" * 1000)[:-12], "content-encoding: gzip"),
    "long": says(b"x" * 3_000_000),
    "endless": without_end(OK + b"\r\n", b"x" * 65536),
    "endless chunks": without_end(OK + b"transfer-encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "endless headers": without_end(OK, b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 100),
    "one endless header": without_end(OK + b"a: ", b"b" * 65536),
    "endless go on": without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.01),
    "dripping body": without_end(OK + b"content-length: 1000\r\n\r\n", b"x", 0.05),
    "dripping headers": without_end(OK, b"a", 0.05),
    "silence": without_end(b"", b"", 0.05),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_answer_that_would_take_too_much_is_no_answer_and_may_have_arrived(attack: str) -> None:
    async with far_side(ATTACKS[attack]) as url, http.client(url, timeout_s=0.4) as client:
        tracemalloc.start()
        started = time.monotonic()
        try:
            with pytest.raises(http.NO_ANSWER) as raised:
                await client.post("/", json={})
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert not isinstance(raised.value, http.NEVER_ARRIVED)
        assert time.monotonic() - started < 3
        assert most < 12_000_000


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(lambda text: text, "identity"), (gzip.compress, "gzip"), (gzip.compress, "GZIP"), (gzip.compress, "x-gzip"),
     (zlib.compress, "deflate"), (lambda text: zlib.compress(text)[2:-4], "deflate")],
)  # fmt: skip
async def test_an_ordinary_answer_is_unpacked(body: Callable[[bytes], bytes], encoding: str) -> None:
    said = {"names": ["Ama", "Kofi"] * 5000}
    play = says(body(json.dumps(said).encode()), f"content-encoding: {encoding}", "x-one: 1", "x-one: 2")
    async with far_side(play) as url, http.client(url, timeout_s=5) as client:
        answer = await client.get("/")
        assert answer.status_code == 200
        assert answer.json() == said
        assert answer.headers.get_list("x-one") == ["1", "2"]


async def test_an_answer_up_to_the_limit_is_taken() -> None:
    for size, limit in ((http.ANSWER_LIMIT_BYTES, http.ANSWER_LIMIT_BYTES), (3_000_000, 4_000_000)):
        async with (
            far_side(says(b"x" * size)) as url,
            http.client(url, timeout_s=5, answer_limit_bytes=limit) as client,
        ):
            assert len((await client.get("/")).content) == size


async def test_nobody_listening_is_still_known_for_what_it_is() -> None:
    async with http.client("http://127.0.0.1:9", timeout_s=1) as client:
        with pytest.raises(http.NEVER_ARRIVED):
            await client.get("/")


async def test_a_head_without_a_body_is_an_answer() -> None:
    play = says(b"", "content-encoding: gzip")
    async with far_side(play) as url, http.client(url, timeout_s=5) as client:
        assert (await client.head("/")).content == b""
        assert (await client.get("/")).content == b""


@pytest.mark.parametrize("attack", ["gzip", "gzip in gzip", "endless chunks", "endless headers"])
async def test_a_gateway_that_says_too_much_is_unknown(attack: str) -> None:
    async with far_side(ATTACKS[attack]) as url:
        gateway = Paystack("paystack", Secret("sk_test_1"), base_url=url, timeout_s=5)
        assert isinstance(await gateway.verify("FND-1-abc"), PaymentUnknown)
        await gateway.close()


@pytest.mark.parametrize("attack", ["gzip", "gzip in gzip", "endless chunks", "endless headers"])
async def test_an_authority_that_says_too_much_is_unavailable(attack: str) -> None:
    async with far_side(ATTACKS[attack]) as url:
        authority = Prembly(api_key=Secret("live_sk_1"), app_id="app", base_url=url)
        assert isinstance(await authority.nin(Secret("12345678901")), Unavailable)
        await authority.close()


async def test_answers_are_never_streamed() -> None:
    request = httpx.Request("GET", "http://127.0.0.1:9/")
    async with http.client("http://127.0.0.1:9", timeout_s=1) as client:
        with pytest.raises(RuntimeError):
            await client.send(request, stream=True)


async def test_what_an_upstream_wants_to_be_reminded_of_is_forgotten() -> None:
    asked: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(3):
            cookies = b"".join(b"set-cookie: a%d%d=%s\r\n" % (number, one, b"x" * 500) for one in range(100))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" + cookies + b"\r\n{}")
            await writer.drain()
            asked.append(await reader.readuntil(b"\r\n\r\n"))

    async with far_side(play) as url, http.client(url, timeout_s=5) as client:
        for _ in range(3):
            assert (await client.get("/")).status_code == 200
        assert not client.cookies
    assert not any(b"cookie" in request.lower() for request in asked)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_request_is_sent_once_also_where_the_connection_was_kept_and_ends_under_it(method: str) -> None:
    requests = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        writer.write(OK + b"content-length: 2\r\n\r\n{}")
        await reader.readuntil(b"\r\n\r\n")
        requests += 1  # The connection ends without an answer.

    async with far_side(play) as url, http.client(url, timeout_s=2) as client:
        assert (await client.request(method, "/")).status_code == 200
        with pytest.raises(http.NO_ANSWER) as raised:
            await client.request(method, "/")
        assert not isinstance(raised.value, http.NEVER_ARRIVED)
        assert requests == 2


async def test_a_name_that_nobody_has_was_never_reached() -> None:
    async with http.client("http://no-such-host.invalid", timeout_s=2) as client:
        with pytest.raises(http.NEVER_ARRIVED):
            await client.post("/", json={})


async def test_a_server_without_tls_was_never_reached() -> None:
    async with far_side(says(b"{}")) as url, http.client(url.replace("http:", "https:"), timeout_s=1) as client:
        with pytest.raises(http.NEVER_ARRIVED):
            await client.post("/", json={"pin": "1234"})


async def test_a_connection_that_ends_while_the_request_is_written_may_have_brought_it() -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with far_side(play) as url, http.client(url, timeout_s=2) as client:
        with pytest.raises(http.NO_ANSWER) as raised:
            await client.post("/", content=b"x" * 20_000_000)
        assert not isinstance(raised.value, http.NEVER_ARRIVED)


async def test_a_request_goes_out_as_it_was_made() -> None:
    heard = bytearray()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readexactly(7))
        writer.write(OK + b"content-length: 0\r\nlocation: http://example.invalid/\r\n\r\n")

    async with far_side(play) as url, http.client(url, timeout_s=2, headers={"x-key": "k"}) as client:
        request = client.build_request("POST", "/a%2Fb?c=d%20e", content=b'{"a":1}', headers={"content-type": "x/y"})
        assert (await client.send(request)).content == b""
        assert bytes(heard) == b'{"a":1}'
        assert str(request.url).endswith("/a%2Fb?c=d%20e")


async def test_a_closed_client_sends_nothing() -> None:
    client = http.client("http://127.0.0.1:9", timeout_s=1)
    await client.aclose()
    await client.aclose()
    with pytest.raises(RuntimeError):
        await client.get("/")


async def test_a_large_body_arrives_whole() -> None:
    heard: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(3_000_000))
        writer.write(OK + b"content-length: 0\r\n\r\n")

    async with far_side(play) as url, http.client(url, timeout_s=5) as client:
        assert (await client.post("/", content=b"0123456789" * 300_000)).status_code == 200
    assert heard == [b"0123456789" * 300_000]
