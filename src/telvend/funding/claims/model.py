"""A claim of a payment: its states, what may be claimed, and when a gateway's word lets it be credited. No database.

OPEN ──> CREDITED        the gateway says that it was paid; once for each payment
 │  ^
 │  └──> WAITING         above the limit: a second person confirms the credit, or it is open again
 └────> REFUSED          with a reason that the reseller reads
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from telvend.errors import InvalidInput
from telvend.gateways.contract import (
    Declined,
    GatewayTraits,
    Paid,
    PaymentAbandoned,
    PaymentNotFound,
    PaymentUnknown,
    Pending,
    Word,
)
from telvend.kit.money import Money

MOST_OPEN: Final = 20
"""So many claims of a reseller may be open at a time."""

LONGEST_NOTE: Final = 500

_REFERENCE: Final = re.compile(r"[A-Za-z0-9._=/+:-]{3,100}")


class ClaimState(StrEnum):
    """Where a claim stands."""

    OPEN = "open"
    WAITING = "waiting"
    """Its credit waits for a second person."""
    CREDITED = "credited"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim. `amount`: what the reseller says was paid; `paid`: what the gateway has said. `answer`: why it was refused.

    `funding`: our reference of the funding that it turned out to be. `settled_by`: who has settled it, or proposed to.
    """

    id: int
    reseller_id: UUID
    gateway: str
    reference: str
    amount: Money
    note: str
    by_whom: str
    state: ClaimState
    made_at: datetime
    paid: Money | None
    gateway_reference: str | None
    funding: str | None
    proposal_id: int | None
    answer: str
    settled_by: str | None
    settled_at: datetime | None


def require_reference(reference: str) -> str:
    """What a gateway may call a payment, without blanks around it. Raises InvalidInput."""
    reference = reference.strip()
    if not _REFERENCE.fullmatch(reference):
        raise InvalidInput("reference", "must be the payment's reference: 3 to 100 letters, digits and . _ - = / + :")
    return reference


def require_open(claim: Claim) -> None:
    """Raise InvalidInput where a claim cannot be settled any more, or not now."""
    if claim.state is ClaimState.WAITING:
        raise InvalidInput("", f"claim {claim.id} waits for a second person, as proposal {claim.proposal_id}")
    if claim.state is not ClaimState.OPEN:
        raise InvalidInput("", f"claim {claim.id} was {claim.state} by {claim.settled_by}")


def require_paid(claim: Claim, word: Word, traits: GatewayTraits) -> Paid:
    """Return what the gateway says was paid, where the claim's wallet may have it. Raises InvalidInput: it may not, and why.

    The amount is not compared: what the gateway has received is credited, not what is claimed.
    """
    if not isinstance(word, Paid):
        raise InvalidInput("", f"{claim.gateway} does not say that it was paid: {told(word)}. Nothing was credited")
    if word.test or not traits.takes(test=False):
        raise InvalidInput("", f"{claim.gateway} has taken no real money for it. Nothing was credited")
    if traits.pretends:
        raise InvalidInput("", f"{claim.gateway} pretends: what it knows of no funding is nobody's money")
    if word.owner is not None and word.owner != str(claim.reseller_id):
        raise InvalidInput("", "it was paid for another reseller. Nothing was credited")
    if word.currency != claim.amount.currency.code:
        raise InvalidInput(
            "", f"it was paid in {word.currency}, claimed in {claim.amount.currency}: refuse it and say so"
        )
    if word.amount_minor <= 0:
        raise InvalidInput("", "nothing was paid")
    return word


def told(word: Word) -> str:
    """A gateway's word in words."""
    match word:
        case Paid():
            return f"paid, {word.amount_minor} minor units of {word.currency}"
        case PaymentUnknown(text):
            return f"it could not be asked ({text})"
        case Pending(text) | Declined(text) | PaymentAbandoned(text) | PaymentNotFound(text):
            return text[:1].lower() + text[1:200]
