"""The gate that halts sales."""

import pytest

from telvend.errors import Busy, SalesHalted
from telvend.kit.mode import Mode
from telvend.sales.gate import SalesGate


def test_two_causes_have_to_go_before_sales_go_on() -> None:
    gate = SalesGate()
    gate.require_open(Mode.LIVE)
    gate.close("book", "The book went back.")
    gate.close("play money", "Play money.", modes={Mode.LIVE})
    assert gate.reasons == ("The book went back.", "Play money.")
    gate.open("book")
    gate.require_open(Mode.TEST)
    with pytest.raises(SalesHalted):
        gate.require_open(Mode.LIVE)
    gate.open("play money")
    gate.open("play money")
    gate.require_open(Mode.LIVE)
    assert gate.reasons == ()


def test_halted_sales_are_answered_as_busy_with_a_time_to_come_back() -> None:
    error = SalesHalted()
    assert isinstance(error, Busy)
    assert error.retry_after_s == 60
