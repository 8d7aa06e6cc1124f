"""The calculation of a premium, and what makes two requests the same."""

from dataclasses import replace
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, GHS, MAXIMUM_MINOR, NGN, UGX, Money
from telvend.operator.premiums.model import PremiumRequest, Rate, calculate, share

RATE = Rate("AYO_SWC", "TRANSFER", 250, Money(50, GHS), Money(2000, GHS), 5, 900, False, False, "", True)
REQUEST = PremiumRequest(
    UUID(int=1), Mode.LIVE, "TX-00001", "AYO_SWC", "TRANSFER", "+233241234567", "+233241234568", Money(10_000, GHS)
)

currencies = st.sampled_from(list(CURRENCIES.values()))
minors = st.integers(1, MAXIMUM_MINOR)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    currency = draw(currencies)
    floor = draw(st.integers(0, 10**9))
    cap = draw(st.none() | st.integers(floor, 10**12))
    return replace(
        RATE,
        basis_points=draw(st.integers(0, 10_000)),
        floor=Money(floor, currency),
        cap=None if cap is None else Money(cap, currency),
    )


@given(rate=rates(), minor=minors)
def test_a_premium_is_whole_in_the_amounts_currency_and_between_floor_and_cap(rate: Rate, minor: int) -> None:
    premium = calculate(rate, Money(minor, rate.floor.currency))
    assert type(premium.minor) is int
    assert premium.currency == rate.floor.currency
    assert premium.minor >= rate.floor.minor
    assert rate.cap is None or premium.minor <= rate.cap.minor


@given(rate=rates(), one=minors, other=minors)
def test_more_money_never_costs_less_to_cover(rate: Rate, one: int, other: int) -> None:
    less, more = sorted((one, other))
    currency = rate.floor.currency
    assert calculate(rate, Money(less, currency)).minor <= calculate(rate, Money(more, currency)).minor


@given(rate=rates(), minor=minors)
def test_between_floor_and_cap_it_is_the_nearest_whole_unit_and_half_goes_up(rate: Rate, minor: int) -> None:
    premium = calculate(rate, Money(minor, rate.floor.currency)).minor
    exact = Fraction(minor * rate.basis_points, 10_000)
    if premium != rate.floor.minor and (rate.cap is None or premium != rate.cap.minor):
        assert -Fraction(1, 2) < premium - exact <= Fraction(1, 2) or premium - exact == Fraction(1, 2)


@given(minor=minors, points=st.integers(0, 10_000))
def test_a_share_is_never_more_than_the_whole(minor: int, points: int) -> None:
    assert 0 <= share(Money(minor, NGN), points).minor <= minor


@pytest.mark.parametrize(
    ("amount_minor", "premium_minor"),
    [(1, 50), (1999, 50), (2000, 50), (2019, 50), (2020, 51), (10_000, 250), (10_019, 250), (10_020, 251), (79_979, 1999),
     (79_980, 2000), (80_000, 2000), (10**15, 2000)],
)  # fmt: skip
def test_examples_of_two_and_a_half_percent_from_half_a_cedi_to_twenty(amount_minor: int, premium_minor: int) -> None:
    assert calculate(RATE, Money(amount_minor, GHS)) == Money(premium_minor, GHS)


def test_a_currency_without_decimals_is_counted_in_whole_units() -> None:
    rate = replace(RATE, floor=Money(200, UGX), cap=None)
    assert calculate(rate, Money(50_019, UGX)) == Money(1250, UGX)
    assert calculate(rate, Money(50_020, UGX)) == Money(1251, UGX)


def test_another_currency_or_nothing_at_all_has_no_premium() -> None:
    with pytest.raises(ValueError, match="a rate in GHS"):
        calculate(RATE, Money(100, NGN))
    for minor in (0, -1):
        with pytest.raises(ValueError, match="more than nothing"):
            calculate(RATE, Money(minor, GHS))


def test_the_same_request_is_known_whoever_asks_under_whichever_name() -> None:
    assert replace(REQUEST, transaction_id="TX-00002", reseller_id=UUID(int=2)).fingerprint == REQUEST.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"product": "AYO"}, {"transaction_type": "BILL"}, {"sender": "+233241234569"}, {"receiver": "+233241234567"},
     {"amount": Money(10_001, GHS)}, {"amount": Money(10_000, NGN)}, {"account_holder": "ID:1"}, {"quote": "PRM-1-000000"},
     {"message": "hello"}, {"message": ""}],
)  # fmt: skip
def test_whatever_else_differs_is_another_request(change: dict[str, object]) -> None:
    assert replace(REQUEST, **change).fingerprint != REQUEST.fingerprint  # type: ignore[arg-type]
