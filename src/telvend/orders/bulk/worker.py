"""Buys the lines of lists that are due, a few of each list in turn, each line exactly once.

What makes it exactly once is the reference of a line, which the placement of orders looks up under the lock of the wallet: however
often a line is bought, by however many workers, and wherever one was killed, it has one order. A worker that lost its lease may go
on with the lines that it has in hand; both come to the same orders.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from telvend.database.connections import Database
from telvend.errors import (
    Busy,
    InsufficientBalance,
    InvariantBroken,
    NotFound,
    NotPermitted,
    TelvendError,
)
from telvend.kit.failpoints import hit_async
from telvend.kit.log import get
from telvend.orders.bulk import store
from telvend.orders.bulk.model import BulkLine, BulkList, LineState
from telvend.orders.bulk.store import DecidedLine
from telvend.orders.counter import CounterSales, PriceChanged
from telvend.orders.model import PORTAL, Order, Placement
from telvend.orders.service import Orders
from telvend.resellers.model import Caller
from telvend.resellers.service import Resellers
from telvend.sales.model import SaleKey

EVERY_S: Final = 1.0
"""The interval at which due lists are looked for."""
_LISTS_AT_ONCE: Final = 4
_LINES_AT_ONCE: Final = 64
_LEASE_S: Final = 60.0
_BUSY_FOR_S: Final = 5.0
"""After so long a list is tried again whose purchases were answered with Busy."""
_READ_AT_ONCE: Final = 500
_LOOKS_PER_CORRECTION: Final = 30

_log = get(__name__)


class BulkBuyer:
    """`work` is called again and again. `Orders` has to be started."""

    def __init__(
        self,
        database: Database,
        orders: Orders,
        sales: CounterSales,
        resellers: Resellers,
    ) -> None:
        self._database = database
        self._orders = orders
        self._sales = sales
        self._resellers = resellers
        self._looks = 0

    async def work(self) -> int:
        """Buy until no list is due; return how many lines were decided. Raises Busy when the database is away."""
        decided = 0
        if self._looks % _LOOKS_PER_CORRECTION == 0:
            async with self._database.transaction() as tx:
                await store.correct_jumped_clock(tx)
        self._looks += 1
        while True:
            async with self._database.transaction() as tx:
                lists = await store.claim(tx, _LISTS_AT_ONCE, _LEASE_S)
            if not lists:
                break
            await hit_async("bulk.after_claim")
            for bulk_list in lists:
                decided += await self._buy_some(bulk_list)
        return decided

    async def _buy_some(self, bulk_list: BulkList) -> int:
        """Buy the next lines of a list, and say when it is due again."""
        try:
            caller = await self._resellers.caller_of(bulk_list.reseller_id, PORTAL, bulk_list.mode)
        except NotPermitted:
            async with self._database.transaction() as tx:
                await store.stop(tx, bulk_list.id, "The account is suspended.", bulk_list.claims)
            return 0
        async with self._database.connection() as tx:
            lines = await store.next_lines(tx, bulk_list.id, _LINES_AT_ONCE)
        if not lines:
            await self._finish(bulk_list)
            return 0
        batch = _Batch()
        answers = await asyncio.gather(*(self._buy(caller, line) for line in lines), return_exceptions=True)
        for line, answer in zip(lines, answers, strict=True):
            batch.note(line, answer)
        await hit_async("bulk.after_buying")
        # Another worker may have bought meanwhile what was refused here.
        refused = [line for line in lines if line.line in batch.refused]
        if refused:
            batch.orders |= await self._standing(bulk_list, refused)
        async with self._database.transaction() as tx:
            await store.decide(tx, bulk_list.id, batch.decided())
            if batch.short is not None:
                await store.stop(tx, bulk_list.id, batch.short, bulk_list.claims)
            else:
                await store.put_off(tx, bulk_list.id, bulk_list.claims, _BUSY_FOR_S if batch.busy else 0.0)
        return len(batch.orders) + len(batch.refused)

    async def _buy(self, caller: Caller, line: BulkLine) -> Placement:
        item = self._sales.item(caller.mode, code=line.product, recipient=line.recipient, amount=line.amount or None)
        return await self._sales.buy_at(caller, item, line.price, line.reference)

    async def _standing(self, bulk_list: BulkList, lines: Sequence[BulkLine]) -> dict[int, Order]:
        """The orders that lines have already, by line."""
        keys: dict[SaleKey, int] = {
            (bulk_list.reseller_id, PORTAL, str(bulk_list.mode), line.reference): line.line for line in lines
        }
        return {keys[key]: order for key, order in (await self._orders.under(list(keys))).items()}

    async def _finish(self, bulk_list: BulkList) -> None:
        """End a list of which no line waits, once what was refused is known to have no order."""
        after = 0
        while True:
            async with self._database.connection() as tx:
                refused = await store.refused_lines(tx, bulk_list.id, after, _READ_AT_ONCE)
            if not refused:
                break
            after = refused[-1].line
            found = await self._standing(bulk_list, refused)
            if found:
                async with self._database.transaction() as tx:
                    await store.decide(tx, bulk_list.id, [_bought(line, order) for line, order in found.items()])
        async with self._database.transaction() as tx:
            await store.finish(tx, bulk_list.id, bulk_list.claims)


class _Batch:
    """What has become of the lines in hand. A line that is in none of the two goes on waiting."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.refused: dict[int, str] = {}
        self.short: str | None = None
        self.busy = False

    def note(self, line: BulkLine, answer: Placement | BaseException) -> None:
        match answer:
            case Placement():
                self.orders[line.line] = answer.order
            case InsufficientBalance():
                missing = answer.required - answer.available
                if self.short is None:
                    self.short = (
                        f"The wallet could not pay for line {line.line}: {missing} is missing. Top up, then go on."
                    )
            case Busy():
                self.busy = True
            case InvariantBroken():
                raise answer
            case PriceChanged():
                self.refused[line.line] = f"The price has changed from {answer.agreed} to {answer.now} since the check."
            case NotFound():
                self.refused[line.line] = "There is no such product any more."
            case TelvendError():
                self.refused[line.line] = str(answer)
            case Exception():
                # What a poisoned purchase of a batch is answered with. Whether it was bought is looked up afterwards.
                _log.error("bulk_line_failed", line=line.line, exc_info=answer)
                self.refused[line.line] = "An internal error."
            case _:
                raise answer

    def decided(self) -> list[DecidedLine]:
        refused = [
            DecidedLine(line, LineState.REFUSED, None, error[:500])
            for line, error in self.refused.items()
            if line not in self.orders
        ]
        return [*(_bought(line, order) for line, order in self.orders.items()), *refused]


def _bought(line: int, order: Order) -> DecidedLine:
    return DecidedLine(line, LineState.BOUGHT, order.id, "")
