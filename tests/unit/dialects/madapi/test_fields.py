"""Who is meant, what is asked for, and that every wrong field is named: each rule of a field, in both directions."""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.dialects.madapi.fields import (
    Fields,
    Query,
    customer,
    long_id_of,
    new_transaction_id,
    transaction_id_in_force,
    transaction_id_of,
    usable_transaction_id,
)
from telvend.errors import InvalidFields, InvalidInput
from telvend.kit.money import NGN, UGX, Money
from telvend.operator.refills.model import RefillKind

SENDER = "+2348031234567"


def problems(fields: Fields | Query) -> dict[str, str]:
    with pytest.raises(InvalidFields) as raised:
        fields.raise_if_any()
    return raised.value.problems


# Customers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+2348031234567", SENDER), ("2348031234567", SENDER), ("08031234567", SENDER), ("234 803 123 4567", SENDER),
        ("+234-803-123-4567", SENDER), (" 0803 123-4567 ", SENDER), ("0244123456", "+233244123456"),
        ("233244123456", "+233244123456"), ("+256772123456", "+256772123456"), ("27821234567", "+27821234567"),
        ("26876123456", "+26876123456"), ("76123456", "+26876123456"), ("0821234567", "+27821234567"),
        ("+237670123456", "+237670123456"),
    ],
)  # fmt: skip
def test_a_customer_is_understood_in_every_spelling(text: str, number: str) -> None:
    assert customer(text, "") == number


@pytest.mark.parametrize(
    "text",
    ["", "999", "23480312345678", "name@example.com", "+2348031234567x", "2342012345678901", "++2348031234567", "0" * 80,
     "２３４８０３１２３４５６７", "+0803123456", "tel:+2348031234567"],
)  # fmt: skip
def test_what_is_no_number_of_a_mobile_subscriber_is_refused_by_the_name_of_the_field(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        customer(text, "", "receivingCustomerId")
    assert raised.value.field == "receivingCustomerId"
    assert not text or text not in str(raised.value)


def test_a_national_form_that_two_markets_share_needs_a_home_country() -> None:
    with pytest.raises(InvalidInput):
        customer("0772123456", "")
    assert customer("0772123456", "UG") == "+256772123456"
    assert customer("0772123456", "ZA") == "+27772123456"


def test_the_home_country_goes_first_and_takes_nothing_from_numbers_with_a_country_code() -> None:
    assert customer("0712345678", "KE") == "+254712345678"
    assert customer("2348031234567", "KE") == SENDER
    assert customer("+2348031234567", "KE") == SENDER
    assert customer("0244123456", "ZZ") == "+233244123456"


@given(st.text(max_size=40))
def test_any_text_is_a_number_in_e164_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}", customer(text, ""), re.ASCII)


# transactionId


@pytest.mark.parametrize(
    ("text", "usable"),
    [("12345", True), ("A" * 20, True), ("a+/=-", True), ("1234", False), ("A" * 21, False), ("with space", False),
     ("under_score", False), ("dotted.id", False), ("", False), ("abcdé", False), ("12345\n", False), ("١٢٣٤٥", False)],
)  # fmt: skip
def test_a_transaction_id_is_used_or_replaced(text: str, usable: bool) -> None:
    assert usable_transaction_id(text) is usable
    found = transaction_id_of({b"transactionid": text.encode()})
    assert usable_transaction_id(found)
    assert (found == text) is usable


def test_two_replacements_are_never_the_same() -> None:
    assert len({new_transaction_id() for _ in range(1000)}) == 1000
    assert usable_transaction_id(transaction_id_of({}))


UUID_TEXT = "0b8c1f8e-7a40-4d0e-9d2e-5a6d6c1b2f3a"


@pytest.mark.parametrize(
    "text", [UUID_TEXT, "1234567890123456789012345", "A" * 21, "A" * 128, "a long name with blanks", "Adéọlá" * 5]
)
def test_a_long_id_has_a_stand_in_that_is_always_the_same(text: str) -> None:
    headers = {b"transactionid": text.encode()}
    found = transaction_id_of(headers)
    assert usable_transaction_id(found)
    assert found == transaction_id_of(dict(headers)) == Fields({"transactionId": text}).transaction_id("from-header")
    assert long_id_of(headers) == text


def test_the_rule_of_stand_ins_never_changes() -> None:
    """Refills that were made under one are recognised by it for good."""
    assert transaction_id_in_force(UUID_TEXT) == "e59b63a0a157d484144c"
    assert len({transaction_id_in_force(f"{UUID_TEXT}{number}") for number in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text", ["", "1", "abc", "abc_def_1", "OWS 000009", "A" * 19 + "_", "A" * 129, "A" * 20 + "\n", "A" * 20 + "\x7f"]
)
def test_what_is_short_or_endless_or_unprintable_is_replaced_anew_each_time(text: str) -> None:
    headers = {b"transactionid": text.encode()}
    assert transaction_id_of(headers) != transaction_id_of(headers)
    assert long_id_of(headers) is None


def test_a_usable_id_is_itself_and_no_long_one() -> None:
    assert long_id_of({b"transactionid": b"A" * 20}) is None


@pytest.mark.parametrize(
    ("form", "found"),
    [({"transactionId": "TX-00001"}, "TX-00001"), ({}, "from-header"), ({"transactionId": 5}, "from-header"),
     ({"transactionId": "no"}, None), ({"transactionId": "x" * 4096}, None)],
)  # fmt: skip
def test_the_transaction_id_of_a_premium_is_the_bodys(form: Any, found: str | None) -> None:
    fields = Fields(form)
    in_force = fields.transaction_id("from-header")
    assert usable_transaction_id(in_force)
    assert found in (None, in_force)
    assert (in_force == "from-header") is bool(fields.problems)


# Queries


def query(**values: Any) -> Query:
    return Query(urlencode(values).encode())


def test_words_are_compared_without_case_and_unknown_parameters_never_looked_at() -> None:
    found = query(plan="data", MOMO="TRUE", amount="500", Whatever="\x00" * 200)
    assert found.one_of("plan", ("VOICE", "DATA", "SMS")) == "DATA"
    assert found.flag("momo") is True
    assert found.whole_number("amount", 12) == 500
    assert found.text("fixedLine") == ""
    assert found.flag("includeReservations") is False
    assert found.whole_number("nothing", 12) is None
    found.raise_if_any()


def test_every_wrong_parameter_is_named() -> None:
    found = query(plan="GAMES", momo="yes", amount="1.5", fixedLine="a/b", quoteid="x" * 65)
    found.one_of("plan", ("VOICE", "DATA", "SMS"))
    found.flag("momo")
    found.whole_number("amount", 12)
    found.line("fixedLine")
    found.text("quoteid")
    assert problems(found) == {
        "plan": "'GAMES' is not one of VOICE, DATA, SMS",
        "momo": "'yes' is not one of true, false",
        "amount": "must be a whole number of at most 12 digits",
        "fixedLine": "must be 3 to 32 letters and digits, a plus sign in front allowed",
        "quoteid": "must be at most 64 printable characters",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [(b"fixedLine=%2B234+1-234", "+2341234"), (b"fixedLine=+2341234", "+2341234"), (b"fixedLine=2341234", "2341234"),
     (b"fixedline=HOME1", "HOME1"), (b"fixedLine=", ""), (b"", "")],
)  # fmt: skip
def test_a_line_is_spelt_as_the_subscribers_lines_are(text: bytes, line: str) -> None:
    found = Query(text)
    assert found.line("fixedLine") == line
    found.raise_if_any()


@given(st.binary(max_size=200))
def test_any_query_can_be_read(text: bytes) -> None:
    found = Query(text)
    found.text("plan")
    found.whole_number("amount", 12)


# Refills


@pytest.mark.parametrize(
    ("word", "kind"),
    [("voucher", RefillKind.VOUCHER), ("VOUCHER", RefillKind.VOUCHER), ("Voucher Base", RefillKind.VOUCHER),
     ("voucher-based", RefillKind.VOUCHER), ("Voucherless", RefillKind.VOUCHERLESS), ("voucher_less", RefillKind.VOUCHERLESS),
     ("Voucher less", RefillKind.VOUCHERLESS)],
)  # fmt: skip
def test_a_refill_type_is_understood_in_any_case_and_in_the_pages_words(word: str, kind: RefillKind) -> None:
    fields = Fields({"refillType": word})
    assert fields.refill_kind() is kind
    fields.raise_if_any()


@pytest.mark.parametrize("word", ["", None, "cash", 1, ["voucher"], "voucher\n", "v" * 500])
def test_any_other_refill_type_is_refused(word: Any) -> None:
    fields = Fields({"refillType": word})
    fields.refill_kind()
    assert problems(fields).keys() == {"refillType"}


@pytest.mark.parametrize(
    ("kind", "others"),
    [("voucher", ("refillProfileId", "transactionAmount")), ("voucherless", ("voucherActivationCode", "serialNumber"))],
)
def test_fields_of_the_other_kind_must_not_be_there_and_may_be_empty(kind: str, others: tuple[str, ...]) -> None:
    for name in others:
        fields = Fields({"refillType": kind, name: "12345678"})
        fields.refill_kind()
        assert problems(fields) == {name: f"must not be sent with refillType {kind}"}
        for nothing in ("", None):
            fields = Fields({"refillType": kind, name: nothing})
            fields.refill_kind()
            fields.raise_if_any()


@pytest.mark.parametrize(
    ("value", "good"),
    [("01234567", True), ("0" * 20, True), ("1234567", False), ("1" * 21, False), ("1234567x", False), (" 12345678", False),
     ("１２３４５６７８", False), (12345678, False), (True, False), (None, False), ("", False), (["12345678"], False)],
)  # fmt: skip
def test_a_pin_is_a_string_of_8_to_20_digits_and_never_repeated(value: Any, good: bool) -> None:
    fields = Fields({"voucherActivationCode": value})
    pin = fields.pin()
    assert (pin.reveal() == value) is (good or value == "")
    if good:
        fields.raise_if_any()
    else:
        assert not value or str(value) not in problems(fields)["voucherActivationCode"]


@pytest.mark.parametrize(
    ("value", "units"),
    [("100", 100), (100, 100), ("1", 1), ("0100", 100), ("9" * 12, 10**12 - 1), ("0", None), (0, None), ("-1", None), (-1, None),
     ("1.5", None), ("100.00", None), (100.0, None), ("1" * 13, None), (10**12, None), ("1e3", None), ("", None), (None, None),
     (True, None), ("١٠٠", None), (" 100", None), ({}, None)],
)  # fmt: skip
def test_an_amount_is_whole_units_more_than_nothing_in_12_digits(value: Any, units: int | None) -> None:
    fields = Fields({"transactionAmount": value})
    assert fields.units() == (units or 0)
    if units is None:
        assert problems(fields).keys() == {"transactionAmount"}
    else:
        fields.raise_if_any()


@pytest.mark.parametrize(
    ("name", "read", "good", "bad"),
    [
        ("serialNumber", Fields.serial, ("12345678", "AB345678" * 2), ("1234567", "A" * 21, "1234-5678", 12345678)),
        ("refillProfileId", Fields.profile, ("DB00", "1", "z9"), ("", None, "DB000", "D-1", 1)),
        ("targetSystem", Fields.target_system, ("AIR", "ppms", "", None), ("OCS", 1, "AIR ")),
        ("product", lambda fields: fields.product(None), ("AYO_SWC", "a.b-c", "x" * 64), ("", None, "x" * 65, "a b", "a/b", 1)),
        ("transactionType", Fields.transaction_type, ("TRANSFER", "transfer", "A_1"), ("", "x" * 33, "a-b", 1)),
        ("planId", Fields.plan_id, ("PulsePlus", "a b"), ("", "x" * 65, "a\nb", 1)),
    ],
)  # fmt: skip
def test_plain_fields_hold_what_they_may(name: str, read: Any, good: Any, bad: Any) -> None:
    for value in good:
        fields = Fields({name: value})
        read(fields)
        fields.raise_if_any()
    for value in bad:
        fields = Fields({name: value})
        read(fields)
        assert problems(fields).keys() == {name}, value


# Premiums


def test_the_product_of_the_body_is_that_of_the_path() -> None:
    fields = Fields({"product": "AYO_SWC"})
    assert fields.product("AYO_SWC") == "AYO_SWC"
    fields.raise_if_any()
    fields.product("OTHER")
    assert problems(fields) == {"product": "is not the product of the path"}


def amount(**changes: Any) -> dict[str, Any]:
    return {"type": "CURRENCY", "value": "5000.50", "unit": "NGN"} | changes


@pytest.mark.parametrize(
    "form",
    [
        {"amount": amount()},
        {"amount": amount(type="currency", unit="ngn")},
        {"amount": msgspec.json.encode(amount()).decode()},
        {f"amount[{name}]": value for name, value in amount().items()},
        {f"amount.{name}": value for name, value in amount().items()},
    ],
)
def test_an_amount_is_an_object_its_text_or_the_fields_of_a_form(form: Any) -> None:
    fields = Fields(form)
    assert fields.amount(SENDER) == Money(500050, NGN)
    fields.raise_if_any()


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (None, "amount"), ("", "amount"), ("5000", "amount"), (5000, "amount"), ([], "amount"), ("{", "amount"),
        (amount(type=None), "amount.type"), (amount(type="DATA"), "amount.type"), (amount(type=1), "amount.type"),
        (amount(value=None), "amount.value"), (amount(value="0"), "amount.value"), (amount(value="0.00"), "amount.value"),
        (amount(value="-5"), "amount.value"), (amount(value="1.234"), "amount.value"), (amount(value=5), "amount.value"),
        (amount(value="5,000"), "amount.value"), (amount(value="9" * 29), "amount.value"), (amount(value="NaN"), "amount.value"),
        (amount(unit=None), "amount.unit"), (amount(unit="GB"), "amount.unit"), (amount(unit="FCFA"), "amount.unit"),
        (amount(unit="UGX", value="1.5"), "amount.value"),
    ],
)  # fmt: skip
def test_a_wrong_part_of_an_amount_is_named(value: Any, wrong: str) -> None:
    fields = Fields({"amount": value})
    fields.amount(SENDER)
    assert problems(fields).keys() == {wrong}


def test_a_currency_without_decimals_takes_whole_amounts() -> None:
    assert Fields({"amount": amount(unit="UGX", value="1500")}).amount(SENDER) == Money(1500, UGX)
    # As we write it ourselves.
    assert Fields({"amount": amount(unit="UGX", value="1500.00")}).amount(SENDER) == Money(1500, UGX)


def test_a_receiver_is_named_by_its_field() -> None:
    fields = Fields({"receivingCustomerId": "nobody"})
    assert fields.customer("receivingCustomerId", "") == ""
    assert problems(fields).keys() == {"receivingCustomerId"}
    assert Fields({"receivingCustomerId": "0803 123 4567"}).customer("receivingCustomerId", "") == SENDER
