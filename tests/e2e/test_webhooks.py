"""Webhooks of a real shop: bought over HTTP, sent by processes that are killed, to a receiver that verifies."""

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.e2e.conftest import Keys
from tests.e2e.shop import TELVEND, Shop, purchase, wait_for

AMA = "ama@example.com"


class Program:
    """A reseller's program: keeps what it was sent, with the moment, and answers with `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.silent = threading.Event()
        self.came: list[tuple[float, dict[str, str], bytes]] = []
        program = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                program.came.append((time.time(), {k.lower(): v for k, v in self.headers.items()}, body))
                while program.silent.is_set():
                    time.sleep(0.05)
                self.send_response(program.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Keep still."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks"

    def events(self, secret: str) -> list[Any]:
        """What came, verified."""
        return [Webhook(secret).verify(body, headers) for _, headers, body in self.came]

    def ids(self) -> Counter[str]:
        return Counter(headers["webhook-id"] for _, headers, _ in self.came)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def listening() -> Iterator[Program]:
    program = Program()
    try:
        yield program
    finally:
        program.close()


def allow_private(shop: Shop) -> None:
    (shop.data_dir / "telvend.toml").write_text("webhook_allow_private = true\n")


def test_a_sale_is_told_within_a_second_signed_and_in_either_process(fresh_shop: Shop, keys: Keys) -> None:
    shop = fresh_shop
    allow_private(shop)
    shop.start("--workers", "2")
    with listening() as program:
        secret = shop.telvend("webhook", "add", AMA, program.url)["secret"]
        with shop.client(keys.ama) as client:
            for number in range(20):
                assert client.post("purchase", json=purchase(0, f"w-{number}")).status_code == 200
            wait_for(lambda: len(program.came) >= 20, 10, "twenty messages")
        with shop.client(keys.ama_test) as client:
            client.post("purchase", json=purchase(0, "w-test"))
            wait_for(lambda: len(program.came) >= 21, 10, "the test sale's message")
        events = program.events(secret)
        assert {event["type"] for event in events} == {"order.completed"}
        live = [event["data"] for event in events if event["data"]["mode"] == "live"]
        assert {data["client_reference"] for data in live} == {f"w-{number}" for number in range(20)}
        assert [event["data"]["client_reference"] for event in events if event["data"]["mode"] == "test"] == ["w-test"]
        assert max(program.ids().values()) == 1
        wait_for(
            lambda: {one["status"] for one in shop.telvend("webhook", "deliveries", AMA)["deliveries"]} == {"delivered"},
            10, "all are written down",
        )  # fmt: skip
        waited = shop.sql(
            "select max(a.started_at - e.created_at) from webhook_attempt a join webhook_event e on e.id = a.event_id"
        )[0][0]
        assert waited.total_seconds() < 1.0 * max(1, len(shop.worker_pids()) / 2) + 2.0
    # Nothing that is secret is in the log, nor in what commands list.
    assert secret.removeprefix("whsec_") not in shop.log()
    assert secret not in json.dumps(shop.telvend("webhook", "list", AMA))
    shop.check_books()


@pytest.mark.parametrize(
    "point",
    ["webhook.before_record"]
    + [pytest.param(point, marks=pytest.mark.soak) for point in ("webhook.before_send", "webhook.after_record")],
)
def test_a_message_survives_a_process_that_is_killed(fresh_shop: Shop, keys: Keys, point: str) -> None:
    shop = fresh_shop
    allow_private(shop)
    shop.start()
    with listening() as program:
        secret = shop.telvend("webhook", "add", AMA, program.url)["secret"]
        shop.stop()
        shop.start(failpoints=f"{point}=kill@1", may_end=True)
        with shop.client(keys.ama) as client:
            client.post("purchase", json=purchase(0, "w-killed"))
        wait_for(shop.has_ended, 20, "killed")
        shop.start()
        wait_for(
            lambda: [one["status"] for one in shop.telvend("webhook", "deliveries", AMA)["deliveries"]] == ["delivered"],
            30, "delivered after all",
        )  # fmt: skip
        events = program.events(secret)
        assert {event["data"]["client_reference"] for event in events} == {"w-killed"}
        assert len(program.ids()) == 1, "one webhook-id however often it comes"
        assert len(events) == (2 if point == "webhook.before_record" else 1)
    shop.check_books()


def test_a_receiver_that_was_down_loses_nothing_and_a_replay_keeps_the_id(fresh_shop: Shop, keys: Keys) -> None:
    shop = fresh_shop
    allow_private(shop)
    shop.start()
    with listening() as program:
        secret = shop.telvend("webhook", "add", AMA, program.url, "--event", "order.completed")["secret"]
        program.status = 503
        with shop.client(keys.ama) as client:
            client.post("purchase", json=purchase(0, "w-down"))
            client.post("purchase", json=purchase(4, "w-refused"))
        wait_for(lambda: len(program.came) >= 1, 10, "the first attempt")
        program.status = 200

        def delivered() -> bool:
            found = shop.telvend("webhook", "deliveries", AMA)["deliveries"]
            return [(one["event"], one["status"]) for one in found] == [("order.completed", "delivered")]

        wait_for(delivered, 20, "the second attempt after five seconds")
        (delivery,) = shop.telvend("webhook", "deliveries", AMA)["deliveries"]
        assert delivery["attempts"] == 2
        assert shop.telvend("webhook", "replay", delivery["id"])["webhook_id"] == delivery["webhook_id"]
        wait_for(lambda: len(program.came) >= 3, 10, "the replay")
        assert len(program.ids()) == 1
        assert len({body for _, _, body in program.came}) == 1
        program.events(secret)
        # A removed endpoint hears nothing of what follows.
        shop.telvend("webhook", "remove", str(delivery["endpoint"]))
        with shop.client(keys.ama) as client:
            client.post("purchase", json=purchase(0, "w-after"))
        shop.wait_until_final()
        time.sleep(1)
        assert len(program.came) == 3


class Listener:
    """`telvend webhook listen`, as a process of its own that prints into files."""

    def __init__(self, shop: Shop, folder: Path, *arguments: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [TELVEND, "--data-dir", str(shop.data_dir), "webhook", "listen", *arguments],
                env=shop.environment(),
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        wait_for(lambda: "Ctrl-C ends it" in self.err.read_text(), 30, "listening")

    @property
    def secret(self) -> str:
        return self.err.read_text().split("signed with ")[1].split()[0]

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def end(self, sent: signal.Signals) -> int:
        os.kill(self.process.pid, sent)
        return self.process.wait(20)


def sessions(shop: Shop) -> tuple[int, int]:
    (found,) = shop.sql("select (select count(*) from webhook_listener), (select count(*) from webhook_listener_event)")
    return found[0], found[1]


def test_a_developer_is_shown_sales_that_are_sent_on_signed_until_ctrl_c(
    fresh_shop: Shop, keys: Keys, tmp_path: Path
) -> None:
    shop = fresh_shop
    shop.start("--workers", "2")
    with listening() as program, shop.client(keys.ama) as client:
        listener = Listener(shop, tmp_path, "--forward", program.url.replace("127.0.0.1", "localhost"), "--json", AMA)
        try:
            for number in range(10):
                assert client.post("purchase", json=purchase(0, f"l-{number}")).status_code == 200
            with shop.client(keys.kofi) as other:
                assert other.post("purchase", json=purchase(0, "of-kofi")).status_code == 200
            wait_for(lambda: len(listener.lines()) >= 10, 20, "ten events")
            time.sleep(1)
            lines = listener.lines()
            assert {line["body"]["data"]["client_reference"] for line in lines} == {f"l-{n}" for n in range(10)}
            assert {(line["event"], line["reseller"], line["status"]) for line in lines} == {
                ("order.completed", AMA, 204)
            }
            assert {event["type"] for event in program.events(listener.secret)} == {"order.completed"}
            assert set(program.ids()) == {line["webhook_id"] for line in lines}
            # Ctrl-C ends it also while the program on the other side says nothing.
            program.silent.set()
            client.post("purchase", json=purchase(0, "l-last"))
            wait_for(lambda: len(program.came) >= 11, 20, "the last one")
            began = time.monotonic()
            assert listener.end(signal.SIGINT) == 0
            assert time.monotonic() - began < 10
        finally:
            listener.process.kill()
            listener.process.wait()
            program.silent.clear()
    assert len(listener.lines()) == 10
    assert sessions(shop) == (0, 0)
    assert shop.telvend("webhook", "list", AMA)["webhooks"] == []
    assert shop.telvend("webhook", "deliveries", AMA)["deliveries"] == []
    shop.check_books()


@pytest.mark.soak
def test_a_listener_that_is_killed_leaves_nothing_that_lasts(fresh_shop: Shop, keys: Keys, tmp_path: Path) -> None:
    shop = fresh_shop
    shop.start()
    listener = Listener(shop, tmp_path)
    assert listener.end(signal.SIGKILL) == -signal.SIGKILL
    with shop.client(keys.ama) as client:
        assert client.post("purchase", json=purchase(0, "k-1")).status_code == 200
        shop.wait_until_final()
        assert sessions(shop) == (1, 1)
        shop.sql("update webhook_listener set until = now()")
        assert client.post("purchase", json=purchase(0, "k-2")).status_code == 200
        shop.wait_until_final()
    assert sessions(shop) == (1, 1)
    # The next one removes it; so do serving processes, every five minutes.
    (tmp_path / "next").mkdir()
    following = Listener(shop, tmp_path / "next")
    assert sessions(shop) == (1, 0)
    assert following.end(signal.SIGTERM) == 0
    assert sessions(shop) == (0, 0)
    assert "signed with" not in following.err.read_text()
    shop.check_books()
