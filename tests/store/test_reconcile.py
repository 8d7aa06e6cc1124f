"""`telvend reconcile`: a day at a provider of the settings, asked, listed, or from a statement; and after a restore."""

import asyncio
import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from telvend.bootstrap import work
from telvend.config import ProviderSettings, load
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.orders.model import COUNTER
from telvend.providers.reloadly import client
from tests import upstream_double as double
from tests.store.test_cli import EMAIL, Shop
from tests.world_doubles import ReloadlyDouble

AIRTIME, PHONE = "NG-MTN-AIRTIME", "08031234567"
TABLE = 'own_network = false\n[providers.vt]\nconnector = "double"\napi_key = "hunter2"\n'
DONE = {"status": "done", "kobo": 4_875}


def today() -> str:
    """Asked for each time: a run may pass midnight."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


HEAD = "Request ID,Transaction ID,Phone,Total Amount,Status,Date\n"


@pytest.fixture
def folder(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    monkeypatch.setenv("TELVEND_DATA_DIR", str(made))
    double.install(monkeypatch)
    (made / "telvend.toml").write_text(TABLE)
    return made


@pytest.fixture
def shop(database_url: str, folder: Path) -> Shop:
    return Shop(database_url)


def try_one(shop: Shop, code: int = 0) -> str:
    """A delivery by hand; answers its reference."""
    arguments = ("provider", "try", "vt", "--product", AIRTIME, "--phone", PHONE, "--yes", "--wait", "0")
    return str(shop.data(*arguments, code=code)["reference"])


def statement(folder: Path, *rows: str, name: str = "vt.csv") -> str:
    (folder / name).write_text(HEAD + "".join(f"{row},{today()} 12:00:00+00:00\n" for row in rows))
    return str(folder / name)


def sell(shop: Shop, folder: Path, *, says: httpx.Response) -> Any:
    """An order over NGN 50 of airtime, as far as it gets in a moment."""
    double.answers["POST /purchases"] = says
    shop.run("user", "add", EMAIL, "--name", "Ama", "--phone", "0241234567")
    shop.run("wallet", "credit", EMAIL, "500", "NGN", "--reference", "CASH-1")
    settings = load({"data_dir": str(folder)}).settings

    async def place() -> Any:
        async with work(settings, shop.url) as running:
            caller = await running.resellers.caller_without_key(EMAIL, COUNTER, Mode.LIVE)
            placed = await running.counter.place(
                caller, code=AIRTIME, recipient=PHONE, amount="50", client_reference="S-1"
            )
            return await running.orders.settled(placed.order, 5)

    return asyncio.run(place())


def test_a_provider_without_a_list_is_asked_and_what_was_found_is_recorded(shop: Shop) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    reference = try_one(shop)
    double.answers["GET /purchases"] = httpx.Response(200, json=DONE)
    found = shop.data("reconcile", "vt", "--date", today())
    assert (found["source"], found["attempts"], found["matched"]) == ("requery", 1, 1)
    assert (found["only_here"], found["only_there"], found["different"]) == ([], [], [])
    assert found["notes"][0].startswith("The day is not over")
    assert found["costs"]["NGN"] == {
        "ledger": Decimal("48.75"), "charged": Decimal("48.75"), "difference": 0, "unsaid": 0,
    }  # fmt: skip
    # They took more than they said.
    double.answers["GET /purchases"] = httpx.Response(200, json=DONE | {"kobo": 5_000})
    found = shop.data("reconcile", "vt", "--date", today(), code=1)
    (different,) = found["different"]
    assert (different["reference"], different["what"], different["charged"]) == (reference, ["cost"], 50)
    # They never heard of it, and it is old enough for that to count.
    shop.execute("update provider_trial set started_at = started_at - interval '2 minutes'")
    double.answers["GET /purchases"] = httpx.Response(404)
    day = str(shop.data("provider", "trials")["trials"][0]["started_at"])[:10]
    found = shop.data("reconcile", "vt", "--date", day, code=1)
    assert [one["reference"] for one in found["only_here"]] == [reference]
    listed = shop.data("reconcile", "list")["reconciliations"]
    assert [(one["matched"], one["only_here"], one["different"]) for one in listed] == [(0, 1, 0), (0, 0, 1), (1, 0, 0)]
    assert shop.data("reconcile", "list", "--limit", "1")["next"] == listed[0]["id"]
    assert [request.method for request in double.requests] == ["POST", "GET", "GET", "GET"]


RELOADLY = """own_network = false
[providers.rl]
connector = "reloadly"
client_id = "double-client"
client_secret = "{secret}"
[providers.mtn]
connector = "madapi"
client_id = "a-key"
client_secret = "{secret}"
"""


@pytest.fixture
def reloadly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ReloadlyDouble:
    """Reloadly behind `[providers.rl]`, whose top-ups are of today."""
    far_side = ReloadlyDouble()
    connect, transaction = client.connect, far_side.transaction
    at = datetime.now(ZoneInfo("America/New_York")).strftime("%Y-%m-%d %H:%M:%S")

    def connected(name: str, settings: ProviderSettings, clock: Clock, *, transport: None = None) -> client.Reloadly:
        assert transport is None
        return connect(name, settings, clock, transport=httpx.MockTransport(far_side.handle))

    monkeypatch.setattr(client, "connect", connected)
    monkeypatch.setattr(far_side, "transaction", lambda entry: transaction(entry) | {"transactionDate": at})
    (folder / "telvend.toml").write_text(RELOADLY.format(secret="double-secret"))
    return far_side


def test_reloadly_is_read_by_its_list_and_what_the_books_do_not_know_is_found(
    shop: Shop, reloadly: ReloadlyDouble
) -> None:
    made = shop.data("provider", "try", "rl", "--product", AIRTIME, "--phone", PHONE, "--yes", "--wait", "0")
    assert made["state"] == "delivered"
    found = shop.data("reconcile", "rl", "--date", today())
    assert (found["source"], found["matched"], found["only_there"]) == ("list", 1, [])
    # What was bought there after the moment of a restore.
    reloadly.book.append(replace(reloadly.book[0], number=2, reference="AT-9-lost00-1"))
    found = shop.data("reconcile", "rl", "--date", today(), code=1)
    (lost,) = found["only_there"]
    assert (lost["reference"], lost["provider_reference"], lost["order"]) == ("AT-9-lost00-1", "4602845", None)
    assert (lost["subscriber"], lost["charged"], lost["currency"]) == ("+2348031234567", Decimal("0.65"), "USD")
    assert found["only_here"] == found["different"] == []


def test_a_list_that_cannot_be_read_reconciles_nothing(
    shop: Shop, reloadly: ReloadlyDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloadly, "page", lambda _: httpx.Response(403, json={"message": "no"}))
    result = shop.run("reconcile", "rl", "--date", today(), code=1)
    assert result.stdout == ""
    said = "telvend: Nothing is reconciled: page 1 of the list of transactions cannot be read: HTTP 403"
    assert result.stderr.splitlines()[-1].startswith(said)
    assert shop.data("reconcile", "list")["reconciliations"] == []


def test_a_check_says_whether_the_credentials_buy_a_token(shop: Shop, folder: Path, reloadly: ReloadlyDouble) -> None:
    found = shop.data("provider", "check", "rl")
    assert (found["token"], found["float"], found["currency"]) == (True, Decimal("5000.23"), "USD")
    assert "token    the credentials are accepted, and buy one" in shop.run("provider", "check", "rl").stdout
    (folder / "telvend.toml").write_text(RELOADLY.format(secret="not-the-secret"))
    found = shop.data("provider", "check", "rl", code=1)
    assert (found["token"], found["float"]) == (False, None)
    assert found["problems"][0]["where"] == "client_id, client_secret"
    assert found["problems"][0]["text"].startswith(
        "https://auth.reloadly.com/oauth/token gives no token for them: the credentials are not accepted: INVALID_CREDENTIALS"
    )
    assert "not-the-secret" not in json.dumps(found, default=str)
    assert reloadly.tokens == 2


def test_madapi_has_no_list_and_the_command_says_what_to_use(shop: Shop, reloadly: ReloadlyDouble) -> None:
    assert reloadly.book == []
    result = shop.run("reconcile", "mtn", "--date", today())
    assert "MADAPI has no list of transactions, and MTN's own no question about a refill" in result.stderr
    assert "--statement FILE.csv" in result.stderr


def test_a_provider_that_does_not_answer_leaves_its_attempts_over(shop: Shop) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    try_one(shop)
    double.answers["GET /purchases"] = httpx.ReadTimeout("nothing")
    (left,) = shop.data("reconcile", "vt", "--date", today(), code=1)["different"]
    assert (left["here"], left["there"]) == ("delivered", "unknown")


def test_a_statement_has_what_the_books_do_not_know_as_after_a_restore(shop: Shop, folder: Path) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    reference = try_one(shop)
    path = statement(folder, f"{reference},T1,{PHONE},48.75,delivered", f"AT-9-lost00-1,T2,{PHONE},48.75,Success")
    found = shop.data("reconcile", "vt", "--date", today(), "--statement", path, code=1)
    assert (found["matched"], found["only_here"], found["different"]) == (1, [], [])
    (lost,) = found["only_there"]
    assert {name: lost[name] for name in ("reference", "provider_reference", "order", "subscriber", "charged")} == {
        "reference": "AT-9-lost00-1", "provider_reference": "T2", "order": None, "subscriber": PHONE, "charged": Decimal("48.75"),
    }  # fmt: skip
    assert "telvend wallet debit EMAIL" in lost["next"]
    assert found["costs"]["NGN"]["difference"] == Decimal("48.75")
    # A table for people, and the same for a spreadsheet.
    told = shop.run("reconcile", "vt", "--date", today(), "--statement", path, code=1).stdout
    assert "Delivered by vt, and not here: money lost" in told
    assert "vt took NGN 48.75 more" in told
    assert "1 of 1 attempts agree; 1 only there." in told
    rows = shop.run("reconcile", "vt", "--date", today(), "--statement", path, "--csv", code=1).stdout
    (row,) = csv.DictReader(io.StringIO(rows))
    assert (row["list"], row["what"], row["reference"]) == ("only_there", "status", "AT-9-lost00-1")
    # The same bytes have the same digest; it is asked about nothing.
    first, second, third = shop.data("reconcile", "list")["reconciliations"]
    assert len({first["statement_sha256"], second["statement_sha256"], third["statement_sha256"]}) == 1
    assert [request.method for request in double.requests] == ["POST"]


def test_an_order_that_has_failed_here_and_was_delivered_there_says_which_command_charges_it(
    shop: Shop, folder: Path
) -> None:
    order = sell(shop, folder, says=httpx.Response(200, json={"status": "no"}))
    assert order.state == "failed"
    path = statement(folder, f"{order.reference}-1,T1,{PHONE},48.75,delivered")
    before = shop.data("wallet", "show", EMAIL)
    found = shop.data("reconcile", "vt", "--date", today(), "--statement", path, code=1)
    (lost,) = found["only_there"]
    assert (lost["order"], lost["email"], lost["here"], lost["there"]) == (
        order.reference,
        EMAIL,
        "refused",
        "delivered",
    )
    assert f"telvend wallet debit {EMAIL} AMOUNT NGN --reference {order.reference}-1" in lost["next"]
    assert shop.data("wallet", "show", EMAIL) == before
    shop.run("ledger", "check")


def test_an_order_that_is_open_here_says_which_command_decides_it(shop: Shop, folder: Path) -> None:
    order = sell(shop, folder, says=httpx.Response(502))
    path = statement(folder, f"{order.reference}-1,T1,{PHONE},48.75,delivered")
    (open_,) = shop.data("reconcile", "vt", "--date", today(), "--statement", path, code=1)["different"]
    assert f"telvend order resolve {order.reference} --delivered|--failed" in open_["next"]
    shop.run("order", "resolve", order.reference, "--delivered", "--note", "their statement has it")
    assert shop.data("reconcile", "vt", "--date", today(), "--statement", path)["matched"] == 1


def test_an_attempt_of_long_ago_is_known_by_its_reference(shop: Shop, folder: Path) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    reference = try_one(shop)
    shop.execute("update provider_trial set started_at = started_at - interval '9 days'")
    path = statement(folder, f"{reference},T1,{PHONE},48.75,delivered")
    found = shop.data("reconcile", "vt", "--date", today(), "--statement", path)
    assert (found["attempts"], found["other_days"]) == (0, 1)


def test_exports_that_overlap_are_one_and_their_columns_may_be_named(shop: Shop, folder: Path) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    reference = try_one(shop)
    row = f"{reference},T1,{PHONE},48.75,delivered"
    paths = [statement(folder, row), statement(folder, row, name="again.csv")]
    found = shop.data("reconcile", "vt", "--date", today(), "--statement", paths[0], "--statement", paths[1])
    assert (found["matched"], found["lines"]) == (1, 1)
    (folder / "own.csv").write_text(f"Nr;What;State\n{reference};48,75;gift\n")
    found = shop.data(
        "reconcile", "vt", "--date", today(), "--statement", str(folder / "own.csv"), "--column", "reference=Nr", "--column",
        "charged=What", "--status", "gift=delivered",
    )  # fmt: skip
    assert (found["matched"], found["costs"]["NGN"]["charged"]) == (1, Decimal("48.75"))
    assert "every line counts as of this day" in " ".join(found["notes"])


def test_what_cannot_be_reconciled_is_refused_in_one_sentence(shop: Shop, folder: Path) -> None:
    path = statement(folder, "R,T1,,1,delivered")
    tomorrow = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
    refused = {
        ("vt",): "date: is missing: --date YYYY-MM-DD",
        ("vt", "--date", tomorrow): "date: has not begun yet in UTC",
        ("nobody", "--date", today()): "There is no provider nobody; the settings name simulator, vt.",
        ("vt", "--date", today(), "--zone", "UTC"): "statement: is missing: --column",
        ("vt", "--date", today(), "--statement", path, "--zone", "Nowhere/At"): "zone: Nowhere/At is no zone",
        ("vt", "--date", today(), "--statement", path, "--column", "x"): "column: 'x' must be FIELD=HEADING",
        ("vt", "--date", today(), "--statement", path, "--status", "ok=good"): "status: 'ok=good' must be WORD=STATUS",
        ("vt", "--date", today(), "--statement", path, "--currency", "naira"): "currency: 'NAIRA' is not a currency",
        ("vt", "--date", today(), "--statement", str(folder / "none.csv")): "statement: ",
    }
    for arguments, sentence in refused.items():
        assert shop.refused("reconcile", *arguments).startswith(sentence), arguments
    assert shop.data("reconcile", "list")["reconciliations"] == []


def test_a_provider_that_has_gone_from_the_settings_still_has_its_statement(shop: Shop, folder: Path) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    reference = try_one(shop)
    path = statement(folder, f"{reference},T1,{PHONE},48.75,delivered")
    (folder / "telvend.toml").write_text("")
    assert shop.data("reconcile", "vt", "--date", today(), "--statement", path)["matched"] == 1
    assert "There is no provider vt" in shop.refused("reconcile", "vt", "--date", today())


def test_the_doctor_says_when_a_provider_was_reconciled_and_what_is_left_over(shop: Shop, folder: Path) -> None:
    def told() -> list[tuple[str, str]]:
        found = shop.run("doctor", "--json").stdout
        return [
            (one["level"], one["text"]) for one in json.loads(found)["findings"] if one["check"] == "reconciliation"
        ]

    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    reference = try_one(shop)
    assert told() == []
    shop.execute("update provider_trial set started_at = started_at - interval '5 days'")
    assert told() == [("warning", "vt has delivered more than 3 days ago, and was never reconciled.")]
    day = f"{datetime.now(UTC) - timedelta(days=5):%Y-%m-%d}"
    path = folder / "day.csv"
    path.write_text(f"Request ID,Status,Date\n{reference},delivered,{day}\n")
    shop.run("reconcile", "vt", "--date", day, "--statement", str(path))
    assert told() == [("ok", f"vt was reconciled for {day}, and agrees.")]
    path.write_text("Request ID,Status,Date\n")
    shop.run("reconcile", "vt", "--date", day, "--statement", str(path), code=1)
    assert told()[0][1].startswith(f"vt and our books did not agree about {day}: 0 only there, 1 only here")
