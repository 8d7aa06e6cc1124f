"""A funding: money that a payer is to bring into a wallet through a gateway. The record and the rules need no database.

    PENDING ──> COMPLETED                the gateway said that it was paid, and everything fits: the wallet has it
       │  └───> FAILED  ──> COMPLETED
       └──────> EXPIRED ──> COMPLETED

Failing and expiring say that nobody expects the money any more. They do not say that it cannot come: a bank transfer may
take longer than the payer was given, and a declined card may be tried again on the same page. So a payment that arrives
late is honoured like any other when the gateway confirms it, and the gateway is asked a few more times after the end.
Nothing leads out of COMPLETED: what a gateway takes back later is a person's matter (`attention`).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from telvend.gateways.contract import (
    Declined,
    GatewayTraits,
    Method,
    Paid,
    PaymentAbandoned,
    PaymentNotFound,
    PaymentUnknown,
    Pending,
    Word,
)
from telvend.kit.mode import Mode
from telvend.kit.money import Money

PREFIX: Final = "FND"
"""Our references begin with it: FND-4711-7kq2xd."""

EXPIRES_AFTER_S: Final = 3600


class FundingState(StrEnum):
    """Where a funding stands, and whether the wallet has the money."""

    PENDING = "pending"
    """Not paid, as far as anybody knows."""
    COMPLETED = "completed"
    """Paid and credited."""
    FAILED = "failed"
    """Not credited: it could not be begun, the payment was declined, or the payer walked away."""
    EXPIRED = "expired"
    """Not credited: the payer has not paid in time."""


@dataclass(frozen=True, slots=True)
class Funding:
    """A funding. `reference` is ours; `gateway_reference` the gateway's, of the payment once it was paid.

    `balance_before` and `balance_after` are the wallet's spendable balance around the credit; while there is none both are
    what it was when the funding began. `position` is its place among the wallet's transactions. `attention`: something
    does not fit, and a person has to look. `asked` counts the questions, `notices` what the gateway sent by itself.
    `payment_url` is None until the gateway has answered.
    """

    id: int
    reference: str
    reseller_id: UUID
    wallet_id: int
    mode: Mode
    gateway: str
    method: Method
    amount: Money
    redirect_url: str | None
    state: FundingState
    attention: bool
    payment_url: str | None
    gateway_reference: str | None
    channel: str
    bank: str
    position: int
    balance_before: Money
    balance_after: Money
    asked: int
    asked_at: datetime | None
    notices: int
    created_at: datetime
    expires_at: datetime
    updated_at: datetime
    completed_at: datetime | None

    @property
    def test(self) -> bool:
        """Whether it is play money."""
        return self.mode is Mode.TEST


# What follows from a gateway's word ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credit:
    """Everything fits: credit the wallet."""

    paid: Paid


@dataclass(frozen=True, slots=True)
class End:
    """Nobody expects the money any more. `due_at` is when to ask all the same; None: not again."""

    state: FundingState
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing changes. `due_at` is when to ask again; None: not again."""

    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something does not fit: nothing is credited, and a person has to look. `text` is one sentence."""

    text: str


Step = Credit | End | Wait | Suspect

_SHORTEST: Final = timedelta(seconds=10)
_LONGEST: Final = timedelta(minutes=10)
# When a funding that has ended is asked about once more, counted from its expiry.
_LATE: Final = (timedelta(), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24), timedelta(hours=72))
# A gateway that has not answered for so long after the expiry is not waited for any more.
_PATIENCE: Final = timedelta(hours=24)

FIRST_ASK: Final = timedelta(seconds=15)
"""How long after its beginning a funding is asked about first. The payer needs longer than that."""


def next_step(funding: Funding, word: Word, traits: GatewayTraits, now: datetime) -> Step:
    """What a gateway's word means for a funding as it stands. `now` is the database's clock."""
    if isinstance(word, Paid):
        if funding.state is FundingState.COMPLETED:
            return Wait(None)
        problem = misfit(funding, word, traits)
        return Suspect(problem) if problem else Credit(word)
    if funding.state is FundingState.COMPLETED:
        if isinstance(word, Declined):
            return Suspect(f"It was credited, and the gateway now says: {word.text}")
        return Wait(None)
    if funding.attention:
        # A person has it in hand. Only money that fits may come before them.
        return Wait(None)
    match word:
        case Declined() | PaymentAbandoned():
            return _ended(funding, FundingState.FAILED, now)
        case Pending() | PaymentNotFound() if now >= funding.expires_at:
            return _ended(funding, FundingState.EXPIRED, now)
        case PaymentUnknown() if now >= funding.expires_at + _PATIENCE:
            return _ended(funding, FundingState.EXPIRED, now)
        case _:
            return Wait(next_ask(funding, now))


def misfit(funding: Funding, paid: Paid, traits: GatewayTraits) -> str | None:
    """What of a payment differs from what was asked for, in one sentence; None where everything fits.

    Strict on purpose: what the gateway does not say differs too.
    """
    if paid.owner != str(funding.reseller_id):
        return f"Paid for somebody else: {paid.owner!r}."
    if paid.currency != funding.amount.currency.code:
        return f"Paid in {paid.currency!r}, asked for {funding.amount}."
    if paid.amount_minor != funding.amount.minor:
        return f"Paid {Money(paid.amount_minor, funding.amount.currency)}, asked for {funding.amount}."
    if paid.test is not funding.test:
        return f"Paid with {_money(paid.test)} for a wallet of {_money(funding.test)}."
    if not traits.takes(test=funding.test):
        return f"The gateway {funding.gateway} is not set up to take {_money(funding.test)} any more."
    return None


def next_ask(funding: Funding, now: datetime) -> datetime | None:
    """When to ask again: ever more seldom while it is young, at its expiry, and a few times after that."""
    if now < funding.expires_at:
        pause = min(max((now - funding.created_at) / 2, _SHORTEST), _LONGEST)
        return min(now + pause, funding.expires_at)
    if funding.state is FundingState.PENDING:
        return now + _LONGEST
    return late_ask(funding.expires_at, now)


def late_ask(expires_at: datetime, now: datetime) -> datetime | None:
    """When to ask again about one that has ended; None: not again."""
    return next((expires_at + after for after in _LATE if expires_at + after > now), None)


def _ended(funding: Funding, state: FundingState, now: datetime) -> Step:
    due_at = late_ask(funding.expires_at, now)
    return End(state, due_at) if funding.state is FundingState.PENDING else Wait(due_at)


def _money(test: bool) -> str:
    return "play money" if test else "real money"


# What a caller may ask for ---------------------------------------------------------------------------------------------------

LONGEST_URL: Final = 2048

_URL: Final = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def is_redirect_url(text: str) -> bool:
    """Whether a browser may be sent here: http or https, a host, no credentials, nothing but printable ASCII."""
    if len(text) > LONGEST_URL or not _URL.fullmatch(text) or "\\" in text:
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.username is None and parts.password is None and parts.port != 0
    except ValueError:
        return False
