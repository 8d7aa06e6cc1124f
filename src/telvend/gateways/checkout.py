"""The checkout that this server shows for a gateway: a payment, what a payer can decide about it, and who keeps it.

A real gateway shows pages of its own. One that pretends has its page in `telvend/web/checkout.py`, which knows it as a
`Checkout` and not by its name.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment. `token` is its address, which nobody can guess; `reference` and `owner` are the shop's.

    `method` is how it was paid, or how the payer wanted to when it began. `gateway_reference` is the gateway's name of it.
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
    gateway_reference: str


class Checkout(Protocol):
    """A gateway whose payments are decided on a page of this server."""

    @property
    def name(self) -> str:
        """The name of the gateway, to which `notice` is addressed."""

    @property
    def page(self) -> str:
        """The path below which its payments are shown: `/pay/sandbox`."""

    async def payment(self, token: str) -> Payment | None:
        """Return the payment at this address; None where there is none. Raises Busy."""

    def refuses(self, payment: Payment) -> bool:
        """Return whether this payment may not be paid any more."""

    async def decide(self, token: str, decision: Decision, method: Method | None = None) -> Payment | None:
        """Decide a payment, once: one that was decided before, or too late, is returned as it stands. Raises Busy."""

    def notice(self, payment: Payment) -> tuple[dict[str, str], bytes]:
        """Return what the gateway sends to the shop about a decided payment: headers and body."""
