"""What a provider is: somebody who delivers what was sold, and who can be asked about it again.

`deliver` and `ask` answer with one of five things. They are values, not exceptions, because each is expected:

| outcome     | has the recipient got it?  | what the sale does                                          |
|-------------|----------------------------|-------------------------------------------------------------|
| `Delivered` | yes                        | the hold is posted; a payload that is missing is asked for  |
| `Accepted`  | not yet                    | the hold stays; ask later                                   |
| `Refused`   | no, and never will         | the hold is voided, or another provider if the reason allows |
| `NotSent`   | no: it never arrived       | may be tried again, here or elsewhere                       |
| `Unknown`   | nobody knows               | the hold stays; ask later, never try anybody else           |

A provider must not raise for anything that the far side does. Whatever is not explicitly one of the others is
`Unknown`: a time-out, a reset after the first byte, a 5xx, a body that does not parse, a status nobody documented.
An exception that escapes all the same is taken for `Unknown` by the fulfilment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from telvend.catalog.kinds import Payload
from telvend.kit.money import Money


class Reason(StrEnum):
    """Why a provider refused. The ones in `ELSEWHERE` let another provider be tried."""

    BAD_NUMBER = "bad_number"
    """The number cannot receive this, whoever sends it."""
    BARRED = "barred"
    """The subscriber is barred; nobody else can help."""
    WRONG_NETWORK = "wrong_network"
    """The number is not on the network that the request names."""
    NOT_SOLD = "not_sold"
    """This provider does not sell the product (any more)."""
    OUT_OF_STOCK = "out_of_stock"
    """This provider sells the product, and has none of it now."""
    DOWN = "down"
    """This provider, or the network behind it, says that it is out of service and has not taken the request."""
    NO_FLOAT = "no_float"
    """Our own account with this provider is empty: ours to mend, not the reseller's."""
    NOT_ALLOWED = "not_allowed"
    """This provider does not let us in: key, address, account. Ours to mend."""
    TOO_SOON = "too_soon"
    """The same number was served a moment ago."""
    REFUSED = "refused"
    """A plain no."""


ELSEWHERE = frozenset({Reason.NOT_SOLD, Reason.OUT_OF_STOCK, Reason.DOWN, Reason.NO_FLOAT, Reason.NOT_ALLOWED})
"""The allow-list of refusals after which another provider may be tried; every other one ends the order."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The recipient has it. `cost` is what the provider took from our float, where it says so.

    `payload` is what the delivery carries back (tokens, PINs), in the fields of its product kind; None where the kind carries
    nothing, and where the provider has not got it yet: then it is asked again. `text` is logged and shown to the operator, and
    must not repeat the payload.
    """

    provider_reference: str | None = None
    cost: Money | None = None
    text: str = "Delivered"
    payload: Payload | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider will deliver. `requery_after_s` is its own hint when to ask; `cost` is what it has taken, where it says so."""

    provider_reference: str | None = None
    requery_after_s: float | None = None
    text: str = "Accepted"
    cost: Money | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not delivered, now and later, under this reference."""

    reason: Reason
    text: str = "Refused"

    @property
    def elsewhere(self) -> bool:
        """Whether another provider may be tried."""
        return self.reason in ELSEWHERE


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request definitely did not reach the provider, and cannot reach it any more.

    `closed`: the provider has closed the reference, so that a request which is still on its way delivers nothing either. Then a
    requery is believed at any age of the attempt (`ProviderTraits.settles_after_s`).
    """

    text: str = "Not sent"
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it was delivered. `text` is for the operator.

    `ours`: the provider keeps its own book in our database, and that was away. This says nothing of the provider: it counts
    neither for its breaker nor for the schedule of questions, and the attempt is asked about a few seconds later.
    """

    text: str = "Unknown"
    ours: bool = False


Outcome = Delivered | Accepted | Refused | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to deliver. `reference` is unique for each attempt: it is what the provider sees and is asked about.

    `kind` is the name of a product kind (catalog/kinds). `network` and `product` are codes of the catalogue (`MTN` within
    `country` GH, `GH-MTN-1GB-30D`); of a biller's product `network` is the biller (`ikeja-electric`). `size` is what is printed
    on the bundle (`1GB`), else the amount; `validity_days` is how long it lasts, None for a bundle that does not expire and for
    every other kind. `subscriber` is the recipient as its kind stores it: an MSISDN in E.164 (`+233241234567`), a meter number.
    `face_value` is what the recipient gets in money's worth: the amount of airtime, the price of a bundle; `cost` is what the
    catalogue expects this provider to take. `type` is the bundle's type where the market knows types (`SME`). All of it is as it
    was sold, whatever the catalogue says by now. `provider_code` is what this provider calls the product, where the operator has
    said so (`telvend product offer CODE PROVIDER --code THEIRS`), else empty; `started_at` is when the attempt began, with its
    zone, the same in each requery. `provider_reference` is what the provider called the attempt when it accepted it, empty where
    it has not said. `rivals` is how many other attempts of this shop at this provider, a day before or after, are for the same
    recipient and kind and may have been taken, refused ones too; None where nobody has counted.
    """

    reference: str
    kind: str
    country: str
    network: str
    product: str
    size: str
    validity_days: int | None
    subscriber: str
    face_value: Money
    cost: Money
    type: str = ""
    provider_code: str = ""
    started_at: datetime | None = None
    provider_reference: str = ""
    rivals: int | None = None


def plain_reference(order_reference: str, number: int, _started_at: datetime) -> str:
    """Return the reference of an order's attempt where the provider takes any text: `AT-7H2K-1`."""
    return f"{order_reference}-{number}"


@dataclass(frozen=True, slots=True)
class ProviderTraits:
    """What the fulfilment must know of a provider.

    `timeout_s`: how long one call may take before it counts as `Unknown`.
    `settles_after_s`: how old an attempt must be before "we have never heard of it" is believed as `NotSent`; before
    that it is `Unknown`, since the request may still be on its way. 0 for a provider whose answer to `ask` closes the
    reference.
    `concurrency`: how many calls it takes at once, from one process.
    `test_mode`: whether it delivers for test keys; `live_mode`: for live ones.
    `pretends`: whether it is a simulator: start-up says so, so that nobody mistakes it for a real upstream.
    `reference_is_key`: whether a repeated request under the same reference never delivers twice. Then an attempt that may not
    have arrived is sent again under its reference, at any age. What is refused then counts only after `settles_after_s`, which
    must not be 0: a refusal may leave the reference free, and an earlier request would still deliver.
    `repeat_guard_s`: how long after a delivery to a number the provider refuses another one to it; the second order waits.
    `requery_needs_rivals`: whether a requery has to tell the attempt from others of this shop (`Delivery.rivals`).
    `rate_per_s`: how many calls a second it takes; the processes of a node share it. None means any number.
    `reference`: makes the reference of an attempt, of the order's reference, the number of the attempt and the time at which it
    begins; it must differ for each attempt.
    """

    timeout_s: float = 30.0
    settles_after_s: float = 300.0
    concurrency: int = 64
    test_mode: bool = False
    live_mode: bool = True
    pretends: bool = False
    kinds: frozenset[str] = frozenset({"data", "airtime"})
    """The product kinds that it delivers, by their names."""
    networks: frozenset[tuple[str, str]] | None = field(default=None)
    """The (country, network) pairs it serves, networks in any case; None means every one."""
    reference_is_key: bool = False
    repeat_guard_s: float = 0.0
    rate_per_s: float | None = None
    requery_needs_rivals: bool = False
    reference: Callable[[str, int, datetime], str] = plain_reference

    def __post_init__(self) -> None:
        """Raises ValueError where a request could still be on its way when it is said never to have arrived."""
        if 0 < self.settles_after_s < self.timeout_s:
            raise ValueError("settles_after_s must be 0 or longer than timeout_s")
        if self.reference_is_key and not self.settles_after_s:
            raise ValueError("settles_after_s must not be 0 where the reference is a key")


class Provider(Protocol):
    """Somebody who delivers. Implementations: `client.py` how to call, `wire.py` what they say."""

    @property
    def name(self) -> str:
        """The name in settings, in the routing, on attempts and on the ledger's account: `simulator`."""

    @property
    def traits(self) -> ProviderTraits: ...

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Ask the provider to deliver. Called once for each attempt, with no transaction open."""

    async def requery(self, delivery: Delivery) -> Outcome:
        """Ask what became of an attempt, by its reference. Never delivers.

        `NotSent`: they never heard of it, or the reference is closed. A requery may close it itself, where the far side lets an
        unfinished request be cancelled: that makes a delivery impossible and finds out nothing else.
        """

    async def close(self) -> None:
        """Give connections back."""


class DeliversTogether(Provider, Protocol):
    """A provider that takes many deliveries with one call, because it stands in this process.

    Where a provider has `deliver_all`, the worker calls it instead of `deliver`, with the deliveries that begin at the same moment.
    Every one of them has its attempt, its time-out and its outcome as if it were alone.
    """

    async def deliver_all(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver each of these; return the outcome of each in its place."""
