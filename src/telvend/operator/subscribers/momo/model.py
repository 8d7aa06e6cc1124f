"""Mobile money of a subscriber: the records."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MomoAccount:
    """Mobile money of a subscriber, in minor units. `balance` is the bucket's, `reserved` what reservations keep of it.

    `positive` is on its way in and cannot be spent yet; `negative` is held for an outgoing payment.
    Source of the words: Ericsson's converged wallet, as MADAPI shows it.
    """

    balance: int
    reserved: int
    positive: int
    negative: int
    loyalty_generated: int
    loyalty_consumed: int
    loyalty_balance: int
    overdraft_balance: int
    overdraft_limit: int
    overdraft_fee: int
    overdraft_interest: int
    blocked: bool
    authorization_digest: bytes


@dataclass(frozen=True, slots=True)
class MomoChange:
    """What an operator sets of somebody's mobile money, in minor units; None: as it is. The words are MomoAccount's."""

    balance: int | None = None
    positive: int | None = None
    negative: int | None = None
    loyalty_generated: int | None = None
    loyalty_consumed: int | None = None
    loyalty_balance: int | None = None
    overdraft_balance: int | None = None
    overdraft_limit: int | None = None
    overdraft_fee: int | None = None
    overdraft_interest: int | None = None
    blocked: bool | None = None
