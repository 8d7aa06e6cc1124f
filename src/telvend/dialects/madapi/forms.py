"""The forms of MADAPI: each field declared once, for its validation and for the OpenAPI document.

Source: MTN's page "Plans v2" and its public specification 2.3 for names and words. Null and an empty string are the same as a
field that is missing. In a form (`application/x-www-form-urlencoded`) the amount of a premium is its JSON as text, or
`amount[value]`, or `amount.value`; the document shows it as JSON has it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from telvend.catalog.model import PRODUCT_CODE
from telvend.dialects.forms import Field, Form, Schema, any_case, decimal_number, matching, text, text_or, whole_number
from telvend.dialects.madapi.fields import (
    AMOUNT_SPELLINGS,
    FRI_STATES,
    GRANT,
    LONGEST_CUSTOMER,
    LONGEST_MESSAGE,
    LONGEST_QUOTE,
    LONGEST_SENT_ID,
    LONGEST_TEXT,
    MOST_UNITS,
    PAYMENT_SOURCES,
    PIN,
    PLAN_ID,
    PROFILE,
    REFILL_TYPES,
    SERIAL,
    TARGET_SYSTEMS,
    TRANSACTION_TYPE,
    UNIT_DIGITS,
    Fields,
)
from telvend.dialects.madapi.wire import CURRENCY
from telvend.kit.money import CURRENCIES, LONGEST_DIGITS, MAXIMUM_MINOR, Money
from telvend.kit.phone import SEPARATORS
from telvend.kit.secret import Secret
from telvend.operator.refills.model import RefillKind

_NOTHING: Final[Schema] = {"enum": [None, ""]}


def camel(attribute: str) -> str:
    """Spell an attribute as MADAPI spells its fields."""
    first, *others = attribute.split("_")
    return first + "".join(other.capitalize() for other in others)


def _words(*words: str) -> str:
    return "|".join(any_case(word) for word in words)


def _plain(longest: int, **more: Any) -> Field:
    """Printable text that may be missing."""
    return Field(
        lambda fields, name: fields.text(name, required=False, longest=longest) or None,
        text(longest),
        required=False,
        **more,
    )


_DIGITS: Final = f"{SEPARATORS}\\+?(?:{SEPARATORS}[0-9]){{3,20}}{SEPARATORS}"
_NUMBER: Final = matching(_DIGITS, maxLength=LONGEST_CUSTOMER, format="mobile-number")
"""A customer's number, in any spelling."""

_NUMBER_OR_NOTHING: Final = matching(f"{_DIGITS}|", maxLength=LONGEST_CUSTOMER, format="mobile-number-or-empty")


# Refills ----------------------------------------------------------------------------------------------------------------


def _refill_type(kind: RefillKind | None = None) -> str:
    """The words of this kind, or all of them, in any case, with spaces and dashes."""
    words = (word for word, means in REFILL_TYPES.items() if kind in (None, means))
    return "|".join(any_case(word, "[ _-]*") for word in words)


_OF_ONE_KIND: Final[Schema] = {
    "if": {"properties": {"refillType": {"pattern": f"^(?:{_refill_type(RefillKind.VOUCHER)})$"}}},
    "then": {
        "required": ["voucherActivationCode"],
        "properties": {
            "voucherActivationCode": {"not": _NOTHING},
            "refillProfileId": _NOTHING,
            "transactionAmount": _NOTHING,
        },
    },
    "else": {
        "required": ["refillProfileId", "transactionAmount"],
        "properties": {
            "refillProfileId": {"not": _NOTHING},
            "transactionAmount": {"not": _NOTHING},
            "voucherActivationCode": _NOTHING,
            "serialNumber": _NOTHING,
        },
    },
}
"""The fields that a kind of refill needs, and those of the other kind, which must not be there."""


class Refill(msgspec.Struct, frozen=True):
    """What belongs to the other kind of refill is None."""

    refill_type: Annotated[
        RefillKind,
        Field(
            lambda fields, _: fields.refill_kind(),
            matching(_refill_type(), maxLength=LONGEST_TEXT),
            about="`voucher` or `voucherless`, in any case.",
        ),
    ]
    voucher_activation_code: Annotated[
        Secret | None,
        Field(
            lambda fields, _: fields.pin() if fields.refills_by(RefillKind.VOUCHER) else None,
            matching(f"{PIN.pattern}|"),
            required=False,
            about="The voucher's PIN.",
        ),
    ]
    serial_number: Annotated[
        str | None,
        Field(
            lambda fields, _: fields.serial() if fields.refills_by(RefillKind.VOUCHER) else None,
            matching(f"{SERIAL.pattern}|"),
            required=False,
        ),
    ]
    refill_profile_id: Annotated[
        str | None,
        Field(
            lambda fields, _: fields.profile() if fields.refills_by(RefillKind.VOUCHERLESS) else None,
            matching(f"{PROFILE.pattern}|"),
            required=False,
        ),
    ]
    transaction_amount: Annotated[
        int | None,
        Field(
            lambda fields, _: fields.units() if fields.refills_by(RefillKind.VOUCHERLESS) else None,
            text_or(
                f"{whole_number(1, MOST_UNITS, UNIT_DIGITS)}|",
                {"type": "integer", "minimum": 1, "maximum": MOST_UNITS},
            ),
            required=False,
            about="Whole units of the currency: their digits as text, or an integer.",
        ),
    ]
    target_system: Annotated[
        str,
        Field(lambda fields, _: fields.target_system(), matching(f"{_words(*TARGET_SYSTEMS)}|"), required=False),
    ]


# Premiums ---------------------------------------------------------------------------------------------------------------


def _value(digits: int) -> Schema:
    """The value of an amount in a currency with `digits` decimals. Where it has none, `.00` is accepted too."""
    high = MAXIMUM_MINOR // 10**digits
    number = decimal_number(0, high, digits, LONGEST_DIGITS)
    return {"pattern": f"^(?:{number})$" if digits else f"^(?:{number})(?:\\.00)?$"}


def _units(whole: bool) -> str:
    return _words(*(code for code, currency in CURRENCIES.items() if (currency.digits == 0) is whole))


_AMOUNT: Final[Schema] = {
    "title": "CurrencyAmount",
    "description": "An amount of money. `value` is a decimal text greater than zero.",
    "type": "object",
    "required": ["type", "value", "unit"],
    "properties": {
        "type": matching(any_case(CURRENCY)),
        "value": {"type": "string"},
        "unit": matching(f"{_units(whole=True)}|{_units(whole=False)}"),
    },
    "if": {"properties": {"unit": {"pattern": f"^(?:{_units(whole=True)})$"}}},
    "then": {"properties": {"value": _value(0)}},
    "else": {"properties": {"value": _value(2)}},
}


def _is_spelt_as_in_a_form(body: Mapping[str, Any]) -> bool:
    return isinstance(body.get("amount"), str) or any(spelling in body for spelling in AMOUNT_SPELLINGS)


class Premium(msgspec.Struct, frozen=True):
    """The fields in the order of reading. The customer of the path is checked after the transactionId."""

    transaction_id: Annotated[
        str, Field(lambda fields, _: fields.transaction_id(fields.trace), text(LONGEST_SENT_ID, shortest=1))
    ]
    product: Annotated[
        str,
        Field(
            lambda fields, _: fields.product(fields.product_in_path),
            matching(PRODUCT_CODE.pattern),
            about="The product of the path, where that names one.",
        ),
    ]
    receiving_customer_id: Annotated[
        str,
        Field(
            lambda fields, name: fields.customer(name, fields.home),
            _NUMBER,
            about="A subscriber's number: E.164, its digits, or the national form.",
        ),
    ]
    transaction_type: Annotated[
        str, Field(lambda fields, _: fields.transaction_type(), matching(TRANSACTION_TYPE.pattern))
    ]
    amount: Annotated[
        Money,
        Field(
            lambda fields, _: fields.amount(fields.sender),
            {"$ref": "#/components/schemas/CurrencyAmount"},
            beside=_is_spelt_as_in_a_form,
        ),
    ]
    account_holder_id: Annotated[str | None, _plain(LONGEST_TEXT)]
    quote_id: Annotated[str | None, _plain(LONGEST_QUOTE, about="The `originReferenceId` of a premium, once.")]
    message: Annotated[str | None, _plain(LONGEST_MESSAGE)]


# Subscriptions ----------------------------------------------------------------------------------------------------------


class Subscription(msgspec.Struct, frozen=True):
    """What is bought, and for whom. What is read and changes nothing is checked for its form all the same."""

    subscription_id: Annotated[
        str,
        Field(
            lambda fields, _: fields.subscription_id(),
            matching(PRODUCT_CODE.pattern),
            about="The product's code, as `GET /v3/products/{customerId}` lists it.",
        ),
    ]
    beneficiary_id: Annotated[
        str,
        Field(
            lambda fields, _: fields.beneficiary(),
            _NUMBER_OR_NOTHING,
            required=False,
            about="Who gets it, where that is not the customer of the path: a number in any spelling.",
        ),
    ]
    subscription_payment_source: Annotated[
        str,
        Field(
            lambda fields, name: fields.one_of(name, PAYMENT_SOURCES, required=False),
            matching(f"{_words(*PAYMENT_SOURCES)}|"),
            required=False,
            about="Who pays. Here the partner's wallet does: `EVDS`, or nothing.",
        ),
    ]
    subscription_provider_id: Annotated[str | None, _plain(LONGEST_TEXT, about="Read, and changes nothing.")]
    node_id: Annotated[str | None, _plain(LONGEST_TEXT, about="Read, and changes nothing.")]
    registration_channel: Annotated[str | None, _plain(LONGEST_TEXT, about="Read, and changes nothing.")]


# Version 2.3 ------------------------------------------------------------------------------------------------------------


class Migration(msgspec.Struct, frozen=True):
    plan_id: Annotated[str, Field(lambda fields, _: fields.plan_id(), matching(PLAN_ID.pattern))]
    provider_id: Annotated[str | None, _plain(LONGEST_TEXT)]


class FriState(msgspec.Struct, frozen=True):
    state: Annotated[str, Field(lambda fields, name: fields.one_of(name, FRI_STATES), matching(_words(*FRI_STATES)))]


# OAuth ------------------------------------------------------------------------------------------------------------------


class Credentials(msgspec.Struct, frozen=True):
    """The fields as they were sent. A value that is not text is no credential; for the alternatives see oauth.py."""

    client_id: Annotated[Any, Field(Fields.sent, {"type": "string"})]
    client_secret: Annotated[Any, Field(Fields.sent, {"type": "string"})]
    grant_type: Annotated[
        Any,
        Field(Fields.sent, matching(GRANT), required=False, about="Not looked at where it stands in the query."),
    ]


# Forms ------------------------------------------------------------------------------------------------------------------

REFILL_FORM: Final = Form(
    "RefillForm",
    Refill,
    about="A refill, by voucher or voucherless; the fields of the other kind must not be there.",
    spelt=camel,
    rules=_OF_ONE_KIND,
)
PREMIUM_FORM: Final = Form(
    "PremiumForm",
    Premium,
    about="A premium that is asked for. `amount` is for CURRENCY; `product` is the path's where that names one.",
    spelt=camel,
    components={"CurrencyAmount": _AMOUNT},
)
SUBSCRIPTION_FORM: Final = Form(
    "SubscriptionForm",
    Subscription,
    about="A bundle that is bought from the partner's wallet, once: nothing renews.",
    spelt=camel,
)
MIGRATION_FORM: Final = Form(
    "MigrationForm",
    Migration,
    about="`planId` is the tariff plan to change to; `providerId` is read and kept for nothing.",
    spelt=camel,
)
FRI_STATE_FORM: Final = Form("FriStateForm", FriState, about="`state` is ACTIVE or BLOCKED, in any case.")
TOKEN_FORM: Final = Form(
    "TokenForm",
    Credentials,
    about="`client_id` is the API key, `client_secret` what was shown beside it. `grant_type` may stand in the query instead.",
)
