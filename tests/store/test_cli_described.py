"""`telvend provider` with `connector = "http"`: a description is checked, looked at and used, alone and from the settings."""

import asyncio
import contextlib
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from telvend.bootstrap import work
from telvend.config import load
from telvend.kit.mode import Mode
from telvend.orders.model import COUNTER, Order, OrderState
from telvend.providers.described.examples import NAMES, example
from tests.store.test_cli import EMAIL, Shop
from tests.unit.providers.described.test_reader import GOOD

PHONE = "08031234567"


@pytest.fixture
def folder(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory, where the settings file is."""
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    monkeypatch.setenv("TELVEND_DATA_DIR", str(made))
    return made


@pytest.fixture
def shop(database_url: str, folder: Path) -> Shop:
    return Shop(database_url)


def test_a_file_is_checked_before_there_are_settings(shop: Shop, folder: Path) -> None:
    file = folder / "acme.toml"
    file.write_text(GOOD)
    found = shop.data("provider", "check", str(file))
    assert (found["ok"], found["provider"], found["connector"], found["float"]) == (True, "acme", "http", None)
    assert [note["where"] for note in found["warnings"]] == ["credentials and float"]
    assert found["products"]["deliverable"] == 0
    text = found["products"]["undeliverable"][0]["text"]
    assert "telvend product offer" in text


def test_every_mistake_of_a_file_is_named_with_its_line(shop: Shop, folder: Path) -> None:
    file = folder / "acme.toml"
    file.write_text(
        GOOD.replace("max_length = 40", "max_length = 4").replace("401 =", "500 =").replace("\nurl =", "\nulr =", 1)
    )
    result = shop.run("provider", "check", str(file), code=1)
    for part in (
        "wrong    acme.toml:11 reference.max_length: leaves 4 characters",
        "wrong    acme.toml:17 purchase.data.ulr: is no key here; did you mean url?",
        "wrong    acme.toml:39 answer.http.500: is a 5xx",
        "acme (http) could not sell.",
    ):
        assert part in result.stdout
    assert (
        "is a 5xx"
        in shop.run("provider", "try", str(file), "--product", "NG-MTN-AIRTIME", "--phone", PHONE, code=1).stderr
    )


def test_a_request_is_shown_from_a_file_alone(shop: Shop, folder: Path) -> None:
    file = folder / "wazodata.toml"
    file.write_text(example("wazodata"))
    told = ("provider", "try", str(file), "--product", "NG-MTN-AIRTIME", "--phone", PHONE, "--amount", "200")
    request = shop.data(*told, "--dry-run")["request"]
    assert (request["method"], request["url"]) == ("POST", "https://api.wazodata.example/v1/airtime")
    assert request["headers"]["authorization"] == "Bearer ********"
    body = json.loads(request["body"])
    assert (body["network"], body["amount"], body["phone"]) == ("mtn-ng", "200.00", PHONE)
    assert "Only a provider of the settings can deliver" in shop.run(*told, "--yes", code=1).stderr


def test_what_the_settings_lack_is_named(shop: Shop, folder: Path) -> None:
    (folder / "acme.toml").write_text(GOOD)
    (folder / "telvend.toml").write_text(
        'own_network = false\n[providers.acme]\nconnector = "http"\nfile = "acme.toml"\nclient_id = "hunter2"\n'
    )
    result = shop.run("provider", "check", "acme", code=1)
    assert "wrong    api_key: is missing: acme.toml sends {api_key}" in result.stdout
    assert "wrong    client_id: is not used by acme.toml" in result.stdout
    assert "hunter2" not in result.output


def test_examples_are_listed_and_printed_as_they_are(shop: Shop) -> None:
    assert [one["name"] for one in shop.data("provider", "example")["examples"]] == list(NAMES)
    for name in NAMES:
        assert name in shop.run("provider", "example").stdout
        assert shop.run("provider", "example", name).stdout == example(name)
        assert shop.data("provider", "example", name) == {"name": name, "text": example(name)}
    assert "There is no example acme; there are easyaccess" in shop.run("provider", "example", "acme", code=1).stderr


class Vendor:
    """Acme on a real socket. It delivers and then breaks the line, or says 504 and that it failed, or refuses, by the number."""

    LOST, GATEWAY, REFUSED = "08031230001", "08031230002", "08031230003"

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.questions = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            form = json.loads(await reader.readexactly(int(length[1]))) if length and int(length[1]) else {}
            status, body = self.said(head.split()[1], form)
            if body is not None:
                content = json.dumps(body).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n".encode()
                )
                writer.write(content)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def said(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, str] | None]:
        if path == "/balance":
            return 200, {"float": "100000"}
        if path != "/buy":
            self.questions += 1
            known = path.rpartition("/")[2] in self.delivered
            return (200, {"status": "done", "id": "T1"}) if known else (404, {"code": "E404"})
        if form["to"] == self.REFUSED:
            return 422, {"status": "failed", "code": "E1"}
        self.delivered.append(form["ref"])
        return (504, {"status": "failed", "code": "E1"}) if form["to"] == self.GATEWAY else (200, None)


def test_a_lost_answer_and_a_504_are_asked_about_and_a_refusal_gives_the_money_back(shop: Shop, folder: Path) -> None:
    first, *_ = shop.data("product", "list", "--country", "NG", "--network", "mtn")["products"]
    shop.add_reseller()
    shop.run("wallet", "credit", EMAIL, "10000", "NGN", "--reference", "cash")
    shop.run("product", "offer", first["code"], "acme", "140.50", "--code", "1001")
    vendor = Vendor()

    async def sell() -> dict[str, Order]:
        server = await asyncio.start_server(vendor.connected, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        (folder / "acme.toml").write_text(GOOD.replace("https://api.acme.example", address))
        (folder / "telvend.toml").write_text(
            'own_network = false\n[providers.acme]\nconnector = "http"\nfile = "acme.toml"\napi_key = "hunter2"\n'
        )
        (folder / "telvend.toml").chmod(0o600)
        settings = load({"data_dir": str(folder)}, {}).settings
        orders = {}
        async with work(settings, shop.url) as running:
            caller = await running.resellers.caller_without_key(EMAIL, COUNTER, Mode.LIVE)
            for phone in (vendor.LOST, vendor.GATEWAY, vendor.REFUSED):
                placed = await running.counter.place(
                    caller, code=first["code"], recipient=phone, amount=None, client_reference=f"r-{phone}"
                )
                orders[phone] = await running.orders.settled(placed.order, 40)
        server.close()
        return orders

    orders = asyncio.run(sell())
    assert {phone: order.state for phone, order in orders.items()} == {
        vendor.LOST: OrderState.DELIVERED,
        vendor.GATEWAY: OrderState.DELIVERED,
        vendor.REFUSED: OrderState.FAILED,
    }
    assert len(vendor.delivered) == len(set(vendor.delivered)) == 2
    assert vendor.questions >= 2
    paid = Decimal(2) * Decimal(str(first["price"]))
    shown = shop.data("order", "show", orders[vendor.LOST].reference)
    assert [attempt["provider_reference"] for attempt in shown["attempts"]] == ["T1"]
    again = shop.data("wallet", "credit", EMAIL, "10000", "NGN", "--reference", "cash")
    assert Decimal(str(again["balance"])) == 10_000 - paid
    assert shop.data("ledger", "check")["ok"]
