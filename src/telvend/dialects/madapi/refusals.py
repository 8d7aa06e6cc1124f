"""Every error in MADAPI's words: its code, and one of four shapes that depend on what was asked for.

    shape 1    `ErrorBody`: the general one, with timestamp, path and method
    shape 2    `PremiumError`: a premium's, with `_links`; its 404 is shape 3, its 405 shape 1
    shape 3    `Absent`: 404 where plans or a premium were asked for; `data` is null, for readers of either kind
    shape 4    `Unrouted`: an address that does not exist, as MTN's gateway answers

Source: MTN's page "Plans v2" for the shapes, its code table for the codes; the statuses are the table's, with what it leaves
open decided in docs/reference/madapi.md.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import msgspec

from telvend import errors
from telvend.dialects.contract import Header, Request, Response, nearest_row
from telvend.dialects.madapi.wire import Links, links
from telvend.errors import InvalidFields, InvalidInput, TelvendError, UnknownPath
from telvend.operator.premiums.model import NoMobileMoney, QuoteRefused
from telvend.operator.subscribers.balances.model import MaximumCredit, NotEnough
from telvend.operator.subscribers.model import SubscriberBarred
from telvend.operator.vouchers.model import LockedOut, PinRefused

PLANS: Final = "/v2/customers/{customerId}/plans"
PRODUCT: Final = f"{PLANS}/{{productCode}}"
REFILL: Final = f"{PLANS}/refill"

_PREMIUM: Final = frozenset({("POST", PLANS), ("POST", PRODUCT)})
_ABSENT: Final = _PREMIUM | {("GET", PLANS), ("HEAD", PLANS), ("GET", PRODUCT), ("HEAD", PRODUCT)}

LITERAL_999: Final = 999
"""What the document prints for an unclassified failure of a refill; no status of HTTP, and sent only where a setting allows it."""


class ErrorBody(msgspec.Struct, rename="camel"):
    """Shape 1. `supportMessage` is for whoever has written the client, `statusMessage` may be shown to anybody."""

    status_code: str
    status_message: str
    support_message: str
    transaction_id: str
    timestamp: str
    path: str
    method: str
    sequence_no: str


class PremiumError(msgspec.Struct, rename="camel"):
    """Shape 2."""

    status_code: str
    status_message: str
    support_message: str
    transaction_id: str
    links: Links = msgspec.field(name="_links")


class Absent(msgspec.Struct, rename="camel"):
    """Shape 3."""

    data: None
    status_code: str
    status_message: str
    transaction_id: str


class Unrouted(msgspec.Struct):
    """Shape 4. `status` is the number of HTTP, `error` its words.

    The last three are the general shape's, for readers who look for a code whatever went wrong.
    """

    timestamp: str
    status: int
    error: str
    message: str
    path: str
    status_code: str = msgspec.field(name="statusCode")
    status_message: str = msgspec.field(name="statusMessage")
    transaction_id: str = msgspec.field(name="transactionId")


SHAPES: Final = frozenset({ErrorBody, PremiumError, Absent, Unrouted})

ERROR_TABLE: Final[dict[type[TelvendError], tuple[int, str]]] = {
    errors.TelvendError: (500, "3001"),
    errors.InvalidInput: (400, "5000"),
    errors.InvalidFields: (400, "5000"),
    errors.HostNotValid: (400, "5000"),
    errors.BodyNotReadable: (400, "5000"),
    errors.MediaTypeNotRead: (415, "5000"),
    errors.BodyTooLarge: (413, "5000"),
    errors.NotAuthenticated: (401, "4000"),
    errors.NotPermitted: (403, "6000"),
    errors.NotFound: (404, "1000"),
    errors.UnknownPath: (404, "1000"),
    errors.MethodNotAllowed: (405, "4001"),
    errors.ReferenceReused: (400, "5001"),
    errors.TooManyRequests: (429, "1013"),
    errors.InsufficientBalance: (403, "6001"),
    errors.ProductUnavailable: (400, "5001"),
    errors.AlreadyExists: (400, "1002"),
    errors.Busy: (503, "3000"),
    errors.SalesHalted: (503, "3000"),
    errors.InvariantBroken: (500, "3001"),
    PinRefused: (400, "5001"),
    LockedOut: (403, "6000"),
    SubscriberBarred: (403, "6000"),
    MaximumCredit: (403, "6000"),
    QuoteRefused: (400, "5001"),
    NoMobileMoney: (403, "6000"),
    NotEnough: (403, "6001"),
}
"""HTTP status and canonical code."""

STATUS_MESSAGE: Final = {
    "1000": "What was asked for was not found. Check the identifiers.",
    "1002": "It is there already. Check its state first.",
    "1013": "Too many requests. Slow down and try again later.",
    "3000": "The service is not available right now. Try again later.",
    "3001": "Something went wrong on our side. Repeat the request with the same transactionId, or ask for support.",
    "4000": "The credentials are missing or not valid. Check the API key or the token.",
    "4001": "The method is not allowed here. Check the method.",
    "5000": "Some of the details sent are not valid. Correct them and try again.",
    "5001": "The request could not be carried out. Review it and try again.",
    "6000": "This is not permitted for the customer or the partner. Check their state.",
    "6001": "There is too little money for this. Add funds and try again.",
}
"""What may be shown to anybody, by code."""

FIELD_OF_REFILL: Final = {
    "profile": "refillProfileId",
    "amount": "transactionAmount",
    "pin": "voucherActivationCode",
}
"""What the body of a refill calls the fields that the service names in InvalidInput."""

_CHALLENGE: Final[tuple[Header, ...]] = ((b"www-authenticate", b"Bearer"),)


def error_answer(error: TelvendError, request: Request, *, literal_999: bool = False) -> Response:
    """Any error, in the shape that belongs to what was asked for. What went wrong inside us is not told."""
    status, code = nearest_row(ERROR_TABLE, error)
    message = STATUS_MESSAGE[code]
    if isinstance(error, UnknownPath):
        words = HTTPStatus.NOT_FOUND.phrase
        return Response(404, Unrouted(_now(), 404, words, str(error), request.path, code, message, request.trace))
    operation = (request.method, request.route)
    if status == 404 and operation in _ABSENT:
        return Response(404, Absent(None, code, message, request.trace))
    headers = _CHALLENGE if status == 401 else ()
    if status != 405 and operation in _PREMIUM:
        support = _support(error, code, request.route)
        return Response(status, PremiumError(code, message, support, request.trace, links(request)), headers)
    if literal_999 and code == "3001" and request.route == REFILL:
        status = LITERAL_999
    return Response(status, error_body(error, request), headers)


def error_body(error: TelvendError, request: Request) -> ErrorBody:
    """Return an error in shape 1."""
    code = nearest_row(ERROR_TABLE, error)[1]
    return general_body(code, _support(error, code, request.route), request)


def general_body(code: str, support: str, request: Request) -> ErrorBody:
    """Return shape 1 with this code; `support` is the `supportMessage`."""
    return ErrorBody(
        code,
        STATUS_MESSAGE[code],
        support,
        request.trace,
        _now(),
        request.path,
        request.method,
        request.request_id.decode(),
    )


def _support(error: TelvendError, code: str, route: str) -> str:
    if code == "3001":
        return "An unexpected error; it has been recorded."
    if isinstance(error, InvalidFields):
        return "; ".join(f"{name}: {problem}" for name, problem in error.problems.items())
    if route == REFILL and isinstance(error, InvalidInput) and error.field in FIELD_OF_REFILL:
        return f"{FIELD_OF_REFILL[error.field]}: {error.problem}"
    return str(error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
