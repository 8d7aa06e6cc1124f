"""The index of orders by number and reference: kept up by a periodic task, and asked by pages.

`orders` itself has no index on the number that receives: it would be written with every change of every order. This one follows
a minute behind, and what is younger is looked through directly, so that an answer is always complete. What is older than a few
hundred thousand orders is packed into a twentieth of the room.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from telvend.database.connections import Database
from telvend.errors import NotFound
from telvend.kit.ids import number_named
from telvend.kit.steps import narrowed
from telvend.orders import store as order_store
from telvend.orders.model import LONGEST_REFERENCE, Order
from telvend.orders.search import store

EVERY_S: Final = 5.0
"""The interval at which the task looks for orders that are not indexed."""

YOUNGEST_S: Final = 60.0
"""Younger orders are not indexed yet: nearly all are final by then, with all references of their provider."""

MOST: Final = 20_000
"""Orders that one step indexes: a step is one statement, which must not run into its time-out."""

_WORK_S: Final = 0.5
_STEP_S: Final = (0.05, 0.25)
_SHORTEST_STEP_S, _LONGEST_STEP_S = 1.0, 30 * 86400.0
_QUIET: Final = timedelta(hours=1)
"""How far the progress may stay behind while nothing is sold: a shop that rests does not write."""
_ENDED_AT_ONCE: Final = 1000
_BUCKETS_AT_ONCE: Final = 64
"""Packed with one statement: a 64th of a segment, some ten thousand entries."""
_BUSY_FROM: Final = 16
"""Purchases that wait in this process, from which on indexing is put off."""


class OrderSearch:
    """The search index of one shop. `pressure`: how many purchases wait in this process; `most`: orders of one step."""

    def __init__(self, database: Database, pressure: Callable[[], int] = lambda: 0, *, most: int = MOST) -> None:
        self._database = database
        self._pressure = pressure
        self._most = most

    async def work(self) -> int:
        """Index what can be indexed now, and pack what is old, for about half a second. Returns how many orders and entries.

        Raises Busy. One process of the shop at a time: to the others there is nothing to do.
        """
        until = time.monotonic() + _WORK_S
        return await self._index(until) + await self._pack(until)

    async def _pack(self, until: float) -> int:
        packed = 0
        async with self._database.connection() as tx:
            if await store.next_to_pack(tx) is None:
                return packed
        while time.monotonic() < until and self._pressure() < _BUSY_FROM:
            async with self._database.transaction() as tx:
                if await store.take(tx) is None or (following := await store.next_to_pack(tx)) is None:
                    return packed
                packed += await store.pack(tx, *following, _BUCKETS_AT_ONCE)
        return packed

    async def _index(self, end: float) -> int:
        indexed = 0
        horizon: datetime | None = None
        while time.monotonic() < end and self._pressure() < _BUSY_FROM:
            async with self._database.transaction() as tx:
                taken = await store.take(tx)
                if taken is None:
                    return indexed
                since, step_s = taken
                # Read under the lock, and once: it moves on with the time, and would be followed for the whole half second.
                horizon = horizon or await store.horizon(tx, YOUNGEST_S)
                ended = await store.index_ended(tx, _ENDED_AT_ONCE)
                if since >= horizon:
                    if ended < _ENDED_AT_ONCE:
                        return indexed
                    continue
                placed = partial(order_store.placed_between, tx, most=self._most)
                until, step_s, _ = await narrowed(
                    since, horizon, step_s, placed, most=self._most, shortest_s=_SHORTEST_STEP_S
                )
                started = time.monotonic()
                found = await store.index(tx, since, until)
                indexed += found
                took_s = time.monotonic() - started
                if took_s > _STEP_S[1]:
                    step_s = max(_SHORTEST_STEP_S, step_s / 2)
                elif took_s < _STEP_S[0]:
                    step_s = min(_LONGEST_STEP_S, step_s * 2)
                if found or until < horizon or until - since > _QUIET:
                    await store.write_progress(tx, until, step_s)
                if until == horizon and ended < _ENDED_AT_ONCE:
                    return indexed
        return indexed

    async def of_number(self, subscriber: str, *, before: int | None = None, limit: int = 50) -> list[Order]:
        """The orders for a number in E.164, newest first, from below number `before`. Raises Busy."""
        async with self._database.connection() as tx:
            ids = await store.of_number(tx, subscriber, 2**62 if before is None else before, limit)
            found = await order_store.find_by_id(tx, ids)
        return [found[number] for number in ids if number in found]

    async def named(self, text: str, *, limit: int = 50) -> list[Order]:
        """The orders that anybody knows by this reference, newest first: ours, a caller's, a provider's; or by number. Raises Busy.

        Our reference and the number go first, and then alone.
        """
        text = text.strip()
        async with self._database.connection() as tx:
            ours = number_named(spelled := _our_spelling(text))
            if ours is not None:
                order = (await order_store.find_by_id(tx, [ours])).get(ours)
                if order is not None and spelled in (order.reference, str(ours)):
                    return [order]
            if not 0 < len(text) <= LONGEST_REFERENCE or not text.isprintable():
                return []
            ids = await store.under_reference(tx, text, limit)
            found = await order_store.find_by_id(tx, ids)
        return [found[number] for number in ids if number in found]

    async def find(self, reference: str) -> Order:
        """The order with our reference. Raises NotFound, Busy."""
        for order in await self.named(reference, limit=1):
            if order.reference == reference:
                return order
        raise NotFound("Order")


def _our_spelling(text: str) -> str:
    """A reference as we write it: capitals in front, small letters behind; of an attempt that of its order."""
    parts = text.split("-")
    if len(parts) >= 3 and parts[1].isdigit():
        return f"{parts[0].upper()}-{parts[1]}-{parts[2].lower()}"
    return text
