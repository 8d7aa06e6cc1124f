"""Lists that are bought in the background: checked whole, bought once whoever is killed, stopped, gone on with, never another's."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from telvend.audit.service import audit_books
from telvend.bootstrap import Shop, open_shop
from telvend.catalog.service import install_builtin
from telvend.config import Settings, load
from telvend.errors import InvalidInput, NotFound
from telvend.funding.credits.service import Credits
from telvend.kit.failpoints import VARIABLE, FailpointError
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.orders.bulk import worker
from telvend.orders.bulk.model import MOST_BYTES, MOST_LINES, BulkList, Checked, ListState, Progress

GB = "GH-MTN-1GB-30D"  # 4.50 each
EMAIL = "ama@example.com"


@dataclass
class Stage:
    """A shop that sells and delivers nothing, and Ama in it."""

    shop: Shop
    ama: UUID

    async def check(self, text: str, **more: object) -> Checked:
        given = {"name": "staff.csv", "by_whom": "Ama", "data": text.encode(), **more}
        return await self.shop.bulk_lists.check(self.ama, Mode.LIVE, **given)  # type: ignore[arg-type]

    async def kept(self, text: str) -> BulkList:
        checked = await self.check(text)
        assert checked.kept is not None, checked
        return checked.kept

    async def bought(self, text: str) -> BulkList:
        """A list that is to be bought; nothing is yet."""
        kept = await self.kept(text)
        assert await self.shop.bulk_lists.start(self.ama, kept.code)
        return kept

    async def look(self, bulk_list: BulkList) -> tuple[BulkList, Progress]:
        return await self.shop.bulk_lists.find(self.ama, bulk_list.code), await self.shop.bulk_lists.progress(bulk_list)

    async def balance(self) -> Decimal:
        wallets = await self.shop.wallets.of_reseller(self.ama)
        return next(w.balance.decimal for w in wallets if w.mode is Mode.LIVE and w.balance.currency == GHS)

    async def orders(self) -> int:
        async with self.shop.database.connection() as tx:
            return int(await tx.fetchval("select count(*) from orders"))

    async def books_hold(self) -> None:
        report = await audit_books(self.shop.database)
        assert report.ok, report.findings


def settings_in(folder: Path) -> Settings:
    return load({"data_dir": str(folder)}, {}).settings


@asynccontextmanager
async def opened(
    url: str, folder: Path, prepare: Callable[[Shop], Awaitable[None]] | None = None
) -> AsyncIterator[Shop]:
    async with open_shop(settings_in(folder), url) as shop:
        if prepare is not None:
            await prepare(shop)
        await shop.watch.look()
        shop.orders.start()
        yield shop


@pytest.fixture
async def stage(database_url: str, tmp_path: Path, nobodys_settings: None) -> AsyncIterator[Stage]:
    """Ama has 100.00."""
    async with opened(database_url, tmp_path, prepare_catalogue) as shop:
        ama = await shop.resellers.add(EMAIL, "Ama", "0241234567")
        await Credits(shop.database, shop.ledger).add(ama.id, Money(100_00, GHS), Mode.LIVE, "opening")
        yield Stage(shop, ama.id)


async def prepare_catalogue(shop: Shop) -> None:
    async with shop.database.transaction() as tx:
        await install_builtin(tx)


def rows(count: int, first: int = 0) -> str:
    return "product,to\n" + "".join(f"{GB},0241{number:06}\n" for number in range(first, first + count))


# The story ---------------------------------------------------------------------------------------------------------------


async def test_a_list_is_checked_bought_until_the_wallet_is_empty_and_gone_on_with(stage: Stage) -> None:
    bulk = stage.shop.bulk_lists
    checked = await stage.check(rows(25))
    assert checked.kept is not None
    (total,) = checked.totals
    assert (total.count, str(total.price), str(total.short)) == (25, "GHS 112.50", "GHS 12.50")
    assert (checked.kept.state, await stage.balance(), await stage.orders()) == (ListState.CHECKED, 100, 0)
    # Nothing is bought of a list that was only checked.
    assert await stage.shop.bulk_buyer.work() == 0

    assert await bulk.start(stage.ama, checked.kept.code)
    await stage.shop.bulk_buyer.work()
    found, progress = await stage.look(checked.kept)
    assert (found.state, progress.bought, progress.waiting) == (ListState.STOPPED, 22, 3)
    assert "The wallet could not pay for line 24" in found.reason
    assert "GHS 3.50 is missing" in found.reason
    assert (await stage.balance(), await stage.orders()) == (1, 22)
    (left,) = await bulk.to_pay(found)
    assert (left.count, str(left.short)) == (3, "GHS 12.50")

    await Credits(stage.shop.database, stage.shop.ledger).add(stage.ama, Money(12_50, GHS), Mode.LIVE, "c2")
    assert await bulk.start(stage.ama, found.code)
    assert not await bulk.start(stage.ama, found.code)
    await stage.shop.bulk_buyer.work()
    found, progress = await stage.look(found)
    assert (found.state, progress.bought, progress.waiting, found.reason) == (ListState.DONE, 25, 0, "")
    assert (await stage.balance(), await stage.orders()) == (0, 25)
    lines = await bulk.lines(found)
    assert [line.line for line in lines] == list(range(2, 27))
    assert {line.standing for line in lines} == {"on its way"}
    assert all((line.order or "").startswith("WEB-") for line in lines)
    assert len({line.reference for line in lines}) == 25
    # A list that is done is not bought again.
    assert not await bulk.start(stage.ama, found.code)
    await stage.books_hold()


async def test_what_was_bought_is_in_the_wallets_list_and_among_the_orders(stage: Stage) -> None:
    await stage.bought(rows(2))
    await stage.shop.bulk_buyer.work()
    found = await stage.shop.order_records.list_orders()
    assert [order.dialect for order in found] == ["portal", "portal"]
    for order in found:
        listed = await stage.shop.transactions.find(order.wallet_id, GHS, order.reference)
        assert listed.amount == order.price
        # The caller's own reference finds it too.
        assert (await stage.shop.order_records.named(order.client_reference or "", stage.ama)).id == order.id


# Exactly once ------------------------------------------------------------------------------------------------------------


async def test_two_workers_and_a_lost_lease_buy_each_line_once(
    stage: Stage, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LINES_AT_ONCE", 3)
    # Every lease is over at once, so that both take up the same list again and again.
    monkeypatch.setattr(worker, "_LEASE_S", 0.0)
    kept = await stage.bought(rows(20))
    async with opened(database_url, tmp_path / "other") as other:
        await asyncio.gather(*(shop.bulk_buyer.work() for shop in (stage.shop, other) for _ in range(2)))
    found, progress = await stage.look(kept)
    assert (found.state, progress.bought, await stage.orders(), await stage.balance()) == (ListState.DONE, 20, 20, 10)
    await stage.books_hold()


async def test_a_worker_that_dies_after_buying_leaves_nothing_to_be_bought_twice(
    stage: Stage, armed: Callable[[str], None]
) -> None:
    kept = await stage.bought(rows(5))
    armed("bulk.after_buying=error@1")
    with pytest.raises(FailpointError):
        await stage.shop.bulk_buyer.work()
    _, progress = await stage.look(kept)
    assert (progress.bought, await stage.orders()) == (0, 5)
    # Nobody takes it up before the lease is over.
    assert await stage.shop.bulk_buyer.work() == 0
    await execute(stage, "update bulk_list set due_at = now()")
    # Whatever it costs now: it was bought at the price of the check.
    await stage.shop.catalogue.change_price(GB, price="9")
    await stage.shop.watch.look()
    await stage.shop.bulk_buyer.work()
    found, progress = await stage.look(kept)
    assert (found.state, progress.bought, progress.refused) == (ListState.DONE, 5, 0)
    assert (await stage.orders(), await stage.balance()) == (5, Decimal("77.50"))
    await stage.books_hold()


_KILLED = """
import asyncio, sys
from pathlib import Path
from telvend.bootstrap import open_shop
from telvend.config import load

async def main() -> None:
    async with open_shop(load({"data_dir": sys.argv[2]}, {}).settings, sys.argv[1]) as shop:
        await shop.watch.look()
        shop.orders.start()
        await shop.bulk_buyer.work()

asyncio.run(main())
"""


@pytest.mark.parametrize("point", ["bulk.after_buying=kill@2", "bulk.after_claim=kill@1", "lane.after_commit=kill@1"])
async def test_a_process_that_is_killed_leaves_each_line_to_be_bought_once(
    stage: Stage, database_url: str, tmp_path: Path, point: str
) -> None:
    kept = await stage.bought(rows(20))
    program = _KILLED.replace(
        "asyncio.run", "import telvend.orders.bulk.worker as w; w._LINES_AT_ONCE = 6\nasyncio.run"
    )
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, database_url, str(tmp_path / "killed")],
        env={**os.environ, VARIABLE: point},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    await execute(stage, "update bulk_list set due_at = now()")
    await stage.shop.bulk_buyer.work()
    found, progress = await stage.look(kept)
    assert (found.state, progress.bought, progress.refused) == (ListState.DONE, 20, 0)
    assert (await stage.orders(), await stage.balance()) == (20, 10)
    await stage.books_hold()


async def test_a_refusal_that_another_worker_has_overtaken_is_no_refusal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await stage.bought(rows(1))
    await stage.shop.bulk_buyer.work()
    async with stage.shop.database.transaction() as tx:
        await worker.store.decide(tx, kept.id, [worker.DecidedLine(2, "refused", None, "too late")])
    _, progress = await stage.look(kept)
    assert (progress.bought, progress.refused) == (1, 0)


# Stopping, refusing --------------------------------------------------------------------------------------------------------


async def execute(stage: Stage, statement: str) -> None:
    async with stage.shop.database.connection() as tx:
        await tx.execute(statement)


async def test_a_stopped_list_buys_nothing_more_and_can_be_gone_on_with(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await stage.bought(rows(4))
    assert await stage.shop.bulk_lists.stop(stage.ama, kept.code)
    assert await stage.shop.bulk_buyer.work() == 0
    found, progress = await stage.look(kept)
    assert (found.state, found.reason, progress.waiting) == (ListState.STOPPED, "You have stopped it.", 4)
    assert not await stage.shop.bulk_lists.stop(stage.ama, kept.code)
    assert await stage.shop.bulk_lists.start(stage.ama, kept.code)
    await stage.shop.bulk_buyer.work()
    assert (await stage.look(kept))[0].state is ListState.DONE


async def test_a_stop_while_a_part_is_in_hand_holds_after_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_LINES_AT_ONCE", 2)
    kept = await stage.bought(rows(6))
    buy = worker.BulkBuyer._buy

    async def stop_then_buy(self: worker.BulkBuyer, *given: object) -> object:
        await stage.shop.bulk_lists.stop(stage.ama, kept.code)
        return await buy(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(worker.BulkBuyer, "_buy", stop_then_buy)
    await stage.shop.bulk_buyer.work()
    found, progress = await stage.look(kept)
    assert (found.state, progress.bought, progress.waiting) == (ListState.STOPPED, 2, 4)


async def test_a_changed_price_and_a_product_that_is_withdrawn_are_refused_and_cost_nothing(stage: Stage) -> None:
    kept = await stage.bought(
        f"product,to,amount\n{GB},0241234567,\nGH-MTN-2GB-30D,0241234567,\nGH-MTN-AIRTIME,0241234567,5\n"
    )
    await stage.shop.catalogue.change_price(GB, price="4.60")
    await stage.shop.catalogue.switch_product("GH-MTN-2GB-30D", False)
    await stage.shop.watch.look()
    await stage.shop.bulk_buyer.work()
    found, progress = await stage.look(kept)
    assert (found.state, progress.bought, progress.refused) == (ListState.DONE, 1, 2)
    errors = {line.line: line.error for line in await stage.shop.bulk_lists.lines(found)}
    assert errors[2] == "The price has changed from GHS 4.50 to GHS 4.60 since the check."
    assert "not on sale" in errors[3]
    assert await stage.balance() == 95


async def test_a_suspended_reseller_buys_nothing_more(stage: Stage) -> None:
    kept = await stage.bought(rows(3))
    await stage.shop.resellers.suspend(EMAIL, "why")
    await stage.shop.bulk_buyer.work()
    found, _ = await stage.look(kept)
    assert (found.state, found.reason, await stage.orders()) == (ListState.STOPPED, "The account is suspended.", 0)


# What comes in --------------------------------------------------------------------------------------------------------------


async def test_every_mistake_is_named_with_its_line_and_nothing_is_kept(stage: Stage) -> None:
    checked = await stage.check(
        f"product_code,msisdn,amount\n{GB},241234567,\nNOPE,0241234568,\nGH-MTN-AIRTIME,0241234569,\n{GB},12,\n"
    )
    assert checked.kept is None
    assert [(problem.line, problem.field) for problem in checked.problems] == [
        (2, "to"), (3, "product"), (4, "amount"), (5, "to"),
    ]  # fmt: skip
    assert "leading 0" in checked.problems[0].problem
    assert await stage.shop.bulk_lists.listed(stage.ama, Mode.LIVE) == []


async def test_nobody_elses_wallet_pays(stage: Stage) -> None:
    kofi = await stage.shop.resellers.add("kofi@example.com", "Kofi", "0241234568")
    await Credits(stage.shop.database, stage.shop.ledger).add(kofi.id, Money(50_00, GHS), Mode.LIVE, "c")
    for email in ("kofi@example.com", EMAIL):
        checked = await stage.check(f"product,to,email\n{GB},0241234567,{email}\n")
        assert checked.kept is None
        assert [problem.field for problem in checked.problems] == ["email"]


async def test_lines_that_ask_for_the_same_have_to_be_meant(stage: Stage) -> None:
    text = f"product,to\n{GB},0241234567\n{GB},0241234567\n"
    checked = await stage.check(text)
    assert (checked.kept, [problem.line for problem in checked.repeats]) == (None, [3])
    meant = await stage.check(text, repeats=True)
    assert meant.kept is not None
    await stage.shop.bulk_lists.start(stage.ama, meant.kept.code)
    await stage.shop.bulk_buyer.work()
    assert await stage.orders() == 2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PK\x03\x04rest", "workbook"),
        (b"product,to\n" + b"x" * MOST_BYTES, "larger than"),
        (b"a\0b,c\n", "not text"),
    ],
)
async def test_what_is_no_list_is_refused(stage: Stage, data: bytes, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        await stage.check("", data=data)


async def test_a_list_that_is_too_long_is_refused_at_its_first_line_too_many(stage: Stage) -> None:
    checked = await stage.check("product,to\n" + "NOPE,1\n" * (MOST_LINES + 3))
    assert checked.kept is None
    assert checked.problems[-1].line == MOST_LINES + 2
    assert "is beyond" in checked.problems[-1].problem


async def test_a_list_of_another_reseller_or_of_the_other_mode_is_not_there(stage: Stage) -> None:
    kept = await stage.kept(rows(1))
    kofi = await stage.shop.resellers.add("kofi@example.com", "Kofi", "0241234568")
    bulk = stage.shop.bulk_lists
    for act in (bulk.find, bulk.start, bulk.stop, bulk.discard):
        with pytest.raises(NotFound):
            await act(kofi.id, kept.code)
    assert await bulk.listed(kofi.id, Mode.LIVE) == []
    assert await bulk.listed(stage.ama, Mode.TEST) == []
    assert [found.code for found in await bulk.listed(stage.ama, Mode.LIVE)] == [kept.code]
    for code in ("", "x" * 20, "é" * 20, kept.code.lower() + "1"):
        with pytest.raises(NotFound):
            await bulk.find(stage.ama, code)


async def test_lists_that_were_only_checked_make_room_and_can_be_discarded(stage: Stage) -> None:
    bulk = stage.shop.bulk_lists
    begun = await stage.bought(rows(1))
    kept = [await stage.kept(rows(1, first=number)) for number in range(12)]
    codes = [found.code for found in await bulk.listed(stage.ama, Mode.LIVE, limit=50)]
    assert codes == [*(found.code for found in reversed(kept[2:])), begun.code]
    await bulk.discard(stage.ama, kept[-1].code)
    with pytest.raises(NotFound):
        await bulk.find(stage.ama, kept[-1].code)
    with pytest.raises(InvalidInput):
        await bulk.discard(stage.ama, begun.code)
