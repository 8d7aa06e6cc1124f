"""What a client may take before anybody knows whose it is: memory, time, connections. On real sockets, with small limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from telvend.web.connections import ConnectionLimits, Connections, WaitingFor, most_connections
from telvend.web.forwarded import TrustedProxies
from telvend.web.protocol import HttpProtocol

GET = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
SOON = ConnectionLimits(header_timeout_s=0.2, body_timeout_s=0.3, keepalive_timeout_s=0.4, send_timeout_s=0.3)


class Shop:
    """Serves one application; `gate` holds every answer back until it is set."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.state = ServerState()
        self.gate = asyncio.Event()
        self.gate.set()
        self.answered: list[str] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.most_waiting = 0
        self.large = 0
        self.address: tuple[str, int] = ("", 0)
        self.clients: list[Client] = []

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers.append(scope["headers"])
        for one in self.state.connections:
            self.most_waiting = max(self.most_waiting, len(one.pipeline))  # type: ignore[union-attr]
        body = b""
        if scope["path"] != "/unread":
            while (message := await receive()).get("more_body"):
                body += message["body"]
            body += message.get("body", b"")
        await self.gate.wait()
        self.answered.append(scope["path"])
        text = scope["path"].encode() + b":" + str(len(body)).encode() + b"x" * self.large
        headers = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def open(self) -> "Client":
        self.clients.append(Client(*await asyncio.open_connection(*self.address)))
        return self.clients[-1]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def flood(self, data: bytes) -> None:
        """Send until the other side has had enough, or does not read for a moment."""
        with suppress(OSError, TimeoutError):
            self.writer.write(data)
            await asyncio.wait_for(self.writer.drain(), 0.3)

    async def answer(self) -> tuple[bytes, bytes]:
        """The head and the body of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        return head, await asyncio.wait_for(self.reader.readexactly(length), 5)

    async def rest(self, within_s: float = 5) -> bytes:
        """Everything until the connection ends, however it ends."""
        got = b""
        try:
            while piece := await asyncio.wait_for(self.reader.read(65536), within_s):
                got += piece
        except ConnectionError:
            # A reset hides what has come before it.
            got += bytes(self.reader._buffer)  # type: ignore[attr-defined]
        return got


@asynccontextmanager
async def serve(
    limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008
    *,
    trusted: tuple[str, ...] = (),
    apps_by_port: dict[int, Any] | None = None,
    application: Any = None,
) -> AsyncIterator[Shop]:
    shop = Shop(Connections(limits, TrustedProxies(trusted), apps_by_port=apps_by_port))
    config = uvicorn.Config(
        application or shop.application,
        interface="asgi3",
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    shop.connections.start()
    listening = await asyncio.get_running_loop().create_server(
        lambda: HttpProtocol(config=config, server_state=shop.state, app_state={}, connections=shop.connections),
        "127.0.0.1",
        0,
    )
    shop.address = listening.sockets[0].getsockname()
    try:
        yield shop
    finally:
        shop.gate.set()
        listening.close()
        for client in shop.clients:
            client.writer.transport.abort()
        for one in list(shop.state.connections):
            one.transport.abort()
        await asyncio.sleep(0.05)
        shop.connections.close()
        assert len(shop.connections) == 0
        assert shop.connections.backlog_bytes == 0
        assert not shop.connections._by_address


def kept(shop: Shop) -> int:
    """Bytes of headers that are gathered at the moment."""
    return sum(
        len(one.url) + sum(len(name) + len(value) for name, value in one.headers or ())  # type: ignore[union-attr]
        for one in shop.state.connections
        if hasattr(one, "url")
    )


# Memory -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 2_000_000,
        b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 8_000_000,
        b"GET / HTTP/1.1\r\n" + b"a" * 8_000_000,
        b"GET /" + b"a" * 8_000_000,
        b"G" * 8_000_000,
        b"\r\n" * 4_000_000,
        # Whole in one piece, and too long all the same.
        b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 129 + b"\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=["fields", "value", "name", "url", "method", "blank lines", "whole", "many", "long url"],
)
async def test_headers_that_are_too_large_are_refused_and_not_gathered(flood: bytes) -> None:
    async with serve() as shop:
        client = await shop.open()
        await client.flood(flood)
        got = await client.rest()
        assert got.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 414 ", b"HTTP/1.1 400 ")), got[:60]
        assert got.count(b"HTTP/1.1") == 1
        assert b'{"error":"' in got
        assert shop.answered == []
        assert kept(shop) < 80_000


async def test_headers_up_to_the_limit_are_read() -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(b"GET /a HTTP/1.1\r\nhost: x\r\nb: " + b"b" * 60_000 + b"\r\n\r\n")
        assert (await client.answer())[1] == b"/a:0"
        client.send(b"GET /b HTTP/1.1\r\n" + b"a: b\r\n" * 127 + b"host: x\r\n\r\n")
        assert (await client.answer())[1] == b"/b:0"
        client.send(b"GET /" + b"c" * 8000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await client.answer())[1].startswith(b"/ccc")


CHUNKED = b"POST /p HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("flood", [b"a: b\r\n" * 2_000_000, b"a: " + b"b" * 8_000_000])
async def test_trailers_are_bounded_like_headers(flood: bytes) -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(CHUNKED + b"2\r\nhi\r\n0\r\n")
        await client.flood(flood)
        got = await client.rest()
        assert got.startswith(b"HTTP/1.1 431 ")
        assert shop.answered == ["/p"]  # Told that its client is gone: nothing was bought with half a request.
        assert kept(shop) < 80_000


async def test_trailers_are_no_headers_of_the_request() -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(CHUNKED + b"2\r\nhi\r\n0\r\nx-api-key: np_live_other\r\n\r\n")
        assert (await client.answer())[1] == b"/p:2"
        assert [name for name, _ in shop.headers[0]] == [b"host", b"transfer-encoding"]
        client.send(GET % 1)
        assert (await client.answer())[1] == b"/1:0"


async def test_chunks_of_one_byte_are_a_body_like_any_other() -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(CHUNKED + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n" + GET % 1)
        assert (await client.answer())[1] == b"/p:30000"
        assert (await client.answer())[1] == b"/1:0"


@pytest.mark.parametrize("piece", [1_000_000, 4096, 1000, 17, 5])
async def test_pipelined_requests_are_answered_in_order_and_few_of_them_wait(piece: int) -> None:
    count = 3000 if piece > 100 else 300
    async with serve() as shop:
        client = await shop.open()
        flood = b"".join(GET % number for number in range(count))

        async def send() -> None:
            for start in range(0, len(flood), piece):
                client.send(flood[start : start + piece])
                await client.writer.drain()
                await asyncio.sleep(0)

        sending = asyncio.create_task(send())
        for number in range(count):
            assert (await client.answer())[1] == b"/%d:0" % number
        await sending
        assert shop.most_waiting <= 16


async def test_bodies_between_pipelined_requests_keep_their_place() -> None:
    post = b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
    bodies = [b"", b"\r\n\r\n" * 500, b"x" * 100_000, b"GET / HTTP/1.1\r\n\r\n" * 50, b"y" * 70_000, b"z"] * 6
    async with serve() as shop:
        client = await shop.open()
        flood = b"".join(post % (number, len(body), body) for number, body in enumerate(bodies))
        sending = asyncio.create_task(client.flood(flood))
        for number, body in enumerate(bodies):
            assert (await client.answer())[1] == b"/%d:%d" % (number, len(body))
        await sending
        assert shop.most_waiting <= 16


async def test_what_waits_is_bounded_while_nobody_is_answered_and_dropped_with_its_client() -> None:
    async with serve() as shop:
        shop.gate.clear()
        clients = [await shop.open() for _ in range(8)]
        flood = b"".join(GET % number for number in range(130_000))
        await asyncio.gather(*(client.flood(flood) for client in clients))
        waiting = [len(one.pipeline) for one in shop.state.connections]  # type: ignore[union-attr]
        assert len(waiting) == 8
        assert max(waiting) <= 16
        # One reading from a socket each.
        assert shop.connections.backlog_bytes <= 8 * 262_144
        for client in clients:
            client.writer.transport.abort()
        await asyncio.sleep(0.05)
        shop.gate.set()
        await asyncio.sleep(0.2)
        # Those in hand, and what was started before the reset was seen.
        assert len(shop.answered) <= 8 * 18
        assert not shop.state.connections


async def test_all_who_pipeline_share_what_may_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telvend.web.connections._BACKLOG_BYTES", 300_000)
    async with serve() as shop:
        shop.gate.clear()
        clients = [await shop.open() for _ in range(8)]
        flood = b"".join(GET % number for number in range(4_000))
        await asyncio.gather(*(client.flood(flood) for client in clients))
        assert 0 < shop.connections.backlog_bytes <= 300_000
        shop.gate.set()
        got = await asyncio.gather(*(client.rest(0.5) for client in clients), return_exceptions=True)
        refused = [answers for answers in got if isinstance(answers, bytes)]
        # What was taken before is answered, in order, before the refusal.
        assert refused
        for answers in refused:
            assert answers.count(b"HTTP/1.1 503 ") == 1
            assert answers.startswith(b"HTTP/1.1 503 ") or b"/0:0" in answers


async def test_nonsense_after_requests_is_refused_after_their_answers() -> None:
    async with serve() as shop:
        shop.gate.clear()
        client = await shop.open()
        client.send(GET % 1 + GET % 2 + b"nonsense\r\n\r\n" + GET % 3)
        await asyncio.sleep(0.1)
        shop.gate.set()
        got = await client.rest()
        first, second, third = got.split(b"HTTP/1.1 ")[1:]
        assert first.endswith(b"/1:0")
        assert second.endswith(b"/2:0")
        assert third.startswith(b"400 ")


@pytest.mark.parametrize(
    "after", [b"FROB /666 HTTP/1.1\r\nhost: x\r\n\r\n", b"FROB", b"nonsense\r\n\r\n", b"POST x HTTP/1.1\r\n\r\n"]
)
async def test_a_request_before_a_made_up_method_is_done_once(after: bytes) -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(b"POST /buy HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi" + after)
        got = await client.rest()
        assert got.count(b"/buy:2") == 1
        assert b"HTTP/1.1 400 " in got
        assert shop.answered == ["/buy"]


async def test_what_a_made_up_method_is_split_over_is_never_another_request() -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(b"P")
        await asyncio.sleep(0.05)
        client.send(b"GET /666 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
        assert shop.answered == []


async def test_a_body_nobody_wants_is_not_read_for_ever() -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 90000000\r\n\r\n")
        assert (await client.answer())[1] == b"/unread:0"
        await client.flood(b"x" * 20_000_000)
        assert await client.rest() == b""


async def test_a_short_body_nobody_wants_does_not_end_the_connection() -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n")
        assert (await client.answer())[1] == b"/unread:0"
        client.send(b"x" * 200_000 + GET % 1)
        assert (await client.answer())[1] == b"/1:0"


# Time -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nhost", b"\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_half_a_head_is_408(sent: bytes) -> None:
    async with serve(SOON) as shop:
        client = await shop.open()
        client.send(sent)
        assert (await client.rest(3)).startswith(b"HTTP/1.1 408 ")


async def test_headers_that_trickle_in_do_not_put_it_off() -> None:
    async with serve(SOON) as shop:
        client = await shop.open()
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n")

        async def trickle() -> None:
            with suppress(OSError):
                while True:
                    client.send(b"a: b\r\n")
                    await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        started = asyncio.get_running_loop().time()
        assert (await client.rest(3)).startswith(b"HTTP/1.1 408 ")
        assert asyncio.get_running_loop().time() - started < 1.5
        trickling.cancel()


async def test_a_silent_connection_is_closed_without_a_word() -> None:
    async with serve(SOON) as shop:
        client = await shop.open()
        assert await client.rest(3) == b""


async def test_an_idle_connection_is_closed_after_its_answer_and_not_before() -> None:
    async with serve(SOON) as shop:
        client = await shop.open()
        for number in range(3):
            client.send(GET % number)
            assert (await client.answer())[1] == b"/%d:0" % number
            await asyncio.sleep(0.3)  # Longer than headers may take.
        assert await client.rest(3) == b""


@pytest.mark.parametrize(
    "head", [CHUNKED + b"2\r\nhi\r\n", b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhi"]
)
async def test_half_a_body_is_408_and_the_request_was_never_whole(head: bytes) -> None:
    async with serve(SOON) as shop:
        client = await shop.open()
        client.send(head)
        assert (await client.rest(3)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_is_missing_after_its_answer_only_ends_the_connection() -> None:
    async with serve(SOON) as shop:
        client = await shop.open()
        client.send(b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhi")
        assert (await client.answer())[1] == b"/unread:0"
        assert await client.rest(3) == b""


async def test_an_answer_may_take_as_long_as_it_takes() -> None:
    async with serve(SOON) as shop:
        shop.gate.clear()
        client = await shop.open()
        client.send(GET % 1 + b"POST /2 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n")
        await asyncio.sleep(1)
        shop.gate.set()
        assert (await client.answer())[1] == b"/1:0"
        client.send(b"hi")
        assert (await client.answer())[1] == b"/2:2"


async def test_a_client_that_never_reads_is_let_go() -> None:
    async with serve(SOON) as shop:
        shop.large = 20_000_000
        client = await shop.open()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET % 1)
        for _ in range(60):
            await asyncio.sleep(0.05)
            if not shop.state.connections and shop.answered:
                break
        assert not shop.state.connections


async def test_a_client_that_asks_to_close_and_never_reads_is_let_go_too() -> None:
    async with serve(SOON) as shop:
        shop.large = 20_000_000
        client = await shop.open()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(b"GET /1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        for _ in range(60):
            await asyncio.sleep(0.05)
            if not shop.state.connections and shop.answered:
                break
        assert not shop.state.connections


# Connections ------------------------------------------------------------------------------------------------------------


async def test_the_longest_idle_connection_gives_way_to_a_new_one() -> None:
    async with serve(ConnectionLimits(connections=4, keepalive_timeout_s=4)) as shop:
        old = [await shop.open() for _ in range(4)]
        for number, client in enumerate(old):
            client.send(GET % number)
            await client.answer()
            shop.connections.now += 1
        new = await shop.open()
        new.send(GET % 9)
        assert (await new.answer())[1] == b"/9:0"
        assert await old[0].rest() == b""
        old[3].send(GET % 3)
        assert (await old[3].answer())[1] == b"/3:0"


@pytest.mark.parametrize("half", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"])
async def test_connections_that_wait_for_their_client_shut_nobody_out(half: bytes) -> None:
    async with serve(ConnectionLimits(connections=20)) as shop:
        idle = []
        for _ in range(60):
            idle.append(await shop.open())
            idle[-1].send(half)
        await asyncio.sleep(0.05)
        client = await shop.open()
        client.send(GET % 1)
        assert (await client.answer())[1] == b"/1:0"
        assert len(shop.connections) <= 20


async def test_connections_in_the_middle_of_an_answer_are_kept_and_the_new_one_is_refused() -> None:
    async with serve(ConnectionLimits(connections=3)) as shop:
        shop.gate.clear()
        busy = [await shop.open() for _ in range(3)]
        for client in busy:
            client.send(GET % 1)
        await asyncio.sleep(0.1)
        new = await shop.open()
        got = await new.rest()
        assert got == b"" or got.startswith(b"HTTP/1.1 503 ")
        shop.gate.set()
        for client in busy:
            assert (await client.answer())[1] == b"/1:0"


class Remote:
    """A connection as `Connections` sees it."""

    def __init__(self, address: str, waits_for: WaitingFor = WaitingFor.ANSWER) -> None:
        self.client: tuple[str, int] | None = (address, 4711)
        self.waits_for = waits_for
        self.waits_since = 0.0
        self.deadline = self.send_deadline = float("inf")
        self.counted_as = ""
        self.aborted = False

    def expired(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


def test_one_address_has_its_share_and_this_machine_and_trusted_proxies_have_no_limit() -> None:
    connections = Connections(
        ConnectionLimits(connections_per_address=2, connections=50), TrustedProxies(["10.0.0.0/8"])
    )
    first = [Remote("192.0.2.1") for _ in range(2)]
    assert all(connections.admit(one) for one in first)
    assert not connections.admit(Remote("192.0.2.1"))
    assert connections.admit(Remote("192.0.2.2"))
    connections.left(first[0])
    connections.left(first[0])
    assert connections.admit(Remote("192.0.2.1"))
    assert not connections.admit(Remote("192.0.2.1"))
    # Of IPv6 a customer has a whole network.
    assert [connections.admit(Remote(f"2001:db8::{number}")) for number in range(3)] == [True, True, False]
    assert connections.admit(Remote("2001:db8:0:1::1"))
    assert all(connections.admit(Remote(address)) for address in ("127.0.0.1", "10.1.2.3") for _ in range(10))


def test_nobody_looks_through_all_connections_for_each_one_that_is_refused() -> None:
    connections = Connections(ConnectionLimits(connections=3))
    for _ in range(3):
        assert connections.admit(Remote("192.0.2.1"))
    assert not connections.admit(Remote("192.0.2.1"))
    connections._open = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        connections.admit(Remote("192.0.2.1"))
    connections._open = set()


def test_idle_ones_go_first_then_half_requests_and_answers_never() -> None:
    connections = Connections(ConnectionLimits(connections=4))
    one = {
        what: Remote("192.0.2.1", what)
        for what in (WaitingFor.ANSWER, WaitingFor.BODY, WaitingFor.HEADERS, WaitingFor.NEXT_REQUEST)
    }
    for remote in one.values():
        assert connections.admit(remote)
    for what in (WaitingFor.NEXT_REQUEST, WaitingFor.HEADERS, WaitingFor.BODY):
        assert connections.admit(Remote("192.0.2.1"))
        assert one[what].aborted
    assert not connections.admit(Remote("192.0.2.1"))
    assert not one[WaitingFor.ANSWER].aborted


@pytest.mark.parametrize(
    ("files", "pool", "chosen", "most"),
    [(1024, 4, 0, 828), (65536, 4, 0, 10_000), (65536, 4, 20_000, 20_000), (1024, 4, 5000, 828), (256, 4, 0, 60), (64, 4, 0, 16),
     (1024, 4, 100, 100)],
)  # fmt: skip
def test_connections_stay_below_the_open_files_of_the_process(files: int, pool: int, chosen: int, most: int) -> None:
    assert most_connections(files, pool, chosen) == most


async def test_a_listener_of_its_own_has_an_application_of_its_own() -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serve(apps_by_port={}) as shop:
        shop.connections.apps_by_port[shop.address[1]] = other
        client = await shop.open()
        client.send(b"GET /1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 204 ")


# Everybody else ---------------------------------------------------------------------------------------------------------


async def test_a_client_that_has_stopped_sending_gets_all_its_answers() -> None:
    async with serve() as shop:
        for count in (1, 5, 100):
            client = await shop.open()
            client.send(b"".join(GET % number for number in range(count)))
            client.writer.write_eof()
            got = await client.rest()
            assert got.count(b"HTTP/1.1 200 ") == count
            assert got.endswith(b"/%d:0" % (count - 1))


async def test_a_question_for_another_protocol_is_answered_in_this_one() -> None:
    upgrade = b"GET /1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    async with serve() as shop:
        client = await shop.open()
        for _ in range(2):
            client.send(upgrade)
            assert (await client.answer())[1] == b"/1:0"


ASKS_FOR_HTTP2 = b"POST /%d HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
"""How Java's own client and `curl --http2` send everything that is not encrypted."""


@pytest.mark.parametrize("piece", [1, 7, 100, 5_000])
async def test_a_body_behind_a_question_for_another_protocol_is_read_like_any_other(piece: int) -> None:
    async with serve() as shop:
        client = await shop.open()
        inside = GET % 666
        sent = (
            ASKS_FOR_HTTP2 % 1 + b"content-length: %d\r\n\r\n" % len(inside) + inside
            + ASKS_FOR_HTTP2 % 2 + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\na: b\r\n\r\n"
            + ASKS_FOR_HTTP2 % 3 + b"content-length: 0\r\n\r\n"
            + GET % 4
            + ASKS_FOR_HTTP2 % 5 + b"content-length: 4\r\n\r\nGET "
            + GET % 6
        )  # fmt: skip
        for start in range(0, len(sent), piece):
            client.send(sent[start : start + piece])
            await asyncio.sleep(0)
        bodies = [(await client.answer())[1] for _ in range(6)]
        assert bodies == [b"/1:%d" % len(inside), b"/2:5", b"/3:0", b"/4:0", b"/5:4", b"/6:0"]
        assert shop.answered == ["/1", "/2", "/3", "/4", "/5", "/6"]


async def test_trailers_behind_a_question_for_another_protocol_are_bounded() -> None:
    async with serve() as shop:
        client = await shop.open()
        client.send(ASKS_FOR_HTTP2 % 1 + b"transfer-encoding: chunked\r\n\r\n0\r\n")
        await client.flood(b"a: b\r\n" * 500_000)
        assert b"431" in await client.rest()


# Bodies that wait ---------------------------------------------------------------------------------------------------------


async def test_large_requests_of_others_are_read_while_nothing_more_may_be_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("telvend.web.connections._BACKLOG_BYTES", 100_000)
    async with serve() as shop:
        shop.gate.clear()
        hoarder = await shop.open()
        await hoarder.flood(GET % 1 * 5_000)
        shop.connections.backlog_bytes += 90_000
        honest = await shop.open()
        # Longer than what the parser gets at once, and whole: nothing of it is to be kept.
        honest.send(b"POST /2 HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n" + b"x" * 50_000)
        await asyncio.sleep(0.1)
        shop.gate.set()
        assert (await honest.answer())[1] == b"/2:50000"
        shop.connections.backlog_bytes -= 90_000


@pytest.mark.parametrize(
    "request_", [
        b"POST /2 HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n" + b"x" * 60_000,
        b"GET /2 HTTP/1.1\r\nhost: x\r\na: " + b"x" * 60_000 + b"\r\n\r\n",
    ], ids=["bodies", "heads"],
)  # fmt: skip
async def test_requests_that_wait_are_bounded_in_bytes_too(request_: bytes) -> None:
    async with serve() as shop:
        shop.gate.clear()
        client = await shop.open()
        flood = asyncio.create_task(client.flood(GET % 1 + request_ * 15 + GET % 3))
        await asyncio.sleep(0.5)
        waiting = [cycle for one in shop.state.connections for cycle, _ in one.pipeline]  # type: ignore[union-attr]
        held = sum(len(cycle.body) + sum(len(value) for _, value in cycle.scope["headers"]) for cycle in waiting)
        assert 0 < held < 200_000
        shop.gate.set()
        await flood
        # And all are answered in the end.
        size = b"60000" if b"POST" in request_ else b"0"
        assert [(await client.answer())[1] for _ in range(17)] == [b"/1:0", *[b"/2:" + size] * 15, b"/3:0"]


async def test_the_request_in_hand_hears_that_its_client_has_gone_though_others_wait() -> None:
    heard: list[str] = []
    started = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        started.set()
        heard.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"for nobody"})

    async with serve(application=application) as shop:
        client = await shop.open()
        client.send(GET % 1 + GET % 2)
        await asyncio.wait_for(started.wait(), 5)
        client.writer.transport.abort()
        for _ in range(50):
            if heard:
                break
            await asyncio.sleep(0.02)
    assert heard == ["http.disconnect"]
