"""Vouchers: the records, the states, and what is refused in the same words whatever the reason."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from telvend.errors import InvalidInput, NotPermitted
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.secret import Secret


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
    """What is known of a voucher: never its PIN. `msisdn` is who loaded it, `refill` our reference of that.

    `reservation` is by whom it is kept, until `reserved_until`.
    """

    serial: str
    batch_id: int
    mode: Mode
    amount: Money
    profile: str
    state: VoucherState
    expires_at: datetime | None
    reservation: str | None
    reserved_until: datetime | None
    msisdn: str | None
    refill: str | None
    changed_at: datetime


MARKS: Final = frozenset({VoucherState.AVAILABLE, VoucherState.DAMAGED, VoucherState.STOLEN})
"""What a person may say of a voucher that was not loaded."""


def state_of(
    own: str, batch: BatchState, expires_at: datetime | None, reserved_until: datetime | None, now: datetime
) -> VoucherState:
    """Where a voucher stands: by its own word first if that is for good, then by its batch and its date.

    A reservation past its deadline is none, whether or not anybody has cleared it away yet.
    """
    state = VoucherState(own)
    if state in (VoucherState.USED, VoucherState.DAMAGED, VoucherState.STOLEN):
        return state
    if batch is BatchState.STOPPED:
        return VoucherState.STOLEN
    if batch is BatchState.UNAVAILABLE:
        return VoucherState.UNAVAILABLE
    if expires_at is not None and expires_at <= now:
        return VoucherState.EXPIRED
    if state is VoucherState.RESERVED and (reserved_until is None or reserved_until <= now):
        return VoucherState.AVAILABLE
    return state


SERIAL_DIGITS: Final = 12
FIRST_SERIAL: Final = 100_000_000_001
"""Twelve digits from the first one on: a spreadsheet shows them as they are."""


def serial_text(serial: int) -> str:
    return f"{serial:0{SERIAL_DIGITS}d}"


def serial_number(text: str) -> int | None:
    """The number of a serial as somebody wrote it, or None where it cannot be one."""
    plain = text.strip()
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) <= 18 else None


@dataclass(frozen=True, slots=True)
class Marked:
    """What became of vouchers that somebody marked: so many are it now, so many had been loaded and stay so, so many are not there.

    `examples` are serials of some that had been loaded.
    """

    changed: int
    used: int
    unknown: int
    examples: tuple[str, ...]


class PinRefused(InvalidInput):
    """A well-formed PIN that cannot be loaded: the reasons are not told apart, or PINs could be found by asking.

    `reason` is for the audit log only. `reached`: the kinds of whom this wrong PIN has brought to a limit (guard.py).
    """

    def __init__(self, reason: str, reached: tuple[str, ...] = ()) -> None:
        super().__init__("", "The voucher cannot be loaded.")
        self.reason = reason
        self.reached = reached


class LockedOut(NotPermitted):
    """Too many wrong PINs in a row. `retry_after_s` seconds later another may be tried."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("load vouchers now")
        self.retry_after_s = retry_after_s
        self.args = (f"Too many vouchers that could not be loaded; retry after {retry_after_s} s.",)
