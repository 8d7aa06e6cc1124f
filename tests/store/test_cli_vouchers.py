"""`telvend voucher` and `telvend refill` against a real database: PINs are shown once, and never taken as arguments."""

import csv
import json
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telvend.cli import app
from telvend.database.connections import Database
from telvend.errors import TelvendError
from telvend.kit.keyfile import key_text, new_key
from tests.store.refills import NGOZI, WRONG, partner, refills_of
from tests.store.subscribers import subscriber
from tests.store.test_cli import Shop, one_object

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def shop(database_url: str) -> Shop:
    opened = Shop(database_url)
    opened.work(lambda database: subscriber(database, NGOZI, currency="NGN"))
    return opened


def issue(shop: Shop, count: int = 1, *more: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = shop.data(
        "voucher", "issue", "--amount", "100", "--currency", "NGN", "--count", str(count), *more
    )["vouchers"]
    return found


def with_pin(shop: Shop, pin: str, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--database-url", shop.url, "--json"], input=f"{pin}\n")
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return one_object(result.stdout) if code == 0 else result.stderr


# Issuing


def test_issuing_gives_serials_and_pins_and_says_the_odds(shop: Shop, data_dir: Path) -> None:
    result = shop.run("voucher", "issue", "--amount", "4.5", "--currency", "ngn", "--count", "3", "--json")
    answer = one_object(result.stdout)
    assert [set(voucher) for voucher in answer["vouchers"]] == [{"serial", "pin"}] * 3
    assert all(len(voucher["pin"]) == 16 and voucher["pin"].isdigit() for voucher in answer["vouchers"])
    assert (answer["batch"]["state"], answer["batch"]["amount"]) == ("available", Decimal("4.50"))
    assert answer["batch"]["guess_hits_once_in"] == 10**16 // 3
    assert "once in 3,333,333,333,333,333 tries" in result.stderr
    assert stat.S_IMODE((data_dir / "secret" / "voucher-key").stat().st_mode) == 0o600


def test_people_see_pins_in_groups(shop: Shop) -> None:
    result = shop.run("voucher", "issue", "--amount", "5", "--currency", "NGN", "--count", "2")
    head, first, _, _, last = result.stdout.splitlines()
    assert head.split() == ["serial", "PIN"]
    assert [len(group) for group in first.split()] == [12, 4, 4, 4, 4]
    assert last == "Batch 1: 2 vouchers of NGN 5.00 can be loaded now."


def test_files_have_the_pins_and_nothing_else_shows_them(shop: Shop, tmp_path: Path) -> None:
    sheet, lines = tmp_path / "cards.html", tmp_path / "cards.csv"
    answer = shop.data(
        "voucher", "issue", "--amount", "100", "--currency", "NGN", "--count", "3", "--expires", "2099-12-31",
        "--csv", str(lines), "--sheet", str(sheet),
    )  # fmt: skip
    assert "vouchers" not in answer
    assert answer["files"] == [str(lines), str(sheet)]
    assert answer["expires_at"] == "2100-01-01T00:00:00Z"
    rows = list(csv.DictReader(lines.read_text().splitlines()))
    assert [(row["amount"], row["currency"], row["expires"]) for row in rows] == [("100.00", "NGN", "2099-12-31")] * 3
    for row in rows:
        assert row["printed"].replace(" ", "") == row["pin"]
        assert row["printed"] in sheet.read_text()
        assert row["pin"] not in json.dumps(answer, default=str)
    for file in (sheet, lines):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = shop.refused("voucher", "issue", "--amount", "1", "--currency", "NGN", "--count", "1", "--csv", str(lines))
    assert again == f"file: {lines} exists already"
    assert len(shop.data("voucher", "batches")["batches"]) == 1, "nothing was issued"


def test_a_file_that_cannot_take_them_leaves_no_batch_to_load_and_no_file(shop: Shop, tmp_path: Path) -> None:
    lines = tmp_path / "cards.csv"
    refused = shop.refused(
        "voucher", "issue", "--amount", "1", "--currency", "NGN", "--count", "1", "--csv", str(lines),
        "--sheet", str(tmp_path / "nowhere" / "cards.html"),
    )  # fmt: skip
    assert "cannot be made" in refused
    assert not lines.exists()
    assert shop.data("voucher", "batches")["batches"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--amount", "4.555", "--currency", "NGN", "--count", "1"), "amount: must have at most 2 decimals in NGN"),
        (("--amount", "0", "--currency", "NGN", "--count", "1"), "amount: must be greater than zero"),
        (("--amount", "5", "--currency", "XXX", "--count", "1"), "currency: 'XXX' is not one of GHS, NGN, SZL, UGX, ZAR"),
        (("--amount", "5", "--currency", "NGN", "--count", "1", "--profile", "NO"), "profile: there is no refill profile 'NO'"),
        (("--amount", "5", "--currency", "NGN", "--count", "1", "--expires", "2020-01-01"), "expires: must be in the future"),
    ],
)  # fmt: skip
def test_what_cannot_be_issued_is_one_sentence(shop: Shop, arguments: tuple[str, ...], sentence: str) -> None:
    assert shop.refused("voucher", "issue", *arguments) == sentence


def test_a_reader_who_goes_away_leaves_a_batch_that_cannot_be_loaded(shop: Shop, data_dir: Path) -> None:
    command = [sys.executable, "-m", "telvend", "voucher", "issue", "--amount", "1", "--currency", "NGN", "--count"]
    process = subprocess.Popen(
        [*command, "30000", "--json", "--database-url", shop.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 1
    assert "Traceback" not in said
    ((batch),) = shop.data("voucher", "batches")["batches"]
    assert (batch["state"], batch["why"]) == ("unavailable", "interrupted before all PINs had been handed over")
    table = shop.run("voucher", "batches").stdout
    assert "interrupted" in table


def test_another_key_ends_the_command_with_a_sentence(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    issue(shop)
    monkeypatch.setenv("TELVEND_VOUCHER_KEY", key_text(new_key()))
    refused = shop.refused("voucher", "issue", "--amount", "1", "--currency", "NGN", "--count", "1")
    assert "which is not in the setting voucher_key; bring it back." in refused


# Single ones


def test_vouchers_are_listed_shown_marked_and_stopped(shop: Shop) -> None:
    first, second, third = (voucher["serial"] for voucher in issue(shop, 3))
    page = shop.data("voucher", "list", "--batch", "1", "--limit", "2")
    assert ([voucher["serial"] for voucher in page["vouchers"]], page["next"]) == ([first, second], second)
    assert "pin" not in page["vouchers"][0]
    marked = shop.data("voucher", "mark", f"{first}-{second}", "999999999999", "--state", "damaged")
    assert (marked["changed"], marked["used"], marked["unknown"]) == (2, 0, 1)
    assert shop.data("voucher", "show", first)["state"] == "damaged"
    shop.run("voucher", "mark", first, "--state", "available")
    stopped = shop.data("voucher", "stop", "1", "--why", "lost on the road")
    assert (stopped["state"], stopped["why"]) == ("stopped", "lost on the road")
    assert [shop.data("voucher", "show", serial)["state"] for serial in (first, second, third)] == [
        "stolen", "damaged", "stolen",
    ]  # fmt: skip
    assert shop.refused("voucher", "show", "1") == "Voucher not found."
    assert shop.refused("voucher", "stop", "77") == "Batch not found."
    assert shop.refused("voucher", "mark", first, "--state", "used").startswith("state: must be one of")


def test_a_till_reserves_commits_and_releases_with_the_pin_on_stdin(shop: Shop) -> None:
    one, two = issue(shop, 2)
    kept = with_pin(shop, one["pin"], "voucher", "reserve", "--as", "till 7", "--seconds", "600")
    assert (kept["serial"], kept["state"], kept["reservation"]) == (one["serial"], "reserved", "till 7")
    # As it is printed, with spaces.
    spaced = " ".join(one["pin"][start : start + 4] for start in range(0, 16, 4))
    done = with_pin(shop, spaced, "voucher", "commit", NGOZI, "--as", "till 7")
    again = with_pin(shop, one["pin"], "voucher", "commit", NGOZI, "--as", "till 7")
    assert (done["replayed"], again["replayed"], again["reference"]) == (False, True, done["reference"])
    shown = shop.data("refill", "show", done["reference"])
    assert (shown["api"], shown["reseller_id"], shown["serial"]) == ("operator", None, one["serial"])
    assert shown["gave"] == [{"kind": "money", "name": "Main account", "amount": 10_000, "expires_at": None}]
    assert "by the operator" in shop.run("refill", "show", done["reference"]).stdout
    with_pin(shop, two["pin"], "voucher", "reserve", "--as", "till 7")
    said = with_pin(shop, two["pin"], "voucher", "release", "--as", "till 8", code=1)
    assert said == "telvend: The voucher cannot be loaded.\n"
    assert with_pin(shop, two["pin"], "voucher", "release", "--as", "till 7")["state"] == "available"
    said = with_pin(shop, "1234", "voucher", "reserve", "--as", "till 7", code=1)
    assert said == "telvend: pin: must be 8 to 20 digits\n"
    assert shop.data("ledger", "check")["ok"]


def test_no_command_takes_a_pin_as_an_argument() -> None:
    for name in ("reserve", "commit", "release"):
        result = CliRunner().invoke(app, ["voucher", name, "--help"], env={"COLUMNS": "200"})
        assert result.exit_code == 0
        assert "--pin" not in result.stdout


# Refills and locks


async def _refills(database: Database, data_dir: Path, pin: str) -> tuple[str, str]:
    ada = await partner(database, live_minor=500_00)
    refills, _ = await refills_of(database, data_dir)
    paid = (await refills.refill(ada.voucherless(100, "T-000001"))).refill
    loaded = (await refills.refill(ada.by_voucher(pin, "T-000002"))).refill
    for _ in range(6):
        try:
            await refills.refill(ada.by_voucher(WRONG))
        except TelvendError:
            continue
    await refills.close()
    return paid.reference, loaded.reference


def test_refills_are_listed_and_shown_and_stand_in_the_wallets_statement(shop: Shop, data_dir: Path) -> None:
    (voucher,) = issue(shop)
    paid, loaded = shop.work(lambda database: _refills(database, data_dir, voucher["pin"]))
    found = shop.data("refill", "list", "--subscriber", NGOZI)["refills"]
    assert [(one["reference"], one["kind"], one["balance_after"]) for one in found] == [
        (loaded, "voucher", None),
        (paid, "voucherless", Decimal("400.00")),
    ]
    assert [one["reference"] for one in shop.data("refill", "list", "--kind", "voucherless")["refills"]] == [paid]
    page = shop.data("refill", "list", "--limit", "1")
    assert [one["reference"] for one in shop.data("refill", "list", "--before", str(page["next"]))["refills"]] == [paid]
    email = shop.data("user", "list")["users"][0]["email"]
    assert [
        one["reference"] for one in shop.data("refill", "list", "--email", email, "--mode", "test")["refills"]
    ] == []
    shown = shop.run("refill", "show", paid).stdout
    assert f"by {email} under T-000001" in shown
    assert "NGN 500.00 → NGN 400.00" in shown
    assert f"paid by voucher {voucher['serial']}" in shop.run("refill", "show", loaded).stdout
    assert shop.refused("refill", "show", "RFL-1-aaaaaa") == "Refill not found."
    line = shop.data("wallet", "statement", email, "NGN")["statement"][0]
    assert (line["reference"], line["change"]) == (paid, Decimal("-100.00"))
    assert shop.data("voucher", "show", voucher["serial"])["refill"] == loaded
    assert shop.data("ledger", "check")["ok"]
    totals = shop.data("ledger", "accounts")["accounts"]
    assert {"mode": "live", "currency": "NGN", "kind": "provider", "owner": "own_network", "minor": 10_000} in totals


def test_who_is_locked_is_shown_and_let_go(shop: Shop, data_dir: Path) -> None:
    (voucher,) = issue(shop)
    shop.work(lambda database: _refills(database, data_dir, voucher["pin"]))
    locks = {lock["kind"]: lock for lock in shop.data("voucher", "locks")["locks"]}
    assert locks["subscriber"]["subject"] == f"live {NGOZI}"
    assert (locks["subscriber"]["strikes"], locks["subscriber"]["locked_until"] is not None) == (1, True)
    assert (locks["partner"]["wrong"], locks["partner"]["tries_left"], locks["partner"]["locked_until"]) == (
        5,
        45,
        None,
    )
    # A source is counted, and never locked.
    assert (locks["source"]["wrong"], locks["source"]["tries_left"], locks["source"]["locked_until"]) == (5, None, None)
    shop.run("voucher", "unlock", "subscriber", f"live {NGOZI}")
    assert "subscriber" not in {lock["kind"] for lock in shop.data("voucher", "locks")["locks"]}
    assert shop.refused("voucher", "unlock", "subscriber", f"live {NGOZI}") == "Lock not found."


def test_a_million_pass_through_without_being_kept(shop: Shop) -> None:
    """Not a million here: enough to see that what is printed is one object, whose pieces came as they were made."""
    result = shop.run("voucher", "issue", "--amount", "1", "--currency", "NGN", "--count", "25000", "--json")
    answer = one_object(result.stdout)
    assert len({voucher["pin"] for voucher in answer["vouchers"]}) == 25_000
    assert shop.data("voucher", "batches")["batches"][0]["issued"] == 25_000
