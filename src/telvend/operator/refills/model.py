"""A refill: what a partner asks for, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.secret import Secret

OWN_NETWORK: Final = "own_network"
"""The provider of the ledger whose account a voucherless refill is paid to: the network that delivers it is ours."""

OPERATOR: Final = UUID(int=0)
"""Stands where a partner does for a refill that the operator makes; its dialect is `operator`."""

OPERATOR_DIALECT: Final = "operator"


class RefillKind(StrEnum):
    """Who pays."""

    VOUCHER = "voucher"
    """Somebody bought a voucher beforehand."""
    VOUCHERLESS = "voucherless"
    """The partner's wallet, now."""


@dataclass(frozen=True, slots=True)
class RefillRequest:
    """What a partner asks for. `msisdn` is in E.164.

    With a voucher: `pin` is 8 to 20 digits, `serial` what was sent beside it, if anything. Voucherless: `profile` is the id of a
    refill profile, `units` whole units of the subscriber's currency ("100" is NGN 100.00). `wallets` are the partner's, by
    currency. `transaction_id` makes it one of its kind for (reseller, dialect, mode); `sent_id` is what the partner called it,
    where that id stands in for a longer one. `source` is the client's address: wrong PINs are counted for the partner there.
    `system` is what the client calls itself, for the log only. `reservation` is for the operator, who commits a voucher
    that is reserved under this name.
    """

    reseller_id: UUID
    dialect: str
    mode: Mode
    transaction_id: str
    kind: RefillKind
    msisdn: str
    wallets: Mapping[str, int]
    source: str
    pin: Secret | None = None
    serial: str | None = None
    profile: str | None = None
    units: int | None = None
    reservation: str | None = None
    sent_id: str | None = None
    system: str = ""


@dataclass(frozen=True, slots=True)
class Refill:
    """A refill that took place. `amount` is what was loaded in money's worth; `capped`: some days did not fit.

    `before` and `after` are the partner's spendable balance around a voucherless one. `sent_id` as in RefillRequest.
    """

    id: int
    reference: str
    reseller_id: UUID
    dialect: str
    mode: Mode
    transaction_id: str
    kind: RefillKind
    msisdn: str
    profile: str
    amount: Money
    capped: bool
    serial: str | None
    wallet_id: int | None
    position: int | None
    before: Money | None
    after: Money | None
    created_at: datetime
    sent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refilled:
    """The answer to a request. `replayed`: it had taken place before."""

    refill: Refill
    replayed: bool
