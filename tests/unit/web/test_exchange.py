"""An answer that is sent at once is, byte for byte, the one that ASGI's messages make."""

from typing import Any

import pytest

from telvend.kit.exchange import EXCHANGE, Exchange
from tests.unit.web.test_protocol import server

TEXTS = {"large": b"x" * 300_000, "empty": b""}


def answer_to(scope: Any, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    what = scope["path"].strip("/")
    text = TEXTS.get(what, b"%s %s" % (scope["method"].encode(), body))
    status = 402 if what == "poor" else 200
    return status, [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))], text


async def by_messages(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    status, headers, text = answer_to(scope, body + message.get("body", b""))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class AtOnce:
    """The same application, which counts the answers that left at once."""

    def __init__(self) -> None:
        self.bodies = self.answers = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange: Exchange = scope[EXCHANGE]
        body = exchange.whole_body()
        if body is None:
            body = b""
            while (message := await receive()).get("more_body"):
                body += message["body"]
            body += message.get("body", b"")
        else:
            self.bodies += 1
        status, headers, text = answer_to(scope, body)
        if exchange.answer(status, b"".join(b"%s: %s\r\n" % header for header in headers), text):
            self.answers += 1
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})


def request(what: str = "a", method: str = "GET", body: bytes = b"", headers: str = "", version: str = "1.1") -> bytes:
    length = f"content-length: {len(body)}\r\n" if body else ""
    return f"{method} /{what} HTTP/{version}\r\nhost: x\r\n{length}{headers}\r\n".encode() + body


LAST = "connection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (request(headers=LAST), 1),
        (request("poor", headers=LAST), 1),
        (request("empty", headers=LAST), 1),
        (request(method="HEAD", headers=LAST), 1),
        (request("large", method="HEAD", headers=LAST), 1),
        (request(method="POST", body=b"hello", headers=LAST), 1),
        (request(version="1.0"), 1),
        (request(method="POST", body=b"hi", headers="expect: 100-continue\r\n" + LAST), 1),
        (request(method="POST", body=b"h" * 5000, headers=LAST), 1),
        (
            b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
            + LAST.encode()
            + b"\r\n2\r\nhi\r\n0\r\n\r\n",
            1,
        ),
        (request() * 5 + request(method="POST", body=b"12") * 5 + request("b", headers=LAST), 11),
    ],
)
async def test_both_ways_send_the_same(sent: bytes, answers: int) -> None:
    at_once = AtOnce()
    async with server(by_messages) as ask:
        expected = await ask(sent)
    async with server(at_once) as ask:
        assert await ask(sent) == expected
    assert expected.startswith(b"HTTP/1.1 ")
    assert at_once.answers == answers


async def test_an_answer_waits_for_a_client_that_does_not_read() -> None:
    at_once = AtOnce()
    sent = request("large") * 15 + request(headers=LAST)
    async with server(by_messages) as ask:
        expected = await ask(sent)
    async with server(at_once) as ask:
        assert await ask(sent) == expected


async def test_a_body_that_is_not_there_yet_is_received() -> None:
    seen: list[bytes | None] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[EXCHANGE].whole_body())
        await by_messages(scope, receive, send)

    async with server(look) as ask:
        got = await ask(request(method="POST", body=b"hi", headers="expect: 100-continue\r\n" + LAST))
    assert seen == [None]
    assert got.endswith(b"POST hi")


async def test_of_two_answers_the_second_is_not_sent() -> None:
    told: list[bool] = []

    async def twice(scope: Any, receive: Any, send: Any) -> None:
        exchange: Exchange = scope[EXCHANGE]
        told.extend(exchange.answer(200, b"content-length: 5\r\n", text) for text in (b"first", b"other"))

    async with server(twice) as ask:
        got = await ask(request(headers=LAST))
    assert told == [True, False]
    assert got.endswith(b"first")


async def test_a_scope_that_is_done_with_does_not_refer_to_itself() -> None:
    scopes: list[Any] = []

    async def keep(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await by_messages(scope, receive, send)

    async with server(keep) as ask:
        await ask(request(headers=LAST))
    assert EXCHANGE not in scopes[0]
