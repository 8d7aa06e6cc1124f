"""Taking orders with the transaction that places them, so that a worker of the same process delivers them at once.

An order that is placed and left is claimed later: another transaction, and the row written anew with all of its indexes. One that
is taken is written as it stands after the claim: with its lease, and with its first attempt, which is committed with the order
and so, as ever, before the provider is called.

    await taker.keep_pace()                      before the batch
    began = taker.monotonic()                    before the locks
    taken = taker.take(orders, now, began)       when the batch is decided; None where all of them are left
    await store.insert(tx, ...); await taken.write(tx)
    taken.begin()                                when it is committed, or taken.release()
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from telvend.database.connections import Tx
from telvend.orders.model import Order


class TakenOrders(Protocol):
    """The orders of one batch that a worker takes, each with a place at its provider. Either `begin` or `release` ends it."""

    @property
    def numbers(self) -> Collection[int]:
        """The numbers of the orders."""

    @property
    def leased_until(self) -> datetime:
        """When somebody else may claim them, by the database's clock."""

    async def write(self, tx: Tx) -> None:
        """Write their first attempts, after their orders."""

    def begin(self) -> None:
        """Deliver them: they are committed."""

    def release(self) -> None:
        """Give the places back: they are not committed, or nobody knows. Then whoever claims them after the lease asks first."""


class OrderTaker(Protocol):
    """A worker of this process, as whoever places orders sees it."""

    def monotonic(self) -> float:
        """The moment from which a lease that begins later surely has not ended."""

    def take(self, orders: Sequence[Order], now: datetime, began: float) -> TakenOrders | None:
        """Take as many of these new orders as there is room for. `now` is the database's clock, read after `began`."""

    def wake(self) -> None:
        """Claim now: orders are committed that were not taken."""

    async def keep_pace(self) -> None:
        """Wait, for a moment at most, where more has been sold than delivered."""
