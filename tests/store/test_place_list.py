"""`telvend order place --csv` against a real database: a list is checked whole, sold once, gone on with, and its result written."""

import asyncio
import csv
import fcntl
import os
import resource
import select
import signal
import stat
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from telvend.bootstrap import Shop as Opened
from telvend.bootstrap import open_for_command
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.kit.failpoints import VARIABLE
from telvend.kit.mode import Mode
from telvend.orders import list_sales
from telvend.orders.list_sales import CheckedList, ListSales
from telvend.orders.purchase_list import read_rows
from tests.store.test_cli import EMAIL, Shop, one_object

GB = "GH-MTN-1GB-30D"  # 4.50 each
TELECEL = "GH-TELECEL-1GB-30D"
KOFI = "kofi@example.com"


@pytest.fixture(autouse=True)
def folder(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shop(database_url: str) -> Shop:
    """A shop in which Ama has 100.00."""
    made = Shop(database_url)
    made.add_reseller()
    credit(made, "100", "c1")
    return made


def credit(shop: Shop, amount: str, reference: str, *more: str) -> None:
    shop.run("wallet", "credit", EMAIL, amount, "GHS", "--reference", reference, *more)


def balance(shop: Shop, email: str = EMAIL) -> Decimal:
    (found,) = (
        wallet["balance"]
        for wallet in shop.data("wallet", "show", email)["wallets"]
        if (wallet["mode"], wallet["currency"]) == ("live", "GHS")
    )
    return Decimal(found)


def write(rows: Sequence[str], name: str = "list.csv", head: str = "product,to,amount,reference") -> None:
    Path(name).write_text("\n".join([head, *rows, ""]), "utf-8")


def numbers(count: int, first: int = 0) -> list[str]:
    """Rows without references, for different subscribers."""
    return [f"{GB},0241{number:06}" for number in range(first, first + count)]


def place(shop: Shop, *more: str, name: str = "list.csv", code: int = 0) -> Any:
    return shop.data("order", "place", "--csv", name, "--email", EMAIL, *(more or ("--yes",)), code=code)


def result(name: str = "list.csv.result.csv") -> list[dict[str, str]]:
    with Path(name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counted(data: Any) -> tuple[int, int, int]:
    return data["sold"], data["sold_before"], data["not_sold"]


def orders(shop: Shop) -> int:
    async def work(database: Database) -> int:
        async with database.connection() as tx:
            return int(await tx.fetchval("select count(*) from orders"))

    return shop.work(work)


def books_hold(shop: Shop) -> None:
    found = shop.data("ledger", "check")
    assert found["ok"], found


# The story --------------------------------------------------------------------------------------------------------------


def test_a_list_is_looked_at_sold_mended_and_gone_on_with(shop: Shop) -> None:
    write(
        [
            f"{GB},0241234567,,r1",
            "GH-MTN-AIRTIME,024 123 4568,60,r2",
            f"{GB},0241234569,,r3",
            "GH-MTN-AIRTIME,0241234570,40,r4",
        ]
    )
    looked = place(shop, "--dry-run", code=1)
    assert looked["wallets"] == [
        {
            "email": EMAIL, "currency": "GHS", "rows": 4, "sold_before": 0, "price": 109, "balance": 100, "missing": 9,
        }
    ]  # fmt: skip
    assert (orders(shop), balance(shop), Path("list.csv.result.csv").exists()) == (0, 100, False)

    # The wallet pays for the first three, and says so of the last one.
    sold = place(shop, code=1)
    assert counted(sold) == (3, 0, 1)
    assert (balance(shop), orders(shop), sold["states"]) == (31, 3, {"accepted": 3})
    rows = result()
    assert [(row["line"], row["reference"], row["state"]) for row in rows] == [
        ("2", "r1", "accepted"), ("3", "r2", "accepted"), ("4", "r3", "accepted"), ("5", "r4", "not sold"),
    ]  # fmt: skip
    assert "Insufficient" in rows[3]["error"]
    assert rows[0]["order"].startswith("CTR-")
    assert (rows[1]["to"], rows[1]["price"], rows[1]["currency"]) == ("+233241234568", "60.00", "GHS")

    credit(shop, "9", "c2")
    assert counted(place(shop)) == (1, 3, 0)
    assert balance(shop) == 0
    # Again it moves nothing, without money too, and tells the states of now.
    shop.execute("update orders set state = 'failed', due_at = null where client_reference = 'r1'")
    again = place(shop, code=1)
    assert (counted(again), again["states"]) == ((0, 4, 0), {"accepted": 3, "failed": 1})
    assert [row["state"] for row in result()] == ["failed", "accepted", "accepted", "accepted"]
    assert "went back" in result()[0]["error"]
    assert (balance(shop), orders(shop)) == (0, 4)


def test_a_delivered_row_has_its_receipt_and_the_result_is_for_its_owner_alone(shop: Shop) -> None:
    write([f"{GB},0241234567,,r1"])
    place(shop)
    order = result()[0]["order"]
    number = shop.data("order", "show", order)["id"]
    shop.execute(
        "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
        f" values ({number}, 1, 'simulator', '{order}-1', 'unknown', 390, now())"
    )
    shop.execute(f"update orders set state = 'review', due_at = null, attempts = 1 where id = {number}")
    assert place(shop, "--yes", "--wait", "5", code=1)["states"] == {"review": 1}
    assert "order resolve" in result()[0]["error"]
    shop.run("order", "resolve", order, "--delivered", "--note", "seen it")
    assert place(shop, "--yes", "--wait", "5")["states"] == {"delivered": 1}
    (row,) = result()
    assert row["receipt"].startswith(f"number: {order}; time: ")
    assert "paid: GHS 4.50" in row["receipt"]
    assert stat.S_IMODE(Path("list.csv.result.csv").stat().st_mode) == 0o600
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["list.csv", "list.csv.result.csv"]
    books_hold(shop)


def test_rows_say_who_pays_and_each_wallet_is_told_apart(shop: Shop) -> None:
    shop.run("user", "add", KOFI, "--name", "Kofi", "--phone", "0241234568")
    shop.run("wallet", "credit", KOFI, "5", "GHS", "--reference", "k1")
    rows = [f"{GB},0241234567,a,", f"{GB},0241234567,a,{KOFI}", f"{GB},0241234568,b,{KOFI}", f"{GB},0241234569,c,"]
    write(rows, head="product,to,reference,email")
    looked = place(shop, "--dry-run", code=1)
    assert [(one["email"], one["rows"], one["price"], one["missing"]) for one in looked["wallets"]] == [
        (EMAIL, 2, 9, None), (KOFI, 2, 9, 4),
    ]  # fmt: skip
    # Kofi's wallet is empty; that stops nobody else's rows.
    assert counted(place(shop, code=1)) == (3, 0, 1)
    assert (balance(shop), balance(shop, KOFI)) == (91, Decimal("0.50"))
    assert [row["state"] for row in result()] == ["accepted", "accepted", "not sold", "accepted"]


def test_what_a_spent_wallet_cannot_pay_is_not_tried_and_names_the_line(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_sales, "AT_ONCE", 4)
    write(numbers(40))
    assert counted(place(shop, code=1)) == (22, 0, 18)
    assert balance(shop) == 1
    errors = [row["error"] for row in result()]
    assert errors[:22] == [""] * 22
    assert set(errors[22 + 4 :]) == {"Not tried: the wallet could not pay for line 24."}


# What is wrong ------------------------------------------------------------------------------------------------------------


def test_every_mistake_is_named_with_line_and_field_and_nothing_is_sold(shop: Shop) -> None:
    rows = [
        f"{GB},0241234567,,ok",
        "GH-MTN-9GB,0241234567,,r2",
        f"{GB},241234567,,r3",
        f"{GB},2.33241E+11,,r4",
        f"{GB},241234567.0,,r5",
        f"{GB},0241234567,5,r6",
        "GH-MTN-AIRTIME,12,0.001,r7",
        "GH-MTN-AIRTIME,0241234567,,ok",
        f"{GB},,,r9",
        ",0241234567,,r10",
        f"{GB},0241234567,,{'x' * 129}",
        f"{GB},0241234567,,1.2E+05",
        f"{GB},0241234567,,ok",
        "NG-IKEDC-PREPAID,4503010000,1000,r14",
        'GH-MTN-AIRTIME,0241234567,"4,50",r15',
    ]
    write(rows)
    refused = place(shop, code=1)
    assert [(one["line"], one["field"]) for one in refused["problems"]] == [
        (3, "product"), (4, "to"), (5, "to"), (6, "to"), (7, "amount"), (8, "amount"), (8, "to"), (9, "amount"), (10, "to"),
        (11, "product"), (12, "reference"), (13, "reference"), (14, "reference"), (15, "mode"), (15, "to"),
        (16, "amount"),
    ]  # fmt: skip
    said = {(one["line"], one["field"]): one["problem"] for one in refused["problems"]}
    assert "leading 0" in said[4, "to"]
    assert "shortened" in said[5, "to"]
    assert "decimals" in said[6, "to"]
    assert "stands on line 2 already" in said[14, "reference"]
    assert "leading 0" in said[15, "to"]
    assert said[16, "amount"] == "has a decimal comma: write 4.50"
    assert orders(shop) == 0
    assert [row["line"] for row in result("list.csv.problems.csv")] == [str(one["line"]) for one in refused["problems"]]

    # A mended list leaves no old mistakes behind.
    write([f"{GB},0241234567,,ok"])
    place(shop, "--dry-run")
    assert not Path("list.csv.problems.csv").exists()


def test_a_reference_is_one_for_all_wallets_of_a_reseller(shop: Shop) -> None:
    shop.run("wallet", "credit", EMAIL, "1000", "NGN", "--reference", "n1")
    write([f"{GB},0241234567,,r1", "NG-MTN-AIRTIME,08031234567,100,r1"])
    (found,) = place(shop, code=1)["problems"]
    assert (found["line"], found["field"]) == (3, "reference")


def test_many_mistakes_are_shown_in_part_and_written_in_full(shop: Shop) -> None:
    write([f"{GB},12,,r{number}" for number in range(500)])
    told = shop.run("order", "place", "--csv", "list.csv", "--email", EMAIL, "--yes", code=1)
    assert "list.csv: line 2, to: " in told.stderr
    assert "… and 480 more: all of them are in list.csv.problems.csv" in told.stderr
    assert told.stderr.count("\n") == 21
    assert len(result("list.csv.problems.csv")) == 500


def test_who_cannot_buy_is_a_mistake_of_each_row(shop: Shop) -> None:
    shop.run("user", "add", KOFI, "--name", "Kofi", "--phone", "0241234568")
    shop.run("user", "suspend", KOFI, "--reason", "owes")
    write(
        [f"{GB},0241234567,{KOFI}", f"{GB},0241234567,nobody@example.com", f"{GB},0241234567,"], head="product,to,email"
    )
    found = shop.data("order", "place", "--csv", "list.csv", "--yes", code=1)["problems"]
    assert [(one["line"], one["field"]) for one in found] == [(2, "email"), (3, "email"), (4, "email")]
    assert "suspended" in found[0]["problem"]


def test_a_row_that_was_changed_under_its_reference_is_named(shop: Shop) -> None:
    write([f"{GB},0241234567,,r1", "GH-MTN-AIRTIME,0241234567,5,r2", f"{GB},0241234568,,r3"])
    place(shop)
    order = result()[0]["order"]
    write([f"{GB},0241234568,,r1", "GH-MTN-AIRTIME,0241234567,6,r2", f"{GB},0241234568,,r3", f"{GB},0241234569,,r4"])
    found = place(shop, code=1)
    assert [one["line"] for one in found["problems"]] == [2, 3]
    assert found["problems"][0]["problem"] == f"stands for another purchase, {order}, with another recipient"
    assert "another amount" in found["problems"][1]["problem"]
    assert orders(shop) == 3


def test_rows_of_a_paused_network_wait_and_the_others_are_sold(shop: Shop) -> None:
    """Also of a list that was begun before: the pause is no mistake of the list."""
    write(numbers(1))
    place(shop)
    shop.run("network", "pause", "MTN", "--country", "GH", "--reason", "nothing arrives")
    write([*numbers(2), f"{TELECEL},0201234567,,", "GH-MTN-AIRTIME,0241234577,5,"])
    looked = place(shop, "--dry-run")
    assert (looked["paused"], looked["sold_before"]) == (2, 1)
    found = place(shop, code=1)
    assert (counted(found), found["paused"]) == ((1, 1, 2), 2)
    states = {row["product"]: (row["state"], row["error"]) for row in result()}
    assert states[TELECEL][0] != "not sold"
    state, error = states["GH-MTN-AIRTIME"]
    assert state == "not sold"
    assert error.startswith("MTN is paused since 20")
    assert error.endswith(": nothing arrives")
    text = shop.run("order", "place", "--csv", "list.csv", "--email", EMAIL, "--yes", code=1).stdout
    assert "2 rows left for later: MTN is paused since" in text
    shop.run("network", "resume", "MTN", "--country", "GH")
    assert counted(place(shop)) == (2, 2, 0)
    assert orders(shop) == 4


def test_a_product_that_is_off_is_a_mistake_while_its_network_is_paused_too(shop: Shop) -> None:
    shop.run("network", "pause", "MTN", "--country", "GH", "--reason", "nothing arrives")
    shop.run("product", "off", GB)
    write(numbers(1))
    assert place(shop, code=1)["problems"] == [{"line": 2, "field": "product", "problem": "is not on sale now"}]


def test_a_list_is_gone_on_with_after_its_products_left_the_sale(shop: Shop) -> None:
    write(numbers(2))
    place(shop)
    shop.run("product", "off", GB)
    assert counted(place(shop)) == (0, 2, 0)
    write(numbers(3))
    assert place(shop, code=1)["problems"] == [{"line": 4, "field": "product", "problem": "is not on sale now"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--product is needed"),
        (("--product", GB, "--to", "1", "--email", EMAIL), "--reference is needed"),
        (("--product", GB, "--to", "1", "--email", EMAIL, "--reference", "r", "--dry-run"), "goes with --csv"),
        (("--product", GB, "--to", "1", "--email", EMAIL, "--reference", "r", "--wait", "3"), "goes with --csv"),
        (("--csv", "list.csv", "--yes", "--to", "1"), "--to does not go with --csv"),
        (("--csv", "nothing.csv", "--yes"), "does not exist"),
    ],
)
def test_wrong_usage_ends_with_2(shop: Shop, arguments: Sequence[str], said: str) -> None:
    write(numbers(1))
    told = " ".join(shop.run("order", "place", *arguments, code=2).stderr.replace("│", " ").split())
    assert said in told
    assert orders(shop) == 0


def test_no_file_but_its_own_is_written_over(shop: Shop) -> None:
    write(numbers(1))
    Path("precious.csv").write_text("a,b\n")
    for path in ("precious.csv", "list.csv", "."):
        assert shop.refused(
            "order", "place", "--csv", "list.csv", "--email", EMAIL, "--yes", "--result", path
        ).startswith("result: ")
    assert "cannot be written" in shop.refused(
        "order", "place", "--csv", "list.csv", "--email", EMAIL, "--yes", "--result", "none/x.csv"
    )
    assert (orders(shop), Path("precious.csv").read_text()) == (0, "a,b\n")
    assert place(shop, "--yes", "--result", "mine.csv")["result"] == "mine.csv"
    assert len(result("mine.csv")) == 1


def test_what_a_killed_process_had_begun_to_write_is_removed_and_a_strange_name_is_shown(shop: Shop) -> None:
    name = os.fsdecode(b"li\xffst.csv")
    write(numbers(1), name)
    ended = subprocess.Popen(["true"])
    ended.wait()
    mine = Path(f".{name}.result.csv.{os.getpid()}.abcd1234")
    for path in (Path(f".{name}.result.csv.{ended.pid}.abcd1234"), mine, Path(f".{name}.result.csv.x")):
        path.write_text("a token")
    assert place(shop, name=name)["result"] == "li\\xffst.csv.result.csv"
    assert result(f"{name}.result.csv")[0]["reference"].startswith("list-")
    assert [path.name for path in sorted(Path().glob(".li*"))] == [mine.name, f".{name}.result.csv.x"]


def test_a_cell_that_a_spreadsheet_would_calculate_is_text_in_the_result(shop: Shop) -> None:
    write([f"{GB},0241234567,=1+1,@x"], head="product,to,reference,note")
    place(shop)
    assert (result()[0]["reference"], result()[0]["note"]) == ("'=1+1", "'@x")


# References that are derived -----------------------------------------------------------------------------------------------


def test_rows_without_a_reference_are_sold_once_however_the_file_is_saved_sorted_or_added_to(shop: Shop) -> None:
    write(numbers(3))
    place(shop)
    references = {row["to"]: row["reference"] for row in result()}
    text = "\r\n".join(["sep=;", "TO;Product;note", *(f"+233 24-1{n:06};{GB};Abénà" for n in (2, 0, 1, 3)), ";;"])
    Path("list.csv").write_bytes(text.encode("cp1252"))
    assert counted(place(shop)) == (1, 3, 0)
    assert {row["to"]: row["reference"] for row in result()}.items() >= references.items()
    # A row that was taken out is no concern of the others.
    write(numbers(2, 1))
    assert counted(place(shop)) == (0, 2, 0)
    # Another name is another list; the same again, on purpose.
    assert counted(place(shop, "--yes", "--batch", "week 2", "--repeats")) == (2, 0, 0)
    assert counted(place(shop, "--yes", "--batch", "week 2")) == (0, 2, 0)
    assert orders(shop) == 6
    assert result()[0]["reference"].startswith("week 2/")
    assert "batch: " in shop.refused(
        "order", "place", "--csv", "list.csv", "--email", EMAIL, "--yes", "--batch", "x" * 65
    )


def test_what_was_asked_for_before_is_sold_again_only_on_purpose(shop: Shop) -> None:
    # A row with a reference of its own says that it is meant; the one without, below it, does not.
    write([f"{GB},0241000000,,r1", f"{GB},0241000000,,r2", f"{GB},0241000000,,"])
    assert [one["line"] for one in place(shop, code=1)["problems"]] == [4]
    write([*numbers(2), *numbers(1)])
    refused = place(shop, code=1)
    assert refused["problems"] == [{"line": 4, "field": "", "problem": "asks for the same as line 2"}]
    write(numbers(2))
    place(shop)
    Path("copy.csv").write_text(Path("list.csv").read_text())
    refused = place(shop, name="copy.csv", code=1)
    assert [one["line"] for one in refused["problems"]] == [2, 3]
    assert "CTR-" in refused["problems"][0]["problem"]
    assert place(shop, "--dry-run", name="copy.csv", code=1)["problem_count"] == 2
    assert "--repeats" in shop.run("order", "place", "--csv", "copy.csv", "--email", EMAIL, "--yes", code=1).stdout
    assert orders(shop) == 2
    # References of one's own say that it is meant; so does a day that has passed, and so does a sale that failed.
    write([f"{GB},0241000000,,mine"], "third.csv")
    assert counted(place(shop, name="third.csv")) == (1, 0, 0)
    shop.execute("update orders set created_at = created_at - interval '25 hours' where client_reference <> 'mine'")
    shop.execute("update orders set state = 'failed', due_at = null where client_reference = 'mine'")
    assert counted(place(shop, name="copy.csv")) == (2, 0, 0)
    write([*numbers(2), *numbers(1)])
    assert counted(place(shop, "--yes", "--repeats")) == (1, 2, 0)
    assert counted(place(shop)) == (0, 3, 0)


# Two at once, and kill -9 ---------------------------------------------------------------------------------------------------


def started(shop: Shop, *more: str, failpoints: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "telvend",
            "order",
            "place",
            "--csv",
            "list.csv",
            "--email",
            EMAIL,
            "--yes",
            "--json",
            *more,
        ],
        env=os.environ | {"TELVEND_DATABASE_URL": shop.url, VARIABLE: failpoints},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_with_one_list_sell_each_row_once(shop: Shop) -> None:
    credit(shop, "100000", "c2")
    write(numbers(1200))
    # A pause before each batch, so that neither is done before the other begins.
    both = [started(shop, "--result", f"{name}.csv", failpoints="lane.before_begin=sleep:0.2") for name in "ab"]
    ended = [one.communicate(timeout=100) for one in both]
    assert [one.returncode for one in both] == [0, 0], ended
    told = [one_object(out) for out, _ in ended]
    assert sum(one["sold"] for one in told) == 1200
    assert [one["sold"] + one["sold_before"] for one in told] == [1200, 1200]
    assert balance(shop) == 100_100 - 1200 * Decimal("4.50")
    assert orders(shop) == 1200
    assert [row["order"] for row in result("a.csv")] == [row["order"] for row in result("b.csv")]
    books_hold(shop)


@pytest.mark.parametrize("point", ["lane.after_write", "lane.after_commit"])
def test_a_list_that_was_killed_in_the_middle_is_gone_on_with(shop: Shop, point: str) -> None:
    credit(shop, "100000", "c2")
    write(numbers(1000))
    one = started(shop, failpoints=f"{point}=kill@3")
    one.communicate(timeout=60)
    assert one.returncode == -signal.SIGKILL
    before = orders(shop)
    assert 0 < before < 1000
    assert not Path("list.csv.result.csv").exists()
    assert counted(place(shop)) == (1000 - before, before, 0)
    assert (orders(shop), balance(shop)) == (1000, 100_100 - 1000 * Decimal("4.50"))
    assert len({row["order"] for row in result()}) == 1000
    books_hold(shop)


def test_ctrl_c_finishes_what_is_on_its_way_and_says_how_to_go_on(shop: Shop) -> None:
    credit(shop, "100000", "c2")
    write(numbers(1600))
    one = started(shop, failpoints="lane.before_begin=sleep:0.3")
    while not orders(shop):
        assert one.poll() is None
    one.send_signal(signal.SIGINT)
    out, err = one.communicate(timeout=60)
    told = one_object(out)
    assert (one.returncode, told["stopped"]) == (1, "It was stopped."), err
    assert "finished first" in err
    assert 0 < told["sold"] == orders(shop) < 1600
    rows = result()
    assert sum(row["error"] == "It was stopped." for row in rows) == told["not_sold"] == 1600 - told["sold"]
    text = shop.run("order", "place", "--csv", "list.csv", "--email", EMAIL, "--yes").stdout
    assert f"1,600 rows: {told['not_sold']:,} sold now, {told['sold']:,} sold before, 0 not sold." in text
    books_hold(shop)


# What changes while it runs ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def opened(shop: Shop) -> AsyncIterator[Opened]:
    async with open_for_command(Settings(data_dir="data"), shop.url) as found:
        await found.watch.look()
        found.orders.start()
        yield found


async def checked(selling: ListSales, rows: Sequence[str]) -> CheckedList:
    text = "\n".join(["product,to,amount,reference", *rows])
    found = await selling.check(read_rows(text), name="x", email=EMAIL, mode=Mode.LIVE)
    assert not found.problems
    return found


def while_it_runs(shop: Shop, change: Callable[[Opened], Awaitable[None]]) -> tuple[str | None, list[str]]:
    """Check a list, change something, sell it; return why it ended and the error of each row."""

    async def work() -> tuple[str | None, list[str]]:
        async with opened(shop) as found:
            selling = found.list_sales
            listed = await checked(selling, [f"{GB},0241234567,,r1", f"{GB},0241234568,,r2"])
            await change(found)
            stopped = await selling.sell(listed.sales, Mode.LIVE, asyncio.Event())
            return stopped, [sale.error for sale in listed.sales]

    return asyncio.run(work())


def test_a_row_is_sold_at_the_price_that_was_shown_or_not_at_all(shop: Shop) -> None:
    async def dearer(found: Opened) -> None:
        await found.catalogue.change_price(GB, price="4.60")

    stopped, errors = while_it_runs(shop, dearer)
    assert (stopped, orders(shop)) == (None, 0)
    assert errors == ["The price has changed from GHS 4.50 to GHS 4.60 since the list was checked."] * 2


def test_a_row_that_waited_is_not_sold_for_another_price(shop: Shop) -> None:
    """A network that sells again while the list is sold: at the price that was shown."""
    shop.run("network", "pause", "MTN", "--country", "GH", "--reason", "nothing arrives")

    async def resumed_and_dearer(found: Opened) -> None:
        await found.catalogue.change_price(GB, price="4.60")
        await found.pauses.resume("MTN", reason="it arrives", by_whom="Esi", country="GH")
        await found.watch.look()

    stopped, errors = while_it_runs(shop, resumed_and_dearer)
    assert (stopped, orders(shop)) == (None, 0)
    assert errors == ["The price has changed from GHS 4.50 to GHS 4.60 since the list was checked."] * 2


def test_another_purchase_that_took_the_reference_meanwhile_is_not_this_row(shop: Shop) -> None:
    """Two people sell different lists with the same references: who comes second has sold nothing, and reads so."""

    async def work() -> list[tuple[str, str]]:
        async with opened(shop) as found:
            selling = found.list_sales
            first = await checked(selling, [f"{GB},0241234567,,r1", f"{GB},0241234568,,r2"])
            second = await checked(selling, [f"{GB},0241234599,,r1", f"{GB},0241234568,,r2"])
            for listed in (first, second):
                assert await selling.sell(listed.sales, Mode.LIVE, asyncio.Event()) is None
            return [
                (sale.error, "" if order is None else order.subscriber)
                async for part in selling.orders_of(second.sales, Mode.LIVE)
                for sale, order in part
            ]

    assert asyncio.run(work()) == [
        ("This reference was already used for a different request.", ""),
        ("", "+233241234568"),
    ]
    assert orders(shop) == 2
    books_hold(shop)


def test_a_row_that_somebody_else_sold_meanwhile_has_the_price_of_its_order(shop: Shop) -> None:
    async def work() -> list[str]:
        async with opened(shop) as found:
            selling = found.list_sales
            first = await checked(selling, [f"{GB},0241234567,,r1"])
            await found.catalogue.change_price(GB, price="4.60")
            await found.watch.look()
            second = await checked(selling, [f"{GB},0241234567,,r1"])
            for listed in (second, first):
                await selling.sell(listed.sales, Mode.LIVE, asyncio.Event())
            return [
                sale.price.text
                async for part in selling.orders_of(first.sales, Mode.LIVE)
                for sale, order in part
                if order
            ]

    assert asyncio.run(work()) == ["4.60"]
    assert orders(shop) == 1


def test_what_left_the_sale_meanwhile_is_left_over(shop: Shop) -> None:
    async def off(found: Opened) -> None:
        await found.catalogue.switch_product(GB, active=False)

    stopped, errors = while_it_runs(shop, off)
    assert (stopped, orders(shop)) == (None, 0)
    assert all("not on sale" in error for error in errors)


def test_who_was_suspended_meanwhile_buys_nothing_more(shop: Shop) -> None:
    async def suspend(found: Opened) -> None:
        await found.resellers.suspend(EMAIL, "owes")

    stopped, errors = while_it_runs(shop, suspend)
    assert (stopped, orders(shop)) == (None, 0)
    assert all("suspended" in error for error in errors)


def test_a_halt_ends_it_at_once(shop: Shop) -> None:
    async def halt(found: Opened) -> None:
        await found.continuity.halt(found.database, by="Esi", reason="looks wrong")

    stopped, errors = while_it_runs(shop, halt)
    assert "halted" in str(stopped)
    assert (errors, orders(shop)) == ([stopped] * 2, 0)
    write(numbers(1))
    assert "looks wrong" in str(place(shop, "--dry-run", code=1)["halted"])
    assert "looks wrong" in str(place(shop, code=1)["halted"])


def test_a_busy_service_is_asked_again_and_not_for_ever(shop: Shop) -> None:
    async def work() -> None:
        async with opened(shop) as found:
            looks = 0

            async def look() -> None:
                nonlocal looks
                looks += 1
                if looks < 3:
                    raise Busy

            # The lane takes two at a time; the others are told to come again.
            found.orders.lane._maximum_waiting = 2
            patient = ListSales(found.orders, found.counter, found.resellers, found.wallets, look, patience_s=60)
            listed = await checked(patient, [f"{GB},0241{number:06},,r{number}" for number in range(7)])
            done: list[int] = []
            assert await patient.sell(listed.sales, Mode.LIVE, asyncio.Event(), done.append) is None
            assert (sum(done), looks) == (7, 3)
            assert not any(sale.there or sale.error for sale in listed.sales)

            found.orders.lane._maximum_waiting = 0
            hasty = ListSales(found.orders, found.counter, found.resellers, found.wallets, look, patience_s=0.2)
            listed = await checked(hasty, [f"{GB},0242{number:06},,s{number}" for number in range(3)])
            stopped = await hasty.sell(listed.sales, Mode.LIVE, asyncio.Event())
            assert stopped == "The service was busy for 0 s."
            assert [sale.error for sale in listed.sales] == [stopped] * 3

    asyncio.run(work())
    assert orders(shop) == 7


@pytest.mark.soak
def test_a_hundred_thousand_rows_take_minutes_and_little_memory(shop: Shop) -> None:
    credit(shop, "1000000", "c2")
    write(numbers(100_000))
    one = started(shop)
    out, err = one.communicate(timeout=600)
    assert (one.returncode, counted(one_object(out))) == (0, (100_000, 0, 0)), err
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 400 * 1024
    assert balance(shop) == 1_000_100 - 100_000 * Decimal("4.50")
    assert [int(row["line"]) for row in result()] == list(range(2, 100_002))
    assert counted(place(shop)) == (0, 100_000, 0)
    books_hold(shop)


# At a terminal ------------------------------------------------------------------------------------------------------------------


def at_a_terminal(shop: Shop, answer: bytes) -> tuple[int, str]:
    """Give the command at a terminal and answer its question; return the exit code and what the terminal has shown."""
    command = [sys.executable, "-m", "telvend", "order", "place", "--csv", "list.csv", "--email", EMAIL]
    ours, theirs = os.openpty()
    with subprocess.Popen(
        command,
        env=os.environ | {"TELVEND_DATABASE_URL": shop.url, "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=_owns_terminal,
    ) as one:
        os.close(theirs)
        shown, answered = b"", False
        try:
            while True:
                # A signal that comes just before a program begins to read is noticed with the next one: people press again.
                if answered and answer == b"\x03" and not select.select([ours], [], [], 1)[0]:
                    os.write(ours, answer)
                    continue
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # The other side is closed.
                    break
                if b"[y/N]" in shown and not answered:
                    os.write(ours, answer)
                    answered = True
            return one.wait(30), shown.decode()
        finally:
            os.close(ours)
            one.kill()  # Otherwise a test that has run out of time waits for it for ever.


def _owns_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_at_a_terminal_it_is_asked_before_anything_is_sold_and_shows_how_far_it_is(shop: Shop) -> None:
    write(numbers(3))
    for answer in (b"\n", b"\x03"):
        code, shown = at_a_terminal(shop, answer)
        assert (code, orders(shop)) == (1, 0), shown
        assert "Sell 3 rows for GHS 13.50 (live)?" in shown
    code, shown = at_a_terminal(shop, b"y\n")
    assert (code, orders(shop)) == (0, 3), shown
    assert "selling" in shown
    assert "3 rows: 3 sold now" in shown
