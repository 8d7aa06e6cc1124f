"""The verbs of links to receipts: make one, open one, revoke them.

Whoever knows a token sees the receipt of one order and nothing else. The token stands in the link alone; the database keeps its
SHA-256, so that a copy of the database opens no receipt.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound
from telvend.kit.secret import digest, random_text
from telvend.orders import store as order_store
from telvend.orders.model import Order, OrderState
from telvend.orders.receipt_links import store

LASTS: Final = timedelta(days=90)
"""How long a link works: longer than a customer comes back with a question, shorter than for ever."""
MOST: Final = 20
"""How many links to one receipt may work at a time."""
_LETTERS: Final = 32


@dataclass(frozen=True, slots=True)
class ReceiptLink:
    """A link that works."""

    created_at: datetime
    expires_at: datetime


class ReceiptLinks:
    """The links to receipts of one shop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self, order: Order) -> str:
        """Return the token of a new link to the receipt of a delivered order. Raises InvalidInput, Busy."""
        if order.state is not OrderState.DELIVERED:
            raise InvalidInput("", "There is a receipt once it is delivered.")
        token = random_text(_LETTERS)
        async with self._database.transaction() as tx:
            await store.lock(tx, order.id)
            lasts_s = LASTS.total_seconds()
            if not await store.insert(tx, digest(token), order.id, order.reseller_id, lasts_s, MOST):
                raise InvalidInput("", f"{MOST} links to this receipt work already. Revoke them first.")
        return token

    async def open(self, token: str) -> Order:
        """Return the order to whose receipt a token leads. Raises NotFound, Busy."""
        if len(token) == _LETTERS and token.isascii() and token.isalnum():
            async with self._database.connection() as tx:
                number = await store.order_of(tx, digest(token))
                if number is not None:
                    return (await order_store.find_by_id(tx, [number]))[number]
        raise NotFound("Receipt")

    async def revoke(self, order: Order) -> int:
        """Make every link to the receipt of this order worthless; return how many worked. Raises Busy."""
        async with self._database.transaction() as tx:
            return await store.revoke(tx, order.id, order.reseller_id)

    async def working(self, order: Order) -> list[ReceiptLink]:
        """Return the links to the receipt of this order that work, oldest first. Raises Busy."""
        async with self._database.connection() as tx:
            return [ReceiptLink(*row) for row in await store.working(tx, order.id)]
