"""What is to be given to a subscriber, and what became of it."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from telvend.kit.mode import Mode
from telvend.kit.money import Currency
from telvend.operator.subscribers.balances.model import Grant


class DeliveryState(StrEnum):
    """What became of a reference."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    CLOSED = "closed"
    """Asked about before it arrived; it never will."""


class Refusal(StrEnum):
    """Why nothing was given. It stays so under the same reference."""

    UNKNOWN_SUBSCRIBER = "unknown_subscriber"
    """There is no such subscriber, and the delivery was not to make one."""
    BARRED = "barred"
    """The subscriber's status forbids it, or the number has been given up."""
    OTHER_CURRENCY = "other_currency"
    """Money in a currency that is not the subscriber's."""
    FULL = "full"
    """There would be more than can be counted."""


class NetworkDelivery(msgspec.Struct, frozen=True):
    """What is to be given to a subscriber. `msisdn` is in E.164, `country` and `currency` are the market's.

    `grants` come from the offering, as do the days by which the two clocks move. `creates`: an unknown subscriber is made.
    `fingerprint` says what is wanted, for references that come from people; another one under the same reference is
    ReferenceReused. `forgets`: a refusal leaves the reference free.
    """

    reference: str
    msisdn: str
    country: str
    currency: Currency
    grants: tuple[Grant, ...]
    mode: Mode = Mode.LIVE
    active_days: int = 0
    grace_days: int = 0
    creates: bool = True
    fingerprint: str = ""
    forgets: bool = False


class Question(msgspec.Struct, frozen=True):
    """What became of a reference?"""

    reference: str


@dataclass(frozen=True, slots=True)
class DeliveryAnswer:
    """What became of a reference. `reason` belongs to a refusal. `replayed`: it had been so before."""

    state: DeliveryState
    reason: Refusal | None = None
    replayed: bool = False
