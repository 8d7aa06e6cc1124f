"""A payment in the sandbox's own book, and what a payer can decide about it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from telvend.gateways.contract import Method
from telvend.kit.money import Money


class PaymentState(StrEnum):
    """What has become of a payment. It leaves `OPEN` once, and never comes back."""

    OPEN = "open"
    """The payer may decide."""
    PAID = "paid"
    DECLINED = "declined"
    """The payer's bank, as it were, has said no."""
    ABANDONED = "abandoned"
    """The payer has walked away."""
    EXPIRED = "expired"
    """The payer has taken too long. Never written down: it follows from the time."""


class Decision(StrEnum):
    """What a payer can press on the page."""

    PAY = "pay"
    DECLINE = "decline"
    ABANDON = "abandon"


STATE_BY_DECISION = {
    Decision.PAY: PaymentState.PAID,
    Decision.DECLINE: PaymentState.DECLINED,
    Decision.ABANDON: PaymentState.ABANDONED,
}


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment. `token` is its address, which nobody can guess; `reference` and `owner` are the shop's.

    `method` is how it was paid, or how the payer wanted to when it began.
    """

    id: int
    token: str
    reference: str
    owner: str
    amount: Money
    test: bool
    method: Method
    state: PaymentState
    return_url: str
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None

    @property
    def gateway_reference(self) -> str:
        """The sandbox's own name of the payment."""
        return f"SBX-{self.id}"
