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
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)
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
        self.questions: list[Delivery] = []
        self.asked = 0
        self._deliver = deliver

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.sent.append(delivery.reference)
        return await self._deliver(delivery)

    async def requery(self, delivery: Delivery) -> Outcome:
        self.asked += 1
        self.questions.append(delivery)
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
        assert [(asked.provider_reference, asked.rivals) for asked in stage.provider.questions[:1]] == [
            ("THEIRS-1", None)
        ]
        stage.provider.traits = replace(stage.provider.traits, requery_needs_rivals=True)
        await asyncio.sleep(10)
        assert (stage.provider.questions[-1].provider_reference, stage.provider.questions[-1].rivals) == ("THEIRS-1", 0)
        stage.store.cannot_count = True
        await asyncio.sleep(60)
        assert stage.provider.questions[-1].rivals is None

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


# Sending again under the same reference ------------------------------------------------------------------------------------

KEY = ProviderTraits(timeout_s=3.0, settles_after_s=60.0, reference_is_key=True)
REFERENCE = "NPAPI-1-abcdef-1"


def _one_after_the_other(*answers: Outcome | None) -> Deliver:
    """Say these in turn, the last one for ever; None is silence."""
    left = list(answers)

    async def say(delivery: Delivery) -> Outcome:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return await silence(delivery) if answer is None else answer

    return say


def _keyed(*answers: Outcome | None, **settings: Any) -> Stage:
    stage = Stage(_one_after_the_other(*answers), **settings)
    stage.provider.traits = KEY
    stage.provider.truth = NotSent("never heard of it")
    return stage


def test_what_never_arrived_is_sent_again_under_its_reference_at_once_where_that_is_a_key(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = _keyed(None, Delivered())
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(10)
        assert (row.state, [attempt.state for attempt in row.attempts]) == (
            OrderState.DELIVERED,
            [AttemptState.DELIVERED],
        )
        assert (stage.provider.sent, row.attempts[0].resent) == ([REFERENCE] * 2, 1)

    loop.run_until_complete(play())


def test_an_attempt_whose_reference_was_closed_is_made_again_at_once_under_another_one(loop: VirtualLoop) -> None:
    async def play(*, closed: bool) -> tuple[OrderState, list[AttemptState], int]:
        stage = Stage(_one_after_the_other(None, Delivered()))
        stage.provider.truth = NotSent("cancelled before it was confirmed", closed=closed)
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(20)
        assert stage.provider.asked > 0
        return row.state, [attempt.state for attempt in row.attempts], len(set(stage.provider.sent))

    assert loop.run_until_complete(play(closed=True)) == (
        OrderState.DELIVERED,
        [AttemptState.NOT_SENT, AttemptState.DELIVERED],
        2,
    )
    assert loop.run_until_complete(play(closed=False)) == (OrderState.WAITING, [AttemptState.UNKNOWN], 1)


def test_a_refused_resend_gives_nothing_back_while_the_first_request_may_arrive(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = _keyed(None, Refused(Reason.NO_FLOAT), Refused(Reason.BAD_NUMBER))
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(55)
        # Each was refused, and leaves the reference free: the first one would still deliver.
        assert (row.state, [attempt.state for attempt in row.attempts]) == (
            OrderState.WAITING,
            [AttemptState.UNKNOWN],
        )
        assert len(stage.provider.sent) > 2
        stage.provider.truth = Delivered()
        await asyncio.sleep(60)
        assert row.state is OrderState.DELIVERED
        assert len(stage.provider.sent) <= 1 + FulfilmentPolicy().maximum_resends

    loop.run_until_complete(play())


def test_a_refusal_that_a_requery_finds_counts_at_once_also_after_a_resend(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = _keyed(None)
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(12)
        assert row.attempts[0].resent == 1
        stage.provider.truth = Refused(Reason.BAD_NUMBER)
        await asyncio.sleep(20)
        assert row.state is OrderState.FAILED

    loop.run_until_complete(play())


def test_after_the_last_resend_never_heard_of_it_counts_only_when_that_one_cannot_arrive_any_more(
    loop: VirtualLoop,
) -> None:
    async def play() -> None:
        stage = _keyed(None)
        row = stage.place()
        stage.worker.start()
        last = 0.0
        while row.attempts == [] or row.attempts[0].state.open:
            await asyncio.sleep(1)
            if len(stage.provider.sent) < 4:
                last = loop.time()
            assert loop.time() < 400
        assert stage.provider.sent[:4] == [REFERENCE] * 4
        assert row.attempts[0].state is AttemptState.NOT_SENT
        assert loop.time() - last >= 60

    loop.run_until_complete(play())


def test_a_worker_that_finds_a_resend_of_another_one_waits_for_it_too(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = _keyed(None)
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(4)
        other = Fulfilment(
            stage.store, Router([stage.provider], stage.clock), stage.clock, policy=FulfilmentPolicy(), poll_s=1.0
        )
        other.start()
        await asyncio.sleep(100)
        # Both know the attempt for longer than it takes to settle. One of them has just sent it for the last time.
        row.attempts[0].resent = FulfilmentPolicy().maximum_resends + 1
        row.due_at = stage.clock.now()
        await asyncio.sleep(50)
        assert row.attempts[0].state is AttemptState.UNKNOWN
        await asyncio.sleep(100)
        assert row.attempts[0].state is AttemptState.NOT_SENT

    loop.run_until_complete(play())


@pytest.mark.parametrize("case", ["no key", "accepted", "doubtful", "held", "stopping"])
def test_nothing_is_sent_again_where_that_could_deliver_twice_or_may_not_be_sent(loop: VirtualLoop, case: str) -> None:
    async def play() -> None:
        held = False
        stage = _keyed(Accepted() if case == "accepted" else None, held=lambda: held)
        if case == "no key":
            stage.provider.traits = ProviderTraits(timeout_s=3.0, settles_after_s=60.0)
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(1)
        held = case == "held"
        if case == "doubtful":
            claim_of = stage.store._claim_of

            def doubtful(row: Row, now: Any) -> Any:
                claim = claim_of(row, now)
                claim.doubtful = True
                return claim

            stage.store._claim_of = doubtful  # type: ignore[method-assign]
        if case == "stopping":
            stage.worker._calls.stop()
        await asyncio.sleep(40)
        assert (stage.provider.sent, row.attempts[0].resent) == ([REFERENCE], 0)
        assert stage.provider.asked > 0

    loop.run_until_complete(play())


# Too soon for the number -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
def test_orders_for_one_number_wait_for_one_another_where_the_provider_takes_one_in_thirty_seconds(
    loop: VirtualLoop, processes: int
) -> None:
    served: list[float] = []

    async def strict(_: Delivery) -> Outcome:
        if served and loop.time() - served[-1] < 30:
            return Refused(Reason.TOO_SOON, "likely a duplicate")
        served.append(loop.time())
        return Delivered()

    async def play() -> None:
        stage = Stage(strict)
        stage.provider.traits = ProviderTraits(timeout_s=3.0, settles_after_s=60.0, repeat_guard_s=30.0)
        rows = [stage.place() for _ in range(4)]
        stage.worker.start()
        for _ in range(processes - 1):
            Fulfilment(
                stage.store,
                Router([stage.provider], stage.clock),
                stage.clock,
                policy=FulfilmentPolicy(),
                poll_s=0.1,
                concurrency=1,
            ).start()
        await asyncio.sleep(120 if processes == 1 else 1200)
        assert {row.state for row in rows} == {OrderState.DELIVERED}
        assert len(served) == 4
        if processes == 1:
            assert len(stage.provider.sent) == 4

    loop.run_until_complete(play())


def test_orders_of_the_only_provider_wait_while_it_is_down_and_are_all_delivered_afterwards(loop: VirtualLoop) -> None:
    async def play() -> None:
        stage = Stage(_always(NotSent("connection refused")))
        row = stage.place()
        stage.worker.start()
        while stage.router.snapshot()[0].state is BreakerState.CLOSED:
            stage.place()
            await asyncio.sleep(1)
        waiting = [stage.place() for _ in range(40)]
        sent = len(stage.provider.sent)
        await asyncio.sleep(60)
        # Probed every five seconds, each time with an order that had its turn.
        assert 8 <= len(stage.provider.sent) - sent <= 13
        assert row.state is not OrderState.DELIVERED
        stage.provider._deliver = at_once
        await asyncio.sleep(20)
        assert OrderState.WAITING not in {row.state for row in waiting}
        assert sum(row.state is OrderState.DELIVERED for row in waiting) >= 35

    loop.run_until_complete(play())


# A provider in this process ----------------------------------------------------------------------------------------------


class Together(Scripted):
    """A provider that is called once for what begins together. `answers` makes its answers."""

    def __init__(self, answers: Any) -> None:
        super().__init__(at_once)
        self.answers = answers
        self.batches: list[int] = []

    async def deliver_all(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        self.batches.append(len(deliveries))
        answers: Sequence[Outcome] = await self.answers(deliveries)
        return answers


def _together(answers: Any, **settings: Any) -> Stage:
    stage = Stage(at_once)
    stage.provider = Together(answers)
    stage.router = Router([stage.provider], stage.clock)
    stage.worker = Fulfilment(stage.store, stage.router, stage.clock, policy=FulfilmentPolicy(), poll_s=1.0, **settings)
    return stage


def test_a_provider_in_this_process_is_called_once_and_each_order_gets_its_own_outcome(loop: VirtualLoop) -> None:
    async def mixed(deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        return [(Delivered(), Refused(Reason.BARRED), Unknown())[place % 3] for place in range(len(deliveries))]

    async def play() -> None:
        stage = _together(mixed)
        rows = [stage.place() for _ in range(6)]
        stage.worker.start()
        await asyncio.sleep(0.1)
        assert stage.provider.batches == [6]
        assert [row.state for row in rows] == [OrderState.DELIVERED, OrderState.FAILED, OrderState.WAITING] * 2
        assert not stage.worker.in_hand
        assert not stage.router.snapshot()[0].in_flight

    loop.run_until_complete(play())


async def _raises(_: Sequence[Delivery]) -> Sequence[Outcome]:
    raise ZeroDivisionError


async def _forgets(deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
    return [Delivered() for _ in deliveries][1:]


async def _sleeps(_: Sequence[Delivery]) -> Sequence[Outcome]:
    await asyncio.sleep(1e9)
    return []


@pytest.mark.parametrize("answers", [_raises, _forgets, _sleeps])
def test_what_a_provider_in_this_process_does_not_say_of_all_is_unknown_of_all(loop: VirtualLoop, answers: Any) -> None:
    async def play() -> None:
        stage = _together(answers)
        rows = [stage.place() for _ in range(3)]
        stage.worker.start()
        await asyncio.sleep(stage.provider.traits.timeout_s + 0.5)
        assert [row.attempts[0].state for row in rows] == [AttemptState.UNKNOWN] * 3
        assert not stage.router.snapshot()[0].in_flight

    loop.run_until_complete(play())


def test_where_our_own_database_was_away_nothing_is_said_and_the_attempts_are_asked_about(loop: VirtualLoop) -> None:
    async def away(deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        return [Unknown("busy", ours=True) for _ in deliveries]

    async def play() -> None:
        stage = _together(away)
        row = stage.place()
        stage.worker.start()
        await asyncio.sleep(1)
        assert [attempt.state for attempt in row.attempts] == [AttemptState.STARTED]
        assert not stage.worker.in_hand
        assert not stage.router.snapshot()[0].in_flight

    loop.run_until_complete(play())


def test_sales_wait_a_moment_at_most_while_deliveries_wait_for_our_own_database(loop: VirtualLoop) -> None:
    gate = asyncio.Event()

    async def hold(deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        await gate.wait()
        return [Delivered() for _ in deliveries]

    async def paced(stage: Stage) -> float:
        began = asyncio.get_running_loop().time()
        await stage.worker.keep_pace()
        return asyncio.get_running_loop().time() - began

    async def play() -> None:
        stage = _together(hold, pace_from=3)
        for _ in range(3):
            stage.place()
        assert await paced(stage) == 0
        stage.worker.start()
        await asyncio.sleep(0.1)
        assert await paced(stage) == pytest.approx(0.05)
        waiting = asyncio.create_task(paced(stage))
        await asyncio.sleep(0.02)
        gate.set()
        assert await waiting == pytest.approx(0.02, abs=0.01)
        assert await paced(stage) == 0

    async def slow(_: Delivery) -> Outcome:
        await gate.wait()
        return Delivered()

    async def play_elsewhere() -> None:
        # A provider elsewhere that is slow is no reason to sell less.
        stage = Stage(slow, pace_from=3)
        for _ in range(3):
            stage.place()
        stage.worker.start()
        await asyncio.sleep(0.1)
        assert await paced(stage) == 0

    loop.run_until_complete(play())
    gate.clear()
    loop.run_until_complete(play_elsewhere())
