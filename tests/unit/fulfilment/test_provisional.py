"""Which orders get a provisional credit, and for how long their outcome has been unknown. No database."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.fulfilment.provisional.model import CreditableOrder, UnknownAges, refusal_of
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.orders.model import AttemptState, OrderState
from tests.clocks import FakeClock

UNKNOWN, ACCEPTED, STARTED = AttemptState.UNKNOWN, AttemptState.ACCEPTED, AttemptState.STARTED
REFUSED, NOT_SENT, DELIVERED = AttemptState.REFUSED, AttemptState.NOT_SENT, AttemptState.DELIVERED
HOUR = 3600.0


def order(
    state: OrderState, *attempts: AttemptState, mode: Mode = Mode.LIVE, holds_play_money: bool = False
) -> CreditableOrder:
    return CreditableOrder(1, "R", 9, mode, Money(450, GHS), state, attempts, False, holds_play_money)


@pytest.mark.parametrize(
    "one",
    [
        order(OrderState.WAITING, UNKNOWN),
        order(OrderState.WAITING, ACCEPTED),
        order(OrderState.WAITING, NOT_SENT, UNKNOWN),
        order(OrderState.REVIEW, UNKNOWN),
        order(OrderState.REVIEW, STARTED, UNKNOWN),
        order(OrderState.REVIEW, REFUSED),  # The database has gone back, and may have lost an attempt.
    ],
)
def test_an_order_with_an_unknown_outcome_gets_a_credit(one: CreditableOrder) -> None:
    assert refusal_of(one) is None


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (order(OrderState.ACCEPTED), "with a provider"),
        (order(OrderState.DELIVERING, STARTED), "with a provider"),
        (order(OrderState.WAITING), "waits for a provider"),
        (order(OrderState.WAITING, NOT_SENT), "waits for a provider"),
        (order(OrderState.REVIEW), "waits for a provider"),
        (order(OrderState.REVIEW, DELIVERED), "was delivered, says a provider"),
        (order(OrderState.REVIEW, DELIVERED, UNKNOWN), "was delivered, says a provider"),
        (order(OrderState.DELIVERED, DELIVERED), "order refund"),
        (order(OrderState.FAILED, REFUSED), "money back already"),
        (order(OrderState.WAITING, UNKNOWN, mode=Mode.TEST), "play money"),
        (order(OrderState.WAITING, UNKNOWN, holds_play_money=True), "play money"),
    ],
)
def test_every_other_order_gets_none(one: CreditableOrder, why: str) -> None:
    assert why in (refusal_of(one) or "")


def test_an_age_is_believed_after_it_has_been_watched() -> None:
    clock = FakeClock()
    ages = UnknownAges(clock, 600)
    assert ages.note(1, 24 * HOUR) is None
    clock.pass_time(599)
    assert ages.note(1, 24 * HOUR + 599) is None
    clock.pass_time(1)
    assert ages.note(1, 24 * HOUR + 600) == 24 * HOUR + 600


def test_a_jump_of_the_databases_clock_makes_no_order_older() -> None:
    clock = FakeClock()
    ages = UnknownAges(clock, 600)
    ages.note(1, 2 * HOUR)
    clock.pass_time(600)
    assert ages.note(1, 2 * HOUR + 600 + 30 * HOUR) == 2 * HOUR + 600, "forward"
    clock.pass_time(60)
    assert ages.note(1, 2 * HOUR + 660) == 2 * HOUR + 660, "and back again"


def test_a_clock_that_was_ahead_at_first_is_forgotten_when_it_is_corrected() -> None:
    clock = FakeClock()
    ages = UnknownAges(clock, 600)
    ages.note(1, 30 * HOUR)
    clock.pass_time(300)
    assert ages.note(1, 1 * HOUR) is None
    clock.pass_time(300)
    assert ages.note(1, 30 * HOUR) == 1 * HOUR + 300


@given(
    st.lists(
        st.tuples(st.floats(0, 5000), st.one_of(st.just(0.0), st.floats(-100 * HOUR, 100 * HOUR))),
        min_size=1,
        max_size=20,
    )
)
def test_no_jumps_make_an_age_greater_than_any_look_allows(steps: Sequence[tuple[float, float]]) -> None:
    """Each step: so much time passes, and the database's clock jumps by so much."""
    clock = FakeClock()
    ages = UnknownAges(clock, 600)
    age_s, looks = HOUR, []
    for passes_s, jumps_s in steps:
        clock.pass_time(passes_s)
        age_s += passes_s + jumps_s
        believed = ages.note(1, age_s)
        looks.append((clock.monotonic(), age_s))
        youngest = min(age + clock.monotonic() - at for at, age in looks)
        if clock.monotonic() - looks[0][0] < 600:
            assert believed is None
        else:
            assert believed == pytest.approx(youngest)


def test_an_order_that_was_not_seen_for_a_while_is_new() -> None:
    clock = FakeClock()
    ages = UnknownAges(clock, 600)
    ages.note(1, 24 * HOUR)
    ages.note(2, 24 * HOUR)
    clock.pass_time(600)
    ages.keep({2})
    assert ages.note(1, 24 * HOUR + 600) is None
    assert ages.note(2, 24 * HOUR + 600) == 24 * HOUR + 600
