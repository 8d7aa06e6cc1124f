"""The fulfilment's decisions as tables: what a worker does next, what a word means, when to ask again."""

import math
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.catalog.kinds import Payload
from telvend.errors import InvalidInput, InvariantBroken, NotFound
from telvend.fulfilment.model import (
    Abandon,
    Abandoned,
    AttemptSnapshot,
    CalledBack,
    ClaimedOrder,
    Deliver,
    Effect,
    Escalate,
    FindProvider,
    FulfilmentPolicy,
    HoldPosting,
    LockedOrder,
    PersonVerdict,
    Presume,
    ProviderReport,
    Requery,
    RequeryNow,
    Reschedule,
    Step,
    spread,
)
from telvend.fulfilment.routing import Assignment, Choice, NoProvider, RetryLater
from telvend.fulfilment.rules import next_step, with_choice, with_doubt
from telvend.fulfilment.weighing import believed, may_release, next_requery_s, weigh
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.orders.model import AttemptState, OrderState
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, ProviderTraits, Reason, Refused, Unknown

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = FulfilmentPolicy()
PRICE, COST = Money(450, GHS), Money(400, GHS)
STARTED, ACCEPTED, UNKNOWN = AttemptState.STARTED, AttemptState.ACCEPTED, AttemptState.UNKNOWN
DELIVERED, REFUSED, NOT_SENT = AttemptState.DELIVERED, AttemptState.REFUSED, AttemptState.NOT_SENT


class Named:
    """As much of a provider as a choice needs."""

    traits = ProviderTraits()

    def __init__(self, name: str) -> None:
        self.name = name


def attempts(*states: AttemptState, asked: int = 0, elsewhere: bool = True) -> list[AttemptSnapshot]:
    return [
        AttemptSnapshot(
            number, f"p{number}", f"R-{number}", state, asked, elsewhere and state is REFUSED, COST.minor, NOW
        )
        for number, state in enumerate(states, 1)
    ]


def step_of(tries: list[AttemptSnapshot], *choices: Choice) -> tuple[Step, list[frozenset[str]]]:
    """The next step, and what was excluded each time that a provider was looked for."""
    claim = claim_of(tries)
    step = next_step(claim, POLICY)
    if not isinstance(step, FindProvider):
        return step, []
    answers = iter(choices)
    looked_for: list[frozenset[str]] = []
    for excluded in step.excluded:
        looked_for.append(excluded)
        choice = next(answers)
        if isinstance(choice, Assignment):
            break
    return with_choice(claim, step, choice, {}), looked_for


def claim_of(tries: list[AttemptSnapshot]) -> ClaimedOrder:
    return ClaimedOrder(
        1,
        "R",
        Mode.LIVE,
        9,
        "data",
        "GH",
        "MTN",
        1,
        "GH-MTN-1GB",
        "1GB",
        30,
        "+233241234567",
        PRICE,
        PRICE,
        COST,
        OrderState.WAITING,
        NOW,
        tries,
    )


def case_of(state: OrderState, *states: AttemptState, asked: int = 0) -> LockedOrder:
    return LockedOrder(1, "R", 9, Mode.LIVE, PRICE, state, attempts(*states, asked=asked))


def word(
    outcome: Outcome, number: int = 1, *, asked: bool = False, age_s: float = 0.0, holds: bool = True
) -> ProviderReport:
    return ProviderReport(1, 9, number, outcome, asked, age_s, 300.0, holds)


# The next step ---------------------------------------------------------------------------------------------------------

P1 = Assignment(Named("p1"), probe=False)  # type: ignore[arg-type]
P9 = Assignment(Named("p9"), probe=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [STARTED, ACCEPTED, UNKNOWN])
def test_an_open_attempt_is_asked_about_whoever_left_it(state: AttemptState) -> None:
    tries = attempts(NOT_SENT, REFUSED, state)
    assert step_of(tries) == (Requery(tries[2]), [])


def test_a_fresh_order_gets_its_first_attempt() -> None:
    assert step_of([], P9) == (Deliver(P9, 1, "R-1", COST), [frozenset()])


def test_after_a_refusal_that_allows_it_somebody_else_is_tried() -> None:
    assert step_of(attempts(REFUSED), P9) == (Deliver(P9, 2, "R-2", COST), [frozenset({"p1"})])


def test_what_was_not_sent_goes_elsewhere_first_and_else_to_the_same_provider() -> None:
    assert step_of(attempts(NOT_SENT), P9) == (Deliver(P9, 2, "R-2", COST), [frozenset({"p1"})])
    for nowhere in (NoProvider("all tried"), RetryLater(10, "resting")):
        step, excluded = step_of(attempts(NOT_SENT), nowhere, P1)
        assert step == Deliver(P1, 2, "R-2", COST)
        assert excluded == [frozenset({"p1"}), frozenset()]


def test_nobody_left_gives_up() -> None:
    assert step_of(attempts(REFUSED), NoProvider("all tried"))[0] == Abandon("all tried")
    assert step_of([], NoProvider("nobody sells it"))[0] == Abandon("nobody sells it")


def test_a_definite_refusal_is_never_followed_by_another_attempt() -> None:
    assert isinstance(step_of(attempts(REFUSED, elsewhere=False))[0], Abandon)


def test_too_many_attempts_that_never_arrived_give_up() -> None:
    assert isinstance(step_of(attempts(*[NOT_SENT] * 3), P9)[0], Deliver)
    assert isinstance(step_of(attempts(*[NOT_SENT] * 4))[0], Abandon)


WAITS = FulfilmentPolicy(unreached_for_s=3600, steered=frozenset({"simulator"}))


@pytest.mark.parametrize("count", [4, 5, 60])
def test_an_order_waits_for_an_upstream_that_cannot_be_reached_and_fails_after_its_time(count: int) -> None:
    claim = claim_of(attempts(*[NOT_SENT] * count))
    assert isinstance(next_step(claim, WAITS), FindProvider)
    claim.now = NOW + timedelta(seconds=3599)
    assert isinstance(next_step(claim, WAITS), FindProvider)
    claim.now = NOW + timedelta(seconds=3600)
    assert next_step(claim, WAITS) == Abandon(f"{count} attempts did not reach a provider")


def test_few_attempts_never_end_an_order_however_old_it_is() -> None:
    claim = claim_of(attempts(*[NOT_SENT] * 3))
    claim.now = NOW + timedelta(days=7)
    assert isinstance(next_step(claim, WAITS), FindProvider)


def test_a_provider_whose_failures_are_steered_is_not_waited_for() -> None:
    tries = attempts(*[NOT_SENT] * 4)
    for attempt in tries:
        attempt.provider = "simulator"
    assert isinstance(next_step(claim_of(tries), WAITS), Abandon)
    tries[2].provider = "vt"
    assert isinstance(next_step(claim_of(tries), WAITS), FindProvider)


def test_during_an_outage_an_order_comes_back_every_few_seconds_and_later_every_minute() -> None:
    waits = [WAITS.backoff(attempts(*[NOT_SENT] * count)) for count in range(1, 30)]
    assert waits[:5] == [1, 2, 4, 5, 5]
    assert waits[14:19] == [5, 10, 20, 40, 60]
    assert waits == sorted(waits)
    assert [POLICY.backoff(attempts(*[NOT_SENT] * count)) for count in range(1, 6)] == [1, 2, 4, 0, 0]


@pytest.mark.parametrize(("tries", "state"), [([], OrderState.ACCEPTED), (attempts(REFUSED), OrderState.WAITING)])
def test_breakers_and_full_providers_only_put_it_off(tries: list[AttemptSnapshot], state: OrderState) -> None:
    step, _ = step_of(tries, RetryLater(10, "resting"))
    assert isinstance(step, Reschedule)
    assert (step.state, step.why) == (state, "resting")
    assert 9 <= step.after_s <= 11


@pytest.mark.parametrize("states", [(DELIVERED,), (DELIVERED, STARTED), (STARTED, UNKNOWN)])
def test_what_does_not_fit_together_is_left_to_a_person(states: tuple[AttemptState, ...]) -> None:
    assert isinstance(step_of(attempts(*states))[0], Escalate)


@given(
    st.lists(st.tuples(st.sampled_from(AttemptState), st.booleans()), max_size=6),
    st.sampled_from([P1, P9, RetryLater(10, "resting"), NoProvider("nobody sells it")]),
)
def test_a_new_attempt_needs_that_no_other_can_deliver(tries: list[tuple[AttemptState, bool]], choice: Choice) -> None:
    claim = claim_of(
        [
            AttemptSnapshot(number, f"p{number}", f"R-{number}", state, 0, elsewhere, COST.minor, NOW)
            for number, (state, elsewhere) in enumerate(tries, 1)
        ]
    )
    before = msgspec.msgpack.encode(claim.attempts)
    step = next_step(claim, POLICY)
    assert step == next_step(claim, POLICY)
    may_deliver = all(state is NOT_SENT or (state is REFUSED and elsewhere) for state, elsewhere in tries)
    if isinstance(step, FindProvider):
        assert may_deliver
        assert all(f"p{number}" in step.excluded[-1] for number, (state, _) in enumerate(tries, 1) if state is REFUSED)
        chosen = with_choice(claim, step, choice, {"p9": 390})
        assert isinstance(chosen, Deliver) == isinstance(choice, Assignment)
        if isinstance(chosen, Deliver):
            assert (chosen.number, chosen.reference) == (len(tries) + 1, f"R-{len(tries) + 1}")
            assert chosen.cost.minor == (390 if choice is P9 else COST.minor)
    elif any(state.open for state, _ in tries):
        assert isinstance(step, Requery | Escalate | Abandon)
    assert msgspec.msgpack.encode(claim.attempts) == before


# What a word means ----------------------------------------------------------------------------------------------------

ELSEWHERE, PLAIN = Refused(Reason.NO_FLOAT), Refused(Reason.BARRED)


@pytest.mark.parametrize(
    ("outcome", "asked", "attempt", "order", "effect"),
    [
        (Delivered(), False, DELIVERED, OrderState.DELIVERED, Effect.DELIVERED),
        (Delivered(), True, DELIVERED, OrderState.DELIVERED, Effect.DELIVERED),
        (PLAIN, False, REFUSED, OrderState.FAILED, Effect.FAILED),
        (ELSEWHERE, False, REFUSED, OrderState.DELIVERING, Effect.TRY_AGAIN),
        (NotSent(), False, NOT_SENT, OrderState.WAITING, Effect.TRY_AGAIN),
        (NotSent(), True, UNKNOWN, OrderState.WAITING, Effect.REQUERY_LATER),
        (NotSent(closed=True), True, NOT_SENT, OrderState.WAITING, Effect.TRY_AGAIN),
        (Accepted(), False, ACCEPTED, OrderState.WAITING, Effect.REQUERY_LATER),
        (Unknown(), False, UNKNOWN, OrderState.WAITING, Effect.REQUERY_LATER),
        (Unknown(), True, UNKNOWN, OrderState.WAITING, Effect.REQUERY_LATER),
    ],
)
def test_the_first_word(
    outcome: Outcome, asked: bool, attempt: AttemptState, order: OrderState, effect: Effect
) -> None:
    case = case_of(OrderState.DELIVERING, STARTED)
    assert weigh(case, word(outcome, asked=asked), POLICY) is effect
    assert (case.attempts[0].state, case.state) == (attempt, order)
    assert case.attempts[0].asked == asked
    assert (case.posting is not None, case.releases) == (order is OrderState.DELIVERED, order is OrderState.FAILED)
    assert (case.due_in_s is None) == order.final


def test_never_heard_of_it_is_believed_only_when_the_attempt_is_old_enough() -> None:
    assert isinstance(believed(word(NotSent(), asked=True, age_s=299.9)), Unknown)
    assert isinstance(believed(word(NotSent(), asked=True, age_s=300)), NotSent)
    assert isinstance(believed(word(NotSent(), asked=False)), NotSent)


def test_a_reference_that_is_closed_is_believed_at_once_however_often_it_was_sent() -> None:
    assert believed(word(NotSent(closed=True), asked=True)) == NotSent(closed=True)
    assert believed(word(NotSent(closed=True), asked=True), resent=1) == NotSent(closed=True)
    case = case_of(OrderState.DELIVERING, ACCEPTED)
    # It said that it would deliver: closed or not, that is for a person.
    assert weigh(case, word(NotSent(closed=True), asked=True), POLICY) is Effect.REQUERY_LATER


@given(
    outcome=st.sampled_from(
        [Delivered(), Accepted(), Refused(Reason.NO_FLOAT), Refused(Reason.BAD_NUMBER), NotSent(), Unknown()]
    ),
    asked=st.booleans(),
    to_resend=st.booleans(),
    age_s=st.sampled_from([0.0, 299.9, 300.0, 1e9]),
    known=st.integers(0, 3),
    resent=st.integers(0, 3),
)
def test_a_no_to_one_request_counts_only_where_no_other_one_can_arrive(
    outcome: Outcome, asked: bool, to_resend: bool, age_s: float, known: int, resent: int
) -> None:
    asked = asked or to_resend
    said = ProviderReport(1, 9, 1, outcome, asked, age_s, 300.0, True, resent=known, to_resend=to_resend)
    result = believed(said, resent)
    if isinstance(outcome, Delivered | Accepted | Unknown) or (
        isinstance(outcome, Refused) and asked and not to_resend
    ):
        assert result is outcome
    elif known != resent or (asked and age_s < 300):
        assert isinstance(result, Unknown)
    else:
        assert result is outcome


@given(guard_s=st.floats(0, 600), times=st.integers(0, 9), order_id=st.integers(1, 2**62))
def test_a_number_that_was_served_a_moment_ago_makes_the_order_wait_and_never_fail(
    guard_s: float, times: int, order_id: int
) -> None:
    tries = attempts(*[REFUSED] * times, UNKNOWN)
    for attempt in tries[:-1]:
        attempt.again, attempt.elsewhere = True, False
    case = LockedOrder(order_id, "R", 9, Mode.LIVE, PRICE, OrderState.DELIVERING, tries)
    said = ProviderReport(
        order_id, 9, times + 1, Refused(Reason.TOO_SOON), False, 0.0, 300.0, True, repeat_guard_s=guard_s
    )
    assert not may_release(said)
    assert weigh(case, said, POLICY) is Effect.TRY_AGAIN
    assert (case.state, case.releases) == (OrderState.WAITING, False)
    assert case.due_in_s is not None
    assert min(900, max(30, guard_s)) <= case.due_in_s <= 990
    step = next_step(claim_of(case.attempts), POLICY)
    if times < 9:
        # The same provider may be tried again.
        assert step == FindProvider(times + 2, (frozenset(),))
    else:
        assert isinstance(step, Escalate)


@given(age_s=st.floats(0, 299), reason=st.sampled_from(list(Reason)))
def test_a_refused_resend_of_a_young_attempt_moves_no_money_and_is_settled_when_it_is_old_enough(
    age_s: float, reason: Reason
) -> None:
    case = case_of(OrderState.DELIVERING, UNKNOWN)
    said = ProviderReport(1, 9, 1, Refused(reason), True, age_s, 300.0, True, None, 0, to_resend=True)
    assert weigh(case, said, POLICY) is Effect.REQUERY_LATER
    assert (case.state, case.releases, case.attempts[0].state) == (OrderState.WAITING, False, UNKNOWN)
    assert case.due_in_s is not None
    assert case.due_in_s <= max(5.5, 300 - age_s)


def test_a_young_attempt_that_was_never_heard_of_is_asked_about_when_the_answer_can_be_believed() -> None:
    case = case_of(OrderState.DELIVERING, UNKNOWN, asked=4)
    weigh(case, word(NotSent(), asked=True, age_s=290), POLICY)
    assert case.due_in_s == pytest.approx(10)


def test_never_heard_of_it_after_accepted_is_unknown_at_any_age() -> None:
    case = case_of(OrderState.DELIVERING, ACCEPTED)
    assert weigh(case, word(NotSent(), asked=True, age_s=1e6), POLICY) is Effect.REQUERY_LATER
    assert case.attempts[0].state is ACCEPTED


def test_the_provider_names_the_cost_and_else_it_is_the_attempts() -> None:
    for named, posted, notes in [(None, COST, 0), (Money(390, GHS), Money(390, GHS), 0), (Money(1, NGN), COST, 1)]:
        case = case_of(OrderState.DELIVERING, STARTED)
        weigh(case, word(Delivered("X-1", named)), POLICY)
        assert case.posting == HoldPosting("p1", posted)
        assert (case.attempts[0].provider_reference, len(case.notes)) == ("X-1", notes)


def test_a_cost_that_was_named_when_it_accepted_is_posted_when_it_has_delivered_without_one() -> None:
    case = case_of(OrderState.DELIVERING, STARTED)
    weigh(case, word(Accepted("X-1", cost=Money(390, GHS))), POLICY)
    weigh(case, word(Delivered(), asked=True), POLICY)
    assert case.posting == HoldPosting("p1", Money(390, GHS))
    assert case.attempts[0].provider_reference == "X-1"


@pytest.mark.parametrize(
    ("before", "outcome", "effect"),
    [
        (DELIVERED, Delivered(), Effect.NOTHING),
        (DELIVERED, Unknown(), Effect.NOTHING),
        (DELIVERED, Accepted(), Effect.NOTHING),
        (DELIVERED, PLAIN, Effect.CONTRADICTED),
        (DELIVERED, NotSent(), Effect.CONTRADICTED),
        (REFUSED, PLAIN, Effect.NOTHING),
        (REFUSED, NotSent(), Effect.NOTHING),
        (REFUSED, Unknown(), Effect.NOTHING),
        (REFUSED, Delivered(), Effect.CONTRADICTED),
        (NOT_SENT, Delivered(), Effect.CONTRADICTED),
    ],
)
def test_a_second_word_moves_no_money(before: AttemptState, outcome: Outcome, effect: Effect) -> None:
    state = OrderState.DELIVERED if before is DELIVERED else OrderState.FAILED
    case = case_of(state, before)
    assert weigh(case, word(outcome), POLICY) is effect
    assert (case.changed, case.posting, case.releases, case.attempts[0].changed) == (False, None, False, False)
    assert bool(case.notes) == (effect is Effect.CONTRADICTED)


def test_delivered_after_all_while_another_attempt_is_on_sends_the_order_to_review_for_good() -> None:
    case = case_of(OrderState.DELIVERING, NOT_SENT, STARTED)
    assert weigh(case, word(Delivered()), POLICY) is Effect.CONTRADICTED
    assert (case.state, case.due_in_s, case.posting) == (OrderState.REVIEW, None, None)
    # Whatever the second attempt brings, a person decides; nor can it be sent out again.
    assert weigh(case, word(PLAIN, number=2), POLICY) is Effect.REVIEW
    assert (case.state, case.releases) == (OrderState.REVIEW, False)
    assert isinstance(weigh(case, RequeryNow(1, None), POLICY), InvalidInput)


def test_in_review_a_word_is_noted_and_the_hold_stays() -> None:
    for outcome in (Delivered(), PLAIN, ELSEWHERE, NotSent()):
        case = case_of(OrderState.REVIEW, UNKNOWN, asked=11)
        assert weigh(case, word(outcome), POLICY) is Effect.REVIEW
        assert (case.changed, case.posting, case.releases, len(case.notes)) == (False, None, False, 1)


def test_a_worker_without_the_lease_decides_nothing_about_time() -> None:
    case = case_of(OrderState.DELIVERING, STARTED)
    assert weigh(case, word(Unknown(), holds=False), POLICY) is Effect.NOTHING
    assert (case.changed, case.attempts[0].state) == (False, UNKNOWN)


def test_a_text_that_no_database_takes_is_cleaned() -> None:
    case = case_of(OrderState.DELIVERING, STARTED)
    weigh(case, word(Unknown("a\x00b\ud800" + "x" * 9999)), POLICY)
    assert case.attempts[0].text.startswith("ab?xxx")
    assert len(case.attempts[0].text) == 500


def test_what_does_not_exist_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        weigh(None, word(Delivered()), POLICY)
    with pytest.raises(InvariantBroken):
        weigh(case_of(OrderState.DELIVERING), word(Delivered()), POLICY)
    with pytest.raises(InvariantBroken):
        case_of(OrderState.FAILED).become(OrderState.REVIEW)


# Giving up, and people -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "states", "effect"),
    [
        (OrderState.DELIVERING, (), Effect.FAILED),
        (OrderState.DELIVERING, (REFUSED, NOT_SENT), Effect.FAILED),
        (OrderState.DELIVERING, (REFUSED, STARTED), Effect.NOTHING),
        (OrderState.REVIEW, (REFUSED,), Effect.NOTHING),
        (OrderState.FAILED, (REFUSED,), Effect.NOTHING),
        (OrderState.DELIVERED, (DELIVERED,), Effect.NOTHING),
    ],
)
def test_giving_up_needs_that_nothing_can_have_been_delivered(
    state: OrderState, states: tuple[AttemptState, ...], effect: Effect
) -> None:
    case = case_of(state, *states)
    assert weigh(case, Abandoned(1, 9, "nobody"), POLICY) is effect
    assert case.releases is (effect is Effect.FAILED)


@pytest.mark.parametrize("state", [OrderState.WAITING, OrderState.REVIEW])
def test_a_person_settles_an_open_order_once(state: OrderState) -> None:
    for delivered, final, attempt in [(True, OrderState.DELIVERED, DELIVERED), (False, OrderState.FAILED, REFUSED)]:
        case = case_of(state, NOT_SENT, UNKNOWN)
        verdict = PersonVerdict(1, "R", delivered, "they sent a list")
        assert weigh(case, verdict, POLICY) == final.value
        assert (case.state, case.attempts[1].state, case.due_in_s) == (final, attempt, None)
        assert (case.posting, case.releases) == (HoldPosting("p2", COST) if delivered else None, not delivered)
        assert "they sent a list" in case.notes[0]
        again = case_of(final, NOT_SENT, attempt)
        assert weigh(again, verdict, POLICY) is Effect.NOTHING
        assert isinstance(weigh(again, PersonVerdict(1, None, not delivered, "no"), POLICY), InvalidInput)
        assert not again.changed


def test_what_a_person_cannot_do() -> None:
    assert isinstance(weigh(None, PersonVerdict(1, None, True, ""), POLICY), NotFound)
    assert isinstance(weigh(case_of(OrderState.REVIEW, UNKNOWN), PersonVerdict(1, "other", True, ""), POLICY), NotFound)
    assert isinstance(
        weigh(case_of(OrderState.DELIVERING, STARTED), PersonVerdict(1, None, False, ""), POLICY), InvalidInput
    )
    assert isinstance(weigh(case_of(OrderState.ACCEPTED), PersonVerdict(1, None, False, ""), POLICY), InvalidInput)
    assert isinstance(weigh(case_of(OrderState.REVIEW), PersonVerdict(1, None, True, ""), POLICY), InvalidInput)
    assert isinstance(weigh(case_of(OrderState.FAILED, REFUSED), RequeryNow(1, None), POLICY), InvalidInput)
    assert isinstance(weigh(case_of(OrderState.REVIEW, REFUSED), RequeryNow(1, None), POLICY), InvalidInput)


def test_asking_again_makes_it_due_and_may_be_repeated() -> None:
    case = case_of(OrderState.REVIEW, UNKNOWN, asked=11)
    for _ in range(2):
        assert weigh(case, RequeryNow(1, "R"), POLICY) is Effect.REQUERY_LATER
        assert (case.state, case.due_in_s) == (OrderState.WAITING, 0.0)
    assert weigh(case_of(OrderState.DELIVERING, UNKNOWN), RequeryNow(1, None), POLICY) is Effect.NOTHING
    # Nobody knows still: back to review at once.
    assert weigh(case, word(Unknown(), asked=True), POLICY) is Effect.REVIEW


# When to ask again -----------------------------------------------------------------------------------------------------


def delays(state: AttemptState, outcome: Outcome) -> list[float | None]:
    return [next_requery_s(attempts(state, asked=asked)[0], outcome, POLICY) for asked in range(12)]


def test_the_schedule_ends_with_a_person() -> None:
    hours = [3600, 10800, 21600, 43200]
    assert delays(UNKNOWN, Unknown()) == [5, 15, 45, 120, 300, 900, *hours, None, None]
    assert delays(ACCEPTED, Accepted()) == [2, 5, 15, 45, 120, 300, 900, *hours, None]


def test_a_hint_decides_about_the_first_question_and_may_put_off_later_ones() -> None:
    assert delays(ACCEPTED, Accepted(requery_after_s=20))[:5] == [20, 20, 20, 45, 120]
    assert delays(ACCEPTED, Accepted(requery_after_s=0))[:3] == [0, 5, 15]
    assert delays(ACCEPTED, Accepted(requery_after_s=1e12))[:1] == [43200]
    for nonsense in (-1.0, math.nan, math.inf, "soon"):
        assert delays(ACCEPTED, Accepted(requery_after_s=nonsense))[:2] == [2, 5]  # type: ignore[arg-type]


@given(st.integers(1, 2**62), st.floats(0, 40), st.sampled_from([UNKNOWN, ACCEPTED]))
def test_an_attempt_that_was_asked_about_in_time_has_the_delays_of_its_count(
    order_id: int, answer_s: float, state: AttemptState
) -> None:
    case = LockedOrder(order_id, "R", 9, Mode.LIVE, PRICE, OrderState.DELIVERING, attempts(state))
    outcome = Unknown() if state is UNKNOWN else Accepted()
    age_s, asked = answer_s, False
    while True:
        attempt = case.attempts[0]
        said = ProviderReport(order_id, 9, 1, outcome, asked, 0.0, 0.0, True, age_s)
        if weigh(case, said, POLICY) is Effect.REVIEW:
            break
        assert next_requery_s(attempt, outcome, POLICY, age_s) == next_requery_s(attempt, outcome, POLICY)
        assert case.due_in_s is not None
        age_s, asked = age_s + case.due_in_s + answer_s, True
    assert case.attempts[0].asked == 10 + (state is ACCEPTED)


@pytest.mark.parametrize(
    ("age_s", "asked", "delay_s"),
    [(0, 4, 5), (10, 4, 15), (50, 4, 45), (100, 6, 120), (400, 8, 300), (400, 2, 45), (1e9, 0, 5), (0, 10, None)],
)
def test_questions_that_came_too_early_do_not_put_off_the_next_one(
    age_s: float, asked: int, delay_s: float | None
) -> None:
    assert next_requery_s(attempts(UNKNOWN, asked=asked)[0], Unknown(), POLICY, age_s) == delay_s


def test_an_unknown_order_ends_in_review_with_its_hold() -> None:
    case = case_of(OrderState.DELIVERING, STARTED)
    weigh(case, word(Unknown()), POLICY)
    total_s = case.due_in_s or 0.0
    for _ in range(9):
        assert weigh(case, word(Unknown(), asked=True), POLICY) is Effect.REQUERY_LATER
        total_s += case.due_in_s or 0.0
    assert weigh(case, word(Unknown(), asked=True), POLICY) is Effect.REVIEW
    assert (case.state, case.releases, case.posting, case.due_in_s) == (OrderState.REVIEW, False, None, None)
    assert 0.9 * 80585 <= total_s <= 1.1 * 80585


@given(st.integers(1, 2**62), st.integers(0, 100))
def test_the_spread_is_within_a_tenth_and_always_the_same(order_id: int, count: int) -> None:
    assert -0.1 <= spread(order_id, count) <= 0.1
    assert spread(order_id, count) == spread(order_id, count)


# Whatever comes, in whatever order --------------------------------------------------------------------------------------

OUTCOMES = st.sampled_from(
    [Delivered(), Delivered(cost=Money(1, GHS)), PLAIN, ELSEWHERE, NotSent(), Accepted(), Unknown()]
)
ITEMS = st.one_of(
    st.builds(
        word,
        OUTCOMES,
        number=st.sampled_from([1, 2]),
        asked=st.booleans(),
        age_s=st.sampled_from([0.0, 300.0]),
        holds=st.booleans(),
    ),
    st.just(Abandoned(1, 9, "nobody")),
    st.builds(PersonVerdict, st.just(1), st.none(), st.booleans(), st.just("said so")),
    st.just(RequeryNow(1, None)),
    st.builds(CalledBack, st.just(1), st.sampled_from([1, 2])),
)
STATES = st.sampled_from([(STARTED,), (NOT_SENT, STARTED), (REFUSED, UNKNOWN), (ACCEPTED,)])


@given(STATES, st.lists(ITEMS, max_size=12))
def test_money_moves_at_most_once_and_only_as_the_state_says(
    states: tuple[AttemptState, ...], items: list[ProviderReport]
) -> None:
    case = case_of(OrderState.DELIVERING, *states)
    final: OrderState | None = None
    for item in items:
        if isinstance(item, ProviderReport) and item.number > len(states):
            continue
        moved = (case.posting, case.releases)
        releasable = may_release(item)
        weigh(case, item, POLICY)
        if final is not None:
            assert (case.state, (case.posting, case.releases)) == (final, moved)
        if case.releases and not moved[1]:
            assert releasable
        if case.state.final:
            final = case.state
            assert not any(attempt.state.open for attempt in case.attempts)
        assert (case.posting is not None) == (case.state is OrderState.DELIVERED)
        assert case.releases == (case.state is OrderState.FAILED)
        assert not case.changed or (case.due_in_s is None) == (case.state.final or case.state is OrderState.REVIEW)


@given(
    st.sampled_from(list(OrderState)),
    st.lists(st.sampled_from(list(AttemptState)), max_size=3),
    st.lists(st.builds(CalledBack, st.just(1), st.integers(1, 4)), min_size=1, max_size=5),
)
def test_callbacks_never_move_money_nor_end_an_order_nor_say_what_became_of_an_attempt(
    state: OrderState, states: list[AttemptState], callbacks: list[CalledBack]
) -> None:
    case = case_of(state, *states, asked=3)
    for callback in callbacks:
        assert not may_release(callback)
        weigh(case, callback, POLICY)
    assert (case.posting, case.releases, case.late, case.payload) == (None, False, [], None)
    assert [attempt.state for attempt in case.attempts] == states
    assert case.state is state or (state, case.state) == (OrderState.REVIEW, OrderState.WAITING)


def test_a_callback_brings_the_next_question_forward_and_that_does_not_count() -> None:
    for state in (OrderState.WAITING, OrderState.REVIEW):
        case = case_of(state, UNKNOWN, asked=3)
        assert weigh(case, CalledBack(1, 1), POLICY) is Effect.REQUERY_LATER
        assert (case.state, case.due_in_s, case.attempts[0].asked) == (OrderState.WAITING, 0.0, 2)
        weigh(case, word(Unknown(), asked=True), POLICY)
        assert case.attempts[0].asked == 3
    case = case_of(OrderState.WAITING, UNKNOWN)
    assert weigh(case, CalledBack(1, 1), POLICY) is Effect.REQUERY_LATER
    assert case.attempts[0].asked == 0


@pytest.mark.parametrize(
    ("state", "states", "number"),
    [
        (OrderState.ACCEPTED, (), 1),
        (OrderState.DELIVERING, (STARTED,), 1),
        (OrderState.DELIVERED, (DELIVERED,), 1),
        (OrderState.FAILED, (REFUSED,), 1),
        (OrderState.WAITING, (UNKNOWN,), 2),
        (OrderState.WAITING, (REFUSED, UNKNOWN), 1),
        (OrderState.REVIEW, (DELIVERED, UNKNOWN), 2),
        (OrderState.REVIEW, (UNKNOWN, UNKNOWN), 1),
    ],
)
def test_a_callback_that_is_early_late_or_about_another_attempt_changes_nothing(
    state: OrderState, states: tuple[AttemptState, ...], number: int
) -> None:
    case = case_of(state, *states)
    assert weigh(case, CalledBack(1, number), POLICY) is Effect.NOTHING
    assert (case.state, case.changed) == (state, False)
    assert weigh(None, CalledBack(1, 1), POLICY) is Effect.NOTHING


# A book that may have lost attempts ------------------------------------------------------------------------------------


def doubted(tries: list[AttemptSnapshot], choice: Choice, *, held: bool = False) -> Step:
    step, _ = step_of(tries, choice, choice)
    claim = claim_of(tries)
    claim.doubtful = True
    return with_doubt(claim, step, held=held)


def test_in_doubt_a_first_attempt_is_asked_about_instead_of_made() -> None:
    step = doubted([], P1)
    assert isinstance(step, Presume)
    assert (step.provider, step.number, step.reference) == ("p1", 1, "R-1")


def test_in_doubt_nothing_is_bought_twice_from_one_provider_and_no_hold_goes_back() -> None:
    assert isinstance(doubted(attempts(NOT_SENT), P1), Escalate)
    assert isinstance(doubted(attempts(NOT_SENT), P9), Presume)
    assert isinstance(doubted(attempts(REFUSED), NoProvider("nobody is left")), Escalate)
    assert isinstance(doubted(attempts(REFUSED, elsewhere=False), P1), Escalate)


@pytest.mark.parametrize(("tries", "state"), [([], OrderState.ACCEPTED), (attempts(NOT_SENT), OrderState.WAITING)])
def test_while_sales_are_halted_nothing_new_is_given_to_anybody(
    tries: list[AttemptSnapshot], state: OrderState
) -> None:
    for choice in (P9, NoProvider("nobody is left")):
        step = doubted(tries, choice, held=True)
        assert isinstance(step, Reschedule)
        assert step.state is state


@pytest.mark.parametrize("held", [False, True])
def test_an_open_attempt_is_asked_about_whatever_the_doubt(held: bool) -> None:
    assert isinstance(doubted(attempts(UNKNOWN), P1, held=held), Requery)


def test_in_doubt_a_refusal_and_giving_up_leave_the_hold_to_a_person() -> None:
    for item in (word(Refused(Reason.REFUSED), asked=True), Abandoned(1, 9, "nobody is left")):
        case = case_of(OrderState.WAITING, *([STARTED] if isinstance(item, ProviderReport) else [NOT_SENT]))
        case.doubtful = True
        assert weigh(case, item, POLICY) is Effect.REVIEW
        assert (case.state, case.releases, case.posting) == (OrderState.REVIEW, False, None)
        assert "has gone back" in case.notes[0]


def test_in_doubt_a_word_on_an_attempt_that_is_not_there_is_kept() -> None:
    case = case_of(OrderState.ACCEPTED)
    case.doubtful = True
    assert weigh(case, word(Delivered()), POLICY) is Effect.REVIEW
    assert case.state is OrderState.REVIEW
    assert "Delivered" in case.notes[0]
    final = case_of(OrderState.FAILED)
    final.doubtful = True
    assert weigh(final, word(Delivered()), POLICY) is Effect.CONTRADICTED
    assert not final.changed


# Payloads ----------------------------------------------------------------------------------------------------------------

TOKEN = {"kind": "credit", "digits": "02632054405982757802"}


def delivered_with(kind: str, items: list[dict[str, str]], state: OrderState = OrderState.DELIVERING) -> LockedOrder:
    case = case_of(state, STARTED)
    case.kind = kind
    weigh(case, word(Delivered(payload=Payload(items))), POLICY)
    return case


def test_what_a_delivery_carries_back_is_kept() -> None:
    case = delivered_with("electricity", [TOKEN])
    assert (case.state, case.payload, case.notes) == (OrderState.DELIVERED, Payload([TOKEN]), [])


def test_what_cannot_be_read_counts_as_not_told_and_the_order_is_delivered() -> None:
    case = delivered_with("electricity", [{"kind": "credit", "digits": "1234567890"}])
    assert (case.state, case.payload) == (OrderState.DELIVERED, None)
    assert case.notes == ["Attempt 1: the tokens of p1 cannot be read: digits are not 20."]


def test_what_a_kind_does_not_carry_is_dropped_and_noted_without_its_text() -> None:
    case = delivered_with("data", [TOKEN])
    assert (case.state, case.payload) == (OrderState.DELIVERED, None)
    assert case.notes == ["Attempt 1: p1 sent what data does not carry; it was dropped."]


def test_a_payload_that_comes_while_a_person_decides_is_kept() -> None:
    case = delivered_with("electricity", [TOKEN], OrderState.REVIEW)
    assert (case.state, case.payload) == (OrderState.REVIEW, Payload([TOKEN]))


def test_a_person_who_says_delivered_pays_the_provider_that_has_said_so() -> None:
    """Attempt 1 turned out to be delivered while attempt 2 is unknown: the first is posted, the second entered if it says so too."""
    case = case_of(OrderState.DELIVERING, NOT_SENT, UNKNOWN)
    weigh(case, word(Delivered(cost=Money(7, GHS))), POLICY)
    assert weigh(case, PersonVerdict(1, None, True, "it arrived"), POLICY) is Effect.DELIVERED
    assert case.posting == HoldPosting("p1", Money(7, GHS))
    assert [attempt.state for attempt in case.attempts] == [DELIVERED, REFUSED]
    assert [attempt.by_hand for attempt in case.attempts] == [False, True]

    # The second one is believed as well: it takes its cost, which the house bears.
    assert (
        weigh(case, word(Delivered(cost=Money(9, GHS)), number=2, asked=True, age_s=1e6), POLICY) is Effect.CONTRADICTED
    )
    assert [(one.attempt, one.delivered, one.cost) for one in case.late] == [(2, True, Money(9, GHS))]
    assert case.posting == HoldPosting("p1", Money(7, GHS))


# After a person has decided --------------------------------------------------------------------------------------------

_WORDS = (Delivered(), Delivered(cost=Money(1, GHS)), PLAIN, ELSEWHERE, NotSent(), Accepted(), Unknown())


@given(
    st.booleans(),
    st.sampled_from([STARTED, ACCEPTED, UNKNOWN, REFUSED, NOT_SENT]),
    st.lists(st.sampled_from(_WORDS), max_size=8),
)
def test_whatever_is_said_after_a_person_has_decided_changes_nothing_but_what_is_written_off(
    arrived: bool, before: AttemptState, said: list[Outcome]
) -> None:
    case = case_of(OrderState.REVIEW, before)
    decided_here = before in (STARTED, ACCEPTED, UNKNOWN) or arrived
    weigh(case, PersonVerdict(1, None, arrived, "asked them"), POLICY)
    settled = (case.state, case.posting, case.releases, case.attempts[0].state, case.attempts[0].cost_minor)
    for outcome in said:
        known = bool(case.late)
        effect = weigh(case, word(outcome, asked=True, age_s=1e6), POLICY)
        against = isinstance(outcome, Refused | NotSent) if arrived else isinstance(outcome, Delivered)
        assert effect is (Effect.CONTRADICTED if against and not known else Effect.NOTHING)
    assert (case.state, case.posting, case.releases, case.attempts[0].state, case.attempts[0].cost_minor) == settled
    contradicting = [one for one in said if isinstance(one, Refused | NotSent if arrived else Delivered)]
    assert len(case.late) == (bool(contradicting) and decided_here), "the first time only"
    for report, outcome in zip(case.late, contradicting, strict=False):
        named = outcome.cost if isinstance(outcome, Delivered) and outcome.cost is not None else None
        assert (report.delivered, report.cost) == (not arrived, named or Money(case.attempts[0].cost_minor, GHS))
