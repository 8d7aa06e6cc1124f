"""The forms of networkdatasub: each field declared once, for its validation and for the OpenAPI document.

Source: the networkdatasub API document (Beta v1.0, June 2025). Amounts and plan ids may also be sent as their digits in a text.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

import msgspec

from telvend.catalog.model import Network, Product
from telvend.dialects.forms import (
    NOT_BLANK,
    Field,
    Form,
    Schema,
    decimal_number,
    matching,
    text_or,
    whole_number,
)
from telvend.dialects.networkdatasub.courtesies import NUMBERED, OTHER_NAME
from telvend.dialects.networkdatasub.fields import COUNTRY, DEFAULT_PROVIDER, REFERENCE_TEXT, Fields
from telvend.dialects.networkdatasub.wire import AUTHORITY_BY_PROVIDER
from telvend.funding.model import LONGEST_URL
from telvend.gateways.contract import Method
from telvend.kit.money import LONGEST_DIGITS, NGN, Money
from telvend.kit.numbering import mobile_pattern
from telvend.kit.phone import LONGEST_TEXT

SMALLEST_AIRTIME: Final = Money(50_00, NGN)
LARGEST_AIRTIME: Final = Money(50_000_00, NGN)
SMALLEST_FUNDING: Final = Money(100_00, NGN)
LARGEST_FUNDING: Final = Money(1_000_000_00, NGN)
LARGEST_PLAN_ID: Final = 2**31 - 1


# Kinds of field ---------------------------------------------------------------------------------------------------------


def _other_name(name: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda body: body.get(OTHER_NAME[name]) is not None


def _numbered(body: Mapping[str, Any]) -> bool:
    return any(type(body.get(name)) is int for name in NUMBERED)


def _amount(smallest: Money, largest: Money) -> Field:
    low, high = int(smallest.decimal), int(largest.decimal)
    digits = smallest.currency.digits
    number: Schema = {"type": "number", "minimum": low, "maximum": high, "multipleOf": 10**-digits}
    return Field(
        lambda fields, name: fields.amount(name, smallest, largest),
        text_or(decimal_number(low, high, digits, LONGEST_DIGITS), number),
        about=f"A number from {low} to {high} with at most {digits} decimals, or the same as text.",
    )


def _read_plan_id(fields: Fields, name: str) -> int:
    return fields.by_either_name(name, partial(fields.whole_number, minimum=1, maximum=LARGEST_PLAN_ID))


def _read_phone(fields: Fields, name: str) -> str:
    return fields.by_either_name(name, lambda spelling: fields.phone(spelling, COUNTRY))


def _read_reference(fields: Fields, _: str) -> str | None:
    return fields.reference(fields.idempotency_key)


NETWORK: Final = Field(Fields.network, NOT_BLANK, about="The network's code, as `/networks` has it.", beside=_numbered)
NETWORK_OF_PLAN: Final = replace(NETWORK, read=Fields.network_of_plan)

PLAN_ID: Final = Field(
    _read_plan_id,
    text_or(
        whole_number(1, LARGEST_PLAN_ID, Fields.MOST_DIGITS),
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PLAN_ID},
    ),
    about="The `id` of a plan of the network: an integer, or its digits as text.",
    beside=_other_name("plan_id"),
)

PLAN: Final = Field(Fields.plan, None)

PHONE: Final = Field(
    _read_phone,
    lambda: matching(mobile_pattern(COUNTRY), maxLength=LONGEST_TEXT, format="mobile-number-ng"),
    about="A mobile number of Nigeria, such as 08012345678.",
    beside=_other_name("phone"),
)

REFERENCE: Final = Field(
    _read_reference, REFERENCE_TEXT.schema, required=False, about="Your own name for the purchase."
)

PAYMENT_METHOD: Final = Field(Fields.payment_method, {"type": "string", "enum": [str(method) for method in Method]})

REDIRECT_URL: Final = Field(
    Fields.redirect_url,
    matching("[Hh][Tt][Tt][Pp][Ss]?://[!-\\[\\]-~]+|", maxLength=LONGEST_URL, format="web-address"),
    required=False,
    about="An http or https address without user and password.",
)

CARD_TYPE: Final = Field(Fields.card_type, NOT_BLANK, about="A `card_type` of the price list.")

PROVIDER: Final = Field(
    Fields.provider, matching(f"{'|'.join(AUTHORITY_BY_PROVIDER)}|"), required=False, default=DEFAULT_PROVIDER
)

FLAG: Final = Field(Fields.flag, {"type": "boolean"}, required=False, default=False)


def _number(name: str) -> Field:
    return Field(Fields.identity_number, matching("[0-9]{11}"), name=name, about=f"The {name.upper()}: 11 digits.")


# Forms ------------------------------------------------------------------------------------------------------------------


class Airtime(msgspec.Struct, frozen=True):
    network: Annotated[Network, NETWORK]
    phone: Annotated[str, PHONE]
    amount: Annotated[Money, _amount(SMALLEST_AIRTIME, LARGEST_AIRTIME)]
    reference: Annotated[str | None, REFERENCE]


class Data(msgspec.Struct, frozen=True):
    network: Annotated[Network, NETWORK_OF_PLAN]
    plan_id: Annotated[int, PLAN_ID]
    phone: Annotated[str, PHONE]
    reference: Annotated[str | None, REFERENCE]
    plan: Annotated[Product, PLAN]


class Fund(msgspec.Struct, frozen=True):
    amount: Annotated[Money, _amount(SMALLEST_FUNDING, LARGEST_FUNDING)]
    payment_method: Annotated[Method, PAYMENT_METHOD]
    redirect_url: Annotated[str | None, REDIRECT_URL]


class Nin(msgspec.Struct, frozen=True):
    number: Annotated[str, _number("nin")]
    card_type: Annotated[str, CARD_TYPE]
    force_new: Annotated[bool, FLAG]
    use_real_api: Annotated[bool, FLAG]
    reference: Annotated[str | None, REFERENCE]


class Bvn(msgspec.Struct, frozen=True):
    number: Annotated[str, _number("bvn")]
    card_type: Annotated[str, CARD_TYPE]
    provider: Annotated[str, PROVIDER]
    force_new: Annotated[bool, FLAG]
    use_real_api: Annotated[bool, FLAG]
    reference: Annotated[str | None, REFERENCE]


AIRTIME_FORM: Final = Form("AirtimeForm", Airtime)
DATA_FORM: Final = Form("DataForm", Data)
FUND_FORM: Final = Form("FundForm", Fund)
NIN_FORM: Final = Form("NinForm", Nin)
BVN_FORM: Final = Form("BvnForm", Bvn)
