"""What the sandbox says: what a payment of its book means, and its signed notice.

A notice is JSON, `{"event": "payment.paid", "reference": "FND-7-7kq2xd", "payment": "SBX-3"}`, signed in the header
`x-sandbox-signature` with the hexadecimal HMAC-SHA256 of the raw body.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from telvend.gateways.checkout import Payment, PaymentState
from telvend.gateways.contract import (
    Declined,
    Forged,
    Method,
    Notice,
    Paid,
    PaymentAbandoned,
    Pending,
    Word,
)
from telvend.kit.secret import Secret

SIGNATURE_HEADER: Final = "x-sandbox-signature"

BANK_BY_METHOD: Final = {Method.CARD: "", Method.BANK_TRANSFER: "Sandbox Bank", Method.USSD: "Sandbox Bank"}


class Body(msgspec.Struct):
    """The body of a notice."""

    event: str
    reference: str
    payment: str


def word_of(payment: Payment) -> Word:
    """What has become of a payment."""
    match payment.state:
        case PaymentState.PAID:
            return Paid(
                amount_minor=payment.amount.minor,
                currency=payment.amount.currency.code,
                test=payment.test,
                owner=payment.owner,
                gateway_reference=payment.gateway_reference,
                channel=payment.method.value,
                bank=BANK_BY_METHOD[payment.method],
            )
        case PaymentState.OPEN:
            return Pending()
        case PaymentState.DECLINED:
            return Declined("The payer's bank declined.")
        case PaymentState.ABANDONED:
            return PaymentAbandoned("The payer walked away.")
        case PaymentState.EXPIRED:
            return PaymentAbandoned("The payer took too long.")


def signature_of(key: Secret, body: bytes) -> str:
    """What stands in the header of a notice with this body."""
    return hmac.new(key.reveal().encode(), body, hashlib.sha256).hexdigest()


def notice(key: Secret, payment: Payment) -> tuple[dict[str, str], bytes]:
    """The headers and the body that the sandbox sends when a payment was decided."""
    body = msgspec.json.encode(Body(f"payment.{payment.state}", payment.reference, payment.gateway_reference))
    return {SIGNATURE_HEADER: signature_of(key, body)}, body


def webhook_event_of(key: Secret, headers: Mapping[str, str], body: bytes) -> Notice | Forged:
    """Verify a notice, in constant time and before anything of it is read; then read it."""
    given = headers.get(SIGNATURE_HEADER)
    if not given:
        return Forged("no signature")
    if not hmac.compare_digest(signature_of(key, body).encode(), given.encode("utf-8", "replace")):
        return Forged("wrong signature")
    try:
        told = msgspec.json.decode(body, type=Body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Notice(None, "unreadable", "The sandbox has signed something that is not a notice.")
    return Notice(told.reference, told.event, None, {"reference": told.reference, "payment": told.payment})
