"""What is read of a subscriber: the parts of a plan, each from a source of its own, and what could not be read."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from telvend.kit.money import Currency
from telvend.ledger.model import Mode
from telvend.subscribers.model import Bucket, Kind, MomoAccount, Subscriber


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
    kinds: frozenset[Kind] | None = None
    line: str = ""
    product: str | None = None
    momo_authorization: str | None = None


@dataclass(frozen=True, slots=True)
class Plans:
    """What was found. A part that could not be read is None and named in `missing`; at least one was read.

    `buckets` are the open ones that are not over, main account first, then by kind and in the order of use. `momo` is None where
    it was not asked for. `currency` is the subscriber's, whichever part told it. `now` is the database's clock: what is active
    or unused is so at this moment.
    """

    msisdn: str
    currency: Currency
    subscriber: Subscriber | None
    buckets: tuple[Bucket, ...] | None
    momo: MomoAccount | None
    missing: frozenset[PlanPart]
    now: datetime
