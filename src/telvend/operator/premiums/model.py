"""A premium: what cover for a transaction costs. The records, and the calculation itself, which is pure.

A *rate* says what the premium of a product is for one type of transaction in one currency. Every answer is stored and is
a *quote*: it may be used once, until it expires, and then stands whatever the rate has become.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from telvend.errors import InvalidInput, NotPermitted
from telvend.kit.mode import Mode
from telvend.kit.money import Money

BASIS_POINTS: Final = 10_000
"""So many are the whole."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How a premium follows from an amount: `basis_points` of it, at least `floor` and at most `cap`.

    `quote_valid_s`: how long an answer can be used as a quote. `to_oneself`: whether sender and receiver may be the same.
    `momo_only`: whether the sender must have mobile money.
    """

    product: str
    transaction_type: str
    basis_points: int
    floor: Money
    cap: Money | None
    loyalty_basis_points: int
    quote_valid_s: int
    to_oneself: bool
    momo_only: bool
    message: str
    active: bool


@dataclass(frozen=True, slots=True)
class PremiumRequest:
    """What a partner asks for. `sender` and `receiver` are MSISDNs in E.164. `quote` names an earlier answer, to be used once.

    `transaction_id` is the partner's own, and makes a repeat a repeat; empty at the command line, where nothing repeats.
    """

    reseller_id: UUID
    mode: Mode
    transaction_id: str
    product: str
    transaction_type: str
    sender: str
    receiver: str
    amount: Money
    account_holder: str | None = None
    quote: str | None = None
    message: str | None = None

    @property
    def fingerprint(self) -> str:
        """What makes two requests the same: everything but who asks and under which transactionId."""
        said = (
            self.product, self.transaction_type, self.sender, self.receiver, self.amount.minor, self.amount.currency.code,
            self.account_holder, self.quote, self.message,
        )  # fmt: skip
        return hashlib.blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Loyalty:
    """Points in money's worth: what this transaction would earn and use, and what there would be after it."""

    generated: Money
    consumed: Money
    balance: Money


@dataclass(frozen=True, slots=True)
class Premium:
    """The answer. `reference` (`PRM-…`) may be used as a quote, once, until `expires_at`.

    `loyalty` is None where its source could not be read. `replayed`: the same request had been answered before.
    """

    reference: str
    request: PremiumRequest
    premium: Money
    loyalty: Loyalty | None
    message: str
    expires_at: datetime
    replayed: bool


class QuoteRefused(InvalidInput):
    """The quote cannot be used: unknown, expired, used before, or given for other parties or another amount."""

    def __init__(self, problem: str) -> None:
        super().__init__("quoteId", problem)


class NoMobileMoney(NotPermitted):
    """The rate is only for senders with mobile money, and this one has none."""

    def __init__(self) -> None:
        super().__init__("ask for this premium")
        self.args = ("The sender has no mobile money, which this product needs.",)


def share(amount: Money, basis_points: int) -> Money:
    """So many hundredths of a percent of `amount`, half of the smallest unit rounded up."""
    return Money((amount.minor * basis_points + BASIS_POINTS // 2) // BASIS_POINTS, amount.currency)


def calculate(rate: Rate, amount: Money) -> Money:
    """The premium for `amount`: the rate's share of it, at least its floor and at most its cap.

    Raises ValueError for an amount in another currency than the rate's, and for one that is not more than nothing.
    """
    if amount.currency != rate.floor.currency:
        raise ValueError(f"a rate in {rate.floor.currency} says nothing about {amount.currency}")
    if amount.minor <= 0:
        raise ValueError("must be more than nothing")
    minor = max(share(amount, rate.basis_points).minor, rate.floor.minor)
    if rate.cap is not None:
        minor = min(minor, rate.cap.minor)
    return Money(minor, amount.currency)
