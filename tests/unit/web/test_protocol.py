"""The HTTP protocol on real sockets: answers leave in one piece and whole, and what is not HTTP is refused in JSON."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from telvend.web.connections import Connections
from telvend.web.forwarded import TrustedProxies, peer_of
from telvend.web.protocol import HttpProtocol, _Joining

HELLO = b"GET /%s HTTP/1.1\r\nhost: x\r\n\r\n"


class Recorder:
    """Stands in for a transport; `writes` is what each system call would carry."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


def test_head_and_body_leave_together() -> None:
    recorder = Recorder()
    transport = _Joining(recorder)  # type: ignore[arg-type]
    transport.write(HEAD)
    assert recorder.writes == []
    transport.write(b"{}")
    transport.write(b"more")
    transport.flush()
    assert recorder.writes == [HEAD + b"{}", b"more"]


def test_a_head_without_a_body_leaves_when_the_answer_ends_or_the_connection_does() -> None:
    for end in (_Joining.flush, _Joining.close):
        recorder = Recorder()
        transport = _Joining(recorder)  # type: ignore[arg-type]
        transport.write(HEAD)
        end(transport)
        assert recorder.writes == [HEAD]
        end(transport)
        assert recorder.writes == [HEAD]


def test_go_on_and_send_your_body_is_not_kept_back() -> None:
    recorder = Recorder()
    _Joining(recorder).write(b"HTTP/1.1 100 Continue\r\n\r\n")  # type: ignore[arg-type]
    assert recorder.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_everything_else_is_the_transports() -> None:
    assert not _Joining(Recorder()).is_closing()  # type: ignore[arg-type]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what the path says."""
    what = scope["path"].strip("/")
    length = 300_000 if what == "large" else 2
    headers = [(b"content-length", str(length).encode())]
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message.get("body", b"")
    if what == "request":
        hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
        text = f"{scope['method']} {scope['path']} {hosts} {body.decode()};".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
        await send({"type": "http.response.body", "body": text})
    elif what == "nothing":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
    elif what == "dies":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise RuntimeError
    elif what == "pieces":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"HTTP/1.1 ", b"b\r\n\r\n", b"c"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * length if what == "large" else body[:2] or b"ok"})


async def caller(scope: Any, receive: Any, send: Any) -> None:
    """Answers who asks, as far as it knows."""
    body = f"{scope['client'][0]} {scope['scheme']} {peer_of(scope)}".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def server(app: Any = application, **options: Any) -> AsyncIterator[Callable[[bytes], Any]]:
    """Serves `application`; gives a function that sends bytes and answers everything that comes back."""
    config = uvicorn.Config(
        app, http=HttpProtocol, ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    listening = await loop.create_server(
        lambda: HttpProtocol(config=config, server_state=state, app_state={}, **options), "127.0.0.1", 0
    )
    address = listening.sockets[0].getsockname()

    async def ask(sent: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(sent)
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])

    try:
        yield ask
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.transport.close()
        await asyncio.sleep(0)


async def test_answers_come_whole_one_after_the_other_on_one_connection() -> None:
    async with server() as ask:
        last = HELLO.replace(b"host: x", b"host: x\r\nconnection: close")
        got = await ask(HELLO % b"a" + HELLO % b"nothing" + HELLO % b"large" + last % b"z")
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert got.count(b"HTTP/1.1 204 No Content\r\n") == 1
    assert b"x" * 300_000 in got
    assert got.endswith(b"\r\n\r\nok")


async def test_a_question_for_the_head_gets_no_body() -> None:
    async with server() as ask:
        got = await ask(b"HEAD /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\n")


async def test_a_body_in_pieces_keeps_their_order() -> None:
    async with server() as ask:
        got = await ask(b"GET /pieces HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    head, _, rest = got.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert rest == b"9\r\nHTTP/1.1 \r\n5\r\nb\r\n\r\n\r\n1\r\nc\r\n0\r\n\r\n"


async def test_whoever_waits_for_leave_to_send_gets_it() -> None:
    async with server() as ask:
        got = await ask(
            b"POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
        )
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert got.endswith(b"hi")


@pytest.mark.filterwarnings("default")
async def test_an_application_that_dies_after_its_head_leaves_no_half_answer_in_the_next() -> None:
    async with server() as ask:
        got = await ask(HELLO % b"dies" + HELLO % b"a")
    # The promised body never comes: the client sees the connection end, and no answer to its second question.
    assert got.count(b"HTTP/1.1") <= 1
    assert not got.endswith(b"ok")


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /a b HTTP/1.1\r\n\r\n",
     b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
     b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 30 + b"\r\n\r\n",
     b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
     b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
async def test_what_is_not_http_is_400_in_json(sent: bytes) -> None:
    async with server() as ask:
        got = await ask(sent)
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n")
    assert got.endswith(b'{"error":"This is not a valid HTTP request."}')
    assert got.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("method", ["FROB", "get", "Post", "G-E_T", "X" * 64, "GETX", "PURGER"])
async def test_a_method_that_nobody_has_heard_of_reaches_the_application_as_it_is(method: str) -> None:
    async with server() as ask:
        sent = f"{method} /request HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi".encode()
        got = await ask(sent + b"GET /request HTTP/1.1\r\nhost: y\r\nconnection: close\r\n\r\n")
    assert f"{method} /request ['x'] hi;" in got.decode()
    assert got.endswith(b"GET /request ['y'] ;")


@pytest.mark.parametrize(
    "sent",
    [b"FROB\r\n\r\n", b"FROB /request\r\n\r\n", b"FR(B /request HTTP/1.1\r\nhost: x\r\n\r\n", b"FROB x HTTP/1.1\r\n\r\n",
     b"X" * 65 + b" /request HTTP/1.1\r\n\r\n", b"FROB /request HTTP/2.0\r\n\r\n", b"FROB /request HTTP/1.1\r\nbroken\r\n\r\n",
     HELLO % b"nothing" + b"FROB / HTTP/1.1\r\nhost: x\r\n\r\n"],
)  # fmt: skip
async def test_a_made_up_method_in_a_broken_request_or_behind_another_is_400(sent: bytes) -> None:
    async with server() as ask:
        got = await ask(sent)
    assert b"HTTP/1.1 400 Bad Request\r\n" in got
    assert b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n" in got


@pytest.mark.parametrize(
    ("target", "host", "seen"),
    [("http://x/request", "host: x\r\n", ["x"]), ("HTTP://X/request", "host: x\r\n", ["x"]),
     ("http://evil/request", "host: x\r\n", ["x", "evil"]), ("http://u:p@x/request", "host: x\r\n", ["x", "u:p@x"]),
     ("http://x/request", "", []), ("/request", "host: x\r\nhost: y\r\n", ["x", "y"])],
)  # fmt: skip
async def test_a_target_that_names_another_server_than_host_is_a_second_host(
    target: str, host: str, seen: list[str]
) -> None:
    async with server() as ask:
        got = await ask(f"GET {target} HTTP/1.1\r\n{host}connection: close\r\n\r\n".encode())
    assert got.endswith(f"GET /request {seen} ;".encode())


async def test_in_http_1_0_a_target_may_name_the_server_alone() -> None:
    async with server() as ask:
        got = await ask(b"GET http://evil:80/request?a=http://b HTTP/1.0\r\n\r\n")
    assert got.endswith(b"GET /request ['evil:80'] ;")


FORWARDED = (
    b"GET /a HTTP/1.1\r\nhost: x\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nconnection: close\r\n\r\n"
)


@pytest.mark.parametrize(
    ("trusted", "said"),
    [(["127.0.0.1"], b"192.0.2.7 https 127.0.0.1"), (["10.0.0.0/8"], b"127.0.0.1 http 127.0.0.1"), ([], b"127.0.0.1 http 127.0.0.1")],
)  # fmt: skip
async def test_only_a_trusted_proxy_says_who_the_client_is(trusted: list[str], said: bytes) -> None:
    async with server(caller, connections=Connections(proxies=TrustedProxies(trusted))) as ask:
        got = await ask(FORWARDED)
    assert got.endswith(said)
