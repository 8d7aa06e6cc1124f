"""Single situations of the worker in virtual time, where the runs with many faults would be too crowded to see them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from telvend.catalog.model import ProductOffers
from telvend.errors import Busy
from telvend.fulfilment import leases
from telvend.fulfilment.model import Effect, FulfilmentPolicy
from telvend.fulfilment.routing import BreakerState, Router, Rule
from telvend.fulfilment.worker import Fulfilment
from telvend.kit.money import GHS, Money
from telvend.orders.model import AttemptState, OrderState
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, Outcome, ProviderTraits, Unknown
from tests.simulation.memory_store import MemoryStore, Row
from tests.simulation.virtual_time import DatabaseClock, VirtualClock, VirtualLoop

Deliver = Callable[[Delivery], Awaitable[Outcome]]


class Scripted:
    """A provider that does what a test says; `requery` tells `truth`."""

    def __init__(self, deliver: Deliver, *, concurrency: int = 64) -> None:
        self.name = "scripted"
        self.traits = ProviderTraits(timeout_s=3.0, settles_after_s=60.0, concurrency=concurrency)
        self.truth: Outcome = Delivered()
        self.sent: list[str] = []
        self.asked: list[Delivery] = []
        self._deliver = deliver

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.sent.append(delivery.reference)
        return await self._deliver(delivery)

    async def requery(self, delivery: Delivery) -> Outcome:
        self.asked.append(delivery)
        return self.truth

    async def close(self) -> None:
        pass


class Away(MemoryStore):
    """A store that can be away."""

    away = False
    cannot_count = False

    async def rivals(self, order_id: int, number: int) -> int:
        if self.cannot_count:
            raise Busy
        return await super().rivals(order_id, number)

    async def settle(self, items: Any) -> Sequence[Effect | Exception]:
        if self.away:
            raise Busy
        return await super().settle(items)


class Stage:
    """A worker, a provider, a store."""

    def __init__(self, deliver: Deliver, *, rule: Rule | None = None, **settings: Any) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.database_clock = DatabaseClock(asyncio.get_running_loop())
        self.provider = Scripted(deliver)
        self.store = Away(self.database_clock, FulfilmentPolicy(), Money(10_000, GHS))
        self.router = Router([self.provider], self.clock, rules={"scripted": rule} if rule else None)
        self.worker = Fulfilment(self.store, self.router, self.clock, policy=FulfilmentPolicy(), poll_s=1.0, **settings)

    def place(self) -> Row:
        return self.store.place(len(self.store.orders) + 1, Money(100, GHS), Money(80, GHS))


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    for task in asyncio.all_tasks(made):
        task.cancel()
    made.run_until_complete(asyncio.sleep(0))
    made.close()


async def at_once(_: Delivery) -> Outcome:
    return Delivered()


def _always(outcome: Outcome) -> Deliver:
    async def say(_: Delivery) -> Outcome:
        return outcome

    return say


async def silence(_: Delivery) -> Outcome:
    await asyncio.sleep(1e9)
    return Delivered()


def test_a_fresh_order_starts_when_the_worker_is_woken(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = Stage(at_once)
        stage.worker.start()
        await asyncio.sleep(0.1)
        row = stage.place()
        stage.worker.wake()
        await asyncio.sleep(0.01)
        assert row.state is OrderState.DELIVERED

    loop.run_until_complete(play())


def test_a_question_carries_the_providers_own_reference_and_the_number_of_rivals(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = Stage(_always(Accepted("THEIRS-1")))
        stage.provider.truth = Accepted("THEIRS-1")
        stage.worker.start()
        stage.place()
        await asyncio.sleep(4)
        assert [(asked.provider_reference, asked.rivals) for asked in stage.provider.asked[:1]] == [("THEIRS-1", None)]
        stage.provider.traits = replace(stage.provider.traits, requery_needs_rivals=True)
        await asyncio.sleep(10)
        assert (stage.provider.asked[-1].provider_reference, stage.provider.asked[-1].rivals) == ("THEIRS-1", 0)
        stage.store.cannot_count = True
        await asyncio.sleep(60)
        assert stage.provider.asked[-1].rivals is None

    loop.run_until_complete(play())


def test_a_call_that_swallows_its_timeout_does_not_hold_its_order(loop: VirtualLoop) -> None:
    async def deaf(_: Delivery) -> Outcome:
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                continue
            return NotSent("much too late")

    async def play() -> None:
        stage = Stage(deaf)
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(25)
        # Asked about meanwhile, and delivered; what the call says in the end changes nothing.
        assert row.state is OrderState.DELIVERED
        assert stage.provider.sent == ["NPAPI-1-abcdef-1"]
        await asyncio.sleep(2000)
        assert (row.state, row.attempts[0].state) == (OrderState.DELIVERED, AttemptState.DELIVERED)
        assert stage.worker.in_hand == 0

    loop.run_until_complete(play())


def test_what_escapes_a_provider_and_what_is_no_outcome_is_unknown(loop: VirtualLoop) -> None:
    async def raises(_: Delivery) -> Outcome:
        raise RuntimeError("bug")

    async def cancels_itself(_: Delivery) -> Outcome:
        raise asyncio.CancelledError

    async def nonsense(_: Delivery) -> Any:
        return "OK"

    async def play() -> None:
        for deliver in (raises, cancels_itself, nonsense, silence):
            stage = Stage(deliver)
            row = stage.place()
            stage.provider.truth = Unknown()
            stage.worker.start()
            await asyncio.sleep(4)
            assert (row.state, row.attempts[0].state) == (OrderState.WAITING, AttemptState.UNKNOWN)
            await stage.worker.drain(1)

    loop.run_until_complete(play())


def test_outcomes_are_kept_while_the_database_is_away_and_nothing_is_bought_twice(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = Stage(at_once)
        rows = [stage.place() for _ in range(3)]
        stage.store.away = True
        stage.worker.start()
        await asyncio.sleep(120)
        assert {row.state for row in rows} == {OrderState.DELIVERING}
        stage.store.away = False
        await asyncio.sleep(3)
        assert {row.state for row in rows} == {OrderState.DELIVERED}
        assert len(stage.provider.sent) == 3

    loop.run_until_complete(play())


def test_a_provider_whose_book_is_away_with_our_database_is_asked_again_at_once_and_not_blamed(
    loop: VirtualLoop,
) -> None:
    async def out_of_reach(_: Delivery) -> Outcome:
        return Unknown("its book is out of reach", ours=True)

    async def play() -> None:
        stage = Stage(out_of_reach)
        rows = [stage.place() for _ in range(30)]
        stage.provider.truth = Unknown("its book is out of reach", ours=True)
        stage.worker.start()
        await asyncio.sleep(300)
        assert {(row.attempts[0].state, row.attempts[0].asked) for row in rows} == {(AttemptState.STARTED, 0)}
        assert {health.state for health in stage.router.snapshot()} == {BreakerState.CLOSED}
        stage.provider.truth = Delivered()
        await asyncio.sleep(8)
        assert {row.state for row in rows} == {OrderState.DELIVERED}
        assert len(stage.provider.sent) == 30

    loop.run_until_complete(play())


def test_a_drain_waits_for_calls_and_hands_back_what_does_not_end(loop: VirtualLoop) -> None:
    async def some(delivery: Delivery) -> Outcome:
        await asyncio.sleep(2 if delivery.reference.startswith("NPAPI-1-") else 1e9)
        return Delivered()

    async def play() -> None:
        stage = Stage(some)
        stage.provider.traits = ProviderTraits(timeout_s=60, settles_after_s=300)
        first, second = stage.place(), stage.place()
        stage.worker.start()
        await asyncio.sleep(0.5)
        late = stage.place()
        await stage.worker.drain(5)
        assert loop.time() == pytest.approx(5.5, abs=0.1)
        assert (first.state, second.state, late.state) == (
            OrderState.DELIVERED,
            OrderState.DELIVERING,
            OrderState.ACCEPTED,
        )
        assert second.due_at is not None
        assert second.due_at <= stage.clock.now()
        # The next worker asks about it, and does not buy it again.
        successor = Fulfilment(
            stage.store, Router([stage.provider], stage.clock), stage.clock, policy=FulfilmentPolicy()
        )
        successor.start()
        await asyncio.sleep(1)
        assert second.state is OrderState.DELIVERED
        assert len([reference for reference in stage.provider.sent if reference.startswith("NPAPI-2-")]) == 1

    loop.run_until_complete(play())


def test_a_lease_is_renewed_while_its_call_takes_long(loop: VirtualLoop) -> None:
    async def slow(_: Delivery) -> Outcome:
        await asyncio.sleep(40)
        return Delivered()

    async def play() -> None:
        stage = Stage(slow)
        stage.provider.traits = ProviderTraits(timeout_s=60, settles_after_s=300)
        stage.provider.truth = Unknown("somebody asked")
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(41)
        assert (row.state, row.attempts[0].asked) == (OrderState.DELIVERED, 0)

    loop.run_until_complete(play())


def test_no_more_calls_are_in_flight_than_a_provider_takes_and_the_backlog_is_worked_off(loop: VirtualLoop) -> None:
    in_flight, most = 0, 0

    async def count(_: Delivery) -> Outcome:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(1)
        in_flight -= 1
        return Delivered()

    async def play() -> None:
        stage = Stage(count, rule=Rule(concurrency=4))
        rows = [stage.place() for _ in range(40)]
        stage.worker.start()
        await asyncio.sleep(16)
        assert most == 4
        assert {row.state for row in rows} == {OrderState.DELIVERED}

    loop.run_until_complete(play())


def test_under_pressure_fewer_are_claimed_at_a_time(loop: VirtualLoop) -> None:
    async def play() -> None:
        sizes: list[int] = []

        class Counting(Away):
            def claim(self, limit: int, lease_s: float) -> Any:
                sizes.append(limit)
                return super().claim(limit, lease_s)

        stage = Stage(at_once, pressure=lambda: 100, batch_under_pressure=5)
        stage.worker._store = Counting(stage.clock, FulfilmentPolicy(), Money(10_000, GHS))
        stage.worker.start()
        await asyncio.sleep(3)
        assert set(sizes) == {5}

    loop.run_until_complete(play())


def test_never_heard_of_it_is_not_believed_earlier_because_the_databases_clock_jumped(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = Stage(silence)
        stage.provider.truth = NotSent("never heard of it")
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(4)
        # An hour ahead: by the database's clock the attempt is old enough.
        row.attempts[0].started_at -= timedelta(hours=1)
        await asyncio.sleep(40)
        assert [attempt.state for attempt in row.attempts] == [AttemptState.UNKNOWN]
        # A worker that has known it for no time believes no more of it.
        stranger = Fulfilment(
            stage.store, Router([stage.provider], stage.clock), stage.clock, policy=FulfilmentPolicy(), poll_s=1.0
        )
        await stage.worker.drain(1)
        stranger.start()
        await asyncio.sleep(30)
        assert len(row.attempts) == 1
        await asyncio.sleep(120)
        assert row.attempts[0].state is AttemptState.NOT_SENT
        assert len(row.attempts) > 1

    loop.run_until_complete(play())


@pytest.mark.parametrize("successor", [False, True])
def test_steps_of_the_schedule_that_a_jumping_clock_used_up_are_not_missed_afterwards(
    loop: VirtualLoop, successor: bool
) -> None:
    async def play() -> None:
        stage = Stage(at_once)
        unknown = Unknown("nobody knows")
        stage.provider.deliver = stage.provider.requery = _always(unknown)  # type: ignore[method-assign]
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(2)
        if successor:
            # Another process does not know when the attempt began; the database does.
            await stage.worker.drain(1)
            Fulfilment(
                stage.store, Router([stage.provider], stage.clock), stage.clock, policy=FulfilmentPolicy(), poll_s=1.0
            ).start()
        await asyncio.sleep(6)
        # Each time the clock is ahead whatever waits is due, and is asked about; a few seconds later it is back.
        for turn in range(5):
            await asyncio.sleep(4)
            stage.database_clock.ahead = timedelta(hours=1 + turn)
            await asyncio.sleep(4)
            stage.database_clock.ahead = timedelta()
        asked = row.attempts[0].asked
        assert asked >= 6
        # 48 s old. By the count of questions the next one would come after 15 minutes.
        await asyncio.sleep(65)
        assert row.attempts[0].asked == asked + 1
        stage.provider.requery = _always(Delivered())  # type: ignore[method-assign]
        await asyncio.sleep(145)
        assert row.state is OrderState.DELIVERED

    loop.run_until_complete(play())


@pytest.mark.parametrize("jump", [timedelta(minutes=-10), timedelta(hours=-1)])
def test_when_the_databases_clock_goes_back_for_good_nothing_waits_longer_than_its_step(
    loop: VirtualLoop, jump: timedelta
) -> None:
    async def play() -> None:
        stage = Stage(silence)
        stage.provider.truth = Unknown("nobody knows")
        asked_about = stage.place()
        stage.worker.start()
        await asyncio.sleep(30)
        assert (asked_about.state, asked_about.attempts[0].asked) == (OrderState.WAITING, 2)
        stage.database_clock.ahead = jump
        stage.provider.truth = Delivered()
        # The clock is compared every ten seconds; the step was 45 s.
        await asyncio.sleep(65)
        assert asked_about.state is OrderState.DELIVERED

    loop.run_until_complete(play())


def test_never_heard_of_it_is_believed_no_later_because_the_databases_clock_went_back(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = Stage(silence)
        stage.provider.truth = NotSent("never heard of it")
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(4)
        stage.database_clock.ahead = timedelta(minutes=-10)
        # It is believed after 60 s: `settles_after_s`.
        await asyncio.sleep(90)
        assert row.attempts[0].state is AttemptState.NOT_SENT

    loop.run_until_complete(play())


def test_a_call_is_not_given_up_because_the_whole_process_was_stopped(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(leases._log, "error", lambda event, **_: said.append(event), raising=False)

    async def slow(_: Delivery) -> Outcome:
        await asyncio.sleep(2)
        return Delivered()

    async def play() -> None:
        stage = Stage(slow)
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(0.5)
        # The clock goes on while nothing of this process does.
        loop.stand_still(60)
        await asyncio.sleep(10)
        assert row.state is OrderState.DELIVERED
        assert said == []

    loop.run_until_complete(play())


def test_a_provider_is_asked_about_exactly_what_it_was_sent(loop: VirtualLoop) -> None:
    asked: list[Delivery] = []

    class Heard(Scripted):
        async def requery(self, delivery: Delivery) -> Outcome:
            asked.append(delivery)
            return Unknown("still nothing") if len(asked) < 3 else Delivered()

    async def play() -> None:
        sent: list[Delivery] = []

        async def lost(delivery: Delivery) -> Outcome:
            sent.append(delivery)
            return Unknown("no answer")

        offers = [
            ProductOffers(codes={"scripted": "mtn-1gb", "another": "x"}, type="SME", fixed_minor={"scripted": 70})
        ]
        stage = Stage(lost, offers=lambda _: offers[-1])
        stage.provider.__class__ = Heard
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(3)
        # Their code, the type and the cost are others by now; the clock goes on.
        offers.append(ProductOffers(codes={"scripted": "mtn-1gb-new"}, type="Direct", fixed_minor={"scripted": 10}))
        await asyncio.sleep(200)
        assert row.state is OrderState.DELIVERED
        (first,) = sent
        assert (first.provider_code, first.type, first.cost) == ("mtn-1gb", "SME", Money(70, GHS))
        assert first.started_at == row.attempts[0].started_at
        assert asked == [first] * 3

    loop.run_until_complete(play())
