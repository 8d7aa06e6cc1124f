"""Declaring a form: what is read in which order, what the document says of it, and patterns that hold exactly what is taken."""

import re
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.dialects.fields import FormFields
from telvend.dialects.forms import Field, Form, any_case, decimal_number, text_or, whole_number
from telvend.errors import InvalidFields
from telvend.kit.money import LONGEST_DIGITS, MAXIMUM_MINOR, NGN, UGX, Money


class Fields(FormFields):
    def sent(self, name: str) -> Any:
        value = self._form.get(name)
        if value == "bad":
            self.add(name, "is bad")
        return value


sent = Fields.sent


class Order(msgspec.Struct, frozen=True):
    second: Annotated[Any, Field(sent, {"type": "string"}, name="theSecond", about="It comes first.")]
    first: Annotated[Any, Field(sent, {"type": "integer"}, required=False, default=3)]
    both: Annotated[Any, Field(lambda fields, _: (fields.values["second"], fields.values["first"]), None)]


ORDER = Form("OrderForm", Order, about="An order.", spelt=str.upper, rules={"minProperties": 1})


def test_fields_are_read_in_their_order_and_may_use_what_was_read() -> None:
    assert ORDER.read(Fields({"theSecond": 2, "FIRST": 1, "other": 0})) == Order(2, 1, (2, 1))


def test_all_that_is_wrong_is_named_in_the_order_of_the_form() -> None:
    with pytest.raises(InvalidFields) as raised:
        ORDER.read(Fields({"FIRST": "bad", "theSecond": "bad"}))
    assert list(raised.value.problems) == ["theSecond", "FIRST"]


def test_a_field_that_was_read_before_the_others_is_not_read_again() -> None:
    fields = Fields({"theSecond": "x"})
    assert ORDER.read_one("second", fields) == "x"
    fields.values["second"] = "kept"
    assert ORDER.read(fields) == Order("kept", None, ("kept", None))


def test_the_document_has_what_is_sent_and_nothing_that_is_worked_out() -> None:
    assert ORDER.schema() == {
        "title": "OrderForm",
        "description": "An order.",
        "type": "object",
        "required": ["theSecond"],
        "properties": {
            "theSecond": {"type": "string", "description": "It comes first."},
            "FIRST": {"default": 3, "anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "minProperties": 1,
    }


def test_a_text_or_a_number_that_may_be_missing_may_be_null() -> None:
    field = Field(sent, text_or("[0-9]", {"type": "integer"}), required=False)
    assert field.property() == {
        "default": None,
        "if": {"type": "string"},
        "then": {"pattern": "^(?:[0-9])$"},
        "else": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    }


def test_an_attribute_without_a_field_is_noticed() -> None:
    class Forgotten(msgspec.Struct):
        name: str

    with pytest.raises(TypeError, match=r"Forgotten\.name"):
        Form("Forgotten", Forgotten)


# Patterns ---------------------------------------------------------------------------------------------------------------


def holds(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-1, 10**7), st.integers(0, 5))
def test_a_pattern_of_whole_numbers_holds_the_range_and_no_more(one: int, other: int, number: int, zeros: int) -> None:
    low, high = sorted((one, other))
    pattern = whole_number(low, high, 8)
    for candidate in (number, low, high, low - 1, high + 1):
        text = "0" * zeros + str(candidate)
        assert holds(pattern, text) is (low <= candidate <= high and len(text) <= 8)


@pytest.mark.parametrize(
    ("currency", "low", "high"),
    [(NGN, 50, 50_000), (NGN, 100, 1_000_000), (NGN, 0, MAXIMUM_MINOR // 100), (UGX, 0, MAXIMUM_MINOR)],
)
@given(data=st.data())
def test_a_pattern_of_amounts_holds_what_money_reads_in_the_range(
    currency: Any, low: int, high: int, data: Any
) -> None:
    pattern = decimal_number(low, high, currency.digits, LONGEST_DIGITS)
    near = st.sampled_from([low, high]).flatmap(lambda end: st.integers(max(end - 2, 0), end + 2))
    whole = data.draw(
        st.sampled_from(["", "0", "0" * 27]).flatmap(
            lambda zeros: (near | st.integers(0, 2 * high)).map(lambda number: f"{zeros}{number}")
        )
    )
    text = whole + data.draw(
        st.sampled_from(["", ".", ".0", ".00", ".000", ".1", ".01", ".10", ".99", ".001", ".x", "\n"])
    )
    try:
        minor = Money.parse(text, currency).minor
    except ValueError:
        minor = -1
    unit = 10**currency.digits
    assert holds(pattern, text) is (max(low * unit, 1) <= minor <= high * unit)


@pytest.mark.parametrize("text", ["refill-up", "REFILL UP", "Refill  Up", "refillup", " r-e-f i l l u p "])
def test_a_word_in_any_case_may_have_what_may_stand_between_its_letters(text: str) -> None:
    assert holds(any_case("refillup", "[ -]*"), text)
    assert not holds(any_case("refillup"), text + "s")
