"""What is asked of a subscriber's balances, and the answer."""

from dataclasses import dataclass

import msgspec

from telvend.kit.mode import Mode
from telvend.operator.subscribers.balances.model import BucketKind, Reservation
from telvend.operator.subscribers.model import Subscriber


class Consume(msgspec.Struct, frozen=True):
    """Use so much of one kind, on one line."""

    mode: Mode
    msisdn: str
    reference: str
    kind: BucketKind
    amount: int
    line: str = ""


class Reserve(msgspec.Struct, frozen=True):
    """Keep so much of one kind for `hold_s` seconds at most."""

    mode: Mode
    msisdn: str
    reference: str
    kind: BucketKind
    amount: int
    hold_s: float
    line: str = ""


class Capture(msgspec.Struct, frozen=True):
    """Use what is reserved, all (None) or a part; the rest goes back. `kind`: what the amount is of, where one is given."""

    mode: Mode
    msisdn: str
    reference: str
    amount: int | None = None
    kind: BucketKind | None = None


class Release(msgspec.Struct, frozen=True):
    """Give back what is reserved."""

    mode: Mode
    msisdn: str
    reference: str


class Adjust(msgspec.Struct, frozen=True):
    """Make a bucket hold so much, as an operator says. `reference` is the posting's cause."""

    mode: Mode
    msisdn: str
    reference: str
    bucket_id: int
    kind: BucketKind
    balance: int


Request = Consume | Reserve | Capture | Release | Adjust


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken from, or is kept in, one bucket."""

    bucket_id: int
    name: str
    amount: int


@dataclass(frozen=True, slots=True)
class Done:
    """The answer. `taken`: from which buckets, in the order of use; empty in a replay of a consumption.

    `reservation` belongs to those three verbs. `replayed`: it had been done before.
    """

    subscriber: Subscriber
    taken: tuple[Taken, ...] = ()
    reservation: Reservation | None = None
    replayed: bool = False
