"""Amounts as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.errors import InvalidInput
from telvend.kit.money import GHS, UGX, Currency
from telvend.operator.subscribers.balances.amounts import amount_text, in_units, parse_amount
from telvend.operator.subscribers.balances.model import BucketKind


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("1GB", BucketKind.DATA, 1024**3),
        ("1.5 gb", BucketKind.DATA, 1536 * 1024**2),
        ("500MB", BucketKind.DATA, 500 * 1024**2),
        ("30min", BucketKind.MINUTES, 1800),
        ("90s", BucketKind.MINUTES, 90),
        ("100sms", BucketKind.SMS, 100),
        ("5.50", BucketKind.MONEY, 550),
        ("5", BucketKind.MONEY, 500),
        ("0.001 kb", BucketKind.DATA, 1),
    ],
)
def test_an_amount_is_read_by_its_unit(text: str, kind: BucketKind, amount: int) -> None:
    assert parse_amount(text, GHS) == (kind, amount)


@pytest.mark.parametrize("text", ["", "0GB", "-1GB", "1PB", "0", "5.555", "1e3", "0.0001kb", "9999999TB", "٣GB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_amount(text, GHS)


def test_money_needs_a_currency() -> None:
    with pytest.raises(InvalidInput):
        parse_amount("5.50", None)
    assert parse_amount("5GB", None)[0] is BucketKind.DATA
    with pytest.raises(InvalidInput):
        parse_amount("5.50", UGX)


@pytest.mark.parametrize(
    ("kind", "amount", "currency", "text"),
    [
        (BucketKind.DATA, 1024**3, GHS, "1024.00 MB"),
        (BucketKind.DATA, 1024**2 - 1, GHS, "0.99 MB"),
        (BucketKind.MINUTES, 90, GHS, "1.50 min"),
        (BucketKind.SMS, 100, GHS, "100 SMS"),
        (BucketKind.MONEY, 550, GHS, "GHS 5.50"),
        (BucketKind.MOMO, 550, UGX, "UGX 550"),
    ],
)
def test_an_amount_is_written_in_the_units_of_people(
    kind: BucketKind, amount: int, currency: Currency, text: str
) -> None:
    assert amount_text(kind, amount, currency) == text


@given(st.integers(0, 10**15), st.sampled_from([60, 1024**2]))
def test_two_decimals_never_say_more_than_there_is(amount: int, unit: int) -> None:
    whole, decimals = in_units(amount, unit).split(".")
    hundredths = int(whole) * 100 + int(decimals)
    assert len(decimals) == 2
    assert hundredths * unit <= amount * 100 < (hundredths + 1) * unit
