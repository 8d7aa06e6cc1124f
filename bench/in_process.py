"""The parts without HTTP, in this very process: the lane that takes orders, and the fulfilment that settles them."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final

from bench import memory
from bench.instant_upstream import instant_upstream
from bench.load import Load, reference_of, subscriber_of, summary
from bench.testbed import Testbed, TestbedFailed
from telvend.bootstrap import Shop
from telvend.catalog.model import Network
from telvend.config import ProviderSettings
from telvend.errors import TelvendError
from telvend.fulfilment.model import FulfilmentPolicy
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.routing import Router, Rule
from telvend.fulfilment.worker import Fulfilment
from telvend.kit.clock import SystemClock
from telvend.kit.mode import Mode
from telvend.kit.money import GHS
from telvend.kit.secret import Secret
from telvend.ledger.model import AccountKind
from telvend.orders.model import Placement
from telvend.providers.connectors import connect
from telvend.providers.contract import Delivered, Delivery, NotSent, Outcome, Provider, ProviderTraits
from telvend.providers.own_network.client import OwnNetwork
from telvend.resellers.model import Caller
from telvend.sales.model import SaleKind

SUBMITTERS: Final = 256
_SETTLED_WITHIN_S: Final = 300
_CALLS_AT_ONCE: Final = 64
_DESCRIPTION: Final = Path(__file__).parent / "upstream.toml"


class Instant:
    """A provider that has delivered before it is asked twice."""

    name = "instant"

    def __init__(self, concurrency: int) -> None:
        self.traits = ProviderTraits(concurrency=concurrency, settles_after_s=0)

    async def deliver(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - it gives everybody everything
        return Delivered()

    async def deliver_all(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        return [Delivered() for _ in deliveries]

    async def requery(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - nobody has to ask
        return NotSent()

    async def close(self) -> None:
        """There is nothing to close."""


class Counted:
    """A provider whose deliveries are counted."""

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self.traits = provider.traits
        self.requery = provider.requery
        self.close = provider.close
        self._provider = provider
        self.delivered = 0

    async def deliver(self, delivery: Delivery) -> Outcome:
        outcome = await self._provider.deliver(delivery)
        self.delivered += isinstance(outcome, Delivered)
        return outcome


async def place_for(testbed: Testbed, keys: Sequence[str], *, seconds: float, warm_up_s: float) -> Load:
    """`SUBMITTERS` callers at once who buy one bundle after the other, for `warm_up_s` and then `seconds`."""
    async with _counter(testbed, keys) as counter:
        run = _Run(counter, testbed.numbers)
        submitters = [asyncio.create_task(run.submit()) for _ in range(SUBMITTERS)]
        gc.collect()
        gc.disable()
        try:
            await asyncio.sleep(warm_up_s)
            begun = time.perf_counter()
            run.counting = True
            await asyncio.sleep(seconds)
            run.counting = False
            elapsed_s = time.perf_counter() - begun
            run.going = False
            await asyncio.gather(*submitters)
        finally:
            gc.enable()
        return summary(run.latencies_s, elapsed_s, run.succeeded, run.errors)


async def place_so_many(testbed: Testbed, keys: Sequence[str], count: int) -> None:
    """Place `count` orders and leave them to be delivered. Raises the first error."""
    async with _counter(testbed, keys) as counter:
        left = iter(range(count))

        async def submit() -> None:
            for _ in left:
                await counter.place(next(testbed.numbers))

        await asyncio.gather(*(submit() for _ in range(SUBMITTERS)))


class Through(Enum):
    """The provider that delivers the orders."""

    INSTANT = "an instant provider"
    OWN_NETWORK = "our own network"
    HTTP = "an instant upstream over HTTP, by a description"


@asynccontextmanager
async def _provider(shop: Shop, through: Through) -> AsyncIterator[Provider]:
    concurrency = shop.settings.fulfilment_concurrency
    match through:
        case Through.INSTANT:
            yield Instant(concurrency)
        case Through.OWN_NETWORK:
            shop.provisioning.start()
            yield OwnNetwork(shop.provisioning, shop.services.entitlements, concurrency=concurrency)
        case Through.HTTP:
            async with instant_upstream() as base_url:
                settings = ProviderSettings(
                    "http", base_url, api_key=Secret("bench"), file=str(_DESCRIPTION), concurrency=_CALLS_AT_ONCE
                )
                upstream = connect("bench", settings, SystemClock())
                try:
                    yield upstream
                finally:
                    await upstream.close()


async def settle_all(testbed: Testbed, count: int, through: Through) -> float:
    """Deliver and settle the `count` orders that are due; return the seconds it took.

    Raises TestbedFailed when not all are delivered in time.
    """
    async with testbed.shop() as shop, _provider(shop, through) as chosen:
        clock = SystemClock()
        concurrency = shop.settings.fulfilment_concurrency
        provider = Counted(chosen)
        policy = FulfilmentPolicy()
        store = PostgresFulfilmentStore(shop.database, shop.ledger, policy)
        router = Router([provider], clock, rules={provider.name: Rule(breaker=False)})
        fulfilment = Fulfilment(store, router, clock, policy=policy, concurrency=concurrency)
        begun = time.perf_counter()
        fulfilment.start()
        while provider.delivered < count or fulfilment.in_hand:
            if time.perf_counter() - begun > _SETTLED_WITHIN_S:
                raise TestbedFailed(f"Only {provider.delivered} of {count} orders were delivered.")
            await asyncio.sleep(0.002)
        elapsed_s = time.perf_counter() - begun
        await fulfilment.drain(5)
        await store.close()
        return elapsed_s


_WAITING_AT_MOST: Final = 2_000
_PLACED_AT_ONCE: Final = 32


async def settle_for(
    testbed: Testbed, keys: Sequence[str], *, seconds: float, per_second: float, through: Through, every_s: float
) -> AsyncIterator[tuple[float, int, float]]:
    """Sell and settle for so long; yield every `every_s` how long it runs, what is settled, and this process's memory in MiB.

    No more is sold than is settled: a backlog would be memory. Raises TestbedFailed when at the end not all are settled in time.
    """
    async with _counter(testbed, keys) as counter, testbed.shop() as shop, _provider(shop, through) as chosen:
        clock = SystemClock()
        provider = Counted(chosen)
        policy = FulfilmentPolicy()
        store = PostgresFulfilmentStore(shop.database, shop.ledger, policy)
        router = Router([provider], clock, rules={provider.name: Rule(breaker=False)})
        fulfilment = Fulfilment(
            store, router, clock, policy=policy, concurrency=shop.settings.fulfilment_concurrency, poll_s=0.2
        )
        begun = time.perf_counter()
        placed = 0

        async def place() -> None:
            nonlocal placed
            while (elapsed_s := time.perf_counter() - begun) < seconds:
                if placed - provider.delivered > _WAITING_AT_MOST or placed > per_second * elapsed_s:
                    await asyncio.sleep(0.02)
                    continue
                placed += 1
                await counter.place(next(testbed.numbers))

        fulfilment.start()
        async with asyncio.TaskGroup() as group:
            for _ in range(_PLACED_AT_ONCE):
                group.create_task(place())
            samples = 0
            while (elapsed_s := time.perf_counter() - begun) < seconds:
                await asyncio.sleep(min(every_s * (samples + 1), seconds) - elapsed_s)
                samples += 1
                gc.collect()
                yield time.perf_counter() - begun, provider.delivered, memory.resident_mib()
        while provider.delivered < placed or fulfilment.in_hand:
            if time.perf_counter() - begun > seconds + _SETTLED_WITHIN_S:
                raise TestbedFailed(f"Only {provider.delivered} of {placed} orders were delivered.")
            await asyncio.sleep(0.01)
        await fulfilment.drain(5)
        await store.close()


class _Counter:
    """Where purchases are handed in: the shop's orders, and the callers of the keys."""

    def __init__(self, shop: Shop, callers: Sequence[Caller], network: Network) -> None:
        self._orders = shop.services.orders
        self._callers = callers
        self._network = network

    def place(self, number: int) -> Coroutine[Any, Any, Placement]:
        return self._orders.buy_bundle(
            self._callers[number % len(self._callers)],
            network=self._network,
            size="1GB",
            subscriber=f"+233{subscriber_of(number)[1:]}",
            client_reference=reference_of(number),
            prefix="NPAPI",
        )


@asynccontextmanager
async def _counter(testbed: Testbed, keys: Sequence[str]) -> AsyncIterator[_Counter]:
    async with testbed.shop() as shop:
        services = shop.services
        # As a server declares it: a bench without it would look for identity checks under every reference.
        shop.kinds.declare("netpluse", {SaleKind.ORDER})
        callers = [await services.resellers.authenticate("netpluse", key) for key in keys]
        network = services.catalogue.snapshot.network("GH", "MTN")
        assert network is not None
        await shop.ledger.house(AccountKind.IN_FLIGHT, GHS, Mode.LIVE)
        services.orders.start()
        try:
            yield _Counter(shop, callers, network)
        finally:
            await services.orders.close()


class _Run:
    """What the submitters of one run share."""

    def __init__(self, counter: _Counter, numbers: Iterator[int]) -> None:
        self._counter = counter
        self._numbers = numbers
        self.going = True
        self.counting = False
        self.latencies_s: list[float] = []
        self.succeeded = 0
        self.errors: Counter[str] = Counter()

    async def submit(self) -> None:
        while self.going:
            started = time.perf_counter()
            try:
                await self._counter.place(next(self._numbers))
            except TelvendError as error:
                self.errors[type(error).__name__] += 1
            else:
                self.succeeded += 1
                if self.counting:
                    self.latencies_s.append(time.perf_counter() - started)
