"""The worker: claims due orders, calls providers with no transaction open, hands what they say to the settling lane.

    fulfilment = Fulfilment(store, router, clock, policy=..., offers=...)
    fulfilment.start()            # inside the event loop
    fulfilment.wake()             # a fresh order is due: claim now instead of at the next poll
    await fulfilment.drain(10)    # SIGTERM: claim no more, let calls end, hand the rest back

Any number of workers may run, in any number of processes. One that stalls or dies loses its leases; whoever finds its
attempts asks about them. One that has lost a lease goes on with the call that it has begun, and what it hears is
settled like everything else: the first definite word wins.

A worker that stands beside the sales takes new orders with the transaction that places them (orders/taking.py), as long as nothing
older waits to be claimed and there is room. What it has no room for is claimed: `keep_pace` slows the sales down a little while
outcomes wait for our own database, never because a provider is slow.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, cast

from telvend.catalog.model import NO_OFFERS, ProductOffers
from telvend.database.lane import MAXIMUM_BATCH, Lane
from telvend.errors import Busy
from telvend.fulfilment.calls import OwnDatabaseAway, ProviderCalls
from telvend.fulfilment.in_flight import AttemptAges, InFlightOrder
from telvend.fulfilment.leases import correct_clock_for_ever, renew_for_ever
from telvend.fulfilment.model import (
    Abandon,
    Abandoned,
    ClaimedOrder,
    Deliver,
    Effect,
    Escalate,
    FindProvider,
    FulfilmentPolicy,
    Item,
    Presume,
    Requery,
    Reschedule,
    Step,
)
from telvend.fulfilment.places import FULL_S, Places, Reserved, full
from telvend.fulfilment.ports import FulfilmentStore, Observer
from telvend.fulfilment.routing import Assignment, Choice, NoProvider, Router, RoutingRequest
from telvend.fulfilment.rules import next_step, with_choice, with_doubt
from telvend.fulfilment.taking import Taken, claim_of
from telvend.kit import log, tracing
from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.orders.model import Order, OrderState
from telvend.providers.contract import DeliversTogether, Provider

_log = log.get(__name__)

Offers = Callable[[int], ProductOffers]
"""What providers take for the product of this number, and what they call it."""

_SHORTEST_RETRY_S: Final = 0.1
_LONGEST_RETRY_S: Final = 2.0


class Fulfilment:
    """One worker. Its health, for others: `in_hand`, `waiting`.

    `pressure` answers how many purchases wait to be placed in this process; while there are many, fewer orders are
    claimed at a time and less often, so that sales stay fast, unless the oldest is late by `late_from_s`. `held` answers whether
    providers may be given nothing new now; they are still asked.
    """

    def __init__(
        self,
        store: FulfilmentStore,
        router: Router,
        clock: Clock,
        *,
        policy: FulfilmentPolicy,
        offers: Offers | None = None,
        observer: Observer | None = None,
        pressure: Callable[[], int] | None = None,
        held: Callable[[], bool] | None = None,
        runtime: Runtime = NO_RUNTIME,
        concurrency: int = 600,
        batch: int = MAXIMUM_BATCH,
        poll_s: float = 0.25,
        pressure_from: int = 16,
        batch_under_pressure: int = 64,
        pause_under_pressure_s: float = 0.05,
        late_from_s: float = 1.0,
        pace_from: int | None = None,
        longest_wait_s: float = 0.05,
        longest_wait_while_late_s: float = 0.25,
        dice: random.Random | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._offers: Offers = offers or (lambda _: NO_OFFERS)
        self._policy = policy
        self._observer = observer or Observer()
        self._pressure = pressure or (lambda: 0)
        self._held = held or (lambda: False)
        self._runtime = runtime
        self._concurrency = concurrency
        self._batch = min(batch, MAXIMUM_BATCH)
        self._poll_s = poll_s
        self._pressure_from = pressure_from
        self._batch_under_pressure = batch_under_pressure
        self._pause_under_pressure_s = pause_under_pressure_s
        self._late_from_s = late_from_s
        # So that there is room for a batch of sales beside what waits.
        self._pace_from = pace_from or max(MAXIMUM_BATCH, concurrency - MAXIMUM_BATCH) + 1
        self._longest_wait_s = longest_wait_s
        self._longest_wait_while_late_s = longest_wait_while_late_s
        # Only spreads the polls of many workers; no decision hangs on it.
        self._dice = dice or random.Random()  # noqa: S311
        self._lane: Lane[Item, Effect] = Lane(
            "settle",
            self._settle,
            maximum_waiting=4 * concurrency + 4096,
            runtime=replace(runtime, died=self._died),
        )
        self._in_flight: set[InFlightOrder] = set()
        self._ages = AttemptAges(clock)
        self._places = Places(router, clock)
        self._calls = ProviderCalls(
            router,
            self._places,
            self._ages,
            clock,
            policy,
            self._observer,
            count_rivals=store.rivals,
            record_resend=store.resend,
            held=self._held,
        )
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._full = False
        self._parked = 0
        # The latest claim met an order that is late.
        self._late = False
        # Whether orders may be due that nobody has claimed.
        self._left = True
        # Orders that are taken with sales that are not committed yet.
        self._taking = 0
        # Orders that wait for our own database: to be delivered in this process, and to be settled.
        self._ours = 0
        self._paced = asyncio.Event()
        self._draining = False
        self._closing = False
        self._limit = log.LogLimit()

    @property
    def in_hand(self) -> int:
        """Orders that this worker has claimed and not settled."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """Outcomes that wait to be settled."""
        return self._lane.depth

    def start(self) -> None:
        """Begin to work, in the running event loop."""
        self._lane.start()
        loop = asyncio.get_running_loop()
        lease_s = self._policy.lease_s
        for name, work in (
            ("claim", self._claim_for_ever()),
            ("renew", renew_for_ever(self._store, self._clock, lease_s, self._in_flight, self._abandon)),
            ("clock", correct_clock_for_ever(self._store, self._clock, lease_s, self._wake.set)),
        ):
            task = loop.create_task(work, name=f"fulfilment {name}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    def wake(self) -> None:
        """Claim at once: something has become due."""
        self._wake.set()

    async def drain(self, timeout_s: float) -> None:
        """Claim no more, give calls in flight up to `timeout_s`, settle, hand back what is left."""
        if not self._tasks:
            return
        self._draining = True
        self._calls.stop()
        self._wake.set()
        deadline = self._clock.monotonic() + timeout_s
        claiming, renewing, correcting = self._tasks
        correcting.cancel()
        await asyncio.wait([claiming], timeout=timeout_s)
        claiming.cancel()
        while self._in_flight and (left_s := deadline - self._clock.monotonic()) > 0:
            self._idle.clear()
            timer = asyncio.get_running_loop().call_later(left_s, self._idle.set)
            await self._idle.wait()
            timer.cancel()
        # Calls that are cut off have left an attempt behind. Whoever finds it asks.
        left = {order.claim.id for order in self._in_flight}
        calls = [order.task for order in self._in_flight if order.task is not None]
        for call in calls:
            call.cancel()
        self._closing = True
        await asyncio.wait([*calls, asyncio.create_task(self._lane.close()), claiming], timeout=5)
        renewing.cancel()
        await asyncio.wait([renewing, correcting])
        if left:
            _log.warning("drained_with_calls_in_flight", orders=len(left))
            try:
                await self._store.hand_back(left)
            except Exception:
                # They are due when their leases end, a few seconds later.
                _log.warning("leases_not_handed_back", orders=len(left), exc_info=True)

    # Claiming -----------------------------------------------------------------------------------------------------------

    async def _claim_for_ever(self) -> None:
        retry_s = _SHORTEST_RETRY_S
        limit = self._batch
        while not self._draining:
            self._wake.clear()
            pressed = not self._late and self._pressure() >= self._pressure_from
            room = min(
                limit,
                self._concurrency - len(self._in_flight) - self._taking,
                self._places.room(),
                self._batch_under_pressure if pressed else self._batch,
            )
            self._full = room <= 0
            if self._full:
                await self._pause()
                continue
            try:
                claimed = await self._take(room)
            except Busy:
                self._limit.write(_log.warning, "fulfilment_has_no_database", source="claim")
            except Exception:
                # One row may be what cannot be claimed: the next try takes fewer with it.
                _log.exception("claim_failed", limit=room)
                limit = max(1, room // 2)
            else:
                retry_s = _SHORTEST_RETRY_S
                limit = min(self._batch, 2 * limit)
                if claimed < room:
                    self._left = False
                if claimed and (pressed or 2 * self._parked > claimed):
                    await self._clock.sleep(self._pause_under_pressure_s)
                elif claimed < room:
                    await self._pause()
                continue
            await self._clock.sleep(retry_s)
            retry_s = min(_LONGEST_RETRY_S, 2 * retry_s)

    async def _pause(self) -> None:
        """Until the next poll, or until woken."""
        delay_s = self._poll_s * (0.8 + 0.4 * self._dice.random())
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _take(self, limit: int) -> int:
        """Claim and begin. Returns how many were claimed."""
        before = self._clock.monotonic()
        lease_s = self._policy.lease_s
        with self._places.reserve() as reserved:
            async with self._store.claim(limit, lease_s) as claim:
                steps = [self._decide(order, reserved) for order in claim.orders]
                if steps:
                    await claim.write(steps)
        self._late = any(order.late_s >= self._late_from_s for order in claim.orders)
        if not steps:
            return 0
        self._observer.claimed(len(steps))
        self._parked = 0
        deadline = before + lease_s
        claimed_at = self._clock.monotonic()
        begun: list[InFlightOrder] = []
        for order, step in zip(claim.orders, steps, strict=True):
            match step:
                case Deliver() | Requery() | Abandon():
                    begun.append(InFlightOrder(order, step, deadline, claimed_at))
                case Reschedule():
                    self._parked += 1
                case Escalate():
                    _log.error("order_needs_review", order=order.id, why=step.why)
                case Presume():
                    _log.warning("attempt_may_be_lost", order=order.id, provider=step.provider)
        self._begin(begun)
        return len(steps)

    def _begin(self, orders: Sequence[InFlightOrder]) -> None:
        self._in_flight.update(orders)
        loop = asyncio.get_running_loop()
        together: dict[DeliversTogether, list[InFlightOrder]] = {}
        for order in orders:
            step = order.step
            if isinstance(step, Abandon):
                self._submit(order, Abandoned(order.claim.id, order.claim.wallet_id, step.why))
                continue
            self._ages.note(order.claim, step)
            if isinstance(step, Deliver) and (provider := _in_this_process(step.chosen.provider)) is not None:
                together.setdefault(provider, []).append(order)
            else:
                order.task = loop.create_task(self._work(order))
        for provider, several in together.items():
            self._ours += len(several)
            task = loop.create_task(self._work_together(provider, several))
            for order in several:
                order.task = task

    # Taking, with the sales -----------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def take(self, orders: Sequence[Order], now: datetime, began: float) -> Taken | None:
        """Take those of these orders that can be delivered at once; the others are claimed. See OrderTaker."""
        if self._left or not self._tasks or self._draining or self._held():
            self._left = True
            return None
        room = min(self._concurrency - len(self._in_flight), self._places.room())
        reserved = self._places.reserve()
        claims: list[ClaimedOrder] = []
        steps: list[Deliver] = []
        doubtful = self._store.doubts(now)
        try:
            for order in orders[: max(0, room)]:
                claim = claim_of(order, now, doubtful=doubtful)
                step = self._decide(claim, reserved)
                if isinstance(step, Deliver):
                    claims.append(claim)
                    steps.append(step)
        except Exception:
            # A sale does not fail because of it: the order is claimed, and it fails there.
            _log.exception("orders_not_taken", orders=len(orders))
            reserved.release_all()
            claims.clear()
        self._left = len(claims) < len(orders)
        if not claims:
            return None
        self._taking += len(claims)
        return Taken(
            self._store,
            reserved,
            claims,
            steps,
            began,
            self._policy.lease_s,
            begin_all=self._begin_taken,
            release=self._release_taken,
        )

    def _begin_taken(self, taken: Taken) -> None:
        self._taking -= len(taken.claims)
        self._observer.claimed(len(taken.claims))
        self._begin(taken.in_flight(self._clock.monotonic()))
        if self._left:
            self._wake.set()

    def _release_taken(self, taken: Taken) -> None:
        self._taking -= len(taken.claims)
        # Whether they were committed is not always known.
        self._left = True
        self._wake.set()

    async def keep_pace(self) -> None:
        """Wait, for a moment at most, while so many orders wait for our own database that sales would leave deliveries behind."""
        if self._ours < self._pace_from:
            return
        self._paced.clear()
        longest_s = self._longest_wait_while_late_s if self._late else self._longest_wait_s
        timer = asyncio.get_running_loop().call_later(longest_s, self._paced.set)
        try:
            await self._paced.wait()
        finally:
            timer.cancel()

    def _decide(self, claim: ClaimedOrder, reserved: Reserved) -> Step:
        """What is done with an order, with the place that it needs at a provider."""
        step = next_step(claim, self._policy)
        if isinstance(step, FindProvider):
            offers = self._offers(claim.product_id)
            costs = offers.costs_minor(claim.face.minor, claim.cost.minor)
            step = with_choice(claim, step, _choose(claim, step, costs, reserved), costs, offers)
        held = self._held()
        if held or claim.doubtful:
            sure, step = step, with_doubt(claim, step, held=held)
            if isinstance(sure, Deliver) and step is not sure:
                reserved.release(sure.chosen)
        if isinstance(step, Requery) and not reserved.requery(step.attempt.provider):
            return Reschedule(FULL_S, OrderState.WAITING, full(step.attempt.provider))
        return step

    # Calling ------------------------------------------------------------------------------------------------------------

    async def _work(self, order: InFlightOrder) -> None:
        """Make the call of one order and pass on what was said."""
        if tracing.on:
            order.span = tracing.begin(*_traced(order))
        try:
            report = await self._calls.make(order)
        except OwnDatabaseAway:
            # The attempt is open, and is asked about when the lease has ended.
            self._let_go(order)
        except Exception:
            # A bug. The attempt is still open, and is asked about when the lease has ended.
            _log.exception("call_failed", order=order.claim.id)
            self._let_go(order)
        else:
            if order.span is not None:
                tracing.end(order.span, outcome=type(report.outcome).__name__.lower())
                order.span = None
            self._submit(order, report)
        finally:
            if order.span is not None:
                tracing.end(order.span, failed=True)

    async def _work_together(self, provider: DeliversTogether, orders: Sequence[InFlightOrder]) -> None:
        """Make the calls of orders that one provider in this process delivers, and settle what was said."""
        try:
            reports = await self._calls.make_all(provider, orders)
            said = [(order, report) for order, report in zip(orders, reports, strict=True) if report is not None]
            answers = await self._lane.serve_all([report for _, report in said])
        except Exception as error:
            # A bug, or the end of a drain. The attempts are still open, and are asked about when the leases have ended.
            if not isinstance(error, Busy):
                _log.exception("calls_failed", orders=len(orders))
        else:
            for (order, _), answer in zip(said, answers, strict=True):
                self._ended_with(order, answer)
        finally:
            self._passed(len(orders))
            for order in orders:
                self._let_go(order)

    def _passed(self, count: int) -> None:
        """Count orders that wait for our own database no more."""
        self._ours -= count
        if self._ours < self._pace_from:
            self._paced.set()

    def _abandon(self, order: InFlightOrder) -> None:
        self._submit(order, self._calls.abandoned(order))

    # Settling -----------------------------------------------------------------------------------------------------------

    def _submit(self, order: InFlightOrder, item: Item) -> None:
        try:
            future = self._lane.submit(item)
        except Busy:
            # Only at the very end of a drain. The attempt stays open, so that it is asked about.
            self._let_go(order)
            return
        self._ours += 1
        future.add_done_callback(partial(self._settled, order, tracing.now()))

    def _settled(self, order: InFlightOrder, began: int, future: "asyncio.Future[Effect]") -> None:
        self._passed(1)
        self._let_go(order)
        if future.cancelled():
            return
        error = future.exception()
        if error is None and began:
            tracing.record("settle", order.claim.reference, began, {"effect": future.result().name.lower()})
        self._ended_with(order, future.result() if error is None else error)

    def _ended_with(self, order: InFlightOrder, effect: "Effect | BaseException") -> None:
        """What follows for the worker from what became of an outcome."""
        if isinstance(effect, Effect):
            if effect is not Effect.REQUERY_LATER:
                self._ages.forget(order.claim.id, order.number)
            if effect is Effect.TRY_AGAIN:
                self._wake.set()
            elif effect is Effect.CONTRADICTED:
                _log.error("provider_contradicts_itself", order=order.claim.id)
                self._observer.contradicted(order.claim.id)
            elif effect is Effect.REVIEW:
                _log.warning("order_in_review", order=order.claim.id)
        elif not isinstance(effect, Busy):
            # A bug: the lane has tried it alone. The attempt is still open, and is asked about when the lease has ended.
            _log.error("outcome_not_settled", order=order.claim.id, exc_info=effect)

    def _let_go(self, order: InFlightOrder) -> None:
        self._in_flight.discard(order)
        if self._full:
            self._wake.set()
        if self._draining:
            self._idle.set()

    async def _settle(self, items: list[Item]) -> Sequence[Effect | Exception]:
        """What the lane does with a batch: again and again until the database takes it."""
        retry_s = _SHORTEST_RETRY_S
        while True:
            try:
                return await self._store.settle(items)
            except Busy:
                if self._closing:
                    raise
                self._limit.write(_log.warning, "settling_has_no_database", source="settle", outcomes=len(items))
            await self._clock.sleep(retry_s)
            retry_s = min(_LONGEST_RETRY_S, 2 * retry_s)

    # Ends ---------------------------------------------------------------------------------------------------------------

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._died(error)

    def _died(self, error: BaseException) -> None:
        if not self._draining:
            _log.critical("fulfilment_died", exc_info=error)
            self._runtime.died(error)


def _in_this_process(provider: Provider) -> DeliversTogether | None:
    """The provider, where it takes many deliveries with one call. Spans are of one delivery each."""
    return None if tracing.on or not hasattr(provider, "deliver_all") else cast(DeliversTogether, provider)


def _traced(order: InFlightOrder) -> tuple[str, str, dict[str, str | int]]:
    """The name, the sale and the facts of the span of a step."""
    claim, step = order.claim, order.step
    provider = step.chosen.provider.name if isinstance(step, Deliver) else ""
    if isinstance(step, Requery):
        provider = step.attempt.provider
    facts: dict[str, str | int] = {"provider": provider, "attempt.number": order.number, "order.mode": claim.mode}
    return "requery" if isinstance(step, Requery) else "attempt", claim.reference, facts


def _choose(claim: ClaimedOrder, find: FindProvider, costs: Mapping[str, int | None], reserved: Reserved) -> Choice:
    """Ask the router for a place; each set of excluded providers only where the one before found none."""
    known = {name: cost for name, cost in costs.items() if cost is not None}
    not_sold = costs.keys() - known.keys()
    choice: Choice = NoProvider("every provider has been tried")
    for excluded in find.excluded:
        names = excluded | not_sold if not_sold else excluded
        wanted = RoutingRequest(
            claim.country, claim.network, claim.mode is Mode.TEST, known, names, claim.kind, claim.subscriber
        )
        choice = reserved.delivery(wanted)
        if isinstance(choice, Assignment):
            break
    return choice
