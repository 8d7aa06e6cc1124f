"""What strangers may take from a real server, over raw sockets: memory, time, connections, its metrics."""

import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Keys
from tests.e2e.shop import Shop, free_port, load, purchase, wait_for

PING = b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\n\r\n"
MB = 1024 * 1024


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def impatient(copied: Callable[[], Shop], metrics_port: int) -> Iterator[Shop]:
    """A shop of one process that waits for nobody long, in an environment that means to trust everybody."""
    opened = copied()
    opened.settings |= {
        "TELVEND_CLIENT_HEADER_TIMEOUT_S": "1",
        "TELVEND_CLIENT_BODY_TIMEOUT_S": "1.5",
        "TELVEND_KEEPALIVE_TIMEOUT_S": "2",
        "TELVEND_SEND_TIMEOUT_S": "2",
        "TELVEND_METRICS_PORT": str(metrics_port),
        "TELVEND_TRUSTED_PROXIES": "127.0.0.9",
        "FORWARDED_ALLOW_IPS": "*",
        "WEB_CONCURRENCY": "many",
    }
    opened.start()
    yield opened
    opened.end()


def connect(shop: Shop, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", shop.port), timeout=20, source_address=(source, 0))


def resident(shop: Shop) -> int:
    """Bytes of memory that the serving process has."""
    (line,) = (line for line in Path(f"/proc/{shop.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def everything(connection: socket.socket) -> bytes:
    got = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            got += piece
    return got


def flood(shop: Shop, first: bytes, piece: bytes, size: int) -> None:
    """Send `size` bytes, or as many as are taken without a pause, and go away without reading."""
    with connect(shop) as connection, suppress(OSError):
        connection.sendall(first)
        connection.settimeout(0.3)
        for _ in range(size // len(piece)):
            connection.sendall(piece)


FLOODS = {
    "unfinished headers": (b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: " + b"b" * 1000 + b"\r\n", 64 * MB),
    "many headers": (b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n" * 1000, 64 * MB),
    "trailers": (
        b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        b"a: " + b"b" * 1000 + b"\r\n",
        64 * MB,
    ),
    "pipelined": (b"", PING * 1000, 4 * MB),
    "bodies": (
        b"POST /gateways/sandbox/notice HTTP/1.1\r\nhost: x\r\ncontent-length: 90000000\r\n\r\n",
        b"x" * 65536,
        80 * MB,
    ),
}


@pytest.mark.parametrize("attack", FLOODS)
def test_what_a_stranger_sends_takes_no_memory(impatient: Shop, attack: str) -> None:
    first, piece, size = FLOODS[attack]
    flood(impatient, first, piece, size // 4)  # What is made once for good.
    before = resident(impatient)
    for _ in range(3):
        flood(impatient, first, piece, size)
        assert resident(impatient) < before + 30 * MB
    assert impatient.is_ready()


def test_pipelined_requests_are_all_answered_in_order(impatient: Shop, keys: Keys) -> None:
    known = PING.replace(b"host: x", b"host: x\r\nx-api-key: " + keys.ama.encode())
    unknown = b"GET /api/v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n"
    with connect(impatient) as connection:
        connection.sendall((known + unknown) * 200 + known.replace(b"host: x", b"host: x\r\nconnection: close"))
        got = everything(connection)
    statuses = [answer[:3] for answer in got.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404"] * 200 + [b"200"]


@pytest.mark.parametrize(
    ("sent", "answer", "within_s"),
    [
        (b"", b"", 3),
        (b"GET /api/v1/ping HTTP/1.1\r\nhost", b"HTTP/1.1 408 ", 3),
        (b"POST /gateways/sandbox/notice HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab", b"HTTP/1.1 408 ", 4),
        (PING, b"HTTP/1.1 401 ", 5),
    ],
    ids=["silent", "half a head", "half a body", "idle"],
)
def test_who_keeps_a_connection_waiting_loses_it(impatient: Shop, sent: bytes, answer: bytes, within_s: float) -> None:
    started = time.monotonic()
    with connect(impatient) as connection:
        connection.sendall(sent)
        got = everything(connection)
    assert got.startswith(answer)
    assert bool(got) == bool(answer)
    assert 0.9 < time.monotonic() - started < within_s * load()


def test_a_trickle_does_not_put_it_off(impatient: Shop) -> None:
    started = time.monotonic()
    with connect(impatient) as connection, suppress(OSError):
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        while time.monotonic() - started < 10:
            connection.sendall(b"a: b\r\n")
            time.sleep(0.1)
    assert time.monotonic() - started < 6 * load()


def test_half_a_purchase_that_ran_out_of_time_buys_nothing(impatient: Shop, keys: Keys) -> None:
    body = json.dumps(purchase(reference="half-a-purchase")).encode()
    head = b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\nx-api-key: %s\r\ncontent-length: %d\r\n\r\n"
    with connect(impatient) as connection:
        connection.sendall(head % (keys.ama.encode(), len(body) + 1) + body)
        assert everything(connection).startswith(b"HTTP/1.1 408 ")
    assert impatient.sql("select count(*) from orders where reference = 'half-a-purchase'") == [(0,)]


def test_metrics_are_for_this_machine_and_for_a_port_of_their_own(impatient: Shop, metrics_port: int) -> None:
    url = f"{impatient.url}/metrics"
    with impatient.client(None) as client:
        answer = client.get(url)
        assert answer.status_code == 200
        assert "telvend_http_connection_limits_reached_total" in answer.text
        for header in ("x-forwarded-for", "forwarded", "via", "x-forwarded-proto"):
            assert client.get(url, headers={header: "127.0.0.1"}).status_code == 403
        own = f"http://127.0.0.1:{metrics_port}"
        assert client.get(f"{own}/metrics", headers={"via": "1.1 prometheus"}).status_code == 200
        assert client.get(f"{own}/api/v1/ping").status_code == 404
    # A proxy that is trusted cannot make anybody a neighbour.
    with connect(impatient, source="127.0.0.9") as connection:
        connection.sendall(
            b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 127.0.0.1\r\nconnection: close\r\n\r\n"
        )
        assert everything(connection).startswith(b"HTTP/1.1 403 ")


def test_a_document_is_sent_again_only_where_it_has_changed(impatient: Shop) -> None:
    url = f"{impatient.url}/openapi/netpluse.json"
    with impatient.client(None) as client:
        first = client.get(url)
        again = client.get(url, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert first.json()["servers"] == [{"url": impatient.url}]
        other = client.get(url, headers={"host": "other.example", "if-none-match": first.headers["etag"]})
        assert other.json()["servers"] == [{"url": "http://other.example"}]


def test_what_was_reached_stands_in_the_log_once_a_minute(impatient: Shop) -> None:
    lines = [json.loads(line) for line in impatient.log().splitlines() if line.startswith("{")]
    reached = [line["limit"] for line in lines if line["event"] == "http_limit_reached"]
    assert {"client_header_timeout_s", "max_header_bytes"} <= set(reached)
    assert len(reached) < 20
    assert all(line["client"] == "127.0.0.1" for line in lines if line["event"] == "http_limit_reached")


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process opens many sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("half", [b"", b"GET /api/v1/ping HTTP/1.1\r\nhost"], ids=["silent", "half a head"])
@pytest.mark.usefixtures("many_files")
def test_idle_connections_shut_nobody_out_where_few_files_may_be_open(
    copied: Callable[[], Shop], keys: Keys, half: bytes
) -> None:
    shop = copied()
    shop.start(files=1024)
    try:
        with ExitStack() as idle:
            for _ in range(1500):
                connection = idle.enter_context(connect(shop))
                with suppress(OSError):
                    connection.sendall(half)
            for _ in range(5):
                with shop.client(keys.ama) as client:
                    assert client.get("ping").status_code == 200
                    assert client.post("purchase", json=purchase(0)).status_code in (200, 201)
            assert "max_client_connections" in shop.log()
            assert "Too many open files" not in shop.log()
        wait_for(shop.is_ready, 5, "ready")
        assert shop.stop() == 0
    finally:
        shop.end()


def test_several_processes_answer_on_the_port_of_the_metrics_for_the_whole_node(copied: Callable[[], Shop]) -> None:
    shop = copied()
    port, console = free_port(), free_port()
    shop.settings["TELVEND_METRICS_PORT"] = str(port)
    shop.start("--workers", "2", "--console-port", str(console))
    try:
        for _ in range(6):
            with shop.client(None) as client:
                assert client.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
                # The console has a listener of its own, and neither answers for the other.
                at_console = f"http://127.0.0.1:{console}"
                assert client.get(f"{at_console}/console/signin").status_code == 200
                assert client.get(f"{at_console}/console").status_code == 303
                assert client.get(f"{at_console}/api/v1/ping").status_code == 404
                assert client.get(f"http://127.0.0.1:{shop.port}/console/signin").status_code == 404
        assert shop.telvend("console", "link")["url"].startswith(f"http://127.0.0.1:{console}/console/link/")
        assert shop.stop() == 0
        with socket.create_server(("127.0.0.1", port)):
            shop.start("--workers", "2", may_end=True)
            wait_for(shop.has_ended, 20, "it gave up")
        assert (
            shop.log().splitlines()[-1] == f"telvend: Cannot listen on 127.0.0.1 port {port}: Address already in use."
        )
    finally:
        shop.end()
