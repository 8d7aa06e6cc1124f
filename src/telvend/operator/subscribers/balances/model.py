"""What a subscriber has: the records of buckets, postings and reservations, and their words.

Amounts are whole numbers whose unit follows from the kind: minor units of the subscriber's currency, bytes, seconds,
messages. A *bucket* is what came from one source and lasts equally long: the main account, one bundle, one bonus. Every
change of a bucket is a *posting*; its balance is the sum of them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from telvend.errors import NotPermitted, TelvendError


class BucketKind(StrEnum):
    """What a bucket holds, and in which unit it is counted."""

    MONEY = "money"
    """Minor units of the subscriber's currency."""
    DATA = "data"
    """Bytes."""
    MINUTES = "minutes"
    """Seconds."""
    SMS = "sms"
    """Messages."""
    MOMO = "momo"
    """Mobile money, in minor units; never used by anything but mobile money."""


UNITS: Final = {
    BucketKind.MONEY: "minor units",
    BucketKind.DATA: "bytes",
    BucketKind.MINUTES: "seconds",
    BucketKind.SMS: "messages",
    BucketKind.MOMO: "minor units",
}
"""What an amount of each kind counts."""


class PostingKind(StrEnum):
    """Why a bucket changed."""

    GRANT = "grant"
    """A bundle was delivered, or an operator gave it."""
    REFILL = "refill"
    """A refill turned into it."""
    CONSUME = "consume"
    """It was used."""
    CAPTURE = "capture"
    """What had been reserved was used."""
    EXPIRE = "expire"
    """It was not used in time."""
    ADJUST = "adjust"
    """An operator corrected it."""


class Bucket(msgspec.Struct):
    """A row of the table, as it is weighed and changed. `changed`: it has to be written; `new`: inserted.

    `starts_at` None: unused, begins with its first use and then lasts `validity_days`. `expires_at` None: never, or not
    begun. `reserved` is the part of `balance` that is kept for reservations. `number` of the last posting is `postings`.
    """

    id: int
    kind: BucketKind
    name: str
    balance: int
    reserved: int = 0
    postings: int = 0
    line: str = ""
    main: bool = False
    product: str = ""
    priority: int = 100
    validity_days: int | None = None
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None
    open: bool = True
    changed: bool = False
    new: bool = False

    def active(self, now: datetime) -> bool:
        """Whether it can be used now: begun, and not over."""
        return self.open and self.starts_at is not None and self.starts_at <= now and not self.over(now)

    def unused(self, now: datetime) -> bool:
        """Whether it has not begun: it begins later, or with its first use."""
        return self.open and (self.starts_at is None or self.starts_at > now) and not self.over(now)

    def over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    @property
    def free(self) -> int:
        """What is not reserved."""
        return self.balance - self.reserved


class Posting(msgspec.Struct, frozen=True, gc=False):
    """One change of a bucket, as it is written. `cause` is the reference of what made it."""

    bucket_id: int
    number: int
    kind: PostingKind
    change: int
    balance_after: int
    cause: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Something that a subscriber is given. `validity_days` None: it does not expire. `first_use`: it begins with that."""

    kind: BucketKind
    amount: int
    name: str
    product: str = ""
    validity_days: int | None = None
    first_use: bool = False
    priority: int = 100
    line: str = ""
    main: bool = False


class ReservationState(StrEnum):
    """Where a reservation stands."""

    HELD = "held"
    """Kept: it is still in the buckets, and nobody else can use it."""
    CAPTURED = "captured"
    """Used; what was not captured went back."""
    RELEASED = "released"
    """Gone back."""
    EXPIRED = "expired"
    """Gone back by itself, at its deadline."""


class ReservationPart(msgspec.Struct, frozen=True):
    """What a reservation keeps of one bucket; they are captured in the order of `place`."""

    place: int
    bucket_id: int
    amount: int


class Reservation(msgspec.Struct):
    """Something kept for a session that is under way. `reference` is the caller's own, unique for the subscriber.

    `id` is 0 until it is written.
    """

    id: int
    subscriber_id: int
    reference: str
    kind: BucketKind
    amount: int
    captured: int
    state: ReservationState
    due_at: datetime | None
    parts: list[ReservationPart]


class MaximumCredit(NotPermitted):
    """The bucket would hold more than can be counted. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__("refill the subscriber any further")
        self.args = ("The subscriber's maximum credit would be exceeded.",)


class NotEnough(TelvendError):
    """The buckets that may be used hold `available`, and `required` is needed. Nothing was taken. Units as in `BucketKind`."""

    def __init__(self, kind: BucketKind, required: int, available: int) -> None:
        self.kind = kind
        self.required = required
        self.available = available
        super().__init__(f"Not enough {kind}: {required} {UNITS[kind]} needed, {available} available.")
