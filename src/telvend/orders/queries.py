"""Finding orders for callers: questions that came together are answered together, each from the database after it was
asked, so that no answer is stale and none costs a round trip of its own under load.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from telvend.database.connections import Database, DedicatedConnection, Tx
from telvend.errors import NotFound
from telvend.kit.ids import number_in
from telvend.kit.mode import Mode
from telvend.orders import store
from telvend.orders.model import Order


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """One order that a caller looks for, by our reference or by its own."""

    reseller_id: UUID
    dialect: str
    mode: Mode
    reference: str

    def owns(self, order: Order) -> bool:
        """Whether `order` is the caller's; somebody else's is not found."""
        return (order.reseller_id, order.dialect, order.mode) == (self.reseller_id, self.dialect, self.mode)


class OrderReader:
    """`find_all` is what the lane of reads calls. It owns one connection and is never called twice at once."""

    def __init__(self, database: Database) -> None:
        self._connection = DedicatedConnection(database)

    async def close(self) -> None:
        await self._connection.close()

    async def find_all(self, wanted: list[OrderQuery]) -> Sequence[Order | Exception]:
        """The order of each, NotFound where there is none. Raises Busy when the database is away."""
        async with self._connection.reading() as tx:
            found = await _by_our_reference(tx, set(wanted))
            rest = [item for item in set(wanted) if item not in found]
            if rest:
                found |= await _by_client_reference(tx, rest)
        return [found.get(item) or NotFound("Order") for item in wanted]


async def _by_our_reference(tx: Tx, wanted: set[OrderQuery]) -> dict[OrderQuery, Order]:
    numbers = {item: number for item in wanted if (number := number_in(item.reference)) is not None}
    if not numbers:
        return {}
    orders = await store.find_by_id(tx, list(set(numbers.values())))
    return {
        item: order
        for item, number in numbers.items()
        if (order := orders.get(number)) is not None and item.owns(order) and order.reference == item.reference
    }


async def _by_client_reference(tx: Tx, wanted: list[OrderQuery]) -> dict[OrderQuery, Order]:
    items = {(item.reseller_id, item.dialect, str(item.mode), item.reference): item for item in wanted}
    orders = await store.find_by_client_reference(tx, list(items))
    return {items[key]: order for key, order in orders.items()}
