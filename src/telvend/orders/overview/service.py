"""The figures of a first page, at a bounded cost however many orders there are.

Figures of the day are read at most every few seconds in each process: a page shows what was read last, and has it read again
behind it. Those of past days are kept until the day changes.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from telvend.database.connections import Database, Tx, clock
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.kit.stale import Stale
from telvend.kit.zones import midnight
from telvend.orders import store as order_store
from telvend.orders.model import Order, OrderState
from telvend.orders.overview import store
from telvend.orders.overview.model import DaySales, OpenLine, PlacedLine, Today

DAYS: Final = 14
"""Days that are shown, with the present one."""

FRESH_S: Final = 10.0
"""Figures of the day that are younger are not read again."""


class OrdersOverview:
    """The orders of one shop at a glance, whose days are those of `zone`."""

    def __init__(self, database: Database, zone: ZoneInfo, *, fresh_s: float = FRESH_S) -> None:
        self._database = database
        self._zone = zone
        self._past: tuple[date, Sequence[DaySales]] | None = None
        self._today = Stale(self._read, fresh_s, counts=lambda found: found.day == datetime.now(zone).date())
        self.today: Callable[[], Awaitable[Today]] = self._today
        """The day's figures, as they were read last; the first time they are waited for. Raises Busy."""

    async def close(self) -> None:
        """Give up what is being read."""
        await self._today.close()

    async def _read(self) -> Today:
        async with self._database.snapshot() as tx:
            now = await clock(tx)
            day = now.astimezone(self._zone).date()
            rows = await store.placed(tx, midnight(day, self._zone), now)
            if self._past is None or self._past[0] != day:
                self._past = day, await self._days_before(tx, day)
        placed = [
            PlacedLine(
                row["country"], row["network"], row["provider"], currency_of(row["currency"]), OrderState(row["state"]),
                row["orders"], row["price_minor"], row["cost_minor"],
            )
            for row in rows
        ]  # fmt: skip
        today = Today(day, now, placed)
        sold = [
            DaySales(day, currency, outcomes.delivered, Money(outcomes.sold_minor, currency))
            for currency, outcomes in today.by_currency().items()
        ]
        return Today(day, now, placed, [*self._past[1], *sold])

    async def _days_before(self, tx: Tx, day: date) -> Sequence[DaySales]:
        days = [day - timedelta(days=back) for back in range(DAYS - 1, 0, -1)]
        starts = [midnight(one, self._zone) for one in days]
        rows = await store.sold_by_day(tx, starts, midnight(day, self._zone))
        return [
            DaySales(
                days[row["day"] - 1], currency_of(row["currency"]), row["delivered"],
                Money(row["sold_minor"], currency_of(row["currency"])),
            )
            for row in rows
        ]  # fmt: skip

    async def open(self) -> list[OpenLine]:
        """The orders that are not final, in groups. Raises Busy."""
        async with self._database.connection() as tx:
            rows = await order_store.open_orders(tx)
        return [
            OpenLine(
                OrderState(row["state"]), currency_of(row["currency"]), row["mode"] == Mode.LIVE, row["count"],
                Money(row["minor"], currency_of(row["currency"])), row["oldest_s"],
            )
            for row in rows
        ]  # fmt: skip

    async def open_since(self, older_than: timedelta, limit: int) -> list[Order]:
        """The live orders that are open for longer than this, oldest first. Raises Busy."""
        async with self._database.connection() as tx:
            ids = await store.open_since(tx, older_than.total_seconds(), limit)
            found = await order_store.find_by_id(tx, ids)
        return [found[number] for number in ids]

    async def in_review(self, after: int, limit: int) -> list[Order]:
        """The orders in review, live and test, oldest first, from above number `after`. Raises Busy."""
        async with self._database.connection() as tx:
            ids = await store.in_review(tx, after, limit)
            found = await order_store.find_by_id(tx, ids)
        return [found[number] for number in ids if number in found]
