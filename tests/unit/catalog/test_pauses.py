"""When a network is paused, tried and resumed: the rules alone, with what several processes have seen in any order."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.catalog.model import CatalogueSnapshot, Network, Product
from telvend.catalog.pauses.model import (
    BY_ITSELF,
    JudgedNetwork,
    NetworkPause,
    PausePolicy,
    StepKind,
    Streak,
    banner,
    is_failing,
    judge,
    reason_of,
)
from telvend.kit.money import GHS, Money

POLICY = PausePolicy(after_s=600, attempts=5, retry_s=300, retry_sales=3)
GAP_S = 600.0


@dataclass(frozen=True)
class Event:
    at: float
    process: int
    delivered: bool


EVENTS = st.lists(
    st.builds(
        Event,
        at=st.integers(0, 3000).map(float),
        process=st.integers(0, 2),
        # Few deliveries: else hardly any streak is long enough.
        delivered=st.integers(0, 12).map(lambda number: number == 0),
    ),
    max_size=60,
).map(lambda events: sorted(events, key=lambda event: event.at))


def seen_by_all(events: list[Event], report_every: int) -> Streak:
    """What the database has when three processes have reported everything, each after so many events of its own."""
    everything = Streak()
    own = dict.fromkeys(range(3), Streak())
    count = dict.fromkeys(range(3), 0)
    for event in events:
        streak = own[event.process]
        own[event.process] = streak.worked(event.at) if event.delivered else streak.failed(event.at, "failed")
        count[event.process] += 1
        if count[event.process] % report_every == event.process % report_every:
            everything = everything.merged(own[event.process], GAP_S)
            own[event.process] = Streak()
    for streak in own.values():
        everything = everything.merged(streak, GAP_S)
    return everything


@given(EVENTS, st.integers(1, 5))
def test_a_network_that_has_delivered_is_not_paused_whoever_saw_it(events: list[Event], report_every: int) -> None:
    streak = seen_by_all(events, report_every)
    if not is_failing(streak, streak.last, POLICY):
        return
    of_streak = [event for event in events if streak.since <= event.at <= streak.last]
    assert not any(event.delivered for event in of_streak)
    assert len(of_streak) >= streak.failures >= POLICY.attempts
    assert streak.last - streak.since >= POLICY.after_s


@given(EVENTS)
def test_one_process_that_reports_each_attempt_pauses_exactly_what_the_rule_says(events: list[Event]) -> None:
    """The rule told once more, from all events: since the last delivery, and since the last silence longer than the gap."""
    streak = Streak()
    for event in events:
        one = Streak().worked(event.at) if event.delivered else Streak().failed(event.at, "failed")
        streak = streak.merged(one, GAP_S)
    failed: list[float] = []
    for event in events:
        if event.delivered or (failed and event.at - failed[-1] > GAP_S):
            failed = []
        # A failure in the moment of a delivery is from before it, for all that is known.
        if not event.delivered and not any(other.delivered and other.at >= event.at for other in events):
            failed.append(event.at)
    expected = len(failed) >= POLICY.attempts and failed[-1] - failed[0] >= POLICY.after_s
    assert is_failing(streak, streak.last, POLICY) == expected


@given(EVENTS, st.floats(-1e6, 1e6))
def test_another_clock_changes_nothing(events: list[Event], by: float) -> None:
    streak = seen_by_all(events, 2)
    assert streak.shifted(by).failures == streak.failures
    assert streak.shifted(by).shifted(-by).since == pytest.approx(streak.since, abs=1e-3)


def failing(failures: int = 5, since: float = 0.0, last: float = 600.0) -> Streak:
    return Streak(failures, since, last, "did not reach the provider at x")


@pytest.mark.parametrize(
    ("streak", "now", "policy", "due"),
    [
        (failing(), 600, POLICY, True),
        (failing(failures=4), 600, POLICY, False),
        (failing(last=599.9), 600, POLICY, False),
        (failing(), 1200, POLICY, True),
        # Old news: nobody has tried since.
        (failing(), 1200.1, POLICY, False),
        (failing(), 600, PausePolicy(), False),
        (Streak(delivered=600.0), 600, POLICY, False),
    ],
)
def test_when_a_network_is_paused(streak: Streak, now: float, policy: PausePolicy, due: bool) -> None:
    assert is_failing(streak, now, policy) is due


def test_a_delivery_of_an_attempt_from_before_the_first_failure_ends_no_streak() -> None:
    streak = Streak().failed(100, "failed").failed(200, "failed")
    assert streak.worked(99).failures == 2
    assert streak.worked(100).failures == 0
    assert streak.worked(150).failures == 0
    assert streak.worked(99).delivered == 99


def test_failures_after_a_long_silence_begin_a_new_streak() -> None:
    before, after = failing(last=100), failing(since=701, last=800)
    assert before.merged(after, GAP_S) == after
    assert after.merged(before, GAP_S) == after
    assert before.merged(replace(after, since=700), GAP_S).failures == 10


def test_a_clock_that_was_set_back_leaves_no_delivery_in_the_future() -> None:
    before = Streak(delivered=5000.0)
    after = before.not_after(1000.0).merged(Streak().failed(1001.0, "failed"), GAP_S)
    assert (after.failures, after.delivered) == (1, 1000.0)
    assert before.not_after(5000.0) == before


PAUSE = NetworkPause(
    1, 5, True, "nothing delivered", BY_ITSELF, datetime.fromtimestamp(600, UTC), datetime.fromtimestamp(900, UTC)
)


@pytest.mark.parametrize(
    ("network", "now", "kind"),
    [
        ({"pause": None}, 600, StepKind.PAUSED),
        ({"pause": None, "on_sale": False}, 600, None),
        ({"pause": None, "streak": Streak()}, 600, None),
        ({}, 899, None),
        ({}, 900, StepKind.TRIAL),
        # The clock was set back by an hour.
        ({}, -3000, StepKind.TRIAL),
        ({"pause": replace(PAUSE, retry_at=None, trial=1, trial_left=3)}, 5000, None),
        ({"pause": replace(PAUSE, retry_at=None, trial=1)}, 901, StepKind.TRIAL_OVER),
        ({"streak": Streak(delivered=700.0)}, 701, StepKind.RESUMED),
        ({"streak": Streak(delivered=700.0), "pause": replace(PAUSE, retry_at=None, trial_left=1)}, 701, StepKind.RESUMED),
        # What a person has paused.
        ({"pause": replace(PAUSE, automatic=False, retry_at=None)}, 5000, None),
        ({"pause": replace(PAUSE, automatic=False, retry_at=None), "streak": Streak(delivered=700.0)}, 701, None),
    ],
)  # fmt: skip
def test_what_the_judge_does(network: dict[str, object], now: float, kind: StepKind | None) -> None:
    judged = JudgedNetwork(5, "GH", "MTN", True, failing(), PAUSE)
    steps = judge([replace(judged, **network)], now, POLICY)  # type: ignore[arg-type]
    assert [step.kind for step in steps] == ([] if kind is None else [kind])


def test_a_setting_that_was_taken_back_still_lets_paused_networks_recover() -> None:
    network = JudgedNetwork(5, "GH", "MTN", True, failing(), PAUSE)
    assert [step.kind for step in judge([network], 900, PausePolicy())] == [StepKind.TRIAL]
    assert judge([replace(network, pause=None)], 600, PausePolicy()) == []


def test_the_reason_and_the_banner_say_what_a_reader_needs() -> None:
    assert reason_of(failing(12, 0, 905)) == (
        "nothing delivered for 15 minutes: 12 attempts failed, the last one did not reach the provider at x"
    )
    assert reason_of(failing(1, 0, 65)).startswith("nothing delivered for 1 minute: ")
    assert reason_of(failing(1, 0, 6)).startswith("nothing delivered for 6 s: ")
    assert banner(PAUSE, "{:%H:%M}".format) == "paused since 00:10 by telvend: nothing delivered; tried again at 00:15"
    trial = replace(PAUSE, retry_at=None, trial_left=1)
    assert banner(trial, "{:%H:%M}".format).endswith("; on trial: 1 more sale let through")
    person = replace(PAUSE, automatic=False, by_whom="Esi", reason="MTN called", retry_at=None)
    assert banner(person, "{:%H:%M}".format) == "paused since 00:10 by Esi: MTN called"


@pytest.mark.parametrize(
    ("active", "pause", "on_sale"),
    [
        (True, None, True),
        (False, None, False),
        (True, PAUSE, False),
        (True, replace(PAUSE, trial_left=1), True),
        (False, replace(PAUSE, trial_left=1), False),
    ],
)
def test_the_snapshot_sells_what_is_neither_off_nor_paused(
    active: bool, pause: NetworkPause | None, on_sale: bool
) -> None:
    """MTN of Ghana and MTN of Nigeria are two networks."""
    ghana = Network(5, "GH", "MTN", "MTN", active, pause=pause)
    nigeria = Network(1, "NG", "MTN", "MTN", active=True)
    products = [
        Product(f"{n.country}-MTN-1GB", n.country, "MTN", "data", "", "1GB", 30, Money(450, GHS), Money(428, GHS), True, n.id, n.id)
        for n in (ghana, nigeria)
    ]  # fmt: skip
    snapshot = CatalogueSnapshot.of(1, [ghana, nigeria], products)
    assert (snapshot.find("GH", "mtn", "1GB") is not None) is on_sale
    assert bool(snapshot.plans("GH", "MTN")) is on_sale
    assert bool(snapshot.on_sale("GH")) is on_sale
    assert snapshot.find("NG", "mtn", "1GB") is not None
    assert snapshot.trials == ({("GH", "MTN")} if on_sale and pause else frozenset())
    assert snapshot.recovers is (pause is not None)


def test_a_retry_is_due_by_the_databases_clock_to_the_second() -> None:
    network = JudgedNetwork(5, "GH", "MTN", True, failing(), PAUSE)
    assert PAUSE.retry_at is not None
    due = PAUSE.retry_at.timestamp()
    assert judge([network], due - 1, POLICY) == []
    later = replace(network, pause=replace(PAUSE, retry_at=PAUSE.retry_at + timedelta(seconds=1)))
    assert judge([later], due, POLICY) == []
    assert judge([network], due - 1, replace(POLICY, retry_s=0.5)) == []
    # The interval was shortened.
    assert [step.kind for step in judge([network], due - 200, replace(POLICY, retry_s=60))] == [StepKind.TRIAL]
