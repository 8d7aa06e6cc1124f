"""What VTpass says, and what it means.

An answer has a `code`; of `000` and of a requery the truth is `content.transactions.status`, and the code beside it is not the
outcome. VTpass's own rule is the contract's: whatever is not explicitly a success or a listed failure is pending, and is asked
about. `requestId` is our reference, `transactionId` theirs. Amounts are decimal naira; `amount` is the face value and
`total_amount` what our float has paid.

Source: the VTpass API documentation ("Integration", "Response codes", "Requery"), as of 2026. Examples: tests/wire/vtpass/.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from telvend.kit.money import NGN, Money
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    Reason,
    Refused,
    Unknown,
)
from telvend.providers.over_http import ProviderReply
from telvend.providers.reading import at, json_object, reference_of, rounded_money_of
from telvend.providers.upstream import BalanceUnavailable, CallbackForm

COUNTRY: Final = "NG"

AIRTIME_SERVICES: Final = {"mtn": "mtn", "airtel": "airtel", "glo": "glo", "9mobile": "etisalat"}
"""`serviceID` of airtime by our network. 9mobile is still etisalat."""

DATA_SERVICES: Final = {
    "mtn": frozenset({"mtn-data"}),
    "airtel": frozenset({"airtel-data"}),
    "glo": frozenset({"glo-data", "glo-sme-data"}),
    "9mobile": frozenset({"etisalat-data"}),
}
"""`serviceID`s of data by our network."""

NETWORKS: Final = frozenset((COUNTRY, network) for network in AIRTIME_SERVICES)

REPEAT_GUARD_S: Final = 30.0
"""Code 019: the same service for the same number within 30 s."""

SETTLES_AFTER_S: Final = 600.0
"""How long a request may be under way before code 015 is believed: ten minutes."""

REQUERY_AFTER_S: Final = 5.0

LAGOS: Final = ZoneInfo("Africa/Lagos")

CALLBACK: Final = CallbackForm(
    references=(("data", "requestId"), ("data", "request_id"), ("requestId",)),
    acknowledgement={"response": "success"},
)
"""Unsigned. Sent for a transaction that was stuck and then settled by their staff, for reversals, and for changed prices
(`variations-update`, which has no reference). Source: "Webhook"; example: tests/wire/vtpass/transaction-update.json."""

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_UNIQUE_CHARACTERS: Final = 20


class Status(StrEnum):
    """The closed list of `content.transactions.status`. Any other word is `Unknown`."""

    INITIATED = "initiated"
    PENDING = "pending"
    DELIVERED = "delivered"
    REVERSED = "reversed"
    RESOLVED = "resolved"
    FAILED = "failed"


class Code(StrEnum):
    """The documented values of `code`."""

    PROCESSED = "000"
    QUERY = "001"
    VARIATION_UNKNOWN = "010"
    ARGUMENTS = "011"
    PRODUCT_UNKNOWN = "012"
    BELOW_MINIMUM = "013"
    REQUEST_ID_REUSED = "014"
    REQUEST_ID_UNKNOWN = "015"
    FAILED = "016"
    ABOVE_MAXIMUM = "017"
    FLOAT_TOO_LOW = "018"
    LIKELY_DUPLICATE = "019"
    BILLER_CONFIRMED = "020"
    ACCOUNT_LOCKED = "021"
    ACCOUNT_SUSPENDED = "022"
    API_NOT_ENABLED = "023"
    ACCOUNT_INACTIVE = "024"
    BANK_INVALID = "025"
    BANK_UNVERIFIED = "026"
    ADDRESS_NOT_ALLOWED = "027"
    PRODUCT_NOT_ALLOWED = "028"
    BILLER_DOWN = "030"
    BELOW_QUANTITY = "031"
    ABOVE_QUANTITY = "032"
    SERVICE_SUSPENDED = "034"
    SERVICE_INACTIVE = "035"
    REVERSAL = "040"
    RESOLVED = "044"
    SYSTEM_ERROR = "083"
    REQUEST_ID_FORM = "085"
    CREDENTIALS = "087"
    REQUEST_PROCESSING = "089"
    NOT_CHARGED = "091"
    PROCESSING = "099"


REASON_BY_CODE: Final = {
    Code.VARIATION_UNKNOWN: Reason.NOT_SOLD,
    Code.ARGUMENTS: Reason.NOT_SOLD,
    Code.PRODUCT_UNKNOWN: Reason.NOT_SOLD,
    Code.BELOW_MINIMUM: Reason.NOT_SOLD,
    Code.ABOVE_MAXIMUM: Reason.NOT_SOLD,
    Code.FAILED: Reason.REFUSED,
    Code.FLOAT_TOO_LOW: Reason.NO_FLOAT,
    Code.LIKELY_DUPLICATE: Reason.TOO_SOON,
    Code.ACCOUNT_LOCKED: Reason.NOT_ALLOWED,
    Code.ACCOUNT_SUSPENDED: Reason.NOT_ALLOWED,
    Code.API_NOT_ENABLED: Reason.NOT_ALLOWED,
    Code.ACCOUNT_INACTIVE: Reason.NOT_ALLOWED,
    Code.ADDRESS_NOT_ALLOWED: Reason.NOT_ALLOWED,
    Code.PRODUCT_NOT_ALLOWED: Reason.NOT_ALLOWED,
    Code.BILLER_DOWN: Reason.DOWN,
    Code.BELOW_QUANTITY: Reason.NOT_SOLD,
    Code.ABOVE_QUANTITY: Reason.NOT_SOLD,
    Code.SERVICE_SUSPENDED: Reason.DOWN,
    Code.SERVICE_INACTIVE: Reason.DOWN,
    Code.REVERSAL: Reason.REFUSED,
    Code.REQUEST_ID_FORM: Reason.NOT_ALLOWED,
    Code.CREDENTIALS: Reason.NOT_ALLOWED,
    Code.NOT_CHARGED: Reason.DOWN,
}
"""The listed failures of `pay`. 085 is ours to mend: the clock of this machine is wrong.

All others are no outcome: 014 (an earlier attempt may exist), 083, 089, 025 and 026 (nothing is said of the purchase), 044
(settled by their staff, nobody can tell how), and what belongs to other calls (001, 015, 020)."""

_UNDONE: Final = frozenset({Status.FAILED, Status.REVERSED})


def reference(order_reference: str, number: int, started_at: datetime) -> str:
    """Return the `request_id` of an attempt: when it began in Lagos, as YYYYMMDDHHMM, then what is its own.

    VTpass takes letters and digits only; a digest keeps `A-11-1` and `A-1-11` apart, which leaving out the dashes would not.
    """
    own = hashlib.sha256(f"{order_reference}-{number}".encode()).hexdigest()[:_UNIQUE_CHARACTERS]
    return f"{started_at.astimezone(LAGOS):%Y%m%d%H%M}{own}"


def form_of(delivery: Delivery, phone: str) -> bytes | Refused:
    """The body of `pay`; Refused where VTpass's name of the product is missing or cannot be one."""
    service, _, variation = delivery.provider_code.partition("/")
    if delivery.kind == "airtime":
        known = AIRTIME_SERVICES.get(delivery.network)
        if known is None or (service or known) != known or variation:
            return _not_sold(
                delivery, f"is not the serviceID of airtime of {delivery.network}: {known or 'there is none'}"
            )
        amount, more = delivery.face_value, {}
        service = known
    elif delivery.kind == "data":
        known_services = DATA_SERVICES.get(delivery.network, frozenset())
        if service not in known_services or not variation:
            said = ", ".join(f"{name}/…" for name in sorted(known_services)) or "there is none"
            return _not_sold(delivery, f"is not serviceID/variation_code of data of {delivery.network}: {said}")
        # The variation has the price; what stands in `amount` is not looked at.
        amount, more = delivery.cost, {"billersCode": phone, "variation_code": variation}
    else:
        return Refused(Reason.NOT_SOLD, f"{delivery.kind} is not sold through VTpass here")
    if amount.currency != NGN:
        return Refused(Reason.NOT_SOLD, f"VTpass takes NGN, not {amount.currency}")
    form = {"request_id": delivery.reference, "serviceID": service, "amount": amount.number, "phone": phone}
    return _ENCODER.encode(form | more)


def _not_sold(delivery: Delivery, why: str) -> Refused:
    code = repr(delivery.provider_code) if delivery.provider_code else "no code"
    return Refused(
        Reason.NOT_SOLD,
        f"{delivery.product} has {code} at this provider, which {why}; `telvend product offer {delivery.product} … --code`",
    )


def question_of(delivery: Delivery) -> bytes:
    """The body of `requery`."""
    return _ENCODER.encode({"request_id": delivery.reference})


def outcome_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to `pay` means."""
    body = _answer(delivery, reply)
    if isinstance(body, Unknown):
        return body
    code = body["code"]
    text = _text(body)
    has_transaction = isinstance(at(body, "content", "transactions"), dict)
    if code in (Code.PROCESSED, Code.PROCESSING) and has_transaction:
        return _transaction(delivery, reply, body)
    if code == Code.PROCESSING:
        return Accepted(None, REQUERY_AFTER_S, text)
    reason = REASON_BY_CODE.get(code)
    if reason is None:
        return Unknown(text)
    if has_transaction and at(body, "content", "transactions", "status") not in _UNDONE:
        return Unknown(f"{text}, and a transaction that is not undone: {reply.excerpt}")
    return Refused(reason, text)


def requery_outcome_of(delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to `requery` means. `NotSent`: code 015, the request id is not known."""
    body = _answer(delivery, reply)
    if isinstance(body, Unknown):
        return body
    if isinstance(at(body, "content", "transactions"), dict):
        return _transaction(delivery, reply, body)
    if body["code"] == Code.REQUEST_ID_UNKNOWN:
        return NotSent(_text(body))
    if body["code"] == Code.PROCESSING:
        return Accepted(None, REQUERY_AFTER_S, _text(body))
    return Unknown(f"no transaction: {_text(body)}")


def _answer(delivery: Delivery, reply: ProviderReply) -> dict[str, Any] | Unknown:
    """The body of an answer that has a documented code and speaks of our request, or of none."""
    body = json_object(reply)
    if body is None or reply.http_status >= 500 or 300 <= reply.http_status < 400:
        return Unknown(f"no answer of VTpass: {reply.excerpt}")
    code = body.get("code")
    if not isinstance(code, str) or code not in _CODES:
        return Unknown(f"undocumented code: {reply.excerpt}")
    said = body.get("requestId")
    if said is not None and said != delivery.reference:
        return Unknown(f"an answer about another request: {reply.excerpt}")
    return body


_CODES: Final = frozenset(Code)
_OF_A_TRANSACTION: Final = frozenset({Code.PROCESSED, Code.PROCESSING, Code.FAILED, Code.REVERSAL, Code.RESOLVED})


def _transaction(delivery: Delivery, reply: ProviderReply, body: Mapping[str, Any]) -> Outcome:
    transaction = at(body, "content", "transactions")
    status, code = transaction.get("status"), body["code"]
    if reply.http_status != 200 or code not in _OF_A_TRANSACTION or body.get("requestId") != delivery.reference:
        return Unknown(f"a transaction in an answer that has none: {reply.excerpt}")
    if not _is_ours(delivery, transaction):
        return Unknown(f"a transaction of another number or amount: {reply.excerpt}")
    theirs = reference_of(transaction.get("transactionId"))
    match status:
        case Status.DELIVERED if code == Code.PROCESSED:
            cost = rounded_money_of(transaction.get("total_amount"), NGN, up=True)
            if cost is None:
                return Unknown(f"delivered for an amount that cannot be read: {reply.excerpt}")
            return Delivered(theirs, cost)
        case Status.INITIATED | Status.PENDING if code in (Code.PROCESSED, Code.PROCESSING):
            return Accepted(theirs, REQUERY_AFTER_S, f"{status}")
        case Status.FAILED | Status.REVERSED if code in (Code.PROCESSED, Code.FAILED, Code.REVERSAL):
            return Refused(Reason.REFUSED, f"{theirs or 'the transaction'} {status}: {_text(body)}")
        case Status.RESOLVED:
            return Unknown("resolved by VTpass's staff: their dashboard says how")
        case _:
            return Unknown(f"undocumented status: {reply.excerpt}")


def _is_ours(delivery: Delivery, transaction: Mapping[str, Any]) -> bool:
    """Whether what is said of the recipient and the amount agrees with what was asked for."""
    recipient = transaction.get("unique_element")
    if recipient is not None:
        digits = str(recipient).replace("+", "").replace(" ", "")
        if digits[-_SIGNIFICANT_DIGITS:] != delivery.subscriber[-_SIGNIFICANT_DIGITS:]:
            return False
    if delivery.kind == "airtime" and (amount := transaction.get("amount")) is not None:
        return rounded_money_of(amount, NGN, up=True) == delivery.face_value
    return True


_SIGNIFICANT_DIGITS: Final = 10


def _text(body: Mapping[str, Any]) -> str:
    described = body.get("response_description")
    return f"{body['code']} {described}" if isinstance(described, str) else f"{body['code']}"


def question_of_nothing() -> bytes:
    """The body of a `requery` about a request id of the year 2000, which has no transaction."""
    return _ENCODER.encode({"request_id": "200001010000" + "0" * _UNIQUE_CHARACTERS})


def refused_credentials(reply: ProviderReply) -> str:
    """Why an answer to a question does not let us in; empty where it does."""
    body = json_object(reply)
    not_let_in = reply.http_status == 401 or at(body, "code") in _NOT_LET_IN
    return f"the secret key is not accepted: {reply.excerpt}" if not_let_in else ""


def balance_of(reply: ProviderReply) -> Money | BalanceUnavailable:
    """What an answer to `balance` means; `contents` has an s."""
    body = json_object(reply)
    if reply.http_status in (401, 403) or at(body, "code") in _NOT_LET_IN:
        return BalanceUnavailable(f"the keys are not accepted: {reply.excerpt}", not_allowed=True)
    balance = at(body, "contents", "balance") if reply.http_status == 200 else None
    money = rounded_money_of(balance, NGN, up=False)
    return money if money is not None else BalanceUnavailable(f"no balance: {reply.excerpt}")


_NOT_LET_IN: Final = frozenset(code for code, reason in REASON_BY_CODE.items() if reason is Reason.NOT_ALLOWED)
