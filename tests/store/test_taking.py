"""Orders that a worker takes with the transaction that places them, on a real database; and settling them unread."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from telvend.database.connections import Database
from telvend.fulfilment.model import ClaimedOrder, Deliver, Effect, FulfilmentPolicy, Item, ProviderReport
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.routing import Assignment, Router, RoutingRequest
from telvend.fulfilment.worker import Fulfilment
from telvend.kit.clock import SystemClock
from telvend.orders.placement import OrderPlacement
from telvend.providers.contract import Delivered, Delivery, NotSent, Outcome, ProviderTraits
from tests.store.purchases import KINDS, Customer, customer

POLICY = FulfilmentPolicy()
LONG_S = 10


class Looking:
    """A provider in this process. It looks into the database while it is called, and waits for its gate."""

    name = "looking"
    traits = ProviderTraits(settles_after_s=0)

    def __init__(self, database: Database) -> None:
        self._database = database
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls: list[list[str]] = []
        self.seen: list[tuple[Any, ...]] = []

    async def deliver(self, delivery: Delivery) -> Outcome:
        return (await self.deliver_all([delivery]))[0]

    async def deliver_all(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        self.calls.append([delivery.reference for delivery in deliveries])
        async with self._database.connection() as tx:
            self.seen += [
                tuple(row)
                for row in await tx.fetch(
                    "select a.state, o.state, o.attempts, a.started_at = any($2::timestamptz[]) from attempt a"
                    " join orders o on o.id = a.order_id where a.reference = any($1::text[])",
                    self.calls[-1],
                    [delivery.started_at for delivery in deliveries],
                )
            ]
        await self.gate.wait()
        return [Delivered() for _ in deliveries]

    async def requery(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - whoever was called has delivered
        return NotSent()

    async def close(self) -> None: ...


class Rig:
    """A reseller, a worker beside the sales, and its provider."""

    def __init__(self, ama: Customer, **settings: Any) -> None:
        self.ama = ama
        self.provider = Looking(ama.database)
        self.jobs = PostgresFulfilmentStore(ama.database, ama.ledger, POLICY)
        clock = SystemClock()
        self.router = Router([self.provider], clock)
        self.worker = Fulfilment(self.jobs, self.router, clock, policy=POLICY, poll_s=0.02, **settings)
        self.placement = OrderPlacement(ama.database, kinds=KINDS)
        self.placement.taker = self.worker

    async def found_nothing(self) -> None:
        """Until the worker knows that nothing waits to be claimed."""
        await self.until(lambda: not self.worker._left)

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(LONG_S):
            while not holds():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    async def all_delivered(self, count: int) -> None:
        async with asyncio.timeout(LONG_S):
            while await self.ama.value("select count(*) from orders where state = 'delivered'") != count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await self.until(lambda: not self.worker.in_hand)

    async def close(self) -> None:
        await self.worker.drain(0)
        await self.placement.close()
        await self.jobs.close()


@asynccontextmanager
async def rig(database: Database, **settings: Any) -> AsyncIterator[Rig]:
    made = Rig(await customer(database, ghs_minor=100_000, ngn_minor=0), **settings)
    try:
        yield made
    finally:
        await made.close()


async def test_an_order_is_taken_as_it_is_placed_and_its_attempt_is_durable_before_the_provider_is_called(
    database: Database,
) -> None:
    async with rig(database) as made:
        made.worker.start()
        await made.found_nothing()
        await made.placement.place_all([made.ama.wants(f"r{number}") for number in range(3)])
        await made.all_delivered(3)
        assert [len(call) for call in made.provider.calls] == [3]
        assert made.provider.seen == [("started", "delivering", 1, True)] * 3
        assert not made.router.snapshot()[0].in_flight
        await made.ama.check_books()


async def test_while_older_orders_may_wait_new_ones_are_not_taken(database: Database) -> None:
    async with rig(database, concurrency=1) as made:
        await made.placement.place_all([made.ama.wants("before the start"), made.ama.wants("too")])
        assert await made.ama.value("select array_agg(state) from orders") == ["accepted"] * 2
        made.provider.gate.clear()
        made.worker.start()
        await made.until(lambda: made.provider.calls)
        made.worker._concurrency = 9  # There is room again, and the second order is older.
        await made.placement.place_all([made.ama.wants("after it")])
        made.provider.gate.set()
        await made.all_delivered(3)
        placed = await made.ama.value("select array_agg(reference || '-1' order by id) from orders")
        assert [reference for call in made.provider.calls for reference in call] == placed
        await made.found_nothing()
        await made.placement.place_all([made.ama.wants("with nothing before it")])
        await made.all_delivered(4)


async def test_what_there_is_no_room_for_is_left_and_claimed(database: Database) -> None:
    async with rig(database, concurrency=2) as made:
        made.provider.gate.clear()
        made.worker.start()
        await made.found_nothing()
        await made.placement.place_all([made.ama.wants(f"r{number}") for number in range(5)])
        states = await made.ama.value("select array_agg(state order by id) from orders")
        assert states == ["delivering"] * 2 + ["accepted"] * 3
        made.provider.gate.set()
        await made.all_delivered(5)
        await made.ama.check_books()


async def test_a_batch_that_is_undone_gives_its_places_back(database: Database, armed: Any) -> None:
    async with rig(database) as made:
        made.worker.start()
        await made.found_nothing()
        armed("lane.after_write=error@1")
        with pytest.raises(Exception, match=r"lane\.after_write"):
            await made.placement.place_all([made.ama.wants("r1")])
        assert not made.worker._taking
        assert not made.router.snapshot()[0].in_flight
        await made.found_nothing()
        await made.placement.place_all([made.ama.wants("r1")])
        await made.all_delivered(1)


async def test_nothing_is_taken_while_deliveries_are_held_or_the_worker_stops(database: Database) -> None:
    held = False
    async with rig(database, held=lambda: held) as made:
        made.worker.start()
        await made.found_nothing()
        held = True
        await made.placement.place_all([made.ama.wants("r1")])
        assert not made.provider.calls
        assert await made.ama.value("select count(*) from attempt") == 0


# Settling what was not read ---------------------------------------------------------------------------------------------


async def begun(made: Rig, count: int) -> list[Item]:
    """Orders whose first attempt has begun, and what their provider says: it has delivered."""
    made.placement.taker = None
    await made.placement.place_all([made.ama.wants(f"r{number}") for number in range(count)])
    async with made.jobs.claim(count, POLICY.lease_s) as claim:
        steps = [_step(made, order) for order in claim.orders]
        await claim.write(steps)
    return [
        ProviderReport(order.id, order.wallet_id, 1, Delivered(), False, 0.0, 0.0, True, begun=(order, step))
        for order, step in zip(claim.orders, steps, strict=True)
    ]


def _step(made: Rig, order: ClaimedOrder) -> Deliver:
    choice = made.router.choose(RoutingRequest(order.country, order.network, test=False))
    assert isinstance(choice, Assignment)
    return Deliver(choice, 1, f"{order.reference}-1", order.cost)


async def test_orders_that_are_as_their_worker_left_them_are_settled_unread(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: Any) -> Any:
        raise AssertionError("an order was read")

    async with rig(database) as made:
        items = await begun(made, 3)
        with monkeypatch.context() as patched:
            patched.setattr("telvend.fulfilment.store.lock_orders", read)
            assert await made.jobs.settle(items) == [Effect.DELIVERED] * 3
        assert (
            await made.ama.value("select count(*) from attempt where state = 'delivered' and finished_at is not null")
            == 3
        )
        # Once more, as after a COMMIT whose reply was lost: they are read, and nothing is posted twice.
        assert await made.jobs.settle(items) == [Effect.NOTHING] * 3
        await made.ama.check_books()


@pytest.mark.parametrize(
    ("meanwhile", "effect"),
    [
        ("update attempt set asked = 1, state = 'unknown' where order_id = $1", Effect.DELIVERED),
        ("update attempt set resent = 1 where order_id = $1", Effect.DELIVERED),
        ("update orders set state = 'waiting' where id = $1", Effect.DELIVERED),
        (
            "update attempt set state = 'refused', elsewhere = true, finished_at = now() where order_id = $1",
            Effect.CONTRADICTED,
        ),
    ],
)
async def test_an_order_that_somebody_has_changed_meanwhile_is_read(
    database: Database, meanwhile: str, effect: Effect
) -> None:
    async with rig(database) as made:
        items = await begun(made, 3)
        async with database.transaction() as tx:
            await tx.execute(meanwhile, items[1].order_id)
        assert await made.jobs.settle(items) == [Effect.DELIVERED, effect, Effect.DELIVERED]
        await made.ama.check_books()
