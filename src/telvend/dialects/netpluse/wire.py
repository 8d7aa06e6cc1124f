"""What Netpluse's clients see: bodies, status words, error texts.

Source: the Netpluse API document ("Getting Started", 2026); the examples under tests/wire/netpluse/ are its own. Where
it is silent or contradicts itself, the docstring here names the choice.
"""

from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from telvend import errors
from telvend.dialects.contract import Response, nearest_row
from telvend.dialects.forms import PrintableText, matching
from telvend.errors import TelvendError
from telvend.kit.numbering import mobile_pattern
from telvend.kit.phone import LONGEST_TEXT
from telvend.orders.model import Order, OrderState, Placement

REPEAT_WINDOW_S: Final = 60
"""The document says of a repeated reference both "returns the original order" and "409 within 1 minute". Both: the same
request within this many seconds of the first is 409 with the original order in the body, later it is 200 with it."""

STATUS_BY_STATE: Final = {
    OrderState.ACCEPTED: "processing",
    OrderState.DELIVERING: "processing",
    OrderState.WAITING: "processing",
    OrderState.REVIEW: "processing",
    OrderState.DELIVERED: "completed",
    OrderState.FAILED: "failed",
}


class Ping(msgspec.Struct):
    """`owner` is the account's UUID."""

    ok: bool
    owner: str


class Balance(msgspec.Struct):
    """`balance` is what can be spent now, in whole GHS."""

    balance: Decimal
    currency: str


class DataPackage(msgspec.Struct):
    """`capacity` is what `/purchase` takes; `price` in whole GHS; `validity` such as "30 Days"."""

    network: str
    capacity: str
    price: Decimal
    validity: str


class Packages(msgspec.Struct):
    packages: list[DataPackage]


COUNTRY: Final = "GH"
CAPACITY: Final = PrintableText(32)
REFERENCE: Final = PrintableText(64)
_PHONE: Final = matching(mobile_pattern(COUNTRY), maxLength=LONGEST_TEXT, format="mobile-number-gh")


class PurchaseForm(msgspec.Struct, rename="camel"):
    """A purchase. `capacity` is a size from `/packages`; `reference` is your own name for the purchase."""

    network: str
    phone_number: Annotated[str, Meta(extra_json_schema=_PHONE)]
    capacity: Annotated[str, Meta(extra_json_schema=CAPACITY.schema)]
    reference: Annotated[str, Meta(extra_json_schema=REFERENCE.schema)] | None = None


class Purchased(msgspec.Struct):
    """`reference` is ours; `balance` is what was left to spend after the hold, both amounts in whole GHS."""

    reference: str
    status: str
    price: Decimal
    balance: Decimal


class OrderStatus(msgspec.Struct, rename="camel"):
    """`reference` is ours, `createdAt` UTC with milliseconds and `Z`."""

    reference: str
    network: str
    capacity: str
    status: str
    created_at: str


class ErrorBody(msgspec.Struct):
    """Every error: one sentence that names the field where there is one."""

    error: str


class DuplicateOrder(msgspec.Struct):
    """A reference that is taken. After the same request, within a minute, the original order stands beside the error."""

    error: str
    reference: str | msgspec.UnsetType = msgspec.UNSET
    status: str | msgspec.UnsetType = msgspec.UNSET
    price: Decimal | msgspec.UnsetType = msgspec.UNSET
    balance: Decimal | msgspec.UnsetType = msgspec.UNSET


def purchased(order: Order) -> Purchased:
    return Purchased(order.reference, STATUS_BY_STATE[order.state], order.price.decimal, order.balance_after.decimal)


def placement_answer(placement: Placement) -> Response:
    """200 with the order; 409 with it when it repeats one of the last minute."""
    order = placement.order
    if not placement.replayed:
        return Response(200, purchased(order))
    if placement.age_s < REPEAT_WINDOW_S:
        return Response(
            409,
            DuplicateOrder(
                "Duplicate order: this reference was used less than a minute ago.",
                order.reference,
                STATUS_BY_STATE[order.state],
                order.price.decimal,
                order.balance_after.decimal,
            ),
        )
    return Response(200, purchased(order), ((b"idempotent-replayed", b"true"),))


def order_status(order: Order) -> OrderStatus:
    created = order.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return OrderStatus(order.reference, order.network, order.size, STATUS_BY_STATE[order.state], created)


ERROR_TABLE: Final[dict[type[TelvendError], int]] = {
    errors.TelvendError: 500,
    errors.InvalidInput: 400,
    errors.InvalidFields: 400,
    errors.HostNotValid: 400,
    errors.BodyNotReadable: 400,
    errors.MediaTypeNotRead: 400,
    errors.BodyTooLarge: 413,
    errors.NotAuthenticated: 401,
    errors.NotPermitted: 401,
    errors.NotFound: 404,
    errors.UnknownPath: 404,
    errors.MethodNotAllowed: 405,
    errors.ReferenceReused: 409,
    errors.TooManyRequests: 429,
    errors.InsufficientBalance: 402,
    errors.ProductUnavailable: 400,
    errors.AlreadyExists: 409,
    errors.Busy: 503,
    errors.SalesHalted: 503,
    errors.InvariantBroken: 500,
}
"""Source: "Error Codes" of the document; 405, 413 and 503 are HTTP's own. `NotPermitted` has no code of its own there."""

_UNEXPECTED: Final = "Unexpected server error. It is safe to retry a purchase with the same reference."


def error_answer(error: TelvendError) -> Response:
    """Any error in Netpluse's shape. What went wrong inside us is not told."""
    status: Any = nearest_row(ERROR_TABLE, error)
    return Response(status, ErrorBody(_UNEXPECTED if status == 500 else str(error)))
