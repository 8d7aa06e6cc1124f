"""The commands that scripts rely on, against a real database: one JSON object, exit codes, errors on stderr, CSV.

Most run in this process; one as a process of its own, for what only a process can show.
"""

import asyncio
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import Result
from typer.testing import CliRunner

from telvend.cli import app
from telvend.database.connections import Database
from telvend.kit.failpoints import VARIABLE
from telvend.orders.model import Order, Placement
from telvend.orders.placement import OrderPlacement
from tests.conftest import Server
from tests.store.purchases import Customer, customer

T = TypeVar("T")
EMAIL = "ama@example.com"


class Shop:
    """Runs commands against one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *arguments: str, code: int = 0, before: tuple[str, ...] = ()) -> Result:
        result = CliRunner().invoke(app, [*before, *arguments, "--database-url", self.url])
        assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
        return result

    def data(self, *arguments: str, code: int = 0) -> Any:
        return one_object(self.run(*arguments, "--json", code=code).stdout)

    def refused(self, *arguments: str) -> str:
        """The one sentence that a refused command says, on stderr."""
        result = self.run(*arguments, code=1)
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("telvend: ")
        return line.removeprefix("telvend: ")

    def killed(self, point: str, *arguments: str) -> None:
        """Run a command in a process of its own, which `kill -9` ends at this failpoint."""
        ended = subprocess.run(
            [sys.executable, "-m", "telvend", *arguments],
            env=os.environ | {"TELVEND_DATABASE_URL": self.url, VARIABLE: f"{point}=kill"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    def work(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async def inside() -> T:
            database = await Database.open(self.url, pool_size=2)
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(inside())

    def execute(self, statement: str) -> None:
        async def work(database: Database) -> None:
            async with database.connection() as tx:
                await tx.execute(statement)

        self.work(work)

    def add_reseller(self) -> None:
        self.run("user", "add", EMAIL, "--name", "Ama", "--phone", "0241234567")

    def sell(self, *references: str | None) -> tuple[str, list[Order]]:
        """A reseller with orders under these references; answers the address and the orders."""

        async def work(database: Database) -> tuple[Customer, list[Order]]:
            found = await customer(database, ghs_minor=10_000)
            placement = OrderPlacement(database)
            answers = [(await placement.place_all([found.wants(reference)]))[0] for reference in references]
            await placement.close()
            return found, [answer.order for answer in answers if isinstance(answer, Placement)]

        found, orders = self.work(work)
        (email,) = (
            user["email"] for user in self.data("user", "list")["users"] if user["id"] == str(found.reseller_id)
        )
        return email, orders


def one_object(text: str) -> Any:
    """The JSON object that is all of this text, in one line."""
    assert text.count("\n") == 1
    found = json.loads(text, parse_float=Decimal)
    assert isinstance(found, dict)
    return found


def sheet(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(autouse=True)
def nowhere(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory that nobody uses."""
    folder = tmp_path / "data"
    monkeypatch.setenv("TELVEND_DATA_DIR", str(folder))
    yield folder
    # Commands that are given a database need no folder; who has moved money remembers that there.
    assert not folder.exists() or [path.name for path in folder.iterdir()] == ["book"]


@pytest.fixture
def shop(database_url: str) -> Shop:
    return Shop(database_url)


@pytest.fixture(scope="module")
async def furnished_url(server: Server) -> AsyncIterator[str]:
    async with server.database("furnished") as url:
        yield url


@pytest.fixture(scope="module")
def furnished(furnished_url: str) -> Shop:
    """A shop with one reseller, for tests that only look."""
    shop = Shop(furnished_url)
    shop.add_reseller()
    return shop


# How commands are called and end


def test_the_common_options_stand_before_or_after_and_the_later_wins(
    furnished: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "postgresql://x:y@127.0.0.1:1/x"
    given = ("--database-url", furnished.url)
    runner = CliRunner()
    for arguments in (
        ("user", "list", "--json", *given),
        (*given, "--json", "user", "list"),
        ("--json", "--database-url", wrong, "user", "list", *given),
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.stderr
        assert one_object(result.stdout).keys() == {"users"}
    monkeypatch.setenv("TELVEND_DATABASE_URL", furnished.url)
    assert one_object(runner.invoke(app, ["user", "list", "--json"]).stdout).keys() == {"users"}
    monkeypatch.setenv("TELVEND_DATABASE_URL", wrong)
    assert runner.invoke(app, ["user", "list", *given]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("user", "list"), {"users"}),
        (("key", "list", EMAIL), {"keys"}),
        (("wallet", "show", EMAIL), {"wallets"}),
        (("wallet", "statement", EMAIL, "GHS"), {"statement", "next"}),
        (("wallet", "statement", EMAIL, "GHS", "--csv"), {"statement", "next"}),
        (("product", "list"), {"products"}),
        (("product", "list", "--csv"), {"products"}),
        (("network", "list"), {"networks"}),
        (("network", "pauses"), {"pauses", "next"}),
        (("order", "list"), {"orders", "next"}),
        (("order", "list", "--csv"), {"orders", "next"}),
        (("ledger", "check"), {"ok", "transfers", "orders", "checked", "findings"}),
        (("ledger", "accounts"), {"accounts"}),
        (("simulator", "book"), {"deliveries", "delivered_twice", "lines"}),
        (("simulator", "table"), {"endings"}),
        (("settings",), {"file", "settings"}),
        (("db", "url"), {"url"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_json_is_one_object_and_nothing_else_on_stdout(
    furnished: Shop, arguments: tuple[str, ...], keys: set[str]
) -> None:
    assert furnished.data(*arguments).keys() == keys
    plain = furnished.run(*arguments).stdout
    assert plain
    assert not plain.startswith("{")


def test_a_database_that_cannot_be_used_is_one_sentence(server: Server, tmp_path: Path) -> None:
    for url in (
        "postgresql://x:hunter2@127.0.0.1:1/x", f"postgresql://x@/x?host={tmp_path}", "mysql://x/y", "nonsense",
        server.url("no_such_database"), "postgresql://x@[::1/x", "postgresql://x:hunter2/3@db/x", "postgresql://x@127.0.0.1:99999/x",
    ):  # fmt: skip
        sentence = Shop(url).refused("user", "list")
        assert "hunter2" not in sentence


def test_commands_leave_an_empty_database_empty_and_refuse_one_of_a_newer_schema(server: Server) -> None:
    asyncio.run(server.command("create database blank"))
    try:
        shop = Shop(server.url("blank"))
        for arguments in (
            ("product", "list"),
            ("user", "add", EMAIL, "--name", "A", "--phone", "0241234567"),
            ("upgrade",),
        ):
            assert shop.refused(*arguments) == "There is no shop in this database; `telvend serve` opens one."
        shop.execute("create table alembic_version (version_num text)")  # Nobody has made a table of the shop.
        shop.execute("insert into alembic_version values ('9999')")
        assert "newer than this version" in shop.refused("user", "list")
    finally:
        asyncio.run(server.command("drop database blank with (force)"))


def test_a_setting_that_cannot_be_ends_every_command(furnished: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_POOL_SIZE", "many")
    for arguments in (("settings",), ("user", "list"), ("db", "url")):
        assert furnished.refused(*arguments).startswith("TELVEND_POOL_SIZE is 'many'")


def test_a_reader_that_has_seen_enough_gets_no_traceback(furnished: Shop) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "telvend", "product", "list", "--csv"],
        env=os.environ | {"TELVEND_DATABASE_URL": furnished.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, b"")


# Resellers, keys, wallets


def test_a_reseller_is_added_once(shop: Shop) -> None:
    made = shop.data("user", "add", EMAIL, "--name", "Ama", "--phone", "024 123-4567")
    assert (made["email"], made["phone"]) == (EMAIL, "+233241234567")
    assert "exists already" in shop.refused("user", "add", "AMA@example.com", "--name", "A", "--phone", "0241234567")
    assert shop.refused("user", "add", "b@example.com", "--name", "B", "--phone", "12").startswith("phone: ")
    assert [user["id"] for user in shop.data("user", "list")["users"]] == [made["id"]]
    assert EMAIL in shop.run("user", "list").stdout


def test_a_key_is_shown_once_and_revoked_by_its_id(shop: Shop) -> None:
    shop.add_reseller()
    made = shop.data("key", "add", EMAIL, "--api", "netpluse", "--read-limit", "100", "--mode", "test")
    assert made["key"].startswith("np_test_")
    assert (made["read_limit"], made["purchase_limit"], made["mode"]) == (100, 30, "test")
    listed = shop.run("key", "list", EMAIL, "--json").stdout + shop.run("key", "list", EMAIL).stdout
    assert made["key"] not in listed
    assert made["id"] in listed
    first = shop.data("key", "revoke", made["id"])["revoked_at"]
    assert first is not None
    assert shop.data("key", "revoke", made["id"])["revoked_at"] == first
    for unknown in ("nonsense", "00000000-0000-0000-0000-000000000001", made["key"]):
        assert shop.refused("key", "revoke", unknown) == "Key not found."
    assert shop.refused("key", "add", "b@example.com", "--api", "netpluse") == "Reseller not found."


def test_a_wallet_is_credited_once_for_each_reference(shop: Shop) -> None:
    shop.add_reseller()

    def credit(amount: str, reference: str, *more: str, code: int = 0) -> Any:
        return shop.data("wallet", "credit", EMAIL, amount, "ghs", "--reference", reference, *more, code=code)[
            "balance"
        ]

    assert credit("4.5", "r1") == Decimal("4.50")
    assert credit("4.50", "r1") == Decimal("4.50")
    assert credit("100", "r2") == Decimal("104.50")
    assert credit("7", "r1", "--mode", "test") == 7
    command = ("wallet", "credit", EMAIL)
    assert "already used" in shop.refused(*command, "5", "GHS", "--reference", "r1")
    for amount in ("4.505", "0", "1e3", "x", "1,000"):
        assert shop.refused(*command, amount, "GHS", "--reference", "r3").startswith("amount: ")
    assert shop.refused(*command, "5", "EUR", "--reference", "r3").startswith("currency: ")
    assert shop.refused(*command, "5.5", "UGX", "--reference", "r3").startswith("amount: ")
    assert shop.data(*command, "1500", "UGX", "--reference", "r3")["balance"] == 1500
    balances = {(w["mode"], w["currency"]): w["balance"] for w in shop.data("wallet", "show", EMAIL)["wallets"]}
    assert balances == {
        ("live", "GHS"): Decimal("104.50"), ("live", "NGN"): 0, ("live", "UGX"): 1500, ("test", "GHS"): 7, ("test", "NGN"): 0,
    }  # fmt: skip


def test_a_statement_names_every_movement_and_goes_on_in_pages(shop: Shop) -> None:
    email, (order,) = shop.sell("mine-1")
    shop.run("wallet", "credit", email, "5", "GHS", "--reference", "=top-up")
    command = ("wallet", "statement", email, "GHS")
    page = shop.data(*command)
    assert page["next"] is None
    assert [(line["sequence"], line["what"], line["reference"], line["change"], line["balance"]) for line in page["statement"]] == [
        (3, "money in", "=top-up", 5, Decimal("100.50")),
        (2, "order placed", order.reference, Decimal("-4.50"), Decimal("95.50")),
        (1, "money in", "opening", 100, 100),
    ]  # fmt: skip
    first = shop.data(*command, "--limit", "2")
    assert first["next"] == 2
    rest = shop.data(*command, "--limit", "2", "--before", str(first["next"]))
    assert first["statement"] + rest["statement"] == page["statement"]
    assert rest["next"] is None
    lines = sheet(shop.run(*command, "--csv").stdout)
    assert [(line["sequence"], line["change"]) for line in lines] == [("3", "5.00"), ("2", "-4.50"), ("1", "100.00")]
    assert order.reference in shop.run(*command).stdout
    assert "not found" in shop.refused("wallet", "statement", email, "UGX")


# Products and networks


def codes(found: Any) -> set[str]:
    return {product["code"] for product in found["products"]}


def test_products_are_listed_by_network_country_and_switch(shop: Shop) -> None:
    everything = shop.data("product", "list")
    assert all(type(product["id"]) is int for product in everything["products"])
    assert len(codes(everything)) == len(everything["products"])
    ghana = shop.data("product", "list", "--country", "gh")
    assert {product["country"] for product in ghana["products"]} == {"GH"}
    mtn = shop.data("product", "list", "--network", "mTn")
    assert {product["country"] for product in mtn["products"]} == {"GH", "NG"}
    both = shop.data("product", "list", "--network", "mtn", "--country", "GH")
    assert codes(both) == codes(ghana) & codes(mtn)
    shop.run("product", "off", "GH-MTN-1GB-30D")
    assert codes(shop.data("product", "list", "--withdrawn")) == {"GH-MTN-1GB-30D"}
    assert codes(shop.data("product", "list", "--active")) == codes(everything) - {"GH-MTN-1GB-30D"}
    assert shop.data("product", "list", "--network", "nobody") == {"products": []}
    assert "There are no such products." in shop.run("product", "list", "--network", "nobody").stdout
    assert shop.refused("product", "list", "--country", "XX").startswith("country: ")
    assert [p["code"] for p in shop.data("product", "list", "--limit", "2", "--offset", "1")["products"]] == [
        product["code"] for product in everything["products"][1:3]
    ]


def test_the_sheet_has_what_was_asked_for_and_can_be_imported(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    for filters in ((), ("--network", "telecel"), ("--country", "GH", "--limit", "3")):
        listed = shop.data("product", "list", *filters)["products"]
        text = shop.run("product", "list", "--csv", *filters).stdout
        assert [row["code"] for row in sheet(text)] == [product["code"] for product in listed]
        path.write_text(text)
        done = shop.data("product", "import", str(path))
        assert (done["added"], done["changed"], done["unchanged"]) == (0, 0, len(listed))
    shop.run("product", "off", "GH-MTN-1GB-30D")
    assert [row["active"] for row in sheet(shop.run("product", "list", "--csv", "--withdrawn").stdout)] == ["no"]


def test_a_sheet_with_a_bad_line_is_refused_with_its_place(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    head, good, *_ = shop.run("product", "list", "--csv").stdout.splitlines()
    path.write_text(f"{head}\n{good}\n{good.replace('NG-', 'NEW-', 1).replace(',yes', ',perhaps')}\n")
    result = shop.run("product", "import", str(path), code=1)
    assert f"{path}: line 3, active" in result.stderr
    assert one_object(shop.run("product", "import", str(path), "--json", code=1).stdout)["added"] == 0
    path.write_bytes(b"\xff\xfe")
    assert shop.run("product", "import", str(path), code=2).stdout == ""


def test_a_product_is_added_priced_and_taken_off(shop: Shop) -> None:
    made = shop.data(
        "product", "add", "GH-MTN-7GB", "--country", "GH", "--network", "mtn", "--size", "7gb", "--price", "30", "--cost", "28.5",
    )  # fmt: skip
    assert (made["size"], made["price"], made["cost"], made["active"]) == ("7GB", 30, Decimal("28.50"), True)
    assert shop.data("product", "price", "GH-MTN-7GB", "31")["price"] == 31
    assert shop.data("product", "price", "GH-MTN-7GB", "--cost", "29")["cost"] == 29
    assert shop.refused("product", "price", "GH-MTN-7GB").startswith("price: ")
    assert shop.refused("product", "price", "NOBODY", "1") == "Product not found."
    assert shop.data("product", "offer", "GH-MTN-7GB", "simulator", "27.1") == {
        "code": "GH-MTN-7GB", "provider": "simulator", "cost": Decimal("27.10"), "sold": True,
    }  # fmt: skip
    assert shop.data("product", "offer", "GH-MTN-7GB", "simulator")["sold"] is False
    assert not shop.data("product", "off", "GH-MTN-7GB")["active"]
    assert shop.data("product", "on", "GH-MTN-7GB")["active"]


def test_a_network_of_two_countries_is_switched_with_its_country(shop: Shop) -> None:
    assert shop.refused("network", "off", "MTN").startswith("country: is needed")
    assert not shop.data("network", "off", "mtn", "--country", "gh")["active"]
    off = [(n["country"], n["code"]) for n in shop.data("network", "list")["networks"] if not n["active"]]
    assert off == [("GH", "MTN")]
    assert shop.data("network", "on", "MTN", "--country", "GH")["active"]


def test_a_network_is_paused_with_a_reason_and_resumed_and_both_are_kept(shop: Shop) -> None:
    assert shop.refused("network", "pause", "MTN", "--reason", "down").startswith("country: is needed")
    assert shop.refused("network", "pause", "Foo", "--reason", "down") == "Network not found."
    assert shop.refused("network", "pause", "Telecel", "--reason", " ").startswith("reason: ")
    assert shop.run("network", "pause", "Telecel", code=2).stdout == ""
    paused = shop.data("network", "pause", "telecel", "--reason", "[b]mast[/b] down", "--by", "Esi")
    assert (paused["active"], paused["on_sale"], paused["pause"]["automatic"]) == (True, False, False)
    listed = shop.run("network", "list").stdout
    assert re.search(
        r"^Telecel \(GH\) is paused since [-0-9: ]{19} \(UTC\) by Esi: \[b\]mast\[/b\] down\.$", listed, re.MULTILINE
    )
    assert re.search(r"Telecel +Telecel +paused$", listed, re.MULTILINE)
    shop.run("network", "off", "Telecel")
    assert re.search(r"Telecel +off, paused$", shop.run("network", "list").stdout, re.MULTILINE)
    assert "telvend network on Telecel --country GH" in shop.run("network", "resume", "Telecel").stdout
    shop.run("network", "pause", "Telecel", "--reason", "still down", "--by", "Esi")
    switched = shop.run("network", "on", "Telecel").stdout
    assert "Telecel (GH) is switched on, and paused since" in switched
    assert "telvend network resume Telecel --country GH" in switched
    resumed = shop.data("network", "resume", "Telecel", "--by", "Kofi", "--reason", "mast is up")
    assert (resumed["on_sale"], resumed["pause"]) == (True, None)
    assert shop.run("network", "resume", "Telecel").stdout == "Telecel (GH) was not paused.\n"
    newest, oldest = shop.data("network", "pauses", "Telecel")["pauses"]
    assert (newest["reason"], newest["ended_by"], newest["end_reason"]) == ("still down", "Kofi", "mast is up")
    assert (oldest["by"], oldest["end_reason"]) == ("Esi", "resumed")
    page = shop.data("network", "pauses", "--limit", "1")
    assert [item["id"] for item in page["pauses"]] == [newest["id"]]
    rest = shop.data("network", "pauses", "--limit", "1", "--before", str(page["next"]))
    assert ([item["id"] for item in rest["pauses"]], rest["next"]) == ([oldest["id"]], None)
    assert "1 more: --before" in shop.run("network", "pauses", "--limit", "1").stdout


# Orders and books


def test_orders_are_listed_newest_first_filtered_and_in_pages(shop: Shop) -> None:
    email, orders = shop.sell("mine-1", None, "mine-3")
    other, (foreign,) = shop.sell("mine-1")
    shop.execute(
        f"update orders set state = 'failed', due_at = null, subscriber = '+233201234567' where id = {orders[0].id}"
    )
    newest = [order.reference for order in (foreign, *reversed(orders))]

    def listed(*filters: str) -> list[str]:
        return [order["reference"] for order in shop.data("order", "list", *filters)["orders"]]

    assert listed() == newest
    assert listed("--email", other) == [foreign.reference]
    assert listed("--state", "failed") == listed("--subscriber", "+233201234567") == [orders[0].reference]
    assert listed("--state", "failed", "--state", "accepted", "--email", email) == newest[1:]
    assert listed("--mode", "test") == []
    page = shop.data("order", "list", "--limit", "3")
    assert page["next"] == orders[1].id
    rest = shop.data("order", "list", "--limit", "3", "--before", str(page["next"]))
    assert ([order["reference"] for order in rest["orders"]], rest["next"]) == ([orders[0].reference], None)
    shown = shop.run("order", "list", "--limit", "1").stdout
    assert foreign.reference in shown
    assert f"--before {foreign.id}" in shown
    assert shop.refused("order", "list", "--email", "nobody@example.com") == "Reseller not found."


def test_the_orders_sheet_has_the_same_columns_with_and_without_orders(shop: Shop) -> None:
    empty = shop.run("order", "list", "--csv").stdout
    _, (order,) = shop.sell("a,\"b\" 'c'")
    text = shop.run("order", "list", "--csv").stdout
    assert text.splitlines()[0] == empty.rstrip("\n")
    (line,) = sheet(text)
    assert (line["reference"], line["client_reference"], line["price"], line["state"]) == (
        order.reference, "a,\"b\" 'c'", "4.50", "accepted",
    )  # fmt: skip
    assert list(line) == list(shop.data("order", "list")["orders"][0])


def test_an_order_is_shown_by_its_reference_or_number_with_its_money(shop: Shop) -> None:
    _, (order,) = shop.sell("[bold]mine[/bold]")
    found = shop.data("order", "show", order.reference)
    assert found == shop.data("order", "show", str(order.id))
    assert (found["reference"], found["price"], found["state"], found["attempts"]) == (
        order.reference, Decimal("4.50"), "accepted", [],
    )  # fmt: skip
    assert [(entry["kind"], entry["debit"], entry["credit"], entry["amount"]) for entry in found["entries"]] == [
        ("hold", "wallet", "in flight", Decimal("4.50"))
    ]
    shown = shop.run("order", "show", order.reference).stdout
    assert "[bold]mine[/bold]" in shown
    assert "in flight" in shown
    # The check in a reference is not decoration: another one is nobody's order.
    for unknown in (order.reference[:-6] + "000000", "NPAPI-1", "mine", "0", "9" * 25, ""):
        assert shop.refused("order", "show", unknown) == "Order not found."


def test_books_that_do_not_hold_are_exit_code_1_and_named(shop: Shop) -> None:
    shop.sell("mine-1")
    assert shop.data("ledger", "check")["ok"] is True
    assert "The books hold." in shop.run("ledger", "check").stdout
    shop.execute("update wallet set balance_minor = balance_minor + 1 where balance_minor > 0")
    found = shop.data("ledger", "check", code=1)
    assert found["ok"] is False
    assert [finding["rule"] for finding in found["findings"]] == ["wallet balances equal their transfers"]
    shown = shop.run("ledger", "check", code=1).stdout
    assert "THE BOOKS DO NOT HOLD" in shown
    assert found["findings"][0]["text"] in shown


def test_accounts_add_up_to_nothing(shop: Shop) -> None:
    shop.sell("mine-1", "mine-2")
    accounts = {(a["mode"], a["currency"], a["kind"]): a["minor"] for a in shop.data("ledger", "accounts")["accounts"]}
    assert accounts == {
        ("live", "GHS", "funding"): -10_000, ("live", "GHS", "in flight"): 900, ("live", "GHS", "wallet"): 9_100,
    }  # fmt: skip


# Settings and the database's address


def test_settings_are_listed_with_their_origin_and_secrets_are_starred(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "telvend.toml"
    file.write_text('redis_url = "redis://:hunter2@cache"\nport = 9000\n')
    monkeypatch.setenv("TELVEND_CONFIG", str(file))
    monkeypatch.setenv("TELVEND_WORKERS", "3")
    result = CliRunner().invoke(app, ["settings", "--json", "--database-url", "postgresql://shop:hunter2@db/x"])
    found = one_object(result.stdout)
    assert found["file"] == str(file)
    settings = {one["name"]: (one["value"], one["origin"]) for one in found["settings"]}
    assert settings["database_url"] == ("********", "command line")
    assert settings["redis_url"] == ("********", "file")
    assert (settings["port"], settings["workers"]) == ((9000, "file"), (3, "environment"))
    assert settings["host"][1] == "default"
    shown = CliRunner().invoke(app, ["settings"]).stdout
    assert "********" in shown
    assert "hunter2" not in shown + result.stdout
    assert {name for name in settings if name not in shown} == set()


def test_the_databases_address_is_the_given_one_or_a_running_servers(furnished: Shop) -> None:
    assert furnished.data("db", "url") == {"url": furnished.url}
    assert furnished.run("db", "url").stdout == furnished.url + "\n"
    result = CliRunner().invoke(app, ["db", "url"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "telvend serve" in result.stderr
