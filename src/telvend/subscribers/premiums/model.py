"""A premium: what cover for a transaction costs. The records, and the calculation itself, which is pure."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from telvend.kit.money import Money
from telvend.ledger.model import Mode


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
    """What a partner asks for. `sender` and `receiver` are MSISDNs in E.164. `quote` names an earlier answer, to be used once."""

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
