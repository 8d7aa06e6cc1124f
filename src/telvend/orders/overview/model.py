"""Figures of orders for a first page, and how they add up. No database.

An order counts in the day in which it was placed, so that a day has a success rate: reports count it where it became final.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar

from telvend.kit.money import Currency, Money
from telvend.orders.model import OrderState

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """Live orders that were placed on one day, of one network, provider, currency and state. `provider`: who was asked last.

    `cost_minor` is that of the delivered ones.
    """

    country: str
    network: str
    provider: str
    currency: Currency
    state: OrderState
    orders: int
    price_minor: int
    cost_minor: int


@dataclass(slots=True)
class Outcomes:
    """How orders have ended, and how many have not."""

    delivered: int = 0
    failed: int = 0
    open: int = 0
    sold_minor: int = 0
    cost_minor: int = 0

    @property
    def placed(self) -> int:
        return self.delivered + self.failed + self.open

    @property
    def margin_minor(self) -> int:
        return self.sold_minor - self.cost_minor

    @property
    def success_percent(self) -> float | None:
        """The share of the orders that have ended which was delivered; None where none has ended."""
        ended = self.delivered + self.failed
        return None if not ended else round(100 * self.delivered / ended, 1)

    def sold(self, currency: Currency) -> Money:
        return Money(self.sold_minor, currency)

    def margin(self, currency: Currency) -> Money:
        """What is left of what was sold, before refunds."""
        return Money(self.margin_minor, currency)

    def add(self, line: PlacedLine) -> None:
        if line.state is OrderState.DELIVERED:
            self.delivered += line.orders
            self.sold_minor += line.price_minor
            self.cost_minor += line.cost_minor
        elif line.state is OrderState.FAILED:
            self.failed += line.orders
        else:
            self.open += line.orders


@dataclass(frozen=True, slots=True)
class DaySales:
    """What was delivered of one day's orders, in one currency."""

    day: date
    currency: Currency
    delivered: int
    sold: Money


@dataclass(frozen=True, slots=True)
class OpenLine:
    """Orders that are not final, in one state, currency and mode."""

    state: OrderState
    currency: Currency
    live: bool
    orders: int
    held: Money
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Today:
    """The day until `as_of`. `days`: the days before and this one, oldest first; a day without sales has no line."""

    day: date
    as_of: datetime
    placed: Sequence[PlacedLine]
    days: Sequence[DaySales] = field(default=())

    def by_currency(self) -> dict[Currency, Outcomes]:
        return _grouped((line.currency, line) for line in self.placed)

    def by_network(self) -> dict[tuple[str, str, Currency], Outcomes]:
        """By country, network and currency."""
        return _grouped(((line.country, line.network, line.currency), line) for line in self.placed)

    def by_provider(self) -> dict[tuple[str, Currency], Outcomes]:
        """By the provider that was asked last, and currency; orders that nobody was asked for are left out."""
        return _grouped(((line.provider, line.currency), line) for line in self.placed if line.provider)


def _grouped(lines: Iterable[tuple[K, PlacedLine]]) -> dict[K, Outcomes]:
    found: dict[K, Outcomes] = {}
    for key, line in lines:
        found.setdefault(key, Outcomes()).add(line)
    return dict(sorted(found.items(), key=lambda item: str(item[0])))
