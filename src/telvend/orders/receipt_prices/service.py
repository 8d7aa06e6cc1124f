"""The verbs of prices on receipts: write one, read it.

A price is what the reseller says that its customer has paid. It moves no money, and is never what the reseller has paid.
"""

from typing import Final

from telvend.database.connections import Database
from telvend.errors import InvalidInput
from telvend.kit.money import Money
from telvend.orders.model import Order
from telvend.orders.receipt_prices import store

_MOST_MINOR: Final = 10**12


class ReceiptPrices:
    """The prices on receipts of one shop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, order: Order, price: Money | None) -> None:
        """Put a price on the receipt of an order, in place of the one before; None takes it off. Raises InvalidInput, Busy."""
        async with self._database.connection() as tx:
            if price is None:
                await store.remove(tx, order.id)
                return
            await store.write(tx, order.id, require_price(price, order.price.currency.code).minor)

    async def read(self, order: Order) -> Money | None:
        """The price on the receipt of an order; None where there is none. Raises Busy."""
        async with self._database.connection() as tx:
            minor = await store.price_of(tx, order.id)
        return None if minor is None else Money(minor, order.price.currency)


def require_price(price: Money, currency: str) -> Money:
    """Return a price that may stand on a receipt of this currency. Raises InvalidInput."""
    if price.currency.code != currency:
        raise InvalidInput("customer_price", f"must be in {currency}")
    if not 0 < price.minor <= _MOST_MINOR:
        raise InvalidInput("customer_price", f"must be above zero, and at most {Money(_MOST_MINOR, price.currency)}")
    return price
