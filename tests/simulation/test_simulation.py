"""Thousands of runs of the real worker against faulty providers, in virtual time; and proof that the checker can see.

    python -m pytest tests/simulation                                      2,000 seeds
    TELVEND_SEED=4711 python -m pytest tests/simulation -k every_seed      one seed again
    TELVEND_SEEDS=1000000 make soak                                        as many as there is time for

`world.py` says what happens in a run and what must hold.
"""

import asyncio
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from telvend.fulfilment import weighing
from telvend.fulfilment.calls import ProviderCalls
from telvend.fulfilment.in_flight import InFlightOrder
from telvend.fulfilment.model import (
    AttemptSnapshot,
    Deliver,
    Effect,
    FulfilmentPolicy,
    LockedOrder,
    ProviderReport,
)
from telvend.fulfilment.places import Places
from telvend.orders.model import AttemptState, OrderState
from telvend.providers.contract import Outcome
from tests.simulation import memory_store, rules_taken_away
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import Broken, World, run_seed

SEEDS = 2000
SOAK_SEEDS = 100_000
_CHUNK = 100

REPEAT = "repeat it with: TELVEND_SEED={} python -m pytest tests/simulation -k every_seed"


def _run_chunk(seeds: range) -> tuple[Counter[OrderState], list[tuple[int, str]]]:
    """How the orders of these seeds ended, and the seeds that broke."""
    ends: Counter[OrderState] = Counter()
    broken: list[tuple[int, str]] = []
    for seed in seeds:
        try:
            ends.update(row.state for row in run_seed(seed).store.orders.values())
        except Broken as error:
            broken.append((seed, str(error)[:1000]))
    return ends, broken


def _run_all(seeds: range) -> Counter[OrderState]:
    """Run them on every core. Fails with the first seeds that broke."""
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    ends: Counter[OrderState] = Counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for chunk_ends, broken in pool.map(_run_chunk, chunks):
            if broken:
                pool.shutdown(wait=False, cancel_futures=True)
                pytest.fail("\n".join(f"{text}\n{REPEAT.format(seed)}" for seed, text in broken[:3]))
            ends += chunk_ends
    return ends


def test_every_seed_is_safe_under_faults_and_comes_to_an_end_after_them() -> None:
    single = os.environ.get("TELVEND_SEED")
    if single is not None:
        run_seed(int(single))
        return
    ends = _run_all(range(int(os.environ.get("TELVEND_SEEDS", SEEDS))))
    # A simulation in which nothing happens proves nothing.
    assert ends.keys() == {OrderState.DELIVERED, OrderState.FAILED, OrderState.REVIEW}
    assert min(ends.values()) > sum(ends.values()) / 100


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_more_seeds_are_safe_and_come_to_an_end() -> None:
    _run_all(range(1_000_000, 1_000_000 + int(os.environ.get("TELVEND_SEEDS", SOAK_SEEDS))))


def test_a_seed_repeats_itself_exactly() -> None:
    first, second = run_seed(7), run_seed(7)
    assert list(first.store.orders.values()) == list(second.store.orders.values())
    assert first.loop.time() == second.loop.time()


def _run_until_broken(first: int = 0) -> None:
    for seed in range(first, first + 5000):
        run_seed(seed)


# Rules that are taken away: the checker has to see it ------------------------------------------------------------------


def _a_timer_turns_unknown_into_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_later = weighing._requery_later

    def impatient(
        case: LockedOrder, attempt: AttemptSnapshot, word: ProviderReport, outcome: Outcome, policy: FulfilmentPolicy
    ) -> Effect:
        if weighing.next_requery_s(attempt, outcome, policy) is not None:
            return ask_later(case, attempt, word, outcome, policy)
        attempt.state = AttemptState.REFUSED
        case.releases = True
        case.become(OrderState.FAILED)
        return Effect.FAILED

    monkeypatch.setattr(weighing, "_requery_later", impatient)
    monkeypatch.setattr(memory_store, "may_release", lambda _: True)


def _a_call_begins_after_the_lease_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = ProviderCalls._deliver

    async def careless(calls: ProviderCalls, order: InFlightOrder, step: Deliver) -> Outcome:
        order.deadline += 1e9
        return await deliver(calls, order, step)

    monkeypatch.setattr(ProviderCalls, "_deliver", careless)


def _the_last_word_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    def fickle(case: LockedOrder, attempt: AttemptSnapshot, outcome: Outcome) -> Effect:
        attempt.state = AttemptState.UNKNOWN
        return Effect.NOTHING

    monkeypatch.setattr(weighing, "_weigh_late", fickle)


SELDOM = {rules_taken_away.a_refused_resend_is_believed_at_once: 2800}
"""Rules that few seeds need, with a seed from which one that does is not far."""


@pytest.mark.parametrize(
    "mutation",
    [
        rules_taken_away.a_refused_resend_is_believed_at_once,
        rules_taken_away.any_reference_is_taken_for_a_key,
        rules_taken_away.unknown_is_taken_for_not_sent,
        rules_taken_away.never_heard_of_it_is_believed_at_once,
        _a_timer_turns_unknown_into_failed,
        rules_taken_away.an_attempt_that_a_dead_worker_left_is_bought_again,
        _a_call_begins_after_the_lease_has_ended,
        _the_last_word_wins,
    ],
)
def test_the_checker_notices_when(
    mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    with pytest.raises(Broken):
        _run_until_broken(SELDOM.get(mutation, 0))


def test_a_place_that_is_never_given_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Places, "release", lambda *_: None)
    with pytest.raises(Broken):
        _run_until_broken()


def test_time_jumps_to_the_next_timer_and_nobody_waits() -> None:
    loop = VirtualLoop()
    try:
        world = World(1, loop)
        loop.run_until_complete(world.clock.sleep(86_400))
        assert loop.time() == pytest.approx(86_400)
        assert (world.clock.now() - world.store._clock.now()).total_seconds() == 0
        with pytest.raises(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(asyncio.Event().wait(), 3600))
    finally:
        loop.close()
