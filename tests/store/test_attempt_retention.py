"""Removing old attempts: what is delivered and old, and nothing that anybody needs."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from telvend.database.connections import Database
from telvend.errors import InvalidInput
from telvend.fulfilment.retention.jobs import AttemptRetention
from telvend.kit.clock import SystemClock
from telvend.kit.money import GHS, Money
from telvend.reports.model import By
from telvend.reports.service import Reports
from telvend.upstreams.reconciliation.service import Reconciliations
from tests.store.reporting import Books, moment

OLD = moment("2025-05-02 09:00")
UTC_ZONE = ZoneInfo("UTC")


async def left(database: Database) -> set[int]:
    async with database.connection() as tx:
        return {row[0] for row in await tx.fetch("select order_id from attempt")}


def retention(database: Database, at_once: int = 2) -> AttemptRetention:
    return AttemptRetention(database, SystemClock(), 90, at_once=at_once)


async def forget_hands(books: Books) -> None:
    """As if providers had said what the tests' sales are settled with by hand; and attempts began when their orders were placed."""
    await books.damage("update attempt set by_hand = false")
    await books.damage("update attempt a set started_at = o.created_at from orders o where o.id = a.order_id")


async def test_attempts_of_old_delivered_orders_go_and_everything_else_stays(database: Database) -> None:
    books = await Books.open(database)
    await books.fund(moment("2025-05-01 08:00"), Money(50_000, GHS))
    gone = [await books.sell(OLD, GHS) for _ in range(3)]
    free = await books.sell(OLD, GHS, cost_minor=0)
    failed = await books.sell(OLD, GHS, delivered=False)
    refunded = await books.sell(OLD, GHS)
    await books.refund(OLD, refunded)
    decided = await books.sell(OLD, GHS)
    waiting = await books.place(OLD, GHS)
    late = await books.place(OLD, GHS)
    await books.end(datetime.now(UTC), late, delivered=True, provider="vt", cost_minor=390)
    young = await books.sell(datetime.now(UTC), GHS)
    await forget_hands(books)
    await books.damage(f"update attempt set by_hand = true where order_id = {decided.id}")
    reports = Reports(database, UTC_ZONE)
    day = date(2025, 5, 2)
    before = [
        await reports.sales(day, day, by, order_mode)
        for by in ([By.DAY], [By.PROVIDER])
        for order_mode in (gone[0].mode,)
    ]
    assert await retention(database).look() == len(gone)
    kept = {free.id, failed.id, refunded.id, decided.id, late.id, young.id}
    assert await left(database) == kept
    assert waiting.id not in kept
    assert before == [await reports.sales(day, day, by, gone[0].mode) for by in ([By.DAY], [By.PROVIDER])]
    await books.check()
    assert await retention(database).look() == 0
    await books.close()


async def test_a_day_whose_attempts_were_removed_is_not_reconciled(database: Database) -> None:
    books = await Books.open(database)
    await books.fund(moment("2025-05-01 08:00"), Money(50_000, GHS))
    reconciliations = Reconciliations(database, UTC_ZONE)
    for at in (OLD, moment("2025-05-09 09:00")):
        await books.sell(at, GHS)
    await forget_hands(books)
    assert len(await reconciliations.attempts_of("vt", await reconciliations.day(date(2025, 5, 2)))) == 1
    assert await retention(database, at_once=1).look() == 2
    for text in ("2025-05-02", "2025-05-09"):
        with pytest.raises(InvalidInput, match="was removed"):
            await reconciliations.attempts_of("vt", await reconciliations.day(date.fromisoformat(text)))
    assert await reconciliations.attempts_of("vt", await reconciliations.day(date(2025, 5, 10))) == []
    await books.close()


async def test_removing_is_one_processs_work_and_never_goes_back(database: Database) -> None:
    books = await Books.open(database)
    await books.fund(moment("2025-05-01 08:00"), Money(50_000, GHS))
    order = await books.sell(OLD, GHS)
    await forget_hands(books)
    async with database.transaction() as tx:
        await tx.execute("select from attempt_retention for update")
        assert await retention(database).look() == 0
    async with database.connection() as tx:
        await tx.execute("update attempt_retention set order_id = $1", order.id)
    assert await retention(database).look() == 0
    assert await left(database) == {order.id}
    await books.close()
