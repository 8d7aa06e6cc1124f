"""One page of every order there is, newest first: never more looked at than a page may cost.

Few orders are found through an index: those that are open, those that have failed, those of a small reseller. For anything else
so many orders are looked at, and the page says how far back that was; the next one goes on from there. Between two moments the
list is in the order of time, and reads the summary of `orders` by time; otherwise it is in that of numbers, which is nearly the same.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from telvend.database.connections import Tx, clock
from telvend.orders import store
from telvend.orders.model import Order, OrderFilter, OrderState
from telvend.wallets import store as wallet_store

LOOKED_AT: Final = 10_000
"""How many orders are looked at for a page: some ten milliseconds."""

OF_A_SMALL_RESELLER: Final = 5_000
"""The orders of a reseller who has no more of them are looked up one by one."""

_OPEN: Final = frozenset({OrderState.ACCEPTED, OrderState.DELIVERING, OrderState.WAITING, OrderState.REVIEW})
_FIRST_STEP: Final = timedelta(hours=6)
_SHORTEST_STEP: Final = timedelta(seconds=10)
_STEPS: Final = 40
"""Windows of time that are looked into for a page, however empty."""


@dataclass(frozen=True, slots=True)
class Browsed:
    """Orders of a page. `older`: the number from which the next one goes on; None where there is none.

    `looked_back_to` is set where looking was given up before the page was full: nothing older was looked at.
    """

    orders: list[Order]
    older: int | None = None
    looked_back_to: datetime | None = None


async def page(tx: Tx, wanted: OrderFilter, before: int | None, limit: int) -> Browsed:
    """Return one page, from below the order with the number `before`. A filter by reference or number is not looked at."""
    if wanted.states is not None and _OPEN.issuperset(wanted.states):
        return _cut(await store.listed(tx, wanted, ids=None, before=before, limit=limit + 1), limit)
    if wanted.reseller_id is not None:
        ids = await wallet_store.order_ids(tx, wanted.reseller_id, OF_A_SMALL_RESELLER)
        if ids is not None:
            found = await store.listed(tx, wanted, ids=ids, before=before, limit=limit + 1) if ids else []
            return _cut(found, limit)
    if wanted.since is not None or wanted.until is not None:
        return await _between(tx, wanted, before, limit)
    return await _by_number(tx, wanted, before, limit)


def _cut(found: list[Order], limit: int) -> Browsed:
    return Browsed(found[:limit], found[limit - 1].id if len(found) > limit else None)


async def _by_number(tx: Tx, wanted: OrderFilter, before: int | None, limit: int) -> Browsed:
    failed = wanted.states == (OrderState.FAILED,)
    found = await store.listed_among(tx, wanted, before=before, limit=limit + 1, among=LOOKED_AT, failed=failed)
    if len(found) > limit:
        return _cut(found, limit)
    end = await store.after_so_many(tx, before=before, count=LOOKED_AT, failed=failed)
    return Browsed(found) if end is None else Browsed(found, *end)


async def _between(tx: Tx, wanted: OrderFilter, before: int | None, limit: int) -> Browsed:
    """A page of a span, in the order of time. Windows of time are looked into, from the newest on."""
    key = None
    high = wanted.until or await clock(tx) + timedelta(days=1)
    if before is not None:
        seen = (await store.find_by_id(tx, [before])).get(before)
        if seen is None:
            return Browsed([])
        key = (seen.created_at, before)
        high = min(high, seen.created_at + timedelta(microseconds=1))
    end = await store.beginning(tx)
    if wanted.since is not None:
        end = max(end, wanted.since)
    found: list[Order] = []
    step, left = _FIRST_STEP, LOOKED_AT
    last: tuple[datetime, datetime] | None = None
    for _ in range(_STEPS):
        if high <= end or left <= 0:
            break
        low = max(end, high - step)
        there = await store.placed_between(tx, low, high, LOOKED_AT)
        while there > LOOKED_AT and step > _SHORTEST_STEP:
            step /= 4
            low = max(end, high - step)
            there = await store.placed_between(tx, low, high, LOOKED_AT)
        if there:
            last = low, high
            found += await store.listed_between(tx, wanted, low, high, key=key, limit=limit + 1 - len(found))
            if len(found) > limit:
                return _cut(found, limit)
        high, left = low, left - there
        if there < LOOKED_AT // 4:
            step *= 4
    if high <= end or last is None:
        return Browsed(found)
    # The next page goes on from the oldest order that was looked at.
    oldest = await store.listed_between(tx, OrderFilter(), *last, key=key, limit=1, oldest=True)
    return Browsed(found, oldest[0].id, high) if oldest else Browsed(found)
