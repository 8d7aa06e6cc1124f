"""What is sold of billers: electricity of a distribution company, PINs of an examination board.

For now these products are built in and sold in test mode alone: no provider of this version delivers them live. They are in no
table, so that no list of an API and no older version meets them.
"""

import csv
from dataclasses import dataclass
from functools import cache

from telvend.catalog import builtin
from telvend.catalog.model import CURRENCY_BY_COUNTRY, share_minor
from telvend.kit.money import Currency, Money

FIRST_ID = 1_000_000_001
"""Beyond the numbers that products and airtime get from their sequence."""


@dataclass(frozen=True, slots=True)
class BillerProduct:
    """A product of a biller, sold for any amount from `minimum` to `maximum`; where the two are the same, at that price.

    `biller` stands where other products have their network. `cost_basis_points` is what a provider takes, in hundredths of a
    percent of the amount.
    """

    id: int
    code: str
    kind: str
    country: str
    biller: str
    name: str
    minimum: Money
    maximum: Money
    cost_basis_points: int

    @property
    def currency(self) -> Currency:
        return self.minimum.currency

    @property
    def price(self) -> Money | None:
        """The fixed price; None where it is sold by amount."""
        return self.minimum if self.minimum == self.maximum else None

    def cost(self, amount: Money) -> Money:
        """What a provider takes for `amount`; halves of a minor unit are ours to bear."""
        return Money(share_minor(amount.minor, self.cost_basis_points), amount.currency)


@cache
def biller_products() -> dict[str, BillerProduct]:
    """Return every product of a biller by its code. They are sold in test mode alone."""
    found = {}
    for row in csv.DictReader(builtin.read("test-products.csv").splitlines()):
        currency = CURRENCY_BY_COUNTRY[row["country"]]
        found[row["code"]] = BillerProduct(
            int(row["id"]),
            row["code"],
            row["kind"],
            row["country"],
            row["biller"],
            row["name"],
            Money(int(row["minimum_minor"]), currency),
            Money(int(row["maximum_minor"]), currency),
            int(row["cost_basis_points"]),
        )
    return found
