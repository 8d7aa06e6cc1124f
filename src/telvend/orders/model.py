"""An order and its life: the records, the states and the rules that need no database.

    ACCEPTED ──> DELIVERING ──> DELIVERED
                  │   ^  │
                  v   │  └────> FAILED
                 WAITING ─────> DELIVERED | FAILED
                  │
                  └──> REVIEW ─> DELIVERED | FAILED     (only a person leads out of it)

An order has attempts, one for each time a provider was asked to deliver. The two rules that money stands on:
only an attempt that has definitely not delivered lets another begin, and only when nothing can have been delivered is
the hold given back.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from telvend.kit.mode import Mode
from telvend.kit.money import Money

COUNTER: Final = "counter"
"""The name below which references of sales by hand stand, where an API has its own."""

PORTAL: Final = "portal"
"""The name below which references of purchases that a person makes on a page stand."""

LONGEST_REFERENCE: Final = 128
"""Characters beyond which a text is no caller's reference."""


class OrderState(StrEnum):
    """Where an order stands, and what has happened to the money."""

    ACCEPTED = "accepted"
    """The money is held; no provider has been asked yet."""
    DELIVERING = "delivering"
    """The money is held; a provider is being asked right now."""
    WAITING = "waiting"
    """The money is held. The last attempt was accepted, or nobody knows its outcome, and it is asked about again; or it
    has definitely not delivered, and no provider has a place for the next one right now."""
    REVIEW = "review"
    """The money is held; asking has not settled it. A person decides."""
    DELIVERED = "delivered"
    """The hold is posted: provider's cost and margin."""
    FAILED = "failed"
    """The hold is voided: the wallet has it back."""

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL: Final = frozenset({OrderState.DELIVERED, OrderState.FAILED})


class AttemptState(StrEnum):
    """What is known of one attempt. The open ones keep the hold and keep everybody else away."""

    STARTED = "started"
    """Written down; whether the provider was called is not known (yet)."""
    ACCEPTED = "accepted"
    """The provider said that it will deliver."""
    UNKNOWN = "unknown"
    """The provider said nothing that could be understood."""
    DELIVERED = "delivered"
    """Definitely delivered."""
    REFUSED = "refused"
    """Definitely not delivered: the provider said no."""
    NOT_SENT = "not_sent"
    """Definitely not delivered: the provider never got it."""

    @property
    def open(self) -> bool:
        return self in OPEN


OPEN: Final = frozenset({AttemptState.STARTED, AttemptState.ACCEPTED, AttemptState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a provider was asked to deliver.

    `number` counts from 1 within the order; `reference` is what the provider sees; `asked` counts how often it was
    asked about since; `text` is what the provider said last, for the operator.
    """

    order_id: int
    number: int
    provider: str
    reference: str
    state: AttemptState
    asked: int
    text: str
    provider_reference: str | None
    started_at: datetime
    finished_at: datetime | None
    elsewhere: bool = False
    """Set on a refusal whose reason lets another provider be tried."""
    provider_code: str = ""
    """What the provider was sent as its name of the product; empty where it needs none."""
    resent: int = 0
    """How often it was sent again under its reference, which is an idempotency key there."""


class Order(msgspec.Struct, frozen=True):
    """A sale. `reference` is ours, `client_reference` the caller's own (unique per reseller, dialect and mode).

    `fingerprint` says what was asked for: network, number in E.164, and product or amount; never price or spelling.
    `position` is its place among the wallet's transactions. `kind` is the name of a product kind (catalog/kinds); `network` is the
    biller where the product is one's. `size` and `validity_days` are those of the bundle as it was sold (None: it does not expire,
    or it is no bundle). `subscriber` is the recipient as its kind stores it; `face` is what it gets in money's worth, `price` what
    the reseller pays. `balance_after` is the wallet's spendable balance after this order's
    last transfer on it.
    """

    id: int
    reference: str
    reseller_id: UUID
    dialect: str
    mode: Mode
    client_reference: str | None
    fingerprint: str
    wallet_id: int
    position: int
    kind: str
    country: str
    network: str
    product_id: int
    product: str
    size: str
    validity_days: int | None
    subscriber: str
    face: Money
    price: Money
    cost: Money
    state: OrderState
    balance_after: Money
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """What a list of orders is narrowed to; None leaves a thing open.

    `reference` is ours or a caller's own. `since` and `until` are moments, `until` itself not included. `networks`
    and `product` are codes. `dialect` is the API through which it was sold.
    """

    reseller_id: UUID | None = None
    mode: Mode | None = None
    states: tuple[OrderState, ...] | None = None
    subscriber: str | None = None
    reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    networks: tuple[str, ...] | None = None
    product: str | None = None
    dialect: str | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer to a purchase: the order as it stands now. `replayed`: it was there before this request.

    `age_s` is how long ago the order was placed, by the database's clock.
    """

    order: Order
    replayed: bool
    age_s: float


def traced_facts(order: Order) -> dict[str, str]:
    """What a trace says of an order: what was sold, and nothing of who bought it or who receives it."""
    return {
        "order.mode": order.mode,
        "order.api": order.dialect,
        "product.kind": order.kind,
        "product.code": order.product,
        "network": order.network,
        "country": order.country,
        "currency": order.price.currency.code,
    }
