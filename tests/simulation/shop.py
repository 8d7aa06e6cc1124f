"""One run of a shop: hundreds of orders, two workers with the real connectors, several vendors, some virtual days.

While orders come in, vendors are unreachable for minutes, lock us out, have no float left, are closed, are switched off or
drained; the database goes away, forgets to answer after a commit, or its clock jumps; workers are killed, stand still, and lose
the database alone. Single requests meet what `far_sides.py` lists, from the first order to the last question. The truth is in
the vendors' books: after every transaction and every delivery an order's state is held against it. In the end everything is
final or in review, and a person who reads the vendors' books ends what is in review.
"""

import asyncio
import functools
import heapq
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from unittest.mock import patch

import httpx
import httpx._urls as httpx_urls

from telvend.catalog.model import ProductOffers
from telvend.errors import Busy
from telvend.fulfilment import calls, leases
from telvend.fulfilment import worker as worker_module
from telvend.fulfilment.model import ClaimedOrder, Deliver, Effect, FulfilmentPolicy, Item, Step
from telvend.fulfilment.ports import ClaimTransaction
from telvend.fulfilment.review import Review
from telvend.fulfilment.routing import ProviderState, Router
from telvend.fulfilment.worker import Fulfilment
from telvend.kit import http
from telvend.kit.money import GHS, NGN, Currency, Money
from telvend.kit.runtime import Runtime
from telvend.ledger.model import Journal
from telvend.orders.model import AttemptState, OrderState
from telvend.providers import connectors
from telvend.providers.contract import Delivery, Outcome, Provider, ProviderTraits
from telvend.providers.described import client as described
from telvend.providers.upstream import CallbackForm, Upstream, callback_path
from telvend.upstreams.callbacks import service as callbacks_service
from tests.simulation.callbacks import CallbackTable, CallingBack, NothingDecided, forms_of
from tests.simulation.far_sides import (
    CALLBACK_SECRET,
    FOREVER_S,
    SENDING,
    FarSide,
    Husmodata,
    Link,
    NetpluseSide,
    NetworkDataSubSide,
    NetworkDataSubWithReference,
    Telitab,
    TelvendAsMadapi,
    TelvendAsNetpluse,
    VTpassSide,
    Wazodata,
)
from tests.simulation.memory_store import IN_FLIGHT, WALLET, MemoryStore, Row
from tests.simulation.virtual_time import OWNER, DatabaseClock, VirtualClock, VirtualLoop
from tests.simulation.world import Broken
from tests.simulation.world_sides import DTOneSide, MTNSide, ReloadlySide

ORDERS: Final = 400
"""Orders of one run."""
SALES_S: Final = 3600.0
"""For how long orders come in."""
LONGEST_S: Final = 4 * 86400.0
"""By when everything has to be final or in review."""
_FUNDS: Final = 100_000_000

_POLICY: Final = FulfilmentPolicy()

_DATA_CODES: Final = {
    "1GB": {"rl": "646", "dt": "3101", "mtn-ng": "CIS/NACT_NG_Data_1"},
    "2GB": {"rl": "646/500", "dt": "3103", "mtn-ng": "NACT_NG_Data_2"},
    "": {"vt": "mtn-data/mtn-1gb", "waza": "mtn-1gb", "teli": "1001", "husmo": "17"},
}


@dataclass(frozen=True)
class Product:
    """What is sold: how orders name it, and what each vendor takes for it and calls it."""

    kind: str
    country: str
    network: str
    size: str
    price: Money
    offers: ProductOffers
    type: str = ""
    code: str = ""


def _product(kind: str, size: str, price: Money, codes: dict[str, str], costs: dict[str, int]) -> Product:
    country, network = ("GH", "MTN") if price.currency == GHS else ("NG", "mtn")
    type_ = "SME" if kind == "data" and country == "NG" else ""
    offers = ProductOffers(fixed_minor=costs, codes=codes, type=type_)
    return Product(kind, country, network, size, price, offers, type_, f"{country}-{network}-{kind}-{size}")


@dataclass(slots=True)
class Sale(Row):
    """An order, with what it sells."""

    product_id: int = 0
    subscriber: str = ""


class ShopStore(MemoryStore):
    """The twin of the store, for orders of several products and recipients. `due` hears when an order is to be claimed."""

    def __init__(self, shop: "Shop", clock: DatabaseClock, currency: Currency) -> None:
        super().__init__(clock, _POLICY, Money(_FUNDS, currency))
        self._shop = shop
        self._of_subscriber: dict[tuple[str, str], list[Sale]] = defaultdict(list)

    def sell(self, order_id: int, product_id: int, subscriber: str) -> Sale:
        product = self._shop.products[product_id]
        journal = Journal({WALLET: self.wallet})
        balance = journal.hold(order_id, WALLET, IN_FLIGHT, product.price)
        self._write(journal)
        now = self._clock.now()
        cost = Money(min(cost for cost in product.offers.fixed_minor.values() if cost), product.price.currency)
        sale = Sale(
            order_id,
            f"NPAPI-{order_id}-abcdef",
            product.price,
            cost,
            now,
            now,
            balance_after_minor=balance.minor,
            product_id=product_id,
            subscriber=subscriber,
        )
        self.enter(sale)
        self._of_subscriber[subscriber, product.kind].append(sale)
        return sale

    async def rivals(self, order_id: int, number: int) -> int:
        mine = self.orders[order_id]
        assert isinstance(mine, Sale)
        attempt = next(attempt for attempt in mine.attempts if attempt.number == number)
        day = timedelta(days=1)
        return sum(
            other.provider == attempt.provider
            and abs(other.started_at - attempt.started_at) <= day
            and other.state is not AttemptState.NOT_SENT
            for sale in self._of_subscriber[mine.subscriber, self._shop.products[mine.product_id].kind]
            for other in sale.attempts
            if other is not attempt
        )

    def _write_step(self, row: Row, step: Step, now: datetime, lease_s: float) -> None:
        if isinstance(step, Deliver):
            self._shop.references[step.reference] = row.id
            self._shop.note_written(row.id, step.chosen.provider.name)
            self._shop.require_may_try(row)
        super()._write_step(row, step, now, lease_s)

    def _claim_of(self, row: Row, now: datetime) -> ClaimedOrder:
        assert isinstance(row, Sale)
        claim = super()._claim_of(row, now)
        product = self._shop.products[row.product_id]
        claim.kind, claim.country, claim.network = product.kind, product.country, product.network
        claim.product_id, claim.product, claim.size = row.product_id, product.code, product.size
        claim.validity_days = 30 if product.kind == "data" else None
        claim.subscriber = row.subscriber
        return claim


class _ShopConnection:
    """The store as one worker sees it: it goes away, forgets to answer, and its worker may die or lose it alone."""

    def __init__(self, shop: "Shop", worker: "Worker") -> None:
        self._shop = shop
        self._worker = worker

    def doubts(self, moment: datetime) -> bool:
        return self._shop.store.doubts(moment)

    async def write_taken(self, tx: Any, claims: Sequence[ClaimedOrder], steps: Sequence[Deliver]) -> None:
        raise NotImplementedError("here orders are sold elsewhere")

    @asynccontextmanager
    async def claim(self, limit: int, lease_s: float) -> AsyncIterator[ClaimTransaction]:
        await self._before(())
        async with self._shop.store.claim(limit, lease_s) as claim:
            yield claim
        ids = [order.id for order in claim.orders]
        if ids:
            self._shop.looked_at(ids)
        await self._after(ids)

    async def settle(self, items: Sequence[Item]) -> Sequence[Effect | Exception]:
        ids = [item.order_id for item in items]
        await self._before(ids)
        effects = await self._shop.store.settle(items)
        self._shop.looked_at(ids)
        await self._after(ids)
        return effects

    async def resend(self, order_id: int, number: int) -> int | None:
        await self._before((order_id,))
        count = await self._shop.store.resend(order_id, number)
        await self._after((order_id,))
        return count

    async def rivals(self, order_id: int, number: int) -> int:
        await self._before((order_id,))
        return await self._shop.store.rivals(order_id, number)

    async def renew(self, order_ids: Collection[int], lease_s: float) -> set[int]:
        await self._before(order_ids)
        renewed = await self._shop.store.renew(order_ids, lease_s)
        self._shop.alarm(order_ids)
        return renewed

    async def correct_jumped_clock(self, longest_lease_s: float) -> int:
        await self._before(())
        corrected = await self._shop.store.correct_jumped_clock(longest_lease_s)
        if corrected:
            self._shop.alarm(self._shop.store.orders)
        return corrected

    async def hand_back(self, order_ids: Collection[int]) -> None:
        await self._before(order_ids)
        await self._shop.store.hand_back(order_ids)
        self._shop.alarm(order_ids)

    async def _before(self, order_ids: Collection[int]) -> None:
        await asyncio.sleep(0.002)
        await self._worker.chaos(order_ids)
        if self._shop.database_away or self._worker.cut_off:
            self._shop.faulty.update(order_ids)
            raise Busy

    async def _after(self, order_ids: Collection[int]) -> None:
        # The transaction is committed; its worker may not hear of it.
        await self._worker.chaos(order_ids)
        if self._shop.dice.random() < 0.004:
            self._shop.faulty.update(order_ids)
            raise Busy


class _Called:
    """A connector as a worker holds it, which tells the far side what order a request is for."""

    def __init__(self, provider: Provider, references: Mapping[str, int]) -> None:
        self._provider = provider
        self._references = references
        self.name = provider.name
        self.traits: ProviderTraits = provider.traits

    async def deliver(self, delivery: Delivery) -> Outcome:
        SENDING.set(self._references[delivery.reference])
        return await self._provider.deliver(delivery)

    async def requery(self, delivery: Delivery) -> Outcome:
        SENDING.set(self._references[delivery.reference])
        return await self._provider.requery(delivery)

    async def close(self) -> None:
        await self._provider.close()


class _WorkerClock(VirtualClock):
    """The clock of a worker. One that has nothing to do sleeps until there may be something: a quiet day costs nothing."""

    def __init__(self, shop: "Shop", worker: "Worker") -> None:
        super().__init__(shop.loop)
        self._shop = shop
        self._worker = worker

    async def sleep(self, seconds: float) -> None:
        if seconds >= 1 and not self._shop.troubled and not self._worker.fulfilment.in_hand:
            # A moment after the alarm, when what is due has been claimed.
            seconds = max(seconds, self._shop.quiet_s() + 0.1)
        await asyncio.sleep(seconds)


class Worker:
    """One worker with a router and connectors of its own, as a process has them."""

    def __init__(self, shop: "Shop", number: int) -> None:
        self.number = number
        self.dead = False
        self.cut_off = False
        self._shop = shop
        clock = _WorkerClock(shop, self)
        self.router = Router(
            [_Called(shop.connect(side, self), shop.references) for side in shop.sides], clock, processes=2
        )
        self.router.switch_all(shop.switched)
        connection = _ShopConnection(shop, self)
        self.settle = connection.settle
        self.fulfilment = Fulfilment(
            connection,
            self.router,
            clock,
            offers=lambda product_id: shop.products[product_id].offers,
            policy=_POLICY,
            runtime=Runtime(died=self._died),
            poll_s=900.0,
            dice=shop.dice,
        )

    def start(self) -> None:
        token = OWNER.set(self.number)
        self.fulfilment.start()
        OWNER.reset(token)

    async def chaos(self, order_ids: Collection[int] = ()) -> None:
        """A place where this worker may die, or stand still for longer than its lease."""
        if self.dead:
            raise asyncio.CancelledError
        if not self._shop.troubled:
            return
        roll = self._shop.dice.randrange(10_000)
        if roll < self._shop.deaths:
            self._shop.kill(self)
            await asyncio.sleep(FOREVER_S)
        elif roll < self._shop.deaths + 20:
            self._shop.faulty.update(order_ids)
            await asyncio.sleep(self._shop.dice.choice([3.0, 8.0, 20.0]))

    def _died(self, error: BaseException) -> None:
        if not self.dead:
            self._shop.broken.append(f"worker {self.number} died of {error!r}")


class Shop:
    """Everything of one run."""

    def __init__(self, seed: int, loop: VirtualLoop, orders: int = ORDERS, only: Collection[str] = ()) -> None:
        self.seed = seed
        self.rough = seed % 4 == 3 or bool(only)
        self.dice = random.Random(seed)
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.database_clock = DatabaseClock(loop)
        self.database_away = False
        self.troubled = True
        self.broken: list[str] = []
        self.faulty: set[int] = set()
        self.reviewed: Counter[str] = Counter()
        self.listener = _Listener()
        self._decided = False
        self.deaths = self.dice.choice([0, 3, 10])
        self.references: dict[str, int] = {}
        self.switched: dict[str, ProviderState] = {}
        self.sides: list[FarSide] = []
        self.products: dict[int, Product] = {}
        self.workers: list[Worker] = []
        self._orders = orders
        self._only = only
        self._count = 0
        self._final: dict[int, OrderState] = {}
        self._alarms: list[float] = []
        self._set: set[float] = set()
        self.callback_table = CallbackTable(self)
        self._kept: set[asyncio.Task[None]] = set()
        self.ended = False

    def _open(self) -> None:
        """Make vendors and products: Ghana has one connector, Nigeria all others.

        In a rough shop requests go wrong four times as often, customers often buy twice, and there are fewer vendors.
        """
        ghana = "plus" in self._only or (not self._only and self.dice.random() < 0.2)
        kinds: dict[str, type[FarSide]] = (
            {"plus": NetpluseSide, "another": TelvendAsNetpluse}
            if ghana
            else {
                "vt": VTpassSide,
                "nds": NetworkDataSubSide,
                "nds-ref": NetworkDataSubWithReference,
                "waza": Wazodata,
                "teli": Telitab,
                "husmo": Husmodata,
                "mtn": TelvendAsMadapi,
                "mtn-ng": MTNSide,
                "rl": ReloadlySide,
                "dt": DTOneSide,
            }
        )
        if self.rough and not ghana:
            chosen = self._only or self.dice.sample(list(kinds), 3)
            kinds = {name: kind for name, kind in kinds.items() if name in chosen}
        for name, kind in kinds.items():
            side = kind(name, self.dice, self.looked_at_one, self.faulty.add)
            side.rough = 4 if self.rough else 1
            self.sides.append(side)
        currency = GHS if ghana else NGN
        self.store = ShopStore(self, self.database_clock, currency)
        self.callbacks = CallingBack(self, forms_of(self.sides, self._form_of))
        for side in self.sides:
            side.post = self.callbacks.post if side.settings.callback_secret is not None else None
        prefix = "+23324" if ghana else "+234803"
        self._numbers = [f"{prefix}{self.dice.randrange(10**7):07}" for _ in range(5 * self._orders)]
        self._bad = bad = {number for number in self._numbers if self.dice.random() < 0.02}
        for side in self.sides:
            side.bad_numbers = {form for number in bad for form in (number, "0" + number[4:], number[1:])}
        for product_id in range(1, 7):
            names = list(kinds)
            self.dice.shuffle(names)
            costs = {name: 80_00 + 1_00 * place for place, name in enumerate(names)}
            for place, name in enumerate(("husmo", "mtn-ng")):
                if len(costs) > 1 and name in costs and self.dice.random() < 0.8:
                    # A vendor that can be asked nothing after a lost answer is rarely anybody's first choice.
                    costs[name] = 95_00 + place
            if ghana:
                codes = dict.fromkeys(kinds, "1GB") if self.dice.random() < 0.5 else {}
                self.products[product_id] = _product("data", "1GB", Money(100_00, GHS), codes, costs)
            elif product_id % 3:
                size = self.dice.choice(["1GB", "2GB"])
                plan = {"1GB": "1", "2GB": "2"}[size]
                codes = {**_DATA_CODES[""], **_DATA_CODES[size], "nds-ref": plan}
                codes |= {"nds": plan} if self.dice.random() < 0.5 else {}
                self.products[product_id] = _product("data", size, Money(100_00, NGN), codes, costs)
            else:
                self.products[product_id] = _product("airtime", "100", Money(100_00, NGN), {}, costs)

    def connect(self, side: FarSide, worker: "Worker") -> Provider:
        """Make the real connector of a vendor, with its far side in the network's place."""
        upstream = self._connected(side, Link(side, worker.chaos, side.settings.timeout_s))
        if (form := upstream.callback) is not None and form.signature is None:
            path = callback_path(side.name, CALLBACK_SECRET.reveal())
            upstream.calls_back_at(f"https://shop.example{path}", CALLBACK_SECRET)
        return upstream

    def _connected(self, side: FarSide, link: Link) -> Upstream:
        return connectors.connect(side.name, side.settings, VirtualClock(self.loop), transport=link)

    def _form_of(self, side: FarSide) -> CallbackForm | None:
        """How a vendor calls back, as its connector says it."""
        return self._connected(side, Link(side, _nothing, 1.0)).callback

    # Alarms: workers poll rarely here, and are woken instead when something becomes due ----------------------------------

    def alarm(self, order_ids: Collection[int]) -> None:
        """Wake the workers when these orders are due."""
        now_s, now = self.loop.time(), self.database_clock.now()
        for order_id in order_ids:
            due_at = self.store.orders[order_id].due_at
            if due_at is None:
                continue
            at_s = now_s + max(0.0, (due_at - now).total_seconds())
            at_s = (at_s * 4 // 1 + 1) / 4
            if at_s not in self._set:
                self._set.add(at_s)
                heapq.heappush(self._alarms, at_s)
                self.loop.call_at(at_s, self._ring, at_s)

    def _ring(self, at_s: float) -> None:
        self._set.discard(at_s)
        while self._alarms and self._alarms[0] <= at_s:
            heapq.heappop(self._alarms)
        now = self.database_clock.now()
        if not any(row.due_at is not None and row.due_at <= now for row in self.store.open.values()):
            return  # Most alarms are of leases that were renewed since.
        if self.workers and self.dice.random() < 0.5:
            self.dice.choice(self.workers).fulfilment.wake()
        else:
            for worker in self.workers:
                worker.fulfilment.wake()

    def quiet_s(self) -> float:
        """How long until the next alarm."""
        return max(0.0, min(600.0, self._alarms[0] - self.loop.time() if self._alarms else 600.0))

    # What must hold -----------------------------------------------------------------------------------------------------

    def looked_at_one(self, order_id: int) -> None:
        self.check((order_id,))

    def looked_at(self, order_ids: Collection[int]) -> None:
        self.check(order_ids)
        self.alarm(order_ids)

    def check(self, order_ids: Collection[int]) -> None:
        """Safety: the books as a whole and these orders. Raises Broken."""
        problems = self.store.problems(order_ids)
        for order_id in order_ids:
            row = self.store.orders[order_id]
            deliveries = self.delivered(order_id)
            if deliveries > 1:
                problems.append(f"order {order_id} was delivered {deliveries} times")
            if deliveries and row.state is OrderState.FAILED:
                problems.append(f"order {order_id} was given back and is delivered")
            if not deliveries and row.state is OrderState.DELIVERED:
                problems.append(f"order {order_id} was posted and nobody delivered it")
            failed = row.state is OrderState.FAILED and order_id not in self._final and not self._decided
            if failed and (why := self._failed_too_early(row)):
                problems.append(why)
            if row.state.final and self._final.setdefault(order_id, row.state) is not row.state:
                problems.append(f"order {order_id} was {self._final[order_id]} and is {row.state}")
        if problems:
            attempts = [self.store.orders[order_id].attempts for order_id in order_ids]
            self.broken.append(f"{'; '.join(problems)} {attempts}")
            raise Broken("; ".join(problems))

    def require_may_try(self, row: Row) -> None:
        """A vendor that has plainly refused an order has ended it: it is tried nowhere else."""
        for attempt in row.attempts:
            side = self._side(attempt.provider)
            if attempt.state is AttemptState.REFUSED and not attempt.again and row.id in side.undone:
                self.broken.append(f"order {row.id} is tried again after {side.name} has refused it: {row.attempts}")

    def _failed_too_early(self, row: Row) -> str | None:
        """Why an order must not have failed: somebody could have delivered it who was not asked."""
        missed = sum(attempt.state is AttemptState.NOT_SENT for attempt in row.attempts)
        refused = {attempt.provider for attempt in row.attempts if attempt.state is AttemptState.REFUSED}
        if missed >= _POLICY.maximum_not_sent or any(row.id in self._side(name).undone for name in refused):
            return None
        if refused and isinstance(row, Sale) and row.subscriber in self._bad:
            return None
        ends = [
            attempt
            for attempt in row.attempts
            if attempt.state is AttemptState.REFUSED and not (attempt.again or attempt.elsewhere)
        ]
        if any(row.id in self._side(attempt.provider).hurried for attempt in ends):
            return f"order {row.id} has failed because its number was served a moment ago"
        assert isinstance(row, Sale)
        kind = self.products[row.product_id].kind
        tried = {attempt.provider for attempt in row.attempts if not attempt.again}
        left = {side.name for side in self.sides if kind in side.kinds and side.shut_since_s is None} - tried
        return f"order {row.id} has failed, and {', '.join(sorted(left))} could deliver it" if left else None

    def note_written(self, order_id: int, provider: str) -> None:
        """An attempt of this order is written down, to be delivered by this provider."""
        self._side(provider).written[order_id] = self.loop.time()

    def _side(self, name: str) -> FarSide:
        return next(side for side in self.sides if side.name == name)

    def delivered(self, order_id: int) -> int:
        return sum(side.deliveries[order_id] for side in self.sides)

    # What happens -------------------------------------------------------------------------------------------------------

    def keep(self, task: "asyncio.Task[None]") -> None:
        """Hold a task until it is done, and take up what it raises."""
        self._kept.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._kept.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broken.append(f"a callback raised {error!r}")

    def start_worker(self) -> None:
        self._count += 1
        worker = Worker(self, self._count)
        self.workers.append(worker)
        worker.start()

    def kill(self, worker: Worker) -> None:
        """As kill -9: nothing of it runs on. Another one is started in its place, sooner or later."""
        if worker.dead:
            return
        worker.dead = True
        self.workers.remove(worker)
        self.faulty.update(order.claim.id for order in worker.fulfilment._in_flight)
        self.loop.kill(worker.number)
        self.loop.call_later(self.dice.choice([0.0, 1.0, 8.0, 60.0]), self.start_worker)

    async def _sell(self) -> None:
        pause_s = SALES_S / self._orders
        number = ""
        for order_id in range(1, self._orders + 1):
            await asyncio.sleep(self.dice.expovariate(1 / pause_s))
            if not number or self.dice.random() > (0.25 if self.rough else 0.03):
                number = self.dice.choice(self._numbers)
            self.store.sell(order_id, self.dice.choice(list(self.products)), number)
            if self.workers and self.dice.random() < 0.9:
                self.dice.choice(self.workers).fulfilment.wake()
            else:
                self.alarm((order_id,))

    async def _trouble(self) -> None:
        """Episodes, one after another, while orders come in."""
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / 120))
            side = self.dice.choice(self.sides)
            length_s = self.dice.choice([2.0, 20.0, 120.0, 300.0])
            match self.dice.randrange(12):
                case 0 | 1:
                    await self._episode(side, "unreachable", length_s)
                case 2:
                    await self._episode(side, "locked_out", length_s)
                case 3:
                    await self._episode(side, "float_empty", length_s)
                case 4:
                    await self._episode(side, "closed", length_s)
                case 5 | 6:
                    self.database_away = True
                    await asyncio.sleep(self.dice.choice([0.5, 3.0, 12.0]))
                    self.database_away = False
                case 7 if self.workers:
                    self.kill(self.dice.choice(self.workers))
                case 8 | 9 if self.workers:
                    worker = self.dice.choice(self.workers)
                    worker.cut_off = True
                    await asyncio.sleep(self.dice.choice([2.0, 8.0, 25.0]))
                    worker.cut_off = False
                case 10:
                    self._switch({side.name: self.dice.choice([ProviderState.OFF, ProviderState.DRAIN])})
                    await asyncio.sleep(length_s)
                    self._switch({})
                case 11 if self.dice.random() < 0.3:
                    self.database_clock.ahead = timedelta(seconds=self.dice.choice([0, 5, 60, -20]))
                    self.alarm(self.store.orders)

    async def _episode(self, side: FarSide, what: str, length_s: float) -> None:
        setattr(side, what, True)
        await asyncio.sleep(length_s)
        setattr(side, what, False)

    def _switch(self, states: dict[str, ProviderState]) -> None:
        self.switched = states
        for side in self.sides:
            state = states.get(side.name, ProviderState.ON)
            side.shut_since_s = None if state is ProviderState.ON else self.loop.time()
            side.off = state is ProviderState.OFF
        for worker in self.workers:
            worker.router.switch_all(states)

    async def run(self) -> None:
        """The whole run. Raises Broken."""
        self._open()
        for _ in range(2):
            self.start_worker()
        trouble = [asyncio.create_task(self._trouble()) for _ in range(2)]
        await self._sell()
        for task in trouble:
            task.cancel()
        await asyncio.wait(trouble)
        for side in self.sides:
            side.unreachable = side.locked_out = side.float_empty = side.closed = False
        for worker in self.workers:
            worker.cut_off = False
        self.database_away = self.troubled = False
        self.database_clock.ahead = timedelta()
        self._switch({})
        self.alarm(self.store.orders)
        while self._unsettled() or any(side.under_way for side in self.sides):
            self.complain()
            if self.loop.time() > LONGEST_S:
                raise Broken(f"not settled after {LONGEST_S:.0f} s: {self._unsettled()[:3]}")
            await asyncio.sleep(300)
        self.ended = True
        for worker in self.workers:
            await worker.fulfilment.drain(5)
        self.check(self.store.orders.keys())
        self.complain()
        await self._review()

    async def _review(self) -> None:
        """A person who reads the vendors' books decides what is in review."""
        self._decided = True
        review = Review(self.store)
        for row in self.store.orders.values():
            if row.state is OrderState.REVIEW:
                self.reviewed[row.attempts[-1].provider if row.attempts else "nobody"] += 1
                await review.resolve(row.reference, delivered=self.delivered(row.id) == 1, text="looked it up")
        self.check(self.store.orders.keys())
        states = Counter(row.state for row in self.store.orders.values())
        sold = sum(row.price.minor for row in self.store.orders.values() if row.state is OrderState.DELIVERED)
        if self.store.accounts[IN_FLIGHT] or self.store.wallet.balance_minor != _FUNDS - sold:
            raise Broken(f"{states} left {self.store.accounts[IN_FLIGHT]} in flight, {self.store.wallet}, sold {sold}")

    def _unsettled(self) -> list[Row]:
        return [row for row in self.store.orders.values() if not row.state.final and row.state is not OrderState.REVIEW]

    def complain(self) -> None:
        if self.loop.errors:
            raise Broken(f"asyncio: {self.loop.errors[:3]}")
        if self.broken or self.listener.heard:
            raise Broken("; ".join(self.broken + self.listener.heard))


async def _nothing() -> None:
    """No chaos."""


class _Listener:
    """Stands in for the log, and keeps what only a bug says."""

    BUGS = (
        "claim_failed",
        "call_failed",
        "outcome_not_settled",
        "provider_raised",
        "provider_answered_no_outcome",
        "callback_not_weighed",
    )

    def __init__(self) -> None:
        self.heard: list[str] = []

    def _hear(self, event: str, **facts: object) -> None:
        if event in self.BUGS:
            self.heard.append(f"{event}: {facts}")

    debug = info = warning = error = exception = critical = _hear


_examine = functools.lru_cache(described.examine)
_urlparse = functools.lru_cache(8192)(httpx_urls.urlparse)


async def _sent(client: httpx.AsyncClient, request: httpx.Request, **_: Any) -> httpx.Response:
    """Hand a request to the far side. Outside of tests httpx sends nothing either, and its layers took a third of a run."""
    response = await client._transport.handle_async_request(request)
    response.request = request
    return response


@contextmanager
def _quietly(shop: Shop) -> Iterator[None]:
    with ExitStack() as stack:
        for module in (worker_module, calls, leases, callbacks_service):
            stack.enter_context(patch.object(module, "_log", shop.listener))
        stack.enter_context(patch.object(callbacks_service, "store", shop.callback_table))
        stack.enter_context(patch.object(callbacks_service, "late_store", NothingDecided()))
        stack.enter_context(patch.object(http._BoundedClient, "_sent_by_httpx", _sent))
        # The same few addresses are called all the time.
        stack.enter_context(patch.object(httpx_urls, "urlparse", _urlparse))
        # A shipped description is read once, not by every worker of every run.
        stack.enter_context(patch.object(described, "examine", _examine))
        yield


def run_shop(seed: int, orders: int = ORDERS, only: Collection[str] = ()) -> Shop:
    """Run one seed; with `only`, a rough shop with these vendors. Raises Broken with everything that did not hold."""
    loop = VirtualLoop()
    shop = Shop(seed, loop, orders, only)
    with _quietly(shop):
        try:
            loop.run_until_complete(shop.run())
        except Exception as error:
            raise Broken(f"seed {seed}: {error!r}; {'; '.join(shop.broken + shop.listener.heard)}") from error
        finally:
            loop.end()
    return shop
