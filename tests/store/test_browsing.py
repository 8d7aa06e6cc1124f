"""The operator's list of orders: whatever it is filtered by, all pages together have each order that fits, once."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from telvend.database.connections import Database
from telvend.kit.mode import Mode
from telvend.orders import browsing
from telvend.orders.browsing import page
from telvend.orders.model import Order, OrderFilter, OrderState
from telvend.orders.placement import OrderPlacement
from tests.store.purchases import Customer, customer

BEGUN = datetime(2025, 5, 1, tzinfo=UTC)

# Times and numbers are in nearly the same order, as they are where several processes take numbers ahead.
MAKE = """
    insert into orders select (json_populate_record(o, json_build_object(
        'id', 1000 + g, 'reference', 'B-' || g, 'client_reference', null, 'position', 100 + g,
        'state', (array['delivered', 'delivered', 'failed', 'review'])[1 + (g * 7919 % 10) / 3], 'due_at', null,
        'network', case when g % 9 = 0 then 'GLO' else 'MTN' end,
        'created_at', $1::timestamptz + make_interval(secs => (g + g * 31 % 7) * 3600)
    ))).* from orders o, generate_series(1, 300) g where o.id = (select min(id) from orders)
"""
LINES = """
    insert into wallet_transaction (wallet_id, position, kind, id, credit, created_at)
    select wallet_id, position, 'o', id, false, created_at from orders where id > 1000
"""


async def made(database: Database) -> Customer:
    who = await customer(database)
    placement = OrderPlacement(database)
    await placement.place_all([who.wants(None)])
    await placement.close()
    async with database.connection() as tx:
        await tx.execute(MAKE, BEGUN)
        await tx.execute(LINES)
        await tx.execute("update wallet set transactions = 500 where account_id = (select min(wallet_id) from orders)")
    return who


async def whole(database: Database, wanted: OrderFilter, limit: int) -> list[Order]:
    found: list[Order] = []
    before: int | None = None
    for _ in range(1000):
        async with database.snapshot() as tx:
            part = await page(tx, wanted, before, limit)
        assert len(part.orders) <= limit
        found += part.orders
        if part.older is None:
            return found
        assert part.older != before
        before = part.older
    raise AssertionError("it does not end")


@pytest.mark.parametrize("looked_at", [7, 1000])
async def test_all_pages_together_have_each_order_that_fits_once(
    database: Database, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await made(database)
    monkeypatch.setattr(browsing, "LOOKED_AT", looked_at)
    monkeypatch.setattr(browsing, "OF_A_SMALL_RESELLER", random.Random(looked_at).choice((5, 1000)))
    async with database.connection() as tx:
        everything = await tx.fetch("select id, state, network, created_at from orders where mode = 'live'")
    days = (None, BEGUN + timedelta(days=2), BEGUN + timedelta(days=4, hours=5))
    for wanted in (
        OrderFilter(),
        OrderFilter(mode=Mode.TEST),
        OrderFilter(states=(OrderState.FAILED,)),
        OrderFilter(states=(OrderState.REVIEW,)),
        OrderFilter(networks=("GLO",)),
        OrderFilter(reseller_id=who.reseller_id, states=(OrderState.FAILED,)),
        OrderFilter(since=days[1]),
        OrderFilter(until=days[2]),
        OrderFilter(since=days[1], until=days[2]),
        OrderFilter(since=days[1], until=days[2], states=(OrderState.FAILED,)),
        OrderFilter(reseller_id=who.reseller_id, since=days[1], networks=("GLO",)),
    ):
        expected = {
            row["id"]
            for row in everything
            if wanted.mode is not Mode.TEST
            and (wanted.states is None or row["state"] in wanted.states)
            and (wanted.networks is None or row["network"] in wanted.networks)
            and (wanted.since is None or row["created_at"] >= wanted.since)
            and (wanted.until is None or row["created_at"] < wanted.until)
        }
        found = await whole(database, wanted, 5)
        assert len(found) == len({order.id for order in found}), wanted
        assert {order.id for order in found} == expected, wanted
        in_time = wanted.since is not None or wanted.until is not None
        if in_time and wanted.reseller_id is None:
            assert all((a.created_at, a.id) > (b.created_at, b.id) for a, b in pairwise(found)), wanted
