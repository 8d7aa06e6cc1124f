"""What a counter needs, by its commands: mistakes taken back, orders refunded and found again, resellers suspended."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telvend import __version__
from telvend.audit.service import findings_of
from telvend.cli import app
from telvend.corrections.invariants import INVARIANTS
from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.dialects.networkdatasub import wire
from telvend.kit.commit import commit
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger.service import Ledger
from telvend.orders.model import Order, OrderFilter
from telvend.orders.store import FIND_UNDER_REFERENCE, list_statement
from telvend.wallets.model import Filter
from telvend.wallets.service import Transactions
from tests.conftest import Server
from tests.store.damage import damaged_books
from tests.store.purchases import customer
from tests.store.test_cli import EMAIL, Shop, sheet

REASON = ("--reason", "typed twice")
BY = ("--by", "Esi")


@pytest.fixture(autouse=True)
def nowhere(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def shop(database_url: str) -> Shop:
    return Shop(database_url)


def delivered(shop: Shop, *references: str | None) -> tuple[str, list[Order]]:
    """A reseller whose orders under these references were delivered."""
    email, orders = shop.sell(*references)
    for order in orders:
        shop.execute(
            "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
            f" values ({order.id}, 1, 'simulator', '{order.reference}-1', 'unknown', 390, now())"
        )
        shop.execute(f"update orders set state = 'review', due_at = null, attempts = 1 where id = {order.id}")
        shop.run("order", "resolve", order.reference, "--delivered", "--note", "seen it")
    return email, orders


def books_hold(shop: Shop) -> None:
    found = shop.data("ledger", "check")
    assert found["ok"], found


# Credits taken back ---------------------------------------------------------------------------------------------------


def test_a_mistyped_credit_is_taken_back_once_for_each_reference_and_never_below_zero(shop: Shop) -> None:
    shop.add_reseller()
    shop.run("wallet", "credit", EMAIL, "500", "GHS", "--reference", "r1")

    def debit(amount: str, reference: str, *more: str) -> Any:
        return shop.data("wallet", "debit", EMAIL, amount, "ghs", "--reference", reference, *REASON, *more)["balance"]

    assert debit("450", "r1", *BY) == 50, "a name space of its own"
    assert debit("450.00", "r1") == 50
    refused = ("wallet", "debit", EMAIL)
    assert "already used" in shop.refused(*refused, "449", "GHS", "--reference", "r1", *REASON)
    assert "Insufficient" in shop.refused(*refused, "50.01", "GHS", "--reference", "r2", *REASON)
    assert debit("50", "r2") == 0
    assert "not found" in shop.refused(*refused, "1", "UGX", "--reference", "r2", *REASON)
    assert "Insufficient" in shop.refused(*refused, "1", "GHS", "--reference", "r2", *REASON, "--mode", "test")
    for amount in ("0", "4.505", "x"):
        assert shop.refused(*refused, amount, "GHS", "--reference", "r3", *REASON).startswith("amount: ")
    assert shop.refused(*refused, "1", "GHS", "--reference", "r3", "--reason", " ").startswith("reason: ")
    assert shop.run(*refused, "1", "GHS", "--reference", "r3", code=2).stdout == ""
    lines = shop.data("wallet", "statement", EMAIL, "GHS")["statement"]
    assert [(line["what"], line["change"], line["about"], line["reason"]) for line in lines] == [
        ("taken back", -50, "r2", "typed twice"), ("taken back", -450, "r1", "typed twice"), ("money in", 500, "", ""),
    ]  # fmt: skip
    assert lines[1]["by"] == "Esi"
    assert lines[0]["by"], "the user of the machine"
    assert lines[1]["reference"].startswith("DEBIT-")
    assert "r1: typed twice (by Esi)" in shop.run("wallet", "statement", EMAIL, "GHS").stdout
    assert sheet(shop.run("wallet", "statement", EMAIL, "GHS", "--csv").stdout)[1]["by"] == "Esi"
    accounts = {(a["kind"], a["mode"]): a["minor"] for a in shop.data("ledger", "accounts")["accounts"]}
    assert accounts.get(("funding", "live"), 0) == 0
    books_hold(shop)


async def test_debits_at_once_under_one_reference_debit_once(database: Database) -> None:
    ama = await customer(database, ghs_minor=1000)
    corrections = Corrections(database, ama.ledger)
    balances = await asyncio.gather(
        *(
            corrections.debit(ama.reseller_id, Money(300, GHS), Mode.LIVE, "r", reason="x", by_whom="Esi")
            for _ in range(8)
        )
    )
    assert {balance.minor for balance in balances} == {700}
    await ama.check_books()


# Orders refunded ------------------------------------------------------------------------------------------------------


def test_a_delivered_order_is_refunded_once_and_stays_delivered(shop: Shop) -> None:
    email, (order, other) = delivered(shop, "mine-1", "mine-2")
    done = shop.data("order", "refund", "mine-1", *REASON, *BY)
    assert (done["balance"], done["again"], done["state"], done["email"]) == (
        Decimal("95.50"),
        False,
        "delivered",
        email,
    )
    again = shop.data("order", "refund", order.reference, "--reason", "another", "--by", "Kofi")
    assert (again["again"], again["balance"], again["refund"]) == (True, Decimal("95.50"), done["refund"])
    assert "refunded before" in shop.run("order", "refund", str(order.id), *REASON, *BY).stdout
    shown = shop.data("order", "show", order.reference)
    assert [(entry["kind"], entry["debit"], entry["credit"], entry["amount"]) for entry in shown["entries"]] == [
        ("hold", "wallet", "in flight", Decimal("4.50")),
        ("cost", "in flight", "provider simulator", Decimal("3.90")),
        ("margin", "in flight", "margin", Decimal("0.60")),
        ("refund", "loss", "wallet", Decimal("4.50")),
    ]
    assert (shown["refund"]["by"], shown["refund"]["reason"], shown["state"]) == ("Esi", "typed twice", "delivered")
    assert shop.data("order", "show", other.reference)["refund"] is None
    assert "refunded by Esi: typed twice" in shop.run("order", "show", order.reference).stdout
    line = shop.data("wallet", "statement", email, "GHS")["statement"][0]
    assert (line["what"], line["change"], line["about"]) == ("order refunded", Decimal("4.50"), order.reference)
    shop.run("order", "refund", other.reference, *REASON, *BY)
    books_hold(shop)


def test_what_is_not_delivered_is_not_refunded(shop: Shop) -> None:
    _, (order,) = shop.sell("mine-1")
    assert "its money is held" in shop.refused("order", "refund", order.reference, *REASON, *BY)
    shop.execute(f"update orders set state = 'failed', due_at = null where id = {order.id}")
    assert "money back already" in shop.refused("order", "refund", order.reference, *REASON, *BY)
    assert shop.refused("order", "refund", "nobody", *REASON, *BY) == "Order not found."
    assert shop.refused("order", "refund", order.reference, "--reason", "", *BY).startswith("reason: ")
    assert shop.run("order", "refund", order.reference, *REASON, code=2).stdout == ""


def test_refunds_at_once_give_the_price_back_once(shop: Shop) -> None:
    _, (order,) = delivered(shop, "mine-1")

    async def race(database: Database) -> list[Any]:
        corrections = Corrections(database, Ledger(database))
        return await asyncio.gather(*(corrections.refund(order.id, reason="x", by_whom="Esi") for _ in range(8)))

    done = shop.work(race)
    assert sorted(one.again for one in done) == [False] + [True] * 7
    assert {(one.balance.minor, one.refund.id) for one in done} == {(10_000, done[0].refund.id)}
    books_hold(shop)


@pytest.mark.parametrize("point", ["correction.before_commit", "correction.after_commit"])
def test_a_refund_killed_in_the_middle_is_made_once_when_it_is_given_again(shop: Shop, point: str) -> None:
    _, (order,) = delivered(shop, "mine-1")
    shop.killed(point, "order", "refund", order.reference, *REASON, *BY)
    done = shop.data("order", "refund", order.reference, *REASON, *BY)
    assert (done["again"], done["balance"]) == (point == "correction.after_commit", 100)
    books_hold(shop)


def test_the_owner_sees_both_in_the_list_and_the_order_stays_completed(shop: Shop) -> None:
    email, (order,) = delivered(shop, "mine-1")
    shop.run("order", "refund", order.reference, *REASON, *BY)
    shop.run("wallet", "debit", email, "10", "GHS", "--reference", "opening", *REASON, *BY)

    async def listed(database: Database) -> tuple[list[dict[str, Any]], list[int], list[Any]]:
        transactions = Transactions(database)
        page = await transactions.page(order.wallet_id, GHS, Filter(), limit=10, offset=0)
        rows = [wire.transaction_row(one, 1) for one in page.transactions]
        found = [await transactions.find(order.wallet_id, GHS, one.reference) for one in page.transactions]
        incoming = await transactions.page(order.wallet_id, GHS, Filter(credit=True), limit=10, offset=0)
        summary = await transactions.summary(order.wallet_id, GHS)
        assert found == page.transactions
        return rows, [one.amount.minor for one in incoming.transactions], [summary.inflow.minor, summary.outflow.minor]

    rows, came_in, summary = shop.work(listed)
    assert [(row["type"], row["amount"], row["status"], row["description"]) for row in rows] == [
        ("debit", "10.00", "completed", "Wallet credit taken back"),
        ("credit", "4.50", "completed", f"Refund - {order.reference}"),
        ("debit", "4.50", "completed", "MTN Data Purchase - 1GB"),
        ("credit", "100.00", "completed", "Wallet funding via Bank Transfer"),
    ]
    assert (rows[1]["meta"], rows[0]["meta"]) == (
        {"order_reference": order.reference, "service_type": "refund"},
        {"payment_reference": "opening", "service_type": "funding"},
    )
    assert "Esi" not in str(rows)
    assert came_in == [450, 10_000]
    assert summary == [10_000, 1_000]


# Whether the books hold -----------------------------------------------------------------------------------------------

DAMAGES = {
    "a debit says more than the ledger": "update wallet_debit set amount_minor = amount_minor + 1",
    "a debit is gone": "delete from wallet_debit",
    "a debit's transfer is gone": "delete from transfer where kind = 9",
    "a debit went to a gateway": "update account set owner = 'paystack' where kind = 'funding'",
    "a debit stands elsewhere in the list": "update wallet_transaction set kind = 'c' where kind = 'd'",
    "a refund says more than the ledger": "update order_refund set amount_minor = amount_minor + 1",
    "a refund is gone": "delete from order_refund",
    "a refund's transfer is gone": "delete from transfer where kind = 10",
    "a refund was paid by another account": "update account set kind = 'margin', owner = 'x' where kind = 'loss'",
    "a refund stands elsewhere in the list": "update wallet_transaction set credit = false where kind = 'b'",
    "a refunded order was not delivered": "update orders set state = 'review'",
    "a refund is of another wallet": "update orders set wallet_id = wallet_id + 1",
}


@pytest.fixture(scope="module")
async def damaged_url(server: Server) -> AsyncIterator[str]:
    async with server.database("damaged_counter") as url:
        yield url


@pytest.fixture(scope="module")
def damaged(damaged_url: str, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop with one debit and one refund."""
    shop = Shop(damaged_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELVEND_DATA_DIR", str(tmp_path_factory.mktemp("damaged") / "data"))
        email, (order,) = delivered(shop, "mine-1")
        shop.run("order", "refund", order.reference, *REASON, *BY)
        shop.run("wallet", "debit", email, "10", "GHS", "--reference", "r", *REASON, *BY)
    return shop


@pytest.mark.parametrize("damage", [None, *DAMAGES])
def test_the_audit_finds(damaged: Shop, damage: str | None) -> None:
    async def look(database: Database) -> list[Any]:
        async with damaged_books(database, *([] if damage is None else [DAMAGES[damage]])) as tx:
            return list(await findings_of(tx, INVARIANTS))

    assert bool(damaged.work(look)) is (damage is not None)


def test_debits_and_refunds_are_never_changed(damaged: Shop) -> None:
    for statement in ("update wallet_debit set reason = ''", "delete from order_refund", "truncate wallet_debit"):
        with pytest.raises(Exception, match="never changed or removed"):
            damaged.execute(statement)


# Orders found ---------------------------------------------------------------------------------------------------------


def test_orders_are_found_by_who_what_and_when_with_who_bought_them(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, orders = shop.sell("mine-1", None, "mine-3")
    other, (foreign,) = shop.sell("mine-1")
    shop.execute(
        f"update orders set network = 'Telecel', product = 'GH-TELECEL-1GB-30D', created_at = '2026-03-01 23:30Z' where id = {orders[0].id}"
    )
    shop.execute(f"update orders set created_at = '2026-03-02 00:30Z' where id = {orders[1].id}")

    def listed(*filters: str) -> list[str]:
        return [order["reference"] for order in shop.data("order", "list", *filters)["orders"]]

    first, second = (order.reference for order in orders[:2])
    assert [order["email"] for order in shop.data("order", "list")["orders"]] == [other, email, email, email]
    assert listed("--network", "teleCEL") == listed("--product", "GH-TELECEL-1GB-30D") == [first]
    assert listed("--reference", "mine-1") == [foreign.reference, first]
    assert listed("--reference", "mine-1", "--email", email) == listed("--reference", first) == [first]
    assert listed("--reference", first[:-1] + "!") == listed("--reference", "") == listed("--network", "x") == []
    assert listed("--since", "2026-03-01", "--until", "2026-03-01") == [first]
    assert listed("--until", "2026-03-02") == [second, first]
    assert listed("--since", "2026-03-02", "--until", "2026-03-31", "--state", "accepted") == [second]
    assert listed("--until", "9999-12-31", "--subscriber", "024 123 4567")[-1] == first
    assert shop.refused("order", "list", "--since", "2026-03-02", "--until", "2026-03-01").startswith("until: ")
    assert shop.run("order", "list", "--since", "yesterday", code=2).stdout == ""
    rows = sheet(shop.run("order", "list", "--csv", "--network", "Telecel").stdout)
    assert [(row["reference"], row["email"]) for row in rows] == [(first, email)]
    assert email in shop.run("order", "list", "--reference", first).stdout

    # In the shop's zone both were on the second; what programs read stays UTC.
    monkeypatch.setenv("TELVEND_TIMEZONE", "Africa/Lagos")
    assert listed("--since", "2026-03-02", "--until", "2026-03-02") == [second, first]
    shown = shop.run("order", "list", "--until", "2026-03-02").stdout
    assert "placed (Africa/Lagos)" in shown
    assert "2026-03-02 00:30:00" in shown
    assert "2026-03-01T23:30:00" in shop.run("order", "list", "--until", "2026-03-02", "--csv").stdout
    assert "placed 2026-03-02 00:30:00 Africa/Lagos" in shop.run("order", "show", first).stdout
    assert shop.data("order", "show", first)["created_at"] == "2026-03-01T23:30:00Z"


def test_an_order_is_shown_by_what_its_caller_calls_it(shop: Shop) -> None:
    email, (order, numbered) = shop.sell("mine-1", "1")
    other, (foreign,) = shop.sell("mine-1")
    refused = shop.refused("order", "show", "mine-1")
    assert order.reference in refused
    assert foreign.reference in refused
    for whose, wanted in ((email, order), (other, foreign)):
        assert shop.data("order", "show", "mine-1", "--email", whose)["id"] == wanted.id
    assert shop.refused("order", "show", order.reference, "--email", other) == "Order not found."
    # A number is the order's before it is anybody's reference.
    found = shop.data("order", "show", str(numbered.id))
    assert (found["id"], found["email"]) == (numbered.id, email)
    assert shop.data("order", "show", "1", "--email", email)["id"] in (numbered.id, 1)


def test_a_list_by_any_filter_that_has_an_index_reads_no_table_from_end_to_end(shop: Shop) -> None:
    _, (order,) = shop.sell("mine-1")
    shop.execute(
        "insert into orders select (json_populate_record(o, json_build_object('id', o.id + n, 'client_reference', 'c' || n,"
        " 'position', n + 10, 'subscriber', '+23324' || (1000000 + n), 'created_at', o.created_at - n * interval '1 minute')"
        ")).* from orders o cross join generate_series(1, 40000) n"
    )
    shop.execute("analyze orders")

    async def plans(database: Database) -> list[str]:
        found = []
        async with database.connection() as tx:
            for wanted in (
                OrderFilter(reseller_id=order.reseller_id),
                OrderFilter(since=order.created_at),
                OrderFilter(networks=("MTN", "mtn"), product="GH-MTN-1GB-30D"),
            ):
                statement, values = list_statement(wanted, None, None)
                rows = await tx.fetch(f"explain {statement} limit 50", *values)
                found.append("\n".join(row[0] for row in rows))
            rows = await tx.fetch(f"explain {FIND_UNDER_REFERENCE}", "c7", ["netpluse"], ["live"], None)
            found.append("\n".join(row[0] for row in rows))
        return found

    for plan in shop.work(plans):
        assert "Seq Scan on orders" not in plan, plan
        assert "Index" in plan, plan


# Resellers and keys ---------------------------------------------------------------------------------------------------


def test_a_reseller_is_renamed_and_keeps_everything(shop: Shop) -> None:
    shop.add_reseller()
    shop.run("user", "add", "kofi@example.com", "--name", "Kofi", "--phone", "0241234568")
    shop.run("user", "set", EMAIL, "--email-verified")
    shop.run("wallet", "credit", EMAIL, "5", "GHS", "--reference", "r")
    before = shop.data("user", "show", EMAIL)
    assert shop.data("user", "rename", EMAIL, "--name", "Ama Serwaa")["name"] == "Ama Serwaa"
    assert shop.data("user", "show", EMAIL)["email_verified"] is True
    assert "exists already" in shop.refused("user", "rename", EMAIL, "--email", "KOFI@example.com")
    assert shop.refused("user", "rename", EMAIL, "--email", "x").startswith("email: ")
    assert shop.refused("user", "rename", EMAIL, "--name", "").startswith("name: ")
    assert "--name" in shop.refused("user", "rename", EMAIL)
    shop.run("user", "rename", EMAIL, "--email", "serwaa@example.com")
    after = shop.data("user", "show", "serwaa@example.com")
    assert (after["id"], after["email_verified"], after["name"]) == (before["id"], False, "Ama Serwaa")
    assert shop.data("wallet", "show", "serwaa@example.com")["wallets"][0]["balance"] == 5
    assert shop.refused("user", "show", EMAIL) == "Reseller not found."


def test_a_leaked_key_is_found_by_its_text_and_never_printed(shop: Shop) -> None:
    shop.add_reseller()
    made = shop.data("key", "add", EMAIL, "--api", "madapi")
    for text in (made["key"], made["secret"]):
        given = CliRunner().invoke(app, ["key", "find", "--json", "--database-url", shop.url], input=f" {text}\n")
        assert given.exit_code == 0, given.stderr
        assert (text in given.output, made["id"] in given.stdout, EMAIL in given.stdout) == (False, True, True)
    argued = shop.run("key", "find", made["key"])
    assert "can be read by every user" in argued.stderr
    assert f"telvend key revoke {made['id']}" in argued.stdout
    assert made["key"] not in argued.output
    shop.run("key", "revoke", made["id"])
    assert "It was revoked on" in shop.run("key", "find", made["key"]).stdout
    unknown = shop.run("key", "find", made["key"][:-1] + "?", code=1)
    assert unknown.stderr.endswith("telvend: Key not found.\n")
    empty = CliRunner().invoke(app, ["key", "find", "--database-url", shop.url], input="\n")
    assert (empty.exit_code, "is empty" in empty.stderr) == (1, True)


def test_a_suspended_reseller_is_shown_as_such(shop: Shop) -> None:
    shop.add_reseller()
    first = shop.data("user", "suspend", EMAIL, "--reason", "owes rent")["suspended_at"]
    assert first is not None
    assert shop.data("user", "suspend", EMAIL, "--reason", "again")["suspended_at"] == first
    assert shop.data("user", "show", EMAIL)["suspended_reason"] == "owes rent"
    assert "suspended" in shop.run("user", "list").stdout
    assert shop.data("user", "resume", EMAIL)["suspended_at"] is None
    assert shop.data("user", "resume", EMAIL)["suspended_at"] is None
    assert shop.refused("user", "suspend", "nobody@example.com") == "Reseller not found."


# Prices, version, help ------------------------------------------------------------------------------------------------


def test_a_price_below_the_cost_needs_a_yes(shop: Shop, tmp_path: Path) -> None:
    shop.add_reseller()
    new = (
        "product",
        "add",
        "X",
        "--country",
        "GH",
        "--network",
        "mtn",
        "--size",
        "7gb",
        "--price",
        "30",
        "--cost",
        "31",
    )
    below = ("product", "price", "GH-MTN-1GB-30D", "1")
    dearer = ("product", "price", "GH-MTN-1GB-30D", "--cost", "99")
    discount = ("user", "discount", EMAIL, "mtn", "3")
    for command in (new, below, dearer, discount):
        assert "--yes" in shop.refused(*command)
    path = tmp_path / "products.csv"
    head, *lines = shop.run("product", "list", "--csv", "--country", "GH").stdout.splitlines()
    path.write_text("\n".join([head, lines[0], lines[1].replace(lines[1].split(",")[8], "0.01", 1)]) + "\n")
    result = shop.run("product", "import", str(path), code=1)
    assert f"{path}: line 3, price: " in result.stderr
    assert shop.data("product", "import", str(path), "--yes")["changed"] == 1
    # What is below already, and stays as it is, is in nobody's way.
    assert shop.data("product", "import", str(path))["unchanged"] == 2
    for command in (new, below, dearer, discount):
        shop.run(*command, "--yes")
    shop.run(*new)
    assert "loses money" in shop.run("product", "offer", "X", "simulator", "32").stderr


def test_the_version_and_two_groups_of_commands() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.stdout) == (0, f"telvend {__version__} (commit {commit()})\n")
    shown = CliRunner().invoke(app, ["--help"]).stdout
    every_day, operators = shown.index("Every day"), shown.index("The operator's side")
    assert every_day < shown.index("│ wallet") < operators < shown.index("│ voucher")


def test_a_zone_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> None:
    for zone in ("Africa/Nowhere", "../etc/passwd", ""):
        monkeypatch.setenv("TELVEND_TIMEZONE", zone)
        if zone:
            assert shop.refused("user", "list").startswith("TELVEND_TIMEZONE is ")
        else:
            shop.run("user", "list")
