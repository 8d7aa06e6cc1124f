"""One run: workers, a wallet, faulty providers and a store that goes away, all drawn from one seed.

First come the faults: workers are killed at any await (between the attempt and the call, after sending, before
settling), stall for longer than their leases, lose the database before, during and after a commit; its clock jumps; providers
do what `upstreams.py` says. After every transaction and every delivery the books are looked at. Then the faults stop, and
everything has to come to an end.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from unittest.mock import patch
from uuid import UUID

from telvend.catalog.model import ProductOffers
from telvend.database.connections import Tx
from telvend.errors import Busy, TelvendError
from telvend.fulfilment import calls, leases
from telvend.fulfilment import worker as worker_module
from telvend.fulfilment.model import ClaimedOrder, Deliver, Effect, FulfilmentPolicy, Item
from telvend.fulfilment.ports import ClaimTransaction
from telvend.fulfilment.review import Review
from telvend.fulfilment.routing import BreakerState, ProviderLimits, Router
from telvend.fulfilment.worker import Fulfilment
from telvend.kit.money import GHS, Money
from telvend.kit.runtime import Runtime
from telvend.orders.model import Order, OrderState
from telvend.providers.contract import ProviderTraits
from tests.simulation.memory_store import WALLET, MemoryStore, Row
from tests.simulation.upstreams import Client, Fate, Upstream
from tests.simulation.virtual_time import OWNER, DatabaseClock, VirtualClock, VirtualLoop


class Broken(AssertionError):
    """Something does not hold."""


class _WorkerStore:
    """The store as one worker sees it: it goes away, answers late, and its worker may die at any moment."""

    def __init__(self, world: "World", worker: "_Worker") -> None:
        self._world = world
        self._worker = worker

    @asynccontextmanager
    async def claim(self, limit: int, lease_s: float) -> AsyncIterator[ClaimTransaction]:
        await self._before()
        async with self._world.store.claim(limit, lease_s) as claim:
            yield claim
        if claim.orders:
            self._world.check(*(order.id for order in claim.orders))
        await self._after()

    def doubts(self, moment: datetime) -> bool:
        return self._world.store.doubts(moment)

    async def write_taken(self, tx: Tx, claims: Sequence[ClaimedOrder], steps: Sequence[Deliver]) -> None:
        await self._world.store.write_taken(tx, claims, steps)

    async def settle(self, items: Sequence[Item]) -> Sequence[Effect | Exception]:
        await self._before()
        effects = await self._world.store.settle(items)
        self._world.check(*(item.order_id for item in items))
        await self._after()
        return effects

    async def resend(self, order_id: int, number: int) -> int | None:
        await self._before()
        count = await self._world.store.resend(order_id, number)
        await self._after()
        return count

    async def rivals(self, order_id: int, number: int) -> int:
        await self._before()
        return await self._world.store.rivals(order_id, number)

    async def renew(self, order_ids: Collection[int], lease_s: float) -> set[int]:
        await self._before()
        renewed = await self._world.store.renew(order_ids, lease_s)
        await self._after()
        return renewed

    async def correct_jumped_clock(self, longest_lease_s: float) -> int:
        await self._before()
        return await self._world.store.correct_jumped_clock(longest_lease_s)

    async def hand_back(self, order_ids: Collection[int]) -> None:
        await self._before()
        await self._world.store.hand_back(order_ids)

    async def _before(self) -> None:
        await asyncio.sleep(0.001)
        await self._worker.chaos("die or stall")
        if self._world.database_away:
            raise Busy

    async def _after(self) -> None:
        # The transaction is committed; its worker may not hear of it.
        await self._worker.chaos("die or stall")
        if self._world.faulty and self._world.dice.random() < 0.03:
            raise Busy


class _Worker:
    """One worker with a router of its own, as a process has it."""

    def __init__(self, world: "World", number: int) -> None:
        self.number = number
        self.dead = False
        self._world = world
        dice = world.dice
        clients = [Client(upstream, dice, self.chaos) for upstream in world.upstreams]
        self.router = Router(
            clients, world.clock, limits=ProviderLimits(cool_down_s=2, longest_cool_down_s=8, mending_s=5)
        )
        self.fulfilment = Fulfilment(
            _WorkerStore(world, self),
            self.router,
            world.clock,
            offers=lambda _: ProductOffers(fixed_minor={"cheap": 80, "dear": 95}),
            policy=world.policy,
            runtime=Runtime(died=self._died),
            concurrency=world.concurrency,
            poll_s=world.poll_s,
            dice=dice,
        )

    def start(self) -> None:
        token = OWNER.set(self.number)
        self.fulfilment.start()
        OWNER.reset(token)

    async def chaos(self, what: str) -> None:
        """A place where this worker may die, or stand still for longer than its leases."""
        world = self._world
        if self.dead:
            raise asyncio.CancelledError
        if not world.faulty:
            return
        roll = world.dice.randrange(1000)
        if roll < world.deaths:
            world.kill(self)
            await asyncio.sleep(1e6)
        elif what == "die or stall" and roll < world.deaths + world.stalls:
            await asyncio.sleep(world.dice.choice([0.5, 3, 15, 15]) * world.policy.lease_s)

    def _died(self, error: BaseException) -> None:
        if not self.dead:
            self._world.broken.append(f"worker {self.number} died of {error!r}")


class World:
    """Everything of one run."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.dice = random.Random(seed)
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.database_clock = DatabaseClock(loop)
        self.faulty = True
        self.database_away = False
        self.broken: list[str] = []
        self.listener = _Listener()
        dice = self.dice
        self.deaths = dice.choice([0, 5, 20, 60])
        self.stalls = dice.choice([0, 10, 50])
        self.poll_s = dice.choice([1.0, 2.0, 4.0])
        self.concurrency = dice.choice([1, 3, 600])
        lease_s = dice.choice([2.0, 5.0])
        self.policy = FulfilmentPolicy(
            requery_delays_s=dice.choice([(1, 2, 4, 8, 15), (0.5, 5, 20), (2, 3, 5, 8, 13)]),
            first_requery_s=1.0,
            longest_hint_s=20,
            lease_s=lease_s,
            lease_margin_s=lease_s / 5,
            too_soon_s=2.0,
            longest_too_soon_s=8.0,
            maximum_too_soon=3,
        )
        self.store = MemoryStore(self.database_clock, self.policy, Money(2000, GHS))
        # In every fourth run workers stand beside the sales.
        self.taking = random.Random(seed) if seed % 4 == 1 else None
        self.upstreams = [self._upstream(name) for name in ("cheap", "dear")]
        self.workers: list[_Worker] = []
        self._count = 0
        self._final: dict[int, OrderState] = {}
        self._next_order = 1

    def _upstream(self, name: str) -> Upstream:
        dice = self.dice
        timeout_s = dice.choice([1.0, 4.0])
        settles_after_s = dice.choice([0.0, 15.0, 30.0])
        # What is on its way arrives before the provider promises that nothing does any more, counted from the
        # attempt, which may have waited for most of a lease. One that closes references need not promise anything.
        latest_s = settles_after_s - self.policy.lease_s if settles_after_s else 40.0
        # One that closes a reference when it is asked has nothing left that could be sent again.
        reference_is_key = settles_after_s > 0 and dice.random() < 0.5
        traits = ProviderTraits(
            timeout_s,
            settles_after_s,
            concurrency=dice.choice([1, 2, 64]),
            reference_is_key=reference_is_key,
            repeat_guard_s=dice.choice([0.0, 0.0, 1.0]),
            rate_per_s=dice.choice([None, None, 5.0]),
        )
        upstream = Upstream(name, dice, traits, latest_s, self.check)
        upstream.faults = dice.choice([0, 30, 100, 200])
        upstream.refusals = dice.choice([0, 10, 40])
        return upstream

    # What must hold -----------------------------------------------------------------------------------------------------

    def check(self, *order_ids: int) -> None:
        """Safety: the books as a whole and these orders, after every transaction and every delivery that touches them."""
        problems = self.store.problems(order_ids)
        for row in [self.store.orders[order_id] for order_id in order_ids]:
            deliveries = sum(upstream.deliveries[row.id] for upstream in self.upstreams)
            if deliveries > 1:
                problems.append(f"order {row.id} was delivered {deliveries} times")
            if deliveries and row.state is OrderState.FAILED:
                problems.append(f"order {row.id} was given back and is delivered")
            if not deliveries and row.state is OrderState.DELIVERED:
                problems.append(f"order {row.id} was posted and nobody delivered it")
            if row.state.final and self._final.setdefault(row.id, row.state) is not row.state:
                problems.append(f"order {row.id} was {self._final[row.id]} and is {row.state}")
        if problems:
            self.broken += problems
            raise Broken("; ".join(problems))

    # What happens -------------------------------------------------------------------------------------------------------

    def start_worker(self) -> "_Worker":
        self._count += 1
        worker = _Worker(self, self._count)
        self.workers.append(worker)
        worker.start()
        return worker

    def kill(self, worker: _Worker) -> None:
        """As kill -9: nothing of it runs on. Somebody else is started in its place, sooner or later."""
        if worker.dead:
            return
        worker.dead = True
        self.workers.remove(worker)
        self.loop.kill(worker.number)
        self.loop.call_later(self.dice.choice([0.0, 1.0, 8.0]), self.start_worker)

    def place(self) -> None:
        cost = self.dice.choice([80, 120])
        row = self.store.place(self._next_order, Money(100, GHS), Money(cost, GHS))
        self._next_order += 1
        if self.workers and self.taking is not None:
            self._place_with(self.taking.choice(self.workers), row, self.taking)
            return
        if self.workers and self.dice.random() < 0.7:
            self.dice.choice(self.workers).fulfilment.wake()

    def _place_with(self, worker: _Worker, row: Row, dice: random.Random) -> None:
        """Sell in the process of a worker, which takes the order where it can (orders/taking.py)."""
        fulfilment = worker.fulfilment
        taken = fulfilment.take([_order_of(row)], self.database_clock.now(), fulfilment.monotonic())
        roll = dice.random()
        if taken is None or roll < 0.1:
            if taken is not None:
                taken.release()  # The transaction was undone; the order is placed again, and left.
            fulfilment.wake()
            return
        with suppress(StopIteration):
            taken.write(None).send(None)
        self.check(row.id)
        if roll < 0.25:
            taken.release()  # It is committed, and its worker did not hear of it.
            return
        token = OWNER.set(worker.number)
        taken.begin()
        OWNER.reset(token)

    async def _decide_by_hand(self) -> None:
        """A person who knows the books of the providers decides an order, or has it asked about again."""
        row = self.dice.choice(list(self.store.orders.values()))
        review = Review(self.store)
        delivered = any(upstream.deliveries[row.id] for upstream in self.upstreams)
        undecided = any(
            upstream.on_the_way[row.id] or any(_pending(upstream, row.reference)) for upstream in self.upstreams
        )
        try:
            if self.dice.random() < 0.5:
                await review.requery_now(row.id)
            elif delivered or not undecided:
                await review.resolve(row.reference, delivered=delivered, text="looked it up")
        except TelvendError:
            pass  # Said plainly, and nothing has happened.
        self.check(row.id)

    async def run(self) -> None:
        """The whole run. Raises Broken."""
        for _ in range(self.dice.choice([1, 2, 3])):
            self.start_worker()
        for _ in range(self.dice.randint(2, 5)):
            self.place()
        for _ in range(self.dice.randint(8, 25)):
            await asyncio.sleep(self.dice.uniform(0.1, 2))
            match self.dice.randrange(12):
                case 0 | 1:
                    self.place()
                case 2:
                    self.database_away = not self.database_away
                case 3 | 4:
                    upstream = self.dice.choice(self.upstreams)
                    upstream.sick = not upstream.sick
                case 5 if self.workers:
                    self.kill(self.dice.choice(self.workers))
                case 6:
                    await self._decide_by_hand()
                case 7:
                    self.database_clock.ahead = timedelta(seconds=self.dice.choice([0, 5, 60, 3600, -20, -600]))
            self._complain()
        await self._come_to_an_end()

    async def _come_to_an_end(self) -> None:
        """Liveness: without faults every order is final or in review within the schedule's time, and nothing is left."""
        self.faulty = False
        self.database_away = False
        self.database_clock.ahead = timedelta()
        for upstream in self.upstreams:
            upstream.sick = False
            upstream.faults = 0
            upstream.refusals = 0
        await asyncio.sleep(15 * self.policy.lease_s + 1)  # Who was killed last is replaced, who stalls wakes up.
        self._complain()
        patience_s = 1.1 * sum(self.policy.requery_delays_s) + 60 + 3 * self.policy.longest_hint_s
        await self._until_settled(patience_s)
        for worker in self.workers[1:]:
            await worker.fulfilment.drain(5)
        await self._breakers_close(self.workers[0], patience_s)
        for worker in self.workers[:1]:
            await worker.fulfilment.drain(5)
        for worker in self.workers:
            in_flight = worker.fulfilment._places.in_flight
            if worker.fulfilment.in_hand or in_flight:
                raise Broken(f"worker {worker.number} has {worker.fulfilment.in_hand} in hand, {in_flight}")
            if taken := [health for health in worker.router.snapshot() if health.in_flight]:
                raise Broken(f"worker {worker.number} holds places: {taken}")
        await asyncio.sleep(0)
        if left := [task for number, tasks in self.loop.owned.items() if number for task in tasks]:
            raise Broken(f"tasks are left: {left}")
        self.check(*self.store.orders)
        self._complain()

    async def _breakers_close(self, worker: _Worker, patience_s: float) -> None:
        """Fresh orders are delivered again, by the provider that is to be preferred."""
        for _ in range(30):
            self.place()
            await asyncio.sleep(3)
            await self._until_settled(patience_s)
            cheap = next(health for health in worker.router.snapshot() if health.provider == "cheap")
            if cheap.state is BreakerState.CLOSED:
                return
        raise Broken("the breaker of the preferred provider stays open")

    async def _until_settled(self, patience_s: float) -> None:
        ends = self.loop.time() + patience_s
        while unsettled := [
            row for row in self.store.orders.values() if not row.state.final and row.state is not OrderState.REVIEW
        ]:
            self._complain()
            if self.loop.time() > ends:
                raise Broken(f"not settled after {patience_s:.0f} s: {unsettled}")
            await asyncio.sleep(1)

    def _complain(self) -> None:
        if self.loop.errors:
            raise Broken(f"asyncio: {self.loop.errors}")
        if self.broken or self.listener.heard:
            raise Broken("; ".join(self.broken + self.listener.heard))


def _order_of(row: Row) -> Order:
    """The order as whoever places it knows it."""
    return Order(
        id=row.id,
        reference=row.reference,
        reseller_id=UUID(int=1),
        dialect="netpluse",
        mode=row.mode,
        client_reference=None,
        fingerprint="",
        wallet_id=WALLET,
        position=row.id,
        kind="data",
        country="GH",
        network="MTN",
        product_id=1,
        product="GH-MTN-1GB-30D",
        size="1GB",
        validity_days=30,
        subscriber="+233241234567",
        face=row.price,
        price=row.price,
        cost=row.cost,
        state=row.state,
        balance_after=row.price,
        created_at=row.updated_at,
        updated_at=row.updated_at,
    )


def _pending(upstream: Upstream, reference: str) -> Iterator[bool]:
    return (
        entry.fate is Fate.PENDING for attempt, entry in upstream.book.items() if attempt.startswith(reference + "-")
    )


class _Listener:
    """Stands in for the worker's log: thousands of runs would write nothing but lines. Keeps what only a bug says."""

    BUGS = ("claim_failed", "call_failed", "outcome_not_settled")

    def __init__(self) -> None:
        self.heard: list[str] = []

    def _hear(self, event: str, **facts: object) -> None:
        if event in self.BUGS:
            self.heard.append(f"{event}: {facts}")

    debug = info = warning = error = exception = critical = _hear


@contextmanager
def _listening(world: "World") -> Iterator[None]:
    with ExitStack() as stack:
        for module in (worker_module, calls, leases):
            stack.enter_context(patch.object(module, "_log", world.listener))
        yield


def run_seed(seed: int) -> World:
    """Run one seed. Raises Broken with everything that did not hold."""
    loop = VirtualLoop()
    world = World(seed, loop)
    with _listening(world):
        try:
            loop.run_until_complete(world.run())
        except Exception as error:
            raise Broken(f"seed {seed}: {error!r}; {'; '.join(world.broken)}") from error
        finally:
            loop.end()
    return world
