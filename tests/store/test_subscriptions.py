"""Subscriptions and refills of one partner, which share the ids that they are known by; and the list of a customer's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from telvend.catalog.service import Catalogue, install_builtin
from telvend.database.connections import Database
from telvend.errors import ReferenceReused
from telvend.kit.mode import Mode
from telvend.ledger.service import Ledger
from telvend.operator.refills.model import Refilled
from telvend.orders.model import OrderFilter, Placement
from telvend.orders.records import OrderRecords
from telvend.orders.service import Orders
from telvend.orders.store import list_statement
from telvend.resellers.model import Caller
from tests.store.refills import KINDS, NGOZI, Network, network

BUNDLE = "NG-MTN-SME-1GB-30D"


@pytest.fixture
async def net(database: Database, tmp_path: Path) -> AsyncIterator[Network]:
    opened = await network(database, tmp_path)
    yield opened
    await opened.close()


class Counter:
    """A process that sells subscriptions of the built-in catalogue, as the dialect does."""

    def __init__(self, net: Network, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.orders = Orders(net.database, Ledger(net.database), catalogue, kinds=KINDS)
        key = UUID(int=9)
        self.caller = Caller(
            net.ada.reseller_id, 1, key, key.bytes, "madapi", Mode.LIVE, 60, 30, net.ada.wallets[Mode.LIVE]
        )

    async def buy(self, transaction_id: str, msisdn: str = NGOZI, code: str = BUNDLE) -> Placement:
        plan = self.catalogue.snapshot.product_by_code(code)
        assert plan is not None
        mtn = self.catalogue.snapshot.network("NG", "mtn")
        assert mtn is not None
        return await self.orders.buy_plan(
            self.caller, network=mtn, plan=plan, subscriber=msisdn, client_reference=transaction_id, prefix="SUB"
        )


@pytest.fixture
async def counter(net: Network) -> AsyncIterator[Counter]:
    catalogue = Catalogue(net.database)
    async with net.database.transaction() as tx:
        await install_builtin(tx)
        await catalogue.load(tx)
    opened = Counter(net, catalogue)
    opened.orders.start()
    yield opened
    await opened.orders.close()


async def test_one_id_names_a_refill_or_a_subscription_and_never_both(net: Network, counter: Counter) -> None:
    await net.pay(100, "TX-00001")
    with pytest.raises(ReferenceReused):
        await counter.buy("TX-00001")
    await counter.buy("TX-00002")
    with pytest.raises(ReferenceReused):
        await net.pay(100, "TX-00002")
    assert await net.wallet() == 1_000_00 - 100_00 - 300_00
    assert (await counter.buy("TX-00002")).replayed
    assert (await net.pay(100, "TX-00001")).replayed
    with pytest.raises(ReferenceReused):
        await counter.buy("TX-00002", code="NG-MTN-SME-2GB-30D")
    assert await net.wallet() == 1_000_00 - 100_00 - 300_00
    await net.check_books()


async def test_of_a_refill_and_a_subscription_that_race_under_one_id_one_is_sold(
    net: Network, counter: Counter
) -> None:
    spent = 0
    for number in range(10):
        reference = f"TX-{number:05}"
        done = await asyncio.gather(
            net.pay(10, reference), counter.buy(reference), net.pay(10, reference), counter.buy(reference),
            return_exceptions=True,
        )  # fmt: skip
        sold = [one for one in done if not isinstance(one, BaseException)]
        assert all(isinstance(one, ReferenceReused) for one in done if isinstance(one, BaseException))
        assert len(sold) == 2
        assert len({type(one) for one in sold}) == 1
        assert sorted(one.replayed for one in sold) == [False, True]
        spent += 10_00 if isinstance(sold[0], Refilled) else 300_00
        if spent > 600_00:
            break
    assert await net.wallet() == 1_000_00 - spent
    await net.check_books()


class _Undone(Exception):
    """Ends a transaction that is not to be kept."""


async def test_the_list_of_a_customer_is_this_api_s_and_read_through_its_own_index(
    net: Network, counter: Counter
) -> None:
    for number in range(3):
        await counter.buy(f"TX-{number:05}", code="NG-MTN-SME-500MB-30D")
    records = OrderRecords(net.database, Ledger(net.database), apis=["madapi"])
    wanted = OrderFilter(net.ada.reseller_id, Mode.LIVE, subscriber=NGOZI, dialect="madapi")
    found = await records.list_orders(wanted, limit=2)
    assert [order.client_reference for order in found] == ["TX-00002", "TX-00001"]
    rest = await records.list_orders(wanted, before=found[-1].id, limit=2)
    assert [order.client_reference for order in rest] == ["TX-00000"]
    assert await records.list_orders(OrderFilter(net.ada.reseller_id, subscriber=NGOZI, dialect="netpluse")) == []
    statement, values = list_statement(wanted, None, None)
    plan = ""
    with suppress(_Undone):
        async with net.database.transaction() as tx:
            # The table is empty but for these: reading it whole, or by its key, would cost as little.
            await tx.execute("set local enable_seqscan = off")
            await tx.execute("alter table orders drop constraint orders_pkey cascade")
            unordered = statement.partition(" order by")[0]
            plan = "\n".join(row[0] for row in await tx.fetch(f"explain {unordered}", *values))
            raise _Undone
    assert "orders_subscriptions" in plan
