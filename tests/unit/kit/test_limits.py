"""Limits by currency, as a setting states them."""

from typing import Any

import pytest

from telvend.kit.limits import NotALimit, read_limits, written
from telvend.kit.money import CURRENCIES


def test_one_amount_is_one_for_every_currency() -> None:
    assert (
        read_limits(500)
        == read_limits("500.00")
        == {code: 500 * 10**currency.digits for code, currency in CURRENCIES.items()}
    )
    assert read_limits("0") == dict.fromkeys(CURRENCIES, 0)


def test_a_table_names_its_currencies_and_no_other_has_a_limit() -> None:
    assert read_limits({"GHS": "500.5", "ngn": 20000, "UGX": "7"}) == {"GHS": 50_050, "NGN": 2_000_000, "UGX": 7}
    assert read_limits({}) == {}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("many", "many must be"), (True, "such as 500"), (500.5, "500.5 must be"), ("-1", "without sign"),
        ("1,000", "thousands"), ("1.005", "at most 2 decimals"), ([], "such as 500"), (None, "such as 500"),
        ({"EUR": "1"}, "'EUR' is not one of"), ({"GHS": "1", "ghs": "2"}, "GHS is there twice"),
        ({"UGX": "1.5"}, "UGX 1.5 must have at most 0 decimals"), ({"GHS": ""}, "GHS"), ({"GHS": 1.5}, "GHS 1.5 must"),
        ({"GHS": "9" * 17}, "too large"), ({"": "1"}, "'' is not one of"),
    ],
)  # fmt: skip
def test_what_is_no_limit_is_named(value: Any, problem: str) -> None:
    with pytest.raises(NotALimit, match=problem):
        written(value)


def test_a_limit_is_kept_as_it_was_written() -> None:
    assert written("500.50") == "500.50"
    assert written(500) == "500"
    assert written({"ghs": 5}) == {"GHS": "5"}
    assert written("") == ""
