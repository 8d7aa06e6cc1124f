"""Vouchers: the records, the states, and what is refused in the same words whatever the reason."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from telvend.errors import InvalidInput, NotPermitted
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.ledger.model import Mode


class BatchState(StrEnum):
    """Whether the vouchers of a batch can be loaded."""

    UNAVAILABLE = "unavailable"
    """Not yet: not all PINs have been handed over. One that was interrupted stays so."""
    AVAILABLE = "available"
    """Yes."""
    STOPPED = "stopped"
    """Never again: it was stolen, or misprinted."""


class VoucherState(StrEnum):
    """Where one voucher stands, its batch and its date considered. Source of the words: Ericsson's voucher server."""

    UNAVAILABLE = "unavailable"
    AVAILABLE = "available"
    RESERVED = "reserved"
    """Kept for somebody who is about to load it; at a deadline it is available again."""
    USED = "used"
    EXPIRED = "expired"
    DAMAGED = "damaged"
    STOLEN = "stolen"
    """It was, or its batch was stopped."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Vouchers that were issued together. Their serials count up from `first_serial`; `issued` of `count` are written."""

    id: int
    mode: Mode
    amount: Money
    profile: str
    first_serial: str
    count: int
    issued: int
    state: BatchState
    why: str
    expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewVoucher:
    """A voucher as it is handed over, this once."""

    serial: str
    pin: Secret


@dataclass(frozen=True, slots=True)
class Voucher:
    """What is known of a voucher: never its PIN. `msisdn` is who loaded it."""

    serial: str
    batch_id: int
    mode: Mode
    amount: Money
    state: VoucherState
    msisdn: str | None
    changed_at: datetime


class PinRefused(InvalidInput):
    """A well-formed PIN that cannot be loaded: the reasons are not told apart, or PINs could be found by asking.

    `reason` is for the audit log only.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("", "The voucher cannot be loaded.")
        self.reason = reason


class LockedOut(NotPermitted):
    """Too many wrong PINs in a row. `retry_after_s` seconds later another may be tried."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("load vouchers now")
        self.retry_after_s = retry_after_s
        self.args = (f"Too many vouchers that could not be loaded; retry after {retry_after_s} s.",)
