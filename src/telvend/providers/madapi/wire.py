"""What MTN's MADAPI says, and what it means.

An answer has a `statusCode` of four digits, `0000` for success. MTN's table gives each code one HTTP status, and a code counts only
beside its own: products of MADAPI use the same codes for other things. Errors come in four shapes, of which one is the gateway's
(`status`, `error`, `message`, `path`), which has looked at nothing but the address, the method and the credentials.

Airtime is a voucherless refill: whole units of the customer's currency, without its name. A bundle is a subscription: 201 when it is
there, 202 while it is not.

MTN promises no filter for a `transactionId` that comes twice, and prints no question about a refill. So what is not found there
means nothing. A Telvend says more: its 404 names the id and says that nothing was sold under it (`transactionIdFree`), and it
takes a request under an id once.

Source: MTN's page "Plans v2" and specification 2.3 for refills and codes, "Subscriptions v2" 2.4 and public clients of it for
subscriptions. Examples: tests/wire/madapi-upstream/ and, of a Telvend, tests/wire/madapi/.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from telvend.kit.money import Currency
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    Reason,
    Refused,
    Unknown,
    plain_reference,
)
from telvend.providers.oauth import Token, credentials_refused, granted_token
from telvend.providers.over_http import ProviderReply
from telvend.providers.reading import at, json_object, money_of, reference_of
from telvend.providers.upstream import CallbackForm

NETWORKS: Final = frozenset({("GH", "MTN"), ("NG", "mtn"), ("SZ", "MTN"), ("UG", "MTN"), ("ZA", "MTN")})
"""The markets of Plans v2. Source: its page, "Available in"."""

PROFILE: Final = "DB00"
"""The refill profile that is used where the operator names none. Source: the sample value of `refillProfileId`."""

REQUERY_AFTER_S: Final = 5.0

SETTLES_AFTER_S: Final = 120.0
"""How long a request may be under way before a Telvend that has sold nothing under its id is believed."""

SOURCE_SYSTEM: Final = "Telvend"
PAYMENT_SOURCE: Final = "EVDS"

CALLBACK: Final = CallbackForm(
    references=(("transactionId",), ("transactionReference",), ("correlationId",)),
    acknowledgement={"statusCode": "0000", "statusMessage": "Success"},
)
"""Unsigned, to the `callbackUrl` that came with a subscription, when it has ended. MTN prints no body: it is read as an answer about
a subscription, which is flat, and the subscription is asked about. A refill has no callback."""

_LONGEST_ID: Final = 20
_MOST_UNITS: Final = 10**12 - 1
_PROFILE: Final = re.compile(r"[A-Za-z0-9]{1,4}", re.ASCII)
_PROVIDER_AND_PRODUCT: Final = re.compile(r"(?:([A-Za-z0-9]{1,32})/)?([A-Za-z0-9_.-]{1,64})", re.ASCII)
_HASH_BYTES: Final = 10


class Code(StrEnum):
    """The published table of `statusCode`. Any other is `Unknown`."""

    SUCCESS = "0000"
    NOT_FOUND = "1000"
    REQUEST_ERROR = "1001"
    ALREADY_SUBSCRIBED = "1002"
    ALREADY_UNSUBSCRIBED = "1003"
    PENDING = "1004"
    RETRY = "1005"
    TIMED_OUT = "1007"
    TIMEOUT = "1012"
    CUSTOMER_RATE = "1013"
    BACKEND_CONNECTION = "2000"
    UNAVAILABLE = "3000"
    SYSTEM_ERROR = "3001"
    SERVER_TIMEOUT = "3003"
    SERVER_RATE = "3006"
    UNAUTHORISED = "4000"
    NOT_ALLOWED = "4001"
    INVALID_PARAMETERS = "5000"
    REQUEST_FAILED = "5001"
    BILLING_FAILED = "6000"
    INSUFFICIENT_FUNDS = "6001"


_CODES: Final = frozenset(str(code) for code in Code)

REFUSALS: Final = {
    (404, Code.NOT_FOUND): Reason.BAD_NUMBER,
    (400, Code.REQUEST_ERROR): Reason.NOT_SOLD,
    (401, Code.UNAUTHORISED): Reason.NOT_ALLOWED,
    (405, Code.NOT_ALLOWED): Reason.NOT_ALLOWED,
    (400, Code.INVALID_PARAMETERS): Reason.NOT_SOLD,
    (400, Code.REQUEST_FAILED): Reason.REFUSED,
    (403, Code.BILLING_FAILED): Reason.REFUSED,
    (403, Code.INSUFFICIENT_FUNDS): Reason.NO_FLOAT,
}
"""Status and code of what was not taken; `_reason_of` looks at the words where a code is of two things. Everything that is neither
here nor in `RATES` is `Unknown`: time-outs, a backend that could not be reached or did not answer, and "already subscribed", which may
have been this very request."""

RATES: Final = frozenset({(429, Code.CUSTOMER_RATE), (429, Code.SERVER_RATE)})
"""Too many requests: the gateway has not looked at this one."""

_OF_THE_GATEWAY: Final = frozenset({401, 404, 405, 415})


# Requests ---------------------------------------------------------------------------------------------------------------


def transaction_id(order_reference: str, number: int, started_at: datetime) -> str:
    """Return the `transactionId` of an attempt: 5 to 20 letters, digits and `+/=-`.

    Our reference without its prefix has room in it; one that has none is hashed.
    """
    plain = plain_reference(order_reference, number, started_at)
    short = plain.partition("-")[2]
    if 5 <= len(short) <= _LONGEST_ID and re.fullmatch(r"[A-Za-z0-9-]+", short, re.ASCII):
        return short
    return hashlib.blake2b(plain.encode(), digest_size=_HASH_BYTES).hexdigest()


def customer_of(delivery: Delivery) -> str:
    """The customer's id: the number's international digits."""
    return delivery.subscriber.removeprefix("+")


def refill_form(delivery: Delivery) -> dict[str, str] | Refused:
    """The body of a refill; Refused for an amount or a profile that cannot be expressed."""
    amount, profile = delivery.face_value, delivery.provider_code or PROFILE
    units, rest = divmod(amount.minor, 10**amount.currency.digits)
    if rest or not 0 < units <= _MOST_UNITS:
        return Refused(Reason.NOT_SOLD, f"airtime is sold here in whole units of {amount.currency}, not {amount}")
    if _PROFILE.fullmatch(profile) is None:
        return Refused(
            Reason.NOT_SOLD,
            f"{profile!r} is no refill profile (1 to 4 letters and digits); `telvend product offer {delivery.product} … --code` names one",
        )
    return {"refillType": "voucherless", "refillProfileId": profile, "transactionAmount": str(units)}


def product_of(delivery: Delivery) -> tuple[str, str] | Refused:
    """The subscription's provider (or "") and product: the operator's code, `ERS/NACT_NG_Data_4504` or the product alone, else ours."""
    code = delivery.provider_code or delivery.product
    match = _PROVIDER_AND_PRODUCT.fullmatch(code)
    if match is None:
        return Refused(
            Reason.NOT_SOLD,
            f"{code!r} is no product code; `telvend product offer {delivery.product} … --code` names one",
        )
    return match[1] or "", match[2]


def subscription_form(delivery: Delivery, callback_url: str = "") -> dict[str, str] | Refused:
    """The body of a subscription, paid from our wallet."""
    product = product_of(delivery)
    if isinstance(product, Refused):
        return product
    form = {
        "subscriptionId": product[1],
        "subscriptionPaymentSource": PAYMENT_SOURCE,
        "beneficiaryId": customer_of(delivery),
    }
    if product[0]:
        form["subscriptionProviderId"] = product[0]
    if callback_url:
        form["callbackUrl"] = callback_url
    return form


def question_of(delivery: Delivery, provider: str) -> dict[str, str]:
    """The query of a subscription's status."""
    query = {"customerId": customer_of(delivery), "queryType": "TRANSACTION_REFERENCE"}
    return query | {"subscriptionProviderId": provider} if provider else query


# Tokens -----------------------------------------------------------------------------------------------------------------


def token_of(reply: ProviderReply) -> Token | Refused | None:
    """The token of an answer. `expires_in` is a text of seconds."""
    body = json_object(reply)
    if reply.http_status == 401 or (reply.http_status in (400, 403) and at(body, "error") == "invalid_client"):
        return credentials_refused(f"HTTP {reply.http_status}")
    return granted_token(reply, body)


def is_token_ended(reply: ProviderReply) -> bool:
    """Whether the gateway has refused the token: 401 with 4000, or in its own shape. Nothing behind it was asked."""
    if reply.http_status != 401:
        return False
    body = json_object(reply)
    return at(body, "statusCode") == Code.UNAUTHORISED or _is_gateway(reply, body)


# Answers to a purchase --------------------------------------------------------------------------------------------------


def refilled(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a refill means. Its amount is what was loaded; what it cost us it does not say."""
    body = json_object(reply)
    if body is None:
        return Unknown(f"no answer of MADAPI: {reply.excerpt}")
    status, code = reply.http_status, body.get("statusCode")
    if (status, code) == (200, Code.SUCCESS):
        return _loaded(delivery, reply, body)
    if (status, code) == (202, Code.PENDING):
        return Accepted(None, REQUERY_AFTER_S)
    return _not_taken(reply, body)


def _loaded(delivery: Delivery, reply: ProviderReply, body: Mapping[str, Any]) -> Outcome:
    currency = delivery.face_value.currency
    amount = money_of(at(body, "data", "amount"), currency)
    if amount != delivery.face_value or at(body, "data", "currencyCode") != currency.code:
        return Unknown(f"a refill of another amount: {reply.excerpt}")
    return Delivered(reference_of(body.get("sequenceNo")))


def subscribed(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a subscription means."""
    body = json_object(reply)
    if body is None:
        return Unknown(f"no answer of MADAPI: {reply.excerpt}")
    status, code = reply.http_status, body.get("statusCode")
    if status in (200, 201, 202) and code in (Code.SUCCESS, Code.PENDING):
        sent = body.get("transactionId")
        if not _is_of(delivery, body) or sent not in (None, delivery.reference):
            return Unknown(f"another subscription: {reply.excerpt}")
        return _standing(delivery, status, code, body)
    return _not_taken(reply, body)


def _standing(delivery: Delivery, status: int, code: Any, body: Mapping[str, Any]) -> Outcome:
    """A subscription that was taken: 202 or 1004 while it is pending."""
    reference = reference_of(body.get("correlationId"))
    cost = money_of(body.get("amountCharged"), delivery.face_value.currency)
    if not _is_in(delivery.face_value.currency, body):
        cost = None
    if status == 202 or code == Code.PENDING:
        return Accepted(reference, REQUERY_AFTER_S, cost=cost)
    return Delivered(reference, cost)


def _is_in(currency: Currency, body: Mapping[str, Any]) -> bool:
    """MTN names no currency: it is the market's."""
    return body.get("currencyCode") in (None, currency.code)


def _is_of(delivery: Delivery, body: Mapping[str, Any]) -> bool:
    """Whether it is of our product and recipient, as far as the answer names them."""
    product = product_of(delivery)
    beneficiary = body.get("beneficiaryId")
    return (
        not isinstance(product, Refused)
        and body.get("subscriptionId") == product[1]
        and (beneficiary is None or str(beneficiary).removeprefix("+") == customer_of(delivery))
    )


def _not_taken(reply: ProviderReply, body: Mapping[str, Any]) -> Outcome:
    """Anything but a success: a listed refusal, too many requests, or nothing that means something."""
    status, code = reply.http_status, body.get("statusCode")
    if _is_gateway(reply, body):
        return Refused(Reason.NOT_ALLOWED, f"the gateway: HTTP {status}, {_words(body.get('message'))}")
    if not isinstance(code, str) or not isinstance(body.get("statusMessage"), str):
        return Unknown(f"undocumented: {reply.excerpt}")
    text = f"{code}: {_words(body.get('supportMessage') or body.get('statusMessage'))}"
    if code not in _CODES:
        return Unknown(f"undocumented code: {reply.excerpt}")
    if (status, code) in RATES:
        return NotSent(f"too many requests: {text}")
    reason = REFUSALS.get((status, Code(code)))
    if reason is None:
        return Unknown(f"HTTP {status}, {text}")
    return Refused(_reason_of(Code(code), reason, text.casefold()), text)


def _reason_of(code: Code, reason: Reason, words: str) -> Reason:
    """Where a code is of the customer or of the product, only the words tell; without them it is what the table says."""
    match code:
        case Code.NOT_FOUND if "product" in words:
            return Reason.NOT_SOLD
        case Code.INVALID_PARAMETERS if "customerid" in words or "beneficiaryid" in words:
            return Reason.BAD_NUMBER
        case Code.REQUEST_FAILED if "not on sale" in words:
            return Reason.NOT_SOLD
        case _:
            return reason


def _is_gateway(reply: ProviderReply, body: Mapping[str, Any] | None) -> bool:
    """Whether it is the gateway's own shape, which repeats the status as a number."""
    return (
        body is not None
        and reply.http_status in _OF_THE_GATEWAY
        and body.get("status") == reply.http_status
        and isinstance(body.get("error"), str)
        and isinstance(body.get("path"), str)
    )


def _words(value: Any) -> str:
    return value if isinstance(value, str) else "no words"


# Answers to a question --------------------------------------------------------------------------------------------------


def requery_outcome_of_refill(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What a Telvend says of the refill under our id."""
    body = json_object(reply)
    if body is None:
        return Unknown(f"no answer of MADAPI: {reply.excerpt}")
    if _was_never_sold(delivery, reply, body):
        return NotSent("nothing was sold under this id")
    if (reply.http_status, body.get("statusCode")) != (200, Code.SUCCESS):
        return Unknown(f"could not be asked: {reply.excerpt}")
    if body.get("transactionReference") != delivery.reference:
        return Unknown(f"another refill: {reply.excerpt}")
    return _loaded(delivery, reply, body)


def requery_outcome_of_subscription(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a subscription's status means; it must name our id, or theirs."""
    body = json_object(reply)
    if body is None:
        return Unknown(f"no answer of MADAPI: {reply.excerpt}")
    if _was_never_sold(delivery, reply, body):
        return NotSent("nothing was sold under this id")
    status, code = reply.http_status, body.get("statusCode")
    if status not in (200, 202):
        return Unknown(f"could not be asked: {reply.excerpt}")
    theirs = body.get("correlationId")
    ours = delivery.reference in (body.get("transactionReference"), body.get("transactionId")) or (
        bool(delivery.provider_reference) and theirs == delivery.provider_reference
    )
    if not ours or not _is_of(delivery, body):
        return Unknown(f"another subscription: {reply.excerpt}")
    if code in (Code.SUCCESS, Code.PENDING):
        return _standing(delivery, status, code, body)
    if (status, code, body.get("status")) == (200, Code.REQUEST_FAILED, "Failed"):
        return Refused(Reason.REFUSED, f"{_words(theirs)} failed")
    return Unknown(f"undocumented: {reply.excerpt}")


def _was_never_sold(delivery: Delivery, reply: ProviderReply, body: Mapping[str, Any]) -> bool:
    """Whether a Telvend says that nothing at all was sold under our id. Nobody else's 404 means anything."""
    return (
        (reply.http_status, body.get("statusCode")) == (404, Code.NOT_FOUND)
        and body.get("transactionIdFree") is True
        and body.get("transactionReference") == delivery.reference
    )
