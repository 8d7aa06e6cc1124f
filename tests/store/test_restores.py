"""A restored book is released when every provider was reconciled for the days since, or by somebody who says why not."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from telvend.bootstrap import open_for_command
from telvend.config import load
from telvend.sales.continuity.model import BookRestore
from telvend.upkeep.restores import days_of, to_reconcile
from tests import upstream_double as double
from tests.store.test_cli import Shop
from tests.store.test_reconcile import DONE, TABLE, try_one


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


def restore(shop: Shop, folder: Path, known_until: datetime) -> None:
    """What `telvend restore` writes into the book."""

    async def write() -> None:
        async with open_for_command(load({"data_dir": str(folder)}).settings, shop.url) as opened:
            await opened.continuity.restored(opened.database, backup="b-1 of /backups", known_until=known_until)

    asyncio.run(write())


RELEASE = ("shop", "release", "--reason", "compared", "--by", "esi")


def test_a_restored_shop_is_released_when_its_provider_was_reconciled_for_every_day(shop: Shop, folder: Path) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    try_one(shop)
    double.answers["GET /purchases"] = httpx.Response(200, json=DONE)
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    shop.data("reconcile", "vt", "--date", str(today))  # Before the restore: it does not count.
    restore(shop, folder, datetime.now(UTC) - timedelta(days=1))
    status = shop.data("shop", "status", code=1)
    assert status["sells"] is False
    assert status["reconcile"] == [{"provider": "vt", "days": [str(yesterday), str(today)], "left_over": 0}]
    assert [one["backup"] for one in status["restores"]] == ["b-1 of /backups"]
    told = shop.run("shop", "status", code=1).stdout
    assert (
        f"To do: vt is not reconciled for 2 days, {yesterday} to {today}: `telvend reconcile vt --date {yesterday}`"
        in (" ".join(told.split()))
    )
    refused = shop.refused(*RELEASE)
    assert "Nothing was released: vt is not reconciled for 2 days" in refused
    shop.data("reconcile", "vt", "--date", str(yesterday))
    assert f"vt is not reconciled for {today}" in shop.refused(*RELEASE)
    shop.data("reconcile", "vt", "--date", str(today))
    assert "Done: vt is reconciled since the restore." in shop.run("shop", "status", code=1).stdout
    assert shop.data(*RELEASE)["released"] is True
    status = shop.data("shop", "status")
    assert (status["sells"], status["reconcile"], status["restores"]) == (True, [], [])
    assert status["halts"][0]["reason"] == "compared"
    # The next halt is of another kind, and asks for no reconciliation.
    shop.run("shop", "halt", "--reason", "x", "--by", "esi")
    assert shop.data(*RELEASE)["released"] is True


def test_a_release_is_forced_with_a_reason_that_says_what_is_missing(shop: Shop, folder: Path) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json=DONE)
    try_one(shop)
    restore(shop, folder, datetime.now(UTC))
    shop.refused(*RELEASE)
    (halt,) = shop.data(*RELEASE, "--force")["halts"]
    assert halt["reason"].startswith("compared (forced: vt is not reconciled for ")


def test_days_are_those_of_the_shop_and_count_from_the_earliest_restore() -> None:
    def restored(known: str, at: str) -> BookRestore:
        return BookRestore("b", datetime.fromisoformat(known), datetime.fromisoformat(at))

    first = restored("2026-11-27T23:30:00+00:00", "2026-11-28T05:00:00+00:00")
    second = restored("2026-11-28T01:00:00+00:00", "2026-11-29T23:30:00+00:00")
    assert days_of([], ZoneInfo("UTC")) == []
    assert days_of([first], ZoneInfo("UTC")) == [date(2026, 11, 27), date(2026, 11, 28)]
    assert days_of([first], ZoneInfo("Africa/Lagos")) == [date(2026, 11, 28)]
    assert days_of([first, second], ZoneInfo("Africa/Lagos")) == [date(2026, 11, day) for day in (28, 29, 30)]


def test_what_reconciling_has_left_over_is_shown_and_does_not_hold_the_shop() -> None:
    days = [date(2026, 11, 28), date(2026, 11, 29)]
    done = {("vt", days[0]): 2, ("vt", days[1]): 0, ("vt", date(2026, 1, 1)): 9}
    first, second = to_reconcile(days, {"vt", "dt"}, done)
    assert (first.provider, list(first.open_days), first.left_over) == ("dt", days, 0)
    assert (second.provider, list(second.open_days), second.left_over) == ("vt", [], 2)
