"""What is read of a subscriber: the parts of a plan, each from a source of its own, and what could not be read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from telvend.kit.mode import Mode
from telvend.kit.money import Currency
from telvend.operator.subscribers.balances.model import Bucket, BucketKind
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.subscribers.momo.model import MomoAccount


class PlanPart(StrEnum):
    """A part of the answer that has a source of its own, with a deadline of its own."""

    PLAN = "plan"
    """The subscriber: billing, status, dates, language, tariff plan."""
    BALANCE = "balance"
    """The buckets."""
    MOMO = "momo"
    """Mobile money."""


@dataclass(frozen=True, slots=True)
class PlansWanted:
    """What somebody wants to know. `msisdn` is in E.164.

    `kinds` None: every kind but mobile money. `line` empty: the subscriber's own line. `product` narrows to the buckets that
    came from one product. `momo_authorization` None: mobile money is not asked for; else what the caller sent as proof, empty
    where nothing was sent.
    """

    mode: Mode
    msisdn: str
    kinds: frozenset[BucketKind] | None = None
    line: str = ""
    product: str | None = None
    momo_authorization: str | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """Everything of one kind, in its unit; the main account is a total of its own.

    `active` can be used now, `unused` has not begun; `reserved` is kept for reservations, and in neither. `expires_at`: when
    the first of what is active is over, None: never. `buckets`: how many there are, listed or not.
    """

    active: int = 0
    unused: int = 0
    reserved: int = 0
    expires_at: datetime | None = None
    buckets: int = 0


@dataclass(frozen=True, slots=True)
class Plans:
    """What was found. A part that could not be read is None and named in `missing`; at least one was read.

    `buckets` are the open ones that are not over: main account first, then by kind and in the order of use. Where somebody has
    hundreds of one kind, those that are used first are listed, and `totals` count the others too; they are keyed by kind and
    whether it is the main account. What a bucket shows is `free`, so that totals are the sum of what is shown. `momo` is None
    where it was not asked for. `currency` is the subscriber's, whichever part told it. `now` is the database's clock: what is
    active or unused is so at this moment.
    """

    msisdn: str
    currency: Currency
    subscriber: Subscriber | None
    buckets: tuple[Bucket, ...] | None
    momo: MomoAccount | None
    missing: frozenset[PlanPart]
    now: datetime
    totals: Mapping[tuple[BucketKind, bool], Total] | None = None


def totals_of(buckets: Iterable[Bucket], now: datetime) -> dict[tuple[BucketKind, bool], Total]:
    """What buckets that are not over add up to, by kind and whether it is the main account."""
    grouped: dict[tuple[BucketKind, bool], list[Bucket]] = {}
    for bucket in buckets:
        grouped.setdefault((bucket.kind, bucket.main), []).append(bucket)
    return {key: _total(of_kind, now) for key, of_kind in grouped.items()}


def _total(buckets: list[Bucket], now: datetime) -> Total:
    active = unused = reserved = 0
    expires_at: datetime | None = None
    for bucket in buckets:
        free = bucket.balance - bucket.reserved
        reserved += bucket.reserved
        if bucket.starts_at is None or bucket.starts_at > now:
            unused += free
            continue
        active += free
        if free and bucket.expires_at is not None and (expires_at is None or bucket.expires_at < expires_at):
            expires_at = bucket.expires_at
    return Total(active, unused, reserved, expires_at, len(buckets))
