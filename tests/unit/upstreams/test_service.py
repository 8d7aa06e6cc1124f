"""What is shown of a float."""

from datetime import UTC, datetime

import pytest

from telvend.upstreams.service import float_of


@pytest.mark.parametrize(
    ("minor", "currency", "shown"), [(700_12, "USD", "USD 700.12"), (700, "XOF", "XOF 700"), (1, "NGN", "NGN 0.01")]
)
def test_a_float_may_be_kept_in_a_currency_of_no_market_here(minor: int, currency: str, shown: str) -> None:
    read = float_of(("rl", minor, currency, datetime(2026, 1, 1, tzinfo=UTC), 3.0, "", False, False))
    assert str(read.amount) == shown


def test_a_float_that_was_never_read_has_no_amount() -> None:
    assert float_of(("rl", None, None, None, None, "no answer", False, False)).amount is None
