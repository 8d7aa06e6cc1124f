"""One suite over every kind of sale: what each must do however it ends. The registry is `sale_rigs.py`.

Every test ends with `World.expect`: what is in the wallet, in flight and in the tables, that the books hold, and that no lock
and no transaction was left behind.
"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from telvend.audit.service import audit_books
from telvend.bootstrap import APIS
from telvend.database.connections import Database
from telvend.errors import (
    Busy,
    InsufficientBalance,
    InvariantBroken,
    NotFound,
    ReferenceReused,
    SalesHalted,
    TelvendError,
)
from telvend.funding.credits.service import Credits
from telvend.kit.failpoints import VARIABLE
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.kit.secret import digest
from telvend.ledger.service import Ledger
from telvend.resellers.model import Caller
from telvend.resellers.service import Resellers
from telvend.resellers.store import caller_of
from telvend.sales.gate import SalesGate
from telvend.sales.model import KindsByDialect, SaleKind
from tests.contract.sale_rigs import DIES_AT, MONEY, RIGS, CheckRig, OrderRig, Rig, Sold
from tests.store.lossy_proxy import behind_a_proxy
from tests.store.refills import EMEKA, NGOZI, Kept, Partner, refills_of
from tests.store.subscribers import subscriber
from tests.store.tally import kinds

STEPS = "lane.after_locks=sleep:0.03;lane.after_write=sleep:0.03;refill.after_locks=sleep:0.03;refill.before_commit=sleep:0.03"
"""Slows batches down, so that processes meet in the middle of them."""
PAIRS = list(itertools.permutations(RIGS, 2))


class World:
    """A shop, and a reseller with enough money for ten sales in each of two wallets."""

    def __init__(self, database: Database, data_dir: Path, buyer: Caller, key: str) -> None:
        self.database = database
        self.data_dir = data_dir
        self.buyer = buyer
        self.key = key
        self.gate = SalesGate()
        self.kinds = KindsByDialect()
        self.stack = AsyncExitStack()

    async def open(self, name: str, database: Database | None = None) -> Rig:
        """A process that sells this kind, with connections of its own."""
        if database is None:
            database = await Database.open(self.database.url, pool_size=4)
            self.stack.push_async_callback(database.close)
        rig = await RIGS[name](database, self.data_dir, self.gate, self.kinds)
        self.stack.push_async_callback(rig.close)
        return rig

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def funded(self, buyer: Caller, money: Money, reference: str) -> None:
        await Credits(self.database, Ledger(self.database)).add(buyer.reseller_id, money, buyer.mode, reference)

    async def expect(self, *sold: tuple[Rig, int]) -> None:
        """So many of each were sold from the wallet in NGN, and nothing else has happened."""
        price, held = (sum(getattr(rig, what).minor * count for rig, count in sold) for what in ("price", "held"))
        wallet = self.buyer.wallets["NGN"]
        assert (
            await self.value("select balance_minor from wallet where account_id = $1", wallet)
            == 10 * MONEY.minor - price
        )
        totals = await Ledger(self.database).totals()
        in_flight = [total.total.minor for total in totals if total.kind == "in_flight" and total.total.currency is NGN]
        assert sum(in_flight) == held
        for kind in SaleKind:
            wanted = sum(count for rig, count in sold if rig.kind == kind)
            assert (
                await self.value("select count(*) from sale where kind::text = $1 and holds_reference", kind) == wanted
            )
            listed = "select count(*) from wallet_transaction t where kind::text = $1 and not exists (select from"
            listed += " wallet_failed f where f.wallet_id = t.wallet_id and f.position = t.position)"
            assert await self.value(listed, kind) == wanted
        report = await audit_books(self.database)
        assert report.ok, report.findings
        await self.expect_nothing_open()

    async def expect_nothing_open(self) -> None:
        """No transaction and no lock is left. A backend whose client has gone needs a moment."""
        left = (
            "select (select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%')"
            " + (select count(*) from pg_locks where locktype = 'advisory' and database ="
            " (select oid from pg_database where datname = current_database()))"
        )
        for _ in range(100):
            if await self.value(left) == 0:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("a transaction or a lock is left")


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    ledger = Ledger(database)
    resellers = Resellers(database, ledger, APIS)
    reseller = await resellers.add("ama@example.com", "Ama", "0241234567")
    for currency in (NGN, GHS):
        await Credits(database, ledger).add(reseller.id, Money(10 * MONEY.minor, currency), Mode.LIVE, "opening")
    _, text, _ = await resellers.add_key(reseller.email, "networkdatasub", Mode.LIVE)
    for msisdn in (NGOZI, EMEKA):
        await subscriber(database, msisdn, currency="NGN")
    key = digest(text.reveal()).hex()
    async with database.connection() as tx:
        buyer = await caller_of(tx, bytes.fromhex(key))
    assert buyer is not None
    made = World(database, tmp_path, buyer, key)
    async with made.stack:
        yield made


async def outcome(selling: Any) -> Sold | TelvendError:
    try:
        sold: Sold = await selling
    except TelvendError as error:
        return error
    return sold


def over_kinds(test: Callable[..., Any]) -> Callable[..., Any]:
    return pytest.mark.parametrize("name", RIGS)(test)  # type: ignore[no-any-return]


# Replay -------------------------------------------------------------------------------------------------------------------


@over_kinds
async def test_a_repeat_is_answered_by_the_first_in_every_process(world: World, name: str) -> None:
    rig, other = await world.open(name), await world.open(name)
    first = await rig.sell(world.buyer, "r")
    assert not first.replayed
    for process in (rig, other):
        assert await process.sell(world.buyer, "r") == replace(first, replayed=True)
    await world.expect((rig, 1))


@over_kinds
async def test_a_reference_is_the_callers_own_in_each_dialect(world: World, name: str) -> None:
    rig = await world.open(name)
    first = await rig.sell(world.buyer, "r")
    elsewhere = await rig.sell(replace(world.buyer, api="madapi"), "r", 1)
    assert not elsewhere.replayed
    assert elsewhere.number != first.number
    await world.expect((rig, 2))


@over_kinds
async def test_a_repeat_is_answered_when_product_money_and_sales_have_gone(world: World, name: str) -> None:
    rig = await world.open(name)
    first = await rig.sell(world.buyer, "r")
    await rig.withdraw()
    world.gate.close("test", "halted")
    assert await rig.sell(world.buyer, "r") == replace(first, replayed=True)
    with pytest.raises(ReferenceReused):
        await rig.sell(world.buyer, "r", 1)
    await world.expect((rig, 1))


# Other content under the reference ------------------------------------------------------------------------------------------


@over_kinds
async def test_other_content_under_the_reference_is_refused(world: World, name: str) -> None:
    rig = await world.open(name)
    first = await rig.sell(world.buyer, "r")
    with pytest.raises(ReferenceReused):
        await rig.sell(world.buyer, "r", 1)
    assert (await rig.sell(world.buyer, "r")).number == first.number
    await world.expect((rig, 1))


@pytest.mark.parametrize(("name", "another"), PAIRS)
async def test_a_reference_that_another_kind_of_sale_has_is_refused(world: World, name: str, another: str) -> None:
    rig, other = await world.open(name), await world.open(another)
    first = await rig.sell(world.buyer, "r")
    with pytest.raises(ReferenceReused):
        await other.sell(world.buyer, "r")
    assert await rig.sell(world.buyer, "r") == replace(first, replayed=True)
    await world.expect((rig, 1), (other, 0))


@pytest.mark.parametrize("another", ["order", "identity check"])
async def test_a_refill_by_voucher_keeps_its_reference_though_it_takes_no_money(world: World, another: str) -> None:
    """They are raced too: such a refill locks no wallet."""
    refills, vouchers = await refills_of(world.database, world.data_dir)
    kept, other, loaded = Kept(), await world.open(another), 0
    world.stack.push_async_callback(refills.close)
    refills.start()
    await vouchers.issue(MONEY, 4, kept)

    async def load(pin: str, reference: str) -> Sold:
        buyer = Partner(world.buyer.reseller_id, {world.buyer.mode: world.buyer.wallets})
        done = await refills.refill(buyer.by_voucher(pin, reference, dialect=world.buyer.api))
        return Sold(done.refill.id, done.refill.reference, done.replayed)

    await load(kept.pins[0], "first")
    with pytest.raises(ReferenceReused):
        await other.sell(world.buyer, "first")
    for number, pin in enumerate(kept.pins[1:]):
        answers = await asyncio.gather(outcome(load(pin, f"r{number}")), outcome(other.sell(world.buyer, f"r{number}")))
        assert kinds(answers) == {"Sold": 1, "ReferenceReused": 1}
        loaded += isinstance(answers[0], Sold)
    assert await world.value("select count(*) from refill") == 1 + loaded
    assert await world.value("select count(*) from sale") == 4
    assert await world.value("select sum(price_minor) from sale where kind = 'r'") == 0
    report = await audit_books(world.database)
    assert report.ok, report.findings
    await world.expect_nothing_open()


@pytest.mark.parametrize(("name", "another"), PAIRS)
async def test_a_new_dialect_that_sells_two_kinds_needs_to_declare_them_and_no_more(
    world: World, name: str, another: str
) -> None:
    rig, other = await world.open(name), await world.open(another)
    world.kinds.declare("bazaar", {SaleKind(rig.kind), SaleKind(other.kind)})
    buyer = replace(world.buyer, api="bazaar")
    await rig.sell(buyer, "r")
    with pytest.raises(ReferenceReused):
        await other.sell(buyer, "r")
    await world.expect((rig, 1), (other, 0))


@pytest.mark.parametrize(("name", "another"), PAIRS)
async def test_a_dialect_cannot_sell_what_it_does_not_declare(world: World, name: str, another: str) -> None:
    rig, other = await world.open(name), await world.open(another)
    world.kinds.declare("kiosk", {SaleKind(rig.kind)})
    buyer = replace(world.buyer, api="kiosk")
    first = await rig.sell(buyer, "r")
    assert await rig.sell(buyer, "r") == replace(first, replayed=True)
    with pytest.raises(InvariantBroken):
        await other.sell(buyer, "r2")
    await world.expect((rig, 1), (other, 0))


# Races --------------------------------------------------------------------------------------------------------------------


@over_kinds
async def test_many_at_once_in_two_processes_are_one_sale(world: World, name: str) -> None:
    both = [await world.open(name) for _ in range(2)]
    answers = await asyncio.gather(*(both[number % 2].sell(world.buyer, "r") for number in range(20)))
    assert kinds(answers) == {"Sold": 1, "replayed": 19}
    assert len({answer.number for answer in answers}) == 1
    await world.expect((both[0], 1))


@over_kinds
async def test_two_contents_at_once_in_two_processes_are_one_sale(world: World, name: str, armed: Any) -> None:
    both = [await world.open(name) for _ in range(2)]
    armed(STEPS)
    for number in range(3):
        racing = (outcome(rig.sell(world.buyer, f"r{number}", content)) for content, rig in enumerate(both))
        assert kinds(await asyncio.gather(*racing)) == {"Sold": 1, "ReferenceReused": 1}
    await world.expect((both[0], 3))


@pytest.mark.parametrize(("name", "another"), list(itertools.combinations(RIGS, 2)))
async def test_two_kinds_at_once_under_one_reference_are_one_sale(
    world: World, name: str, another: str, armed: Any
) -> None:
    rig, other = await world.open(name), await world.open(another)
    armed(STEPS)
    counted = [0, 0]
    for number in range(4):
        racing = (outcome(process.sell(world.buyer, f"r{number}")) for process in (rig, other))
        answers = await asyncio.gather(*racing)
        assert kinds(answers) == {"Sold": 1, "ReferenceReused": 1}
        counted[isinstance(answers[1], Sold)] += 1
    await world.expect((rig, counted[0]), (other, counted[1]))


@pytest.mark.parametrize("another", ["identity check", "refill"])
async def test_two_kinds_at_once_from_two_wallets_are_one_sale(world: World, another: str, armed: Any) -> None:
    """They share no lock on a wallet."""
    orders, other = await world.open("order"), await world.open(another)
    assert isinstance(orders, OrderRig)
    armed(STEPS)
    counted = 0
    for number in range(4):
        answers = await asyncio.gather(
            outcome(orders.sell(world.buyer, f"r{number}", country="GH")),
            outcome(other.sell(world.buyer, f"r{number}")),
        )
        assert kinds(answers) == {"Sold": 1, "ReferenceReused": 1}
        counted += isinstance(answers[1], Sold)
    assert await world.value("select count(*) from sale") == 4
    assert await world.value("select count(*) from sale where currency = 'NGN'") == counted
    report = await audit_books(world.database)
    assert report.ok, report.findings
    await world.expect_nothing_open()


@over_kinds
async def test_two_processes_sell_what_the_wallet_pays_for(world: World, name: str, armed: Any) -> None:
    both = [await world.open(name) for _ in range(2)]
    armed(STEPS)
    racing = (outcome(both[number % 2].sell(world.buyer, f"r{number}")) for number in range(16))
    assert kinds(await asyncio.gather(*racing)) == {"Sold": 10, "InsufficientBalance": 6}
    await world.expect((both[0], 10))


# Accidents ----------------------------------------------------------------------------------------------------------------


@over_kinds
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_whose_answer_is_lost_is_no_second_sale(world: World, name: str, cut: str) -> None:
    async with behind_a_proxy(world.database.url) as (proxy, url):
        behind = await Database.open(url, pool_size=2)
        rig = await RIGS[name](behind, world.data_dir, world.gate, world.kinds)
        await rig.sell(world.buyer, "before")
        proxy.cut = cut
        first = await outcome(rig.sell(world.buyer, "r"))
        assert proxy.cut is None
        assert isinstance(first, Sold | Busy)
        await rig.recover()
        again = await rig.sell(world.buyer, "r")
        if isinstance(first, Sold):
            assert again == replace(first, replayed=True)
        await rig.close()
        await behind.close()
    await world.expect((rig, 2))


@pytest.mark.parametrize(("name", "point"), [(name, point) for name, points in DIES_AT.items() for point in points])
async def test_a_process_killed_at_any_step_sells_everything_once(world: World, name: str, point: str) -> None:
    references = [f"r{number}" for number in range(6)]
    given = {"url": world.database.url, "data_dir": str(world.data_dir), "key": world.key, "rig": name}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.sale_rigs", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2], env=os.environ | {VARIABLE: f"{point}=kill@3"},
    )  # fmt: skip
    said, _ = await process.communicate(json.dumps(given | {"references": references}).encode())
    assert process.returncode == -signal.SIGKILL
    told = dict(map(json.loads, said.splitlines()))
    assert len(told) < len(references)
    rig = await world.open(name)
    await rig.recover()
    after = {reference: await rig.sell(world.buyer, reference) for reference in references}
    for reference, ours in told.items():
        assert (after[reference].reference, after[reference].replayed) == (ours, True)
    await world.expect((rig, len(references)))


# Refusals -----------------------------------------------------------------------------------------------------------------


@over_kinds
async def test_too_little_money_leaves_nothing_behind_and_the_reference_free(world: World, name: str) -> None:
    rig = await world.open(name)
    for number in range(10):
        await rig.sell(world.buyer, f"r{number}")
    with pytest.raises(InsufficientBalance) as refused:
        await rig.sell(world.buyer, "r")
    assert (refused.value.required, refused.value.available) == (rig.price, Money(0, NGN))
    await world.expect((rig, 10))
    await world.funded(world.buyer, rig.price, "more")
    assert not (await rig.sell(world.buyer, "r", 1)).replayed


@over_kinds
async def test_what_is_not_sold_any_more_leaves_nothing_behind_and_the_reference_free(world: World, name: str) -> None:
    rig, others = await world.open(name), [await world.open(other) for other in RIGS if other != name]
    await rig.withdraw()
    assert isinstance(await outcome(rig.sell(world.buyer, "r")), TelvendError)
    await world.expect((rig, 0))
    await others[0].sell(world.buyer, "r")
    await world.expect((rig, 0), (others[0], 1))


@over_kinds
async def test_halted_sales_leave_nothing_behind_and_the_reference_free(world: World, name: str) -> None:
    rig = await world.open(name)
    world.gate.close("test", "halted", modes={Mode.LIVE})
    with pytest.raises(SalesHalted):
        await rig.sell(world.buyer, "r")
    await world.expect((rig, 0))
    world.gate.open("test")
    assert not (await rig.sell(world.buyer, "r", 1)).replayed
    await world.expect((rig, 1))


@pytest.mark.parametrize("another", ["order", "refill"])
async def test_a_check_that_was_purged_keeps_its_reference(world: World, another: str) -> None:
    rig, other = await world.open("identity check"), await world.open(another)
    assert isinstance(rig, CheckRig)
    await rig.sell(world.buyer, "r")
    await world.value("update verification set created_at = created_at - interval '3 days' returning 1")
    assert (await rig.identity.purge(timedelta(days=1))).count == 1
    with pytest.raises(NotFound):
        await rig.sell(world.buyer, "r")
    with pytest.raises(ReferenceReused):
        await other.sell(world.buyer, "r")
    await world.expect((rig, 1), (other, 0))
