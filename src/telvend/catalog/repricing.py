"""New prices for many products at once. Pure: what it would be is shown before it is written."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from telvend.catalog.model import Product, Terms
from telvend.errors import InvalidInput
from telvend.kit.money import Money

MOST_PERCENT: Final = Decimal(100)
"""A larger change is a slip of the hand."""


@dataclass(frozen=True, slots=True)
class Repriced:
    """A product and the terms with its new price."""

    before: Product
    after: Terms

    @property
    def loses(self) -> bool:
        """Whether the new price is below the cost."""
        return self.after.price.minor < self.after.cost.minor


def parse_percent(text: str) -> Decimal:
    """Read `5`, `-2.5` or `+3 %`. Raises InvalidInput."""
    try:
        percent = Decimal(text.strip().removesuffix("%").strip().removeprefix("+").replace("\u2212", "-"))
    except ArithmeticError:
        raise InvalidInput("percent", "must be a number such as 5 or -2.5") from None
    if not percent.is_finite() or percent == 0 or abs(percent) > MOST_PERCENT or percent != round(percent, 2):
        raise InvalidInput(
            "percent", f"must be from -{MOST_PERCENT} to {MOST_PERCENT}, not 0, with at most two decimals"
        )
    return percent


def repriced(products: Iterable[Product], percent: Decimal, step_minor: int) -> list[Repriced]:
    """Return the products whose price changes by so many percent, rounded to whole steps of minor units, and never to nothing."""
    found = []
    for product in products:
        exact = Decimal(product.price.minor) * (100 + percent) / 100
        steps = int((exact / step_minor).to_integral_value(ROUND_HALF_UP))
        price = Money(max(steps, 1) * step_minor, product.price.currency)
        if price != product.price:
            found.append(Repriced(product, replace(product.terms, price=price)))
    return found
