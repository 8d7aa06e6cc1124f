"""Money: text in and out without loss, nothing rounded, nothing mixed."""

import sys
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.kit.money import CURRENCIES, GHS, MAXIMUM_MINOR, NGN, UGX, Currency, Money, currency_of

currencies = st.sampled_from(list(CURRENCIES.values()))
amounts = st.integers(0, MAXIMUM_MINOR)


@given(amounts, currencies)
def test_what_is_printed_is_read_back_as_the_same_amount(minor: int, currency: Currency) -> None:
    money = Money(minor, currency)
    assert Money.parse(money.text, currency) == money
    assert Money.parse(f"{money.decimal:f}", currency) == money
    assert money.decimal * 10**currency.digits == minor
    assert len(money.text.partition(".")[2]) == currency.digits
    assert "E" not in money.text


@given(st.text(max_size=24), currencies)
def test_any_text_is_an_exact_amount_or_refused_with_a_sentence(text: str, currency: Currency) -> None:
    sentence, money = "", None
    try:
        money = Money.parse(text, currency)
    except ValueError as error:
        sentence = str(error)
    if money is None:
        assert sentence.startswith(("must ", "is too large"))
    else:
        assert money.decimal == Decimal(text)
        assert 0 <= money.minor <= MAXIMUM_MINOR


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-1", "+1", "1e2", "1,000", "1 000", " 1", "1 ", "1.", ".5", "1.2.3", "0x10", "NaN", "Infinity", "1_000",
        "٤٫٥", "४", "1\n", "½", "1" * 10_000, "4.5\x00", "4．5",
    ],
)  # fmt: skip
def test_what_is_no_plain_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an amount"):
        Money.parse(text, GHS)


def test_too_many_decimals_are_refused_and_never_rounded() -> None:
    for text, currency in (("4.505", GHS), ("4.500", GHS), ("4.5", UGX), ("4.0", UGX)):
        with pytest.raises(ValueError, match=f"at most {currency.digits} decimals in {currency}"):
            Money.parse(text, currency)


def test_the_largest_amount_is_taken_and_one_more_is_not() -> None:
    assert Money.parse("10000000000000.00", GHS).minor == MAXIMUM_MINOR
    assert Money.parse(str(MAXIMUM_MINOR), UGX).minor == MAXIMUM_MINOR
    for text, currency in (("10000000000000.01", GHS), (str(MAXIMUM_MINOR + 1), UGX), ("9" * 16, GHS), ("9" * 30, GHS)):
        with pytest.raises(ValueError, match="too large"):
            Money.parse(text, currency)


def test_sums_of_the_largest_amounts_fit_into_the_database() -> None:
    assert MAXIMUM_MINOR * 9000 < 2**63 - 1


def test_short_and_long_spellings_are_one_amount() -> None:
    assert {Money.parse(text, GHS) for text in ("4.5", "4.50", "04.5", "0004.50")} == {Money(450, GHS)}


@given(amounts, amounts, currencies)
def test_sums_and_differences_are_those_of_the_minor_units(one: int, two: int, currency: Currency) -> None:
    assert (Money(one, currency) + Money(two, currency)).minor == one + two
    assert (Money(one, currency) - Money(two, currency)).minor == one - two


def test_two_currencies_do_not_add_up() -> None:
    for work in (lambda: Money(1, GHS) + Money(1, NGN), lambda: Money(1, GHS) - Money(1, NGN)):
        with pytest.raises(ValueError, match="GHS and NGN"):
            work()
    assert Money(1, GHS) != Money(1, NGN)


def test_amounts_for_people_have_thousands_and_a_sign() -> None:
    assert str(Money(123_456_789, GHS)) == "GHS 1,234,567.89"
    assert str(Money(-450, GHS)) == "GHS -4.50"
    assert str(Money(1_500, UGX)) == "UGX 1,500"
    assert str(Money(0, NGN)) == "NGN 0.00"


def test_whoever_has_lowered_decimals_precision_changes_no_amount() -> None:
    with localcontext(prec=3):
        assert Money(123_456_789, GHS).text == "1234567.89"


def test_a_currency_is_found_in_any_case_and_an_unknown_one_named() -> None:
    assert currency_of("ghs") is GHS
    for word in ("", "EUR", "GHS ", "\x00"):
        with pytest.raises(ValueError, match="is not one of GHS, NGN"):
            currency_of(word)


def test_nothing_here_knows_floats() -> None:
    assert "float" not in vars(sys.modules[Money.__module__])
    assert isinstance(Money(450, GHS).decimal, Decimal)
