"""The worker: claims due orders, calls providers with no transaction open, hands what they say to the settling lane.

    fulfilment = Fulfilment(store, router, clock, costs=..., policy=...)
    fulfilment.start()            # inside the event loop
    fulfilment.wake()             # a fresh order is due: claim now instead of at the next poll
    await fulfilment.drain(10)    # SIGTERM: claim no more, let calls end, hand the rest back

Any number of workers may run, in any number of processes. One that stalls or dies loses its leases; whoever finds its
attempts asks about them. One that has lost a lease goes on with the call that it has begun, and what it hears is
settled like everything else: the first definite word wins.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from telvend.database.lane import MAXIMUM_BATCH, Lane
from telvend.errors import Busy, InvariantBroken, TelvendError
from telvend.fulfilment.ports import Ears, FulfilmentStore
from telvend.fulfilment.routing import Choice, Chosen, Later, Router, Wanted
from telvend.fulfilment.rules import (
    OUTCOMES,
    Ask,
    Claim,
    Deliver,
    Effect,
    GivenUp,
    GiveUp,
    Hesitate,
    Item,
    Park,
    Policy,
    Presume,
    Step,
    Word,
    next_step,
    with_doubt,
)
from telvend.kit import log
from telvend.kit.clock import Clock
from telvend.kit.failpoints import hit_async
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.orders.model import State
from telvend.providers.contract import Delivery, NotSent, Outcome, Provider, Unknown

_log = log.get(__name__)

Costs = Callable[[int], Mapping[str, int | None]]
"""What each provider takes for the product of this number, in minor units, by name; None where it does not sell it.

One that is missing takes what the order expects.
"""

# How long after its time-out a call is given up that does not even end when it is cancelled.
_DEAF_CALL_S: Final = 5.0
_SHORTEST_RETRY_S: Final = 0.1
_LONGEST_RETRY_S: Final = 2.0
# When orders come back that found their provider full. There is a backlog then, and each round through it costs writes.
_FULL_S: Final = 1.0
_LOOK_PAST_FULL_S: Final = 1.0
_LOOK_PAST_FULL: Final = 8
# How long the providers' own limits are remembered.
_LOOK_AT_PROVIDERS_S: Final = 5.0
# Attempts that a worker knows it never sent are said to be so; the provider is not blamed.
_NEVER_SENT: Final = "never sent: {}"
# How often the due times of open orders are compared with the clock.
_CORRECT_CLOCK_S: Final = 10.0
_LEASES: Final = 4.0
# How many attempts a worker remembers the beginning of.
_REMEMBERED: Final = 100_000


class _Hand:
    """An order in hand, from the claim until its outcome is settled.

    `deadline` is when the lease surely still was ours, on the monotonic clock; `claimed_at` the moment after the claim.
    """

    __slots__ = ("call_ends_at", "claim", "claimed_at", "deadline", "given_up", "step", "task")

    def __init__(self, claim: Claim, step: Deliver | Ask | GiveUp, deadline: float, claimed_at: float) -> None:
        self.claim = claim
        self.step = step
        self.deadline = deadline
        self.claimed_at = claimed_at
        self.call_ends_at: float | None = None
        self.given_up = False
        self.task: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """The attempt that is called for; 0 where nobody is called."""
        match self.step:
            case Deliver():
                return self.step.number
            case Ask():
                return self.step.attempt.number
            case _:
                return 0


class _OwnDatabaseAway(Exception):
    """The provider's book is in our database, which is away: nobody has said anything."""


class _FirstSeen:
    """When this process first knew of an attempt, by its monotonic clock.

    The database's clock may jump, and an attempt would look an hour old that was made a moment ago. An attempt is at least as
    old as this process has known it; one that another process made, or that was forgotten, counts as new.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[int, int], float] = {}

    def note(self, order_id: int, number: int) -> None:
        """Remember the attempt, where it is not known yet."""
        self._seen.setdefault((order_id, number), self._clock.monotonic())
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def age_s(self, order_id: int, number: int) -> float:
        """Return for how long the attempt has been known here."""
        now = self._clock.monotonic()
        return now - self._seen.get((order_id, number), now)

    def forget(self, order_id: int, number: int) -> None:
        self._seen.pop((order_id, number), None)


class Fulfilment:
    """One worker. Its health, for others: `in_hand`, `waiting`.

    `pressure` answers how many purchases wait to be placed in this process; while there are many, fewer orders are
    claimed at a time and less often, so that sales stay fast. `held` answers whether providers may be given nothing new now;
    they are still asked.
    """

    def __init__(
        self,
        store: FulfilmentStore,
        router: Router,
        clock: Clock,
        *,
        costs: Costs | None = None,
        policy: Policy | None = None,
        ears: Ears | None = None,
        pressure: Callable[[], int] | None = None,
        held: Callable[[], bool] | None = None,
        runtime: Runtime = NO_RUNTIME,
        concurrency: int = 600,
        batch: int = MAXIMUM_BATCH,
        poll_s: float = 0.25,
        pressure_from: int = 16,
        batch_under_pressure: int = 64,
        pause_under_pressure_s: float = 0.05,
        dice: random.Random | None = None,
    ) -> None:
        self._store = store
        self._router = router
        self._clock = clock
        self._costs: Costs = costs or (lambda _: {})
        self._policy = policy or Policy()
        self._ears = ears or Ears()
        self._pressure = pressure or (lambda: 0)
        self._held = held or (lambda: False)
        self._runtime = runtime
        self._concurrency = concurrency
        self._batch = min(batch, MAXIMUM_BATCH)
        self._poll_s = poll_s
        self._pressure_from = pressure_from
        self._batch_under_pressure = batch_under_pressure
        self._pause_under_pressure_s = pause_under_pressure_s
        # Only spreads the polls of many workers; no decision hangs on it.
        self._dice = dice or random.Random()  # noqa: S311
        self._lane: Lane[Item, Effect] = Lane(
            "settle",
            self._settle,
            maximum_waiting=4 * concurrency + 4096,
            runtime=replace(runtime, died=self._died),
        )
        self._hands: set[_Hand] = set()
        self._first_seen = _FirstSeen(clock)
        self._calls: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._full = False
        self._parked = 0
        self._look_past_full_at = 0.0
        self._look_at_providers_at = 0.0
        self._concurrencies: dict[str, int] = {}
        self._draining = False
        self._closing = False
        self._limit = log.LogLimit()

    @property
    def in_hand(self) -> int:
        """Orders that this worker has claimed and not settled."""
        return len(self._hands)

    @property
    def waiting(self) -> int:
        """Outcomes that wait to be settled."""
        return self._lane.depth

    def start(self) -> None:
        """Begin to work, in the running event loop."""
        self._lane.start()
        loop = asyncio.get_running_loop()
        for name, work in (
            ("claim", self._claim_for_ever()),
            ("renew", self._renew_for_ever()),
            ("clock", self._correct_clock_for_ever()),
        ):
            task = loop.create_task(work, name=f"fulfilment {name}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    def wake(self) -> None:
        """Claim at once: something has become due."""
        self._wake.set()

    async def drain(self, timeout_s: float) -> None:
        """Claim no more, give calls in flight up to `timeout_s`, settle, hand back what is left."""
        self._draining = True
        self._wake.set()
        deadline = self._clock.monotonic() + timeout_s
        claiming, renewing, correcting = self._tasks
        correcting.cancel()
        await asyncio.wait([claiming], timeout=timeout_s)
        claiming.cancel()
        while self._hands and (left_s := deadline - self._clock.monotonic()) > 0:
            self._idle.clear()
            timer = asyncio.get_running_loop().call_later(left_s, self._idle.set)
            await self._idle.wait()
            timer.cancel()
        # Calls that are cut off have left an attempt behind. Whoever finds it asks.
        left = {hand.claim.id for hand in self._hands}
        calls = [hand.task for hand in self._hands if hand.task is not None]
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
            pressed = self._pressure() >= self._pressure_from
            room = min(limit, self._room(), self._batch_under_pressure if pressed else self._batch)
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
                if claimed and (pressed or 2 * self._parked > claimed):
                    await self._clock.sleep(self._pause_under_pressure_s)
                elif claimed < room:
                    await self._pause()
                continue
            await self._clock.sleep(retry_s)
            retry_s = min(_LONGEST_RETRY_S, 2 * retry_s)

    def _room(self) -> int:
        """How many more orders this worker can take in hand."""
        now = self._clock.monotonic()
        if now >= self._look_at_providers_at:
            self._look_at_providers_at = now + _LOOK_AT_PROVIDERS_S
            self._concurrencies = {health.provider: health.concurrency for health in self._router.snapshot()}
        places = sum(max(0, limit - self._calls[name]) for name, limit in self._concurrencies.items())
        if places == 0 and now >= self._look_past_full_at:
            # Orders that nobody serves, or whose provider is no longer set up, must not wait behind a full one for ever.
            self._look_past_full_at = now + _LOOK_PAST_FULL_S
            places = _LOOK_PAST_FULL
        return min(self._concurrency - len(self._hands), places)

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
        places: list[Chosen | str] = []
        try:
            work = await self._store.claim(limit, self._policy.lease_s, partial(self._decide, places))
        except BaseException:
            for place in places:
                self._give_place_back(place)
            raise
        if not work:
            return 0
        self._ears.claimed(len(work))
        self._parked = 0
        deadline = before + self._policy.lease_s
        claimed_at = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        for claim, step in work:
            match step:
                case Deliver() | Ask():
                    hand = _Hand(claim, step, deadline, claimed_at)
                    self._first_seen.note(claim.id, hand.number)
                    self._hands.add(hand)
                    hand.task = loop.create_task(self._work(hand))
                case GiveUp():
                    hand = _Hand(claim, step, deadline, claimed_at)
                    self._hands.add(hand)
                    self._submit(hand, GivenUp(claim.id, claim.wallet_id, step.why))
                case Park():
                    self._parked += 1
                case Hesitate():
                    _log.error("order_needs_review", order=claim.id, why=step.why)
                case Presume():
                    _log.warning("attempt_may_be_lost", order=claim.id, provider=step.provider)
        return len(work)

    def _decide(self, places: list[Chosen | str], claims: Sequence[Claim]) -> list[Step]:
        """A step for each claimed order; the places that were taken for it are added to `places`."""
        return [self._decide_one(places, claim) for claim in claims]

    def _decide_one(self, places: list[Chosen | str], claim: Claim) -> Step:
        costs = self._costs(claim.product_id)
        step = next_step(
            claim, partial(self._choose, claim, costs, places), partial(_cost_of, claim, costs), self._policy
        )
        held = self._held()
        if held or claim.doubtful:
            sure, step = step, with_doubt(claim, step, held=held)
            if isinstance(sure, Deliver) and step is not sure:
                self._give_place_back(places.pop())
        if isinstance(step, Ask):
            name = step.attempt.provider
            provider = self._router.provider(name)
            if provider is not None and self._calls[name] >= provider.traits.concurrency:
                return Park(_FULL_S, State.WAITING, f"{name} has as many calls in flight as it takes")
            self._calls[name] += 1
            places.append(name)
        return step

    def _choose(
        self, claim: Claim, costs: Mapping[str, int | None], places: list[Chosen | str], excluded: frozenset[str]
    ) -> Choice:
        known = {name: cost for name, cost in costs.items() if cost is not None}
        if len(known) < len(costs):
            excluded |= costs.keys() - known.keys()
        choice = self._router.choose(Wanted(claim.country, claim.network, claim.mode is Mode.TEST, known, excluded))
        if not isinstance(choice, Chosen):
            return choice
        name = choice.provider.name
        if self._calls[name] >= choice.provider.traits.concurrency:
            # The router counts deliveries; with the questions that are in flight there is no place left.
            self._router.release(choice)
            return Later(_FULL_S, f"{name} has as many calls in flight as it takes")
        self._calls[name] += 1
        places.append(choice)
        return choice

    def _give_place_back(self, place: Chosen | str) -> None:
        """The place of a delivery, or of a question to the provider of this name."""
        if isinstance(place, Chosen):
            self._calls[place.provider.name] -= 1
            self._router.release(place)
        else:
            self._calls[place] -= 1

    # Calling ------------------------------------------------------------------------------------------------------------

    async def _work(self, hand: _Hand) -> None:
        """Make the call of one hand and hand on what was said."""
        try:
            word = await self._word(hand)
        except _OwnDatabaseAway:
            # The attempt is open, and is asked about when the lease has ended.
            self._let_go(hand)
        except Exception:
            # A bug. The attempt is still open, and is asked about when the lease has ended.
            _log.exception("call_failed", order=hand.claim.id)
            self._let_go(hand)
        else:
            self._submit(hand, word)

    async def _word(self, hand: _Hand) -> Word:
        step = hand.step
        if isinstance(step, Deliver):
            outcome = await self._deliver(hand, step)
            number, asked, age_s, settles_after_s = step.number, False, 0.0, 0.0
        elif isinstance(step, Ask):
            attempt = step.attempt
            number, asked = attempt.number, True
            # Counted from after the claim, so that it is never more than the attempt's true age now; and never more than what
            # our own clock has seen of it, since the database's may have jumped.
            age_s = min(
                (hand.claim.now - attempt.started_at).total_seconds() + self._clock.monotonic() - hand.claimed_at,
                self._first_seen.age_s(hand.claim.id, number),
            )
            outcome, settles_after_s = await self._ask(hand, step)
        else:
            raise InvariantBroken(f"order {hand.claim.id} needs no call")
        holds = not hand.given_up and self._clock.monotonic() < hand.deadline
        return Word(hand.claim.id, hand.claim.wallet_id, number, outcome, asked, age_s, settles_after_s, holds)

    async def _deliver(self, hand: _Hand, step: Deliver) -> Outcome:
        chosen = step.chosen
        if self._draining or self._clock.monotonic() > hand.deadline - self._policy.lease_margin_s:
            # Somebody else may have the order by now. Nothing was sent, and nothing will be.
            self._give_place_back(chosen)
            why = "the worker is stopping" if self._draining else "the lease was about to end"
            return NotSent(_NEVER_SENT.format(why))
        started = self._clock.monotonic()
        outcome: Outcome = Unknown("the worker was stopped")
        try:
            outcome = await self._call(hand, chosen.provider, "deliver", step.reference, step.cost)
        except _OwnDatabaseAway:
            # Not the provider's failure: its breaker stays as it is.
            self._router.release(chosen)
            raise
        finally:
            self._calls[chosen.provider.name] -= 1
            change = self._router.record(chosen, outcome, self._clock.monotonic() - started)
            if change is not None:
                self._ears.breaker(change.provider, change.after)
                tell = _log.error if change.ours_to_mend else _log.warning
                tell(
                    "breaker_moved", provider=change.provider, before=change.before, after=change.after, why=change.why
                )
        return outcome

    async def _ask(self, hand: _Hand, step: Ask) -> tuple[Outcome, float]:
        """What the provider says of the attempt, and from what age on it can be believed never to have heard of it."""
        attempt = step.attempt
        try:
            provider = self._router.provider(attempt.provider)
            if provider is None:
                return Unknown(f"{attempt.provider} is not set up here and cannot be asked"), 0.0
            cost = Money(attempt.cost_minor, hand.claim.price.currency)
            outcome = await self._call(hand, provider, "ask", attempt.reference, cost)
            return outcome, provider.traits.settles_after_s
        finally:
            self._calls[attempt.provider] -= 1

    async def _call(self, hand: _Hand, provider: Provider, verb: str, reference: str, cost: Money) -> Outcome:
        """One call with its time-out. Whatever is not an outcome, exceptions included, is Unknown.

        Raises _OwnDatabaseAway.
        """
        claim = hand.claim
        delivery = Delivery(
            reference=reference,
            kind=claim.kind,
            country=claim.country,
            network=claim.network,
            product=claim.product,
            size=claim.size,
            validity_days=claim.validity_days,
            subscriber=claim.subscriber,
            face_value=claim.face,
            cost=cost,
        )
        timeout_s = provider.traits.timeout_s
        started = self._clock.monotonic()
        hand.call_ends_at = started + timeout_s
        outcome: Any
        try:
            if verb == "deliver":
                await hit_async("attempt.after_write")
            async with asyncio.timeout(timeout_s):
                outcome = await (provider.deliver(delivery) if verb == "deliver" else provider.ask(delivery))
            if verb == "deliver":
                await hit_async("attempt.after_send")
                await hit_async("attempt.after_answer")
            if not isinstance(outcome, OUTCOMES):
                _log.error("provider_answered_no_outcome", provider=provider.name, verb=verb, order=claim.id)
                outcome = Unknown(f"not an outcome: {outcome!r}")
        except TimeoutError:
            outcome = Unknown(f"no answer within {timeout_s:g} s")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            outcome = Unknown("the provider's client was cancelled")
        except Exception as error:
            _log.exception("provider_raised", provider=provider.name, verb=verb, order=claim.id)
            outcome = Unknown(f"{type(error).__name__}: {error}")
        hand.call_ends_at = None
        self._ears.called(provider.name, verb, type(outcome).__name__.lower(), self._clock.monotonic() - started)
        if isinstance(outcome, Unknown) and outcome.ours:
            raise _OwnDatabaseAway
        return outcome  # type: ignore[no-any-return]

    # Settling -----------------------------------------------------------------------------------------------------------

    def _submit(self, hand: _Hand, item: Item) -> None:
        try:
            future = self._lane.submit(item)
        except Busy:
            # Only at the very end of a drain. The attempt stays open, so that it is asked about.
            self._let_go(hand)
            return
        future.add_done_callback(partial(self._settled, hand))

    def _settled(self, hand: _Hand, future: "asyncio.Future[Effect]") -> None:
        self._let_go(hand)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            effect = future.result()
            if effect is not Effect.ASK_LATER:
                self._first_seen.forget(hand.claim.id, hand.number)
            if effect is Effect.TRY_AGAIN:
                self._wake.set()
            elif effect is Effect.CONTRADICTED:
                _log.error("provider_contradicts_itself", order=hand.claim.id)
                self._ears.contradicted(hand.claim.id)
            elif effect is Effect.REVIEW:
                _log.warning("order_in_review", order=hand.claim.id)
        elif not isinstance(error, Busy):
            # A bug: the lane has tried it alone. The attempt is still open, and is asked about when the lease has ended.
            _log.error("outcome_not_settled", order=hand.claim.id, exc_info=error)

    def _let_go(self, hand: _Hand) -> None:
        self._hands.discard(hand)
        if self._full:
            self._wake.set()
        if self._draining:
            self._idle.set()

    async def _settle(self, items: list[Item]) -> Sequence[Effect | TelvendError]:
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

    # Leases -------------------------------------------------------------------------------------------------------------

    async def _renew_for_ever(self) -> None:
        lease_s = self._policy.lease_s
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(lease_s / 3)
            now = self._clock.monotonic()
            if now - before > lease_s:
                # This process was stopped, and its calls with it: their time-outs have not had a turn yet.
                continue
            held: dict[int, list[_Hand]] = {}
            for hand in list(self._hands):
                if hand.call_ends_at is not None and now > hand.call_ends_at + _DEAF_CALL_S and not hand.given_up:
                    self._give_call_up(hand)
                elif now < hand.deadline < now + lease_s * 2 / 3:
                    held.setdefault(hand.claim.id, []).append(hand)
            if not held:
                continue
            try:
                renewed = await self._store.renew(held.keys(), lease_s)
            except Busy:
                continue
            except Exception:
                _log.exception("leases_not_renewed", orders=len(held))
                continue
            for order_id in renewed:
                for hand in held[order_id]:
                    hand.deadline = now + lease_s

    async def _correct_clock_for_ever(self) -> None:
        while True:
            try:
                corrected = await self._store.correct_jumped_clock(_LEASES * self._policy.lease_s)
            except Busy:
                pass
            except Exception:
                _log.exception("jumped_clock_not_corrected")
            else:
                if corrected:
                    _log.warning("database_clock_jumped", orders=corrected)
                    self._wake.set()
            await self._clock.sleep(_CORRECT_CLOCK_S)

    def _give_call_up(self, hand: _Hand) -> None:
        """A call that has outlived its time-out, which it must have swallowed. Its order must not wait for it."""
        hand.given_up = True
        step, claim = hand.step, hand.claim
        _log.error("provider_ignores_its_timeout", order=claim.id)
        asked = isinstance(step, Ask)
        outcome = Unknown("no answer, and the call does not end")
        holds = self._clock.monotonic() < hand.deadline
        self._submit(hand, Word(claim.id, claim.wallet_id, hand.number, outcome, asked, 0.0, 0.0, holds))

    # Ends ---------------------------------------------------------------------------------------------------------------

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._died(error)

    def _died(self, error: BaseException) -> None:
        if not self._draining:
            _log.critical("fulfilment_died", exc_info=error)
            self._runtime.died(error)


def _cost_of(claim: Claim, costs: Mapping[str, int | None], provider: str) -> Money:
    minor = costs.get(provider)
    return claim.cost if minor is None else Money(minor, claim.cost.currency)
