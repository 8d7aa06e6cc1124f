"""What Paystack says, and what it means: answers to initialize and verify, statuses, notices and their signature.

Facts, with their sources (examples of each stand in tests/wire/paystack/):

- Amounts are whole numbers of the minor unit (kobo, pesewa). A reference may hold letters, digits and `- . =`; metadata is
  JSON as a string. Source: github.com/PaystackOSS/openapi, schemas/transaction/Initialize.yaml.
- The outer `status: true` only says that the call worked; the payment's own word is `data.status`.
- `abandoned` does not mean that the payer has walked away for good: Paystack calls every payment so that was begun and not
  paid yet, and its page goes on taking money. So it is `Pending` here; the funding's own expiry ends it.
- An unknown reference is 400 or 404 with the message "Transaction reference not found".
  Source: github.com/PaystackOSS/openapi, errors/api-errors.json.
- Money that comes to a dedicated account of a customer is told as `charge.success` with the channel `dedicated_nuban`, under
  a reference that we never gave. Whose it is says `metadata.receiver_account_number`. No funding expects it: it is kept
  for the operator. Source: paystack.com/docs/payments/dedicated-virtual-accounts.
- A notice is signed in the header `x-paystack-signature`: the hexadecimal HMAC-SHA512 of the raw body under the secret key.
  It has no time in it, so a copy is as good as the first one: only asking Paystack tells them apart.
  Source: paystack.com/docs/payments/webhooks.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from telvend.gateways.contract import (
    Beginning,
    Declined,
    Forged,
    Method,
    Notice,
    NotStarted,
    Paid,
    PaymentNotFound,
    PaymentUnknown,
    Pending,
    Start,
    Started,
    Word,
)
from telvend.kit.secret import Secret

SIGNATURE_HEADER: Final = "x-paystack-signature"

CHANNEL_BY_METHOD: Final = {Method.CARD: "card", Method.BANK_TRANSFER: "bank_transfer", Method.USSD: "ussd"}
"""Paystack's words for what the payer may use. Source: Initialize.yaml, `channels`."""


class PaystackStatus(StrEnum):
    """The closed list of `data.status`. Any other word is `PaymentUnknown`."""

    SUCCESS = "success"
    FAILED = "failed"
    REVERSED = "reversed"
    ABANDONED = "abandoned"
    ONGOING = "ongoing"
    PENDING = "pending"
    PROCESSING = "processing"
    QUEUED = "queued"


class Domain(StrEnum):
    """Whose money it was: that of a live key, or play money."""

    LIVE = "live"
    TEST = "test"


class Envelope(msgspec.Struct):
    """Every answer. `status` says whether the call worked."""

    status: bool
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class Initialized(msgspec.Struct):
    """`data` of an answer to initialize."""

    authorization_url: str
    access_code: str
    reference: str


class PaystackTransaction(msgspec.Struct):
    """`data` of an answer to verify. What is only looked at may be anything; what is compared may not."""

    status: str
    reference: str
    amount: int
    currency: str
    domain: str
    id: int
    channel: Any = None
    gateway_response: Any = None
    metadata: Any = None
    authorization: Any = None


def form_of(payment: Start) -> dict[str, Any]:
    """The body of initialize."""
    return {
        "email": payment.email,
        "amount": payment.amount.minor,
        "currency": payment.amount.currency.code,
        "reference": payment.reference,
        "callback_url": payment.return_url,
        "channels": [CHANNEL_BY_METHOD[payment.method]],
        "metadata": msgspec.json.encode({"owner": payment.owner}).decode(),
    }


def beginning_of(reference: str, http_status: int, body: bytes) -> Beginning:
    """What an answer to initialize means."""
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return PaymentUnknown(f"HTTP {http_status}, not an answer: {_excerpt(body)}")
    if 200 <= http_status < 300 and envelope.status:
        try:
            begun = msgspec.json.decode(envelope.data, type=Initialized)
        except msgspec.MsgspecError:
            return PaymentUnknown(f"an answer without an address: {_excerpt(body)}")
        if begun.reference != reference or not begun.authorization_url.startswith("https://"):
            return PaymentUnknown(f"an answer for something else: {_excerpt(body)}")
        return Started(begun.authorization_url, begun.access_code)
    # A reference that was used before may stand for a payment that somebody can pay.
    refused = 400 <= http_status < 500 and http_status != 408 and not envelope.status
    if refused and "duplicate" not in envelope.message.lower():
        return NotStarted(f"HTTP {http_status}: {envelope.message}")
    return PaymentUnknown(f"HTTP {http_status}: {envelope.message or _excerpt(body)}")


def _paid(transaction: PaystackTransaction) -> Word:
    try:
        test = Domain(transaction.domain) is Domain.TEST
    except ValueError:
        return PaymentUnknown(f"undocumented domain: {transaction.domain!r}")
    return Paid(
        amount_minor=transaction.amount,
        currency=transaction.currency,
        test=test,
        owner=_text(_entry(_metadata(transaction.metadata), "owner")) or None,
        gateway_reference=str(transaction.id),
        channel=_text(transaction.channel),
        bank=_text(_entry(transaction.authorization, "bank")),
    )


def _not_yet(transaction: PaystackTransaction) -> Word:
    return Pending(f"{transaction.status}: {_text(transaction.gateway_response)}")


def _declined(transaction: PaystackTransaction) -> Word:
    return Declined(f"{transaction.status}: {_text(transaction.gateway_response)}")


WORD_BY_STATUS: Final[dict[PaystackStatus, Callable[[PaystackTransaction], Word]]] = {
    PaystackStatus.SUCCESS: _paid,
    PaystackStatus.FAILED: _declined,
    PaystackStatus.REVERSED: _declined,
    PaystackStatus.ABANDONED: _not_yet,
    PaystackStatus.ONGOING: _not_yet,
    PaystackStatus.PENDING: _not_yet,
    PaystackStatus.PROCESSING: _not_yet,
    PaystackStatus.QUEUED: _not_yet,
}


def word_of(reference: str, http_status: int, body: bytes) -> Word:
    """What an answer to verify means. Whatever is not explicitly one of the documented answers is `PaymentUnknown`."""
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return PaymentUnknown(f"HTTP {http_status}, not an answer: {_excerpt(body)}")
    if http_status in (400, 404) and envelope.message.strip().lower() == "transaction reference not found":
        return PaymentNotFound()
    if http_status != 200 or not envelope.status:
        return PaymentUnknown(f"HTTP {http_status}: {envelope.message}")
    try:
        transaction = msgspec.json.decode(envelope.data, type=PaystackTransaction)
        status = PaystackStatus(transaction.status)
    except msgspec.MsgspecError as problem:
        return PaymentUnknown(f"an answer that cannot be read, {problem}: {_excerpt(body)}")
    except ValueError:
        return PaymentUnknown(f"undocumented status: {_excerpt(envelope.data)}")
    if transaction.reference != reference:
        return PaymentUnknown(f"an answer about {transaction.reference!r}")
    return WORD_BY_STATUS[status](transaction)


def signature_of(key: Secret, body: bytes) -> str:
    """What stands in the header of a notice with this body."""
    return hmac.new(key.reveal().encode(), body, hashlib.sha512).hexdigest()


CHARGED: Final = "charge.success"

# Money that we have credited may go back. Nothing is taken from a wallet for it by itself: a person decides.
_CONCERNS: Final = {
    "charge.dispute.create": "The payer disputes this payment.",
    "charge.dispute.remind": "A dispute of this payment still waits for an answer.",
    "charge.dispute.resolve": "A dispute of this payment was resolved.",
    "refund.processed": "This payment was refunded to the payer.",
    "refund.failed": "A refund of this payment has failed.",
}

_KEPT: Final = (
    "id",
    "reference",
    "transaction_reference",
    "amount",
    "currency",
    "status",
    "domain",
    "channel",
    "paid_at",
)
# Of the account that money came to; it is the shop's own, and no payer's.
_KEPT_OF_METADATA: Final = ("receiver_account_number", "receiver_bank")


def webhook_event_of(key: Secret, headers: Mapping[str, str], body: bytes) -> Notice | Forged:
    """Verify a notice, in constant time and before anything of it is read; then read it."""
    given = headers.get(SIGNATURE_HEADER)
    if not given:
        return Forged("no signature")
    if not hmac.compare_digest(signature_of(key, body).encode(), given.strip().lower().encode("utf-8", "replace")):
        return Forged("wrong signature")
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Notice(None, "unreadable", "Paystack has signed something that is not JSON.")
    event, data = _text(_entry(told, "event")), _entry(told, "data")
    transaction = _entry(data, "transaction")
    reference = (
        _text(_entry(data, "reference")) if event == CHARGED else _text(_entry(data, "transaction_reference"))
    ) or _text(_entry(transaction, "reference"))
    known = event == CHARGED or event in _CONCERNS
    metadata = _metadata(_entry(data, "metadata"))
    told_of = {name: _entry(data, name) for name in _KEPT} | {
        name: _entry(metadata, name) for name in _KEPT_OF_METADATA
    }
    kept = {name: value for name, value in told_of.items() if isinstance(value, str | int)}
    concern = _CONCERNS.get(event)
    if event == CHARGED and not reference:
        concern = "Paystack says that somebody has paid, and under no reference."
    return Notice(
        reference or None if known else None,
        event or "unnamed",
        concern,
        {name: value[:200] if isinstance(value, str) else value for name, value in kept.items()},
    )


def _metadata(value: Any) -> Any:
    """Metadata comes back as the object that was sent as text, as that text, or as an empty string or 0."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return None


def _entry(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: Any) -> str:
    return value[:200].replace("\x00", "") if isinstance(value, str) else ""


def _excerpt(body: bytes | msgspec.Raw) -> str:
    """The beginning of an answer, for the operator."""
    return ascii(bytes(body)[:120].decode("utf-8", "replace"))
