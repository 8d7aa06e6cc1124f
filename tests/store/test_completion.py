"""Waiting for orders to become final: one look for all who wait, an answer soon after the end, nothing left behind."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.orders.completion import Completion
from telvend.orders.model import Order, OrderState
from telvend.orders.placement import OrderPlacement
from tests.store.purchases import customer


class Counted:
    """A database that counts how many of its connections are in use, and that can be away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.looks = self.in_use = self.most = 0
        self.away = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        if self.away:
            raise Busy
        self.looks += 1
        self.in_use += 1
        self.most = max(self.most, self.in_use)
        try:
            async with self._database.connection() as tx:
                yield tx
        finally:
            self.in_use -= 1


@pytest.fixture
async def counted(database: Database) -> Counted:
    return Counted(database)


@pytest.fixture
async def completion(counted: Counted) -> AsyncIterator[Completion]:
    opened = Completion(cast(Any, counted))
    yield opened
    await opened.close()


@pytest.fixture
async def orders(database: Database) -> list[Order]:
    who = await customer(database, ghs_minor=450 * 1000)
    placement = OrderPlacement(database)
    placed = await placement.place_all([who.wants() for _ in range(1000)])
    await placement.close()
    return [cast(Any, made).order for made in placed]


async def end(database: Database, state: OrderState, *orders: Order) -> None:
    async with database.connection() as tx:
        await tx.execute(
            "update orders set state = $1, due_at = null where id = any($2::bigint[])", state, [o.id for o in orders]
        )


async def test_a_thousand_wait_with_one_connection_and_each_gets_its_own_order(
    database: Database, counted: Counted, completion: Completion, orders: list[Order]
) -> None:
    several = asyncio.gather(*(completion.until_final(order, 10) for order in orders))
    await asyncio.sleep(0.35)
    await end(database, OrderState.DELIVERED, *orders[::2])
    await end(database, OrderState.FAILED, *orders[1::2])
    found = await several
    assert [order.id for order in found] == [order.id for order in orders]
    assert [order.state for order in found[:2]] == [OrderState.DELIVERED, OrderState.FAILED]
    assert counted.most == 1
    assert counted.looks <= 8
    looks = counted.looks
    await asyncio.sleep(0.3)
    assert counted.looks == looks, "nobody waits, and somebody looks"


async def test_who_waits_too_long_gets_the_order_as_it_was_and_the_others_wait_on(
    database: Database, completion: Completion, orders: list[Order]
) -> None:
    long = asyncio.create_task(completion.until_final(orders[0], 10))
    started = time.monotonic()
    assert (await completion.until_final(orders[0], 0.2)).state is OrderState.ACCEPTED
    assert (await completion.until_final(orders[1], 0)).state is OrderState.ACCEPTED
    assert time.monotonic() - started < 1
    await end(database, OrderState.DELIVERED, orders[0])
    assert (await asyncio.wait_for(long, 2)).state is OrderState.DELIVERED


async def test_several_wait_for_one_order_and_one_of_them_leaves(
    database: Database, completion: Completion, orders: list[Order]
) -> None:
    stay, leave, also = (asyncio.create_task(completion.until_final(orders[0], 10)) for _ in range(3))
    await asyncio.sleep(0.05)
    leave.cancel()
    await end(database, OrderState.FAILED, orders[0])
    assert [order.state for order in await asyncio.gather(stay, also)] == [OrderState.FAILED] * 2
    assert leave.cancelled()


async def test_a_database_that_is_away_for_a_while_is_waited_for(
    database: Database, counted: Counted, completion: Completion, orders: list[Order]
) -> None:
    counted.away = True
    waits = asyncio.create_task(completion.until_final(orders[0], 10))
    await asyncio.sleep(0.3)
    await end(database, OrderState.DELIVERED, orders[0])
    assert not waits.done()
    counted.away = False
    assert (await asyncio.wait_for(waits, 2)).state is OrderState.DELIVERED


async def test_after_it_was_closed_whoever_waits_is_answered_at_its_own_time(
    completion: Completion, orders: list[Order]
) -> None:
    waits = asyncio.create_task(completion.until_final(orders[0], 0.4))
    await asyncio.sleep(0.15)
    await completion.close()
    assert (await asyncio.wait_for(waits, 2)).state is OrderState.ACCEPTED
