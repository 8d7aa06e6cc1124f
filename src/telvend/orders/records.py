"""Orders as the operator looks at them: lists, one by any of its names, the history of one.

Separate from placement, so that reading orders needs no catalogue, lanes or wallets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database, Tx
from telvend.errors import InvalidInput, NotFound
from telvend.kit.ids import number_in, number_named
from telvend.ledger.model import Entry
from telvend.ledger.service import Ledger
from telvend.orders import browsing, store
from telvend.orders.browsing import Browsed
from telvend.orders.model import LONGEST_REFERENCE, Attempt, AttemptState, Order, OrderFilter
from telvend.orders.story import LaterMoney, StoryFacts

EVERY_ORDER: Final = OrderFilter()


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """Everything about one order: its attempts, its transfers, what people noted, and when it is looked at next."""

    order: Order
    attempts: list[Attempt]
    entries: list[Entry]
    notes: list[tuple[Any, str]]
    due_at: datetime | None = None

    def facts(self, later: Sequence[LaterMoney] = ()) -> StoryFacts:
        """What its story is told from; `later` is money that moved for it under other numbers."""
        return StoryFacts(self.order, self.attempts, self.entries, self.due_at, self.notes, later)


class OrderRecords:
    """The stored orders of one shop. `apis`: the names of the APIs that sell, below which callers' references stand."""

    def __init__(self, database: Database, ledger: Ledger, *, apis: Iterable[str]) -> None:
        self._database = database
        self._ledger = ledger
        self._apis = list(apis)

    async def list_orders(
        self, wanted: OrderFilter = EVERY_ORDER, *, before: int | None = None, limit: int = 50
    ) -> list[Order]:
        """Orders, newest first; `before` is the number of the last one seen."""
        async with self._database.connection() as tx:
            ids = None if wanted.reference is None else await self._named(tx, wanted.reference, wanted.reseller_id)
            if ids == []:
                return []
            return await store.listed(tx, wanted, ids=ids, before=before, limit=limit)

    async def browse(self, wanted: OrderFilter = EVERY_ORDER, *, before: int | None = None, limit: int = 50) -> Browsed:
        """A page of orders for people, newest first, at a bounded cost; `before` is the `older` of the page before. Raises Busy."""
        async with self._database.snapshot() as tx:
            return await browsing.page(tx, wanted, before, limit)

    async def named(self, reference: str, reseller_id: UUID | None = None) -> Order:
        """Return the one order with this name: our reference, the order's number, or the caller's own reference.

        Of one reseller, or of all. Our reference and the number go first, so that a caller's own reference cannot hide an
        order of another caller. Raises NotFound, and InvalidInput where several callers use this reference.
        """
        async with self._database.connection() as tx:
            number = number_named(reference)
            if number is not None:
                order = (await store.find_by_id(tx, [number])).get(number)
                known = order is not None and reference in (order.reference, str(number))
                if order is not None and known and reseller_id in (None, order.reseller_id):
                    return order
            ids = await store.ids_under(tx, reference, self._apis, reseller_id) if _storable(reference) else []
            found = await store.find_by_id(tx, ids)
        if len(found) > 1:
            ours = ", ".join(found[id].reference for id in ids)  # noqa: A001
            raise InvalidInput("reference", f"names {len(found)} orders, {ours}; take one of these, or say whose it is")
        if not found:
            raise NotFound("Order")
        return found[ids[0]]

    async def _named(self, tx: Tx, reference: str, reseller_id: UUID | None) -> list[int]:
        if not _storable(reference):
            return []
        number = number_in(reference)
        ids = await store.ids_under(tx, reference, self._apis, reseller_id)
        if number is not None:
            order = (await store.find_by_id(tx, [number])).get(number)
            if order is not None and order.reference == reference:
                ids.append(number)
        return ids

    async def history(self, reference: str) -> OrderHistory:
        """Everything about the order with our reference (or its number). Raises NotFound."""
        number = number_named(reference)
        if number is None:
            raise NotFound("Order")
        async with self._database.connection() as tx:
            order = (await store.find_by_id(tx, [number])).get(number)
            if order is None or reference not in (order.reference, str(number)):
                raise NotFound("Order")
            attempts = await store.attempts_of(tx, number)
            notes = await store.notes_of(tx, number)
            due_at = await store.due_at(tx, number)
        return OrderHistory(
            order,
            [
                Attempt(
                    order_id=row["order_id"],
                    number=row["number"],
                    provider=row["provider"],
                    reference=row["reference"],
                    state=AttemptState(row["state"]),
                    asked=row["asked"],
                    resent=row["resent"],
                    text=row["text"],
                    provider_reference=row["provider_reference"],
                    started_at=row["started_at"],
                    finished_at=row["finished_at"],
                    elsewhere=row["elsewhere"],
                    provider_code=row["provider_code"],
                )
                for row in attempts
            ],
            await self._ledger.entries(number),
            [(row["created_at"], row["text"]) for row in notes],
            due_at,
        )

    async def open_orders(self) -> list[Any]:
        """The orders that are not final, by state, currency and mode: count, minor, oldest_s."""
        async with self._database.connection() as tx:
            return await store.open_orders(tx)


def _storable(reference: str) -> bool:
    """Whether a caller's reference can be this: those that cannot need not be looked for."""
    return 0 < len(reference) <= LONGEST_REFERENCE and reference.isprintable()
