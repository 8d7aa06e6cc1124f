"""Every field of a form: what is taken, what is refused, and that all that is wrong is named at once."""

import math
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.dialects.contract import Endpoint
from telvend.dialects.networkdatasub.fields import Fields
from telvend.dialects.networkdatasub.forms import LARGEST_AIRTIME, SMALLEST_AIRTIME
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB
from telvend.dialects.networkdatasub.wire import error_answer
from telvend.dialects.serving import _decoder, decode
from telvend.errors import BodyNotReadable, InvalidFields

(AIRTIME,) = (endpoint for endpoint in NETWORKDATASUB.endpoints if endpoint.path == "/airtime/purchase")


def form(value: str, endpoint: Endpoint = AIRTIME) -> Fields:
    """The fields of `{"it": value}`, through the decoder that the endpoint uses."""
    decoder = _decoder(endpoint)
    assert decoder is not None
    return Fields(decode(decoder, b'{"it": ' + value.encode() + b"}"))


def amount(value: str) -> int | str:
    """Minor units, or what is wrong."""
    fields = form(value)
    found = fields.amount("it", SMALLEST_AIRTIME, LARGEST_AIRTIME)
    return fields.problems.get("it", found.minor)


@pytest.mark.parametrize(
    ("sent", "minor"),
    [
        ("100", 10000),
        ("100.5", 10050),
        ("100.50", 10050),
        ("100.500", 10050),
        ('"100"', 10000),
        ('"100.5"', 10050),
        ("1e2", 10000),
        ("1.005E+2", 10050),
        ("50", 5000),
        ("50.0", 5000),
        ("50000", 5000000),
        ("50000.00", 5000000),
    ],
)
def test_an_amount_is_read_exactly(sent: str, minor: int) -> None:
    assert amount(sent) == minor


NO_NUMBER = "must be a number with at most 2 decimals"


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ("null", "field is required"),
        ("100.505", NO_NUMBER),
        ('"100.505"', NO_NUMBER),
        ('"1e2"', NO_NUMBER),
        ('" 100"', NO_NUMBER),
        ('"1,000"', NO_NUMBER),
        ('""', NO_NUMBER),
        ('"NaN"', NO_NUMBER),
        ('"Infinity"', NO_NUMBER),
        ('"١٠٠"', NO_NUMBER),
        ("true", NO_NUMBER),
        ("false", NO_NUMBER),
        ("[100]", NO_NUMBER),
        ('{"amount": 100}', NO_NUMBER),
        ("-1", NO_NUMBER),
        ("-100.5", NO_NUMBER),
        ("1e999999", NO_NUMBER),
        ("1e99999999999999999999", NO_NUMBER),
        ("1e-99999999999999999999", NO_NUMBER),
        ("1e-999999999", NO_NUMBER),
        ("0e-999999999", NO_NUMBER),
        ("0e999999999", NO_NUMBER),
        ("99999999999999999999", NO_NUMBER),
        ("0", "must be between 50 and 50000"),
        ("-0.0", NO_NUMBER),
        ("49.99", "must be between 50 and 50000"),
        ("50000.01", "must be between 50 and 50000"),
        ("1e12", "must be between 50 and 50000"),
        ("1e15", NO_NUMBER),
    ],
)
def test_what_is_no_amount_in_the_range_is_refused(sent: str, problem: str) -> None:
    assert amount(sent) == problem


@pytest.mark.parametrize("sent", ["NaN", "Infinity", "-Infinity", "0x10", "1_000", ".5", "1.", "+1", "'100'"])
def test_what_is_no_json_is_malformed(sent: str) -> None:
    with pytest.raises(BodyNotReadable):
        amount(sent)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=100_000, places=3))
def test_an_amount_is_never_rounded(number: Decimal) -> None:
    found = amount(f"{number:f}")
    in_cents = number * 100
    if in_cents == in_cents.to_integral_value() and 50 <= number <= 50_000:
        assert found == int(in_cents)
    else:
        assert isinstance(found, str)


@given(st.floats())
def test_no_float_breaks_it(number: float) -> None:
    if math.isfinite(number):
        amount(repr(number))


def whole(value: str) -> int | str:
    fields = form(value)
    found = fields.whole_number("it", minimum=1, maximum=2**31 - 1)
    return fields.problems.get("it", found)


@pytest.mark.parametrize(("sent", "number"), [("1", 1), ('"1"', 1), ('"007"', 7), ("2147483647", 2**31 - 1)])
def test_a_plan_id_is_an_integer_or_its_digits(sent: str, number: int) -> None:
    assert whole(sent) == number


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ("null", "field is required"),
        ("1.0", "must be an integer"),
        ("1e2", "must be an integer"),
        ("true", "must be an integer"),
        ('"1.0"', "must be an integer"),
        ('"one"', "must be an integer"),
        ('"-1"', "must be an integer"),
        ('"²"', "must be an integer"),
        ('"１"', "must be an integer"),
        ('""', "must be an integer"),
        ("[]", "must be an integer"),
        ('"' + "9" * 5000 + '"', "must be an integer"),
        ("0", "must be between 1 and 2147483647"),
        ("-1", "must be between 1 and 2147483647"),
        ("2147483648", "must be between 1 and 2147483647"),
        ("18446744073709551616", "must be between 1 and 2147483647"),
    ],
)
def test_what_is_no_plan_id_is_refused(sent: str, problem: str) -> None:
    assert whole(sent) == problem


@pytest.mark.parametrize(
    ("text", "day"), [("2025-05-31", date(2025, 5, 31)), ("2024-02-29", date(2024, 2, 29)), ("0001-01-01", date.min)]
)
def test_a_day_is_year_month_day(text: str, day: date) -> None:
    fields = Fields({"it": text})
    assert fields.day("it") == day
    fields.raise_if_any()


@pytest.mark.parametrize(
    "text",
    ["2025-02-29", "2025-13-01", "2025-5-31", "20250531", "2025-W01-1", "31-05-2025", "2025-05-31T00:00", "today",
     "2025-05-3１", "2025/05/31", "0000-01-01", " 2025-05-31"],
)  # fmt: skip
def test_what_is_no_day_is_refused(text: str) -> None:
    fields = Fields({"it": text})
    assert fields.day("it") is None
    assert fields.problems == {"it": "must be a date such as 2025-05-31"}


@pytest.mark.parametrize("form", [{}, {"it": None}, {"it": ""}])
def test_no_day_is_no_day(form: dict[str, Any]) -> None:
    fields = Fields(form)
    assert fields.day("it") is None
    fields.raise_if_any()


@pytest.mark.parametrize(
    ("field", "header", "reference"),
    [
        (None, None, None),
        ("my-1", None, "my-1"),
        (None, b"my-1", "my-1"),
        ("my-1", b"my-1", "my-1"),
        ("Ọrẹ 1", "Ọrẹ 1".encode(), "Ọrẹ 1"),
        (None, "caf\u00e9".encode("latin-1"), "café"),
        ("x" * 64, None, "x" * 64),
    ],
)
def test_a_reference_comes_from_the_field_or_the_header(
    field: Any, header: bytes | None, reference: str | None
) -> None:
    fields = Fields({"reference": field})
    assert fields.reference(header) == reference
    fields.raise_if_any()


@pytest.mark.parametrize(
    ("field", "header", "problem"),
    [
        ("my-1", b"my-2", "differs"),
        ("my-1", b"", "differs"),
        (1, b"1", "differs"),
        (None, b"", "1 to 64"),
        ("", None, "1 to 64"),
        ("x" * 65, None, "1 to 64"),
        ("a\nb", None, "1 to 64"),
        ("a\x00b", None, "1 to 64"),
        (1, None, "1 to 64"),
        (True, None, "1 to 64"),
        (["my-1"], None, "1 to 64"),
    ],
)
def test_a_reference_that_cannot_be_kept_or_differs_is_refused(field: Any, header: bytes | None, problem: str) -> None:
    fields = Fields({"reference": field})
    assert fields.reference(header) is None
    assert problem in fields.problems["reference"]


@pytest.mark.parametrize("sent", ["08031230000", "2348031230000", "+2348031230000", "+234 803 123-0000"])
def test_a_phone_is_taken_in_every_form(sent: str) -> None:
    fields = Fields({"it": sent})
    assert fields.phone("it", "NG") == "+2348031230000"
    fields.raise_if_any()


@pytest.mark.parametrize("sent", ["0241234567", "+233241234567", "012345678", "0803123", "", "phone", 8031230000, None])
def test_a_phone_of_nowhere_or_elsewhere_is_refused(sent: Any) -> None:
    fields = Fields({"it": sent})
    fields.phone("it", "NG")
    assert "it" in fields.problems


def test_everything_that_is_wrong_is_named_at_once_and_the_first_problem_of_each() -> None:
    fields = Fields({"network": 5, "amount": "x"})
    fields.text("network")
    fields.add("network", "something else")
    fields.amount("amount", SMALLEST_AIRTIME, LARGEST_AIRTIME)
    fields.phone("phone", "NG")
    with pytest.raises(InvalidFields) as raised:
        fields.raise_if_any()
    assert raised.value.problems == {
        "network": "must be a string", "amount": NO_NUMBER, "phone": "field is required",
    }  # fmt: skip
    body = msgspec.to_builtins(error_answer(raised.value).body)
    assert body["errors"] == {
        "network": ["The network must be a string."],
        "amount": [f"The amount {NO_NUMBER}."],
        "phone": ["The phone field is required."],
    }
    assert (body["success"], body["message"]) == (False, "The network must be a string.")
