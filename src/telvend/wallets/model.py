"""What the owner of a wallet sees: its balance, its list of transactions, its statement, and the wallet in numbers."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger.model import TransferKind


class TransactionKind(StrEnum):
    """What a transaction of a wallet is. The letters stand in the database and never change."""

    ORDER = "o"
    CREDIT = "c"
    FUNDING = "f"
    VERIFICATION = "v"
    REFILL = "r"
    VOID = "x"
    DEBIT = "d"
    REFUND = "b"
    PROVISIONAL_CREDIT = "p"
    REVERSAL = "q"


class TransactionStatus(StrEnum):
    """How a transaction stands."""

    PENDING = "pending"
    """The money is held, or has not come yet."""
    COMPLETED = "completed"
    """The money has moved for good."""
    FAILED = "failed"
    """Nothing has moved: a hold came back, or the money never came."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A sale, a credit, a funding, a verification or a refill.

    `credit`: money came in. `amount` is what moved, or would have. `before` and `after` are the spendable balance around
    it; of a failed or pending one that has taken nothing they are the same. `service` is what it was for (`data`,
    `airtime`, `funding`, `nin`, `bvn`), `facts` what is particular to that, as plain text by name.
    """

    id: int
    reference: str
    kind: TransactionKind
    credit: bool
    amount: Money
    status: TransactionStatus
    before: Money
    after: Money
    service: str
    description: str
    created_at: datetime
    updated_at: datetime
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list is narrowed to. `start` and `end` are moments; `end` itself is not included."""

    credit: bool | None = None
    status: TransactionStatus | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page, newest first, and how many there are in all."""

    transactions: list[Transaction]
    total: int


_COMMON: Final = frozenset({TransactionKind.ORDER, TransactionKind.REFILL})


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What a list over several wallets is narrowed to; None leaves a thing open.

    `kinds` of transaction, `services` that an entry was for (`data`, `airtime`), the `recipient` of a sale as its kind stores it;
    `start` and `end` are moments, `end` itself not included.
    """

    kinds: frozenset[TransactionKind] | None = None
    services: tuple[str, ...] | None = None
    status: TransactionStatus | None = None
    recipient: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def are_rare(self) -> bool:
        """Whether an index of the list has all lines of these kinds, purchases and refills being left out."""
        return self.kinds is not None and not self.kinds & _COMMON

    @property
    def reads_entries(self) -> bool:
        """Whether what stands behind a line has to be read to know whether it is wanted."""
        return self.services is not None or self.recipient is not None


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of a list over several wallets, newest first.

    `older` says where the next part begins, by wallet; None where there is none. `looked_back_to` is set where the search was
    given up for now before the part was full: nothing older was looked at.
    """

    transactions: list[Transaction]
    older: dict[int, int] | None
    looked_back_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecentRecipient:
    """Whom something was bought for last: what, and when."""

    number: str
    service: str
    network: str
    size: str
    product_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """A wallet in numbers: exact, and the same cost with ten transactions as with ten million."""

    balance: Money
    inflow: Money
    outflow: Money
    count: int
    last_at: datetime | None
    last_funded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """A wallet at a glance. `held` is what open sales hold, which is no part of `balance`.

    `spent` is for each of the asked days what left the wallet, less what came back to it; money that was put in or credited is
    no part of it. `count` is the number of transactions in all.
    """

    balance: Money
    held: Money
    spent: list[Money]
    count: int


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """What a reseller can spend in one currency and mode right now."""

    wallet_id: int
    reseller_id: UUID
    mode: Mode
    balance: Money
    sequence: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One transfer on a wallet. `change` is positive when money came in; `cause` is the order or the credit."""

    sequence: int
    kind: TransferKind
    cause: int
    change: Money
    balance: Money
    created_at: datetime
