"""What providers say after a person has decided, by every road: a requery, a callback, a person who asks, a reconciliation.

Orders cost 4.50, of which the provider takes 3.90; the wallet begins with 50.00.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from telvend.database.connections import Database
from telvend.errors import InvalidInput
from telvend.fulfilment.late.worker import LateRequeries
from telvend.fulfilment.model import Effect, FulfilmentPolicy
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.routing import Router
from telvend.kit.clock import SystemClock
from telvend.kit.money import GHS, Money
from telvend.orders.model import Order
from telvend.providers.contract import Delivered, Delivery, NotSent, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.upstream import LineStatus, StatementLine
from telvend.upstreams.reconciliation.model import Comparison, Side
from telvend.upstreams.reconciliation.service import Reconciliations
from tests.store.test_callbacks import SECRET, Post
from tests.store.test_cli import Shop
from tests.store.test_provisional import Desk, unknown

FAILED = {"wallet": 5_000}
LATE_COST = {"wallet": 5_000, "provider": 390, "write_off": -390}
DELIVERED = {"wallet": 4_550, "provider": 390, "margin": 60}
LATE_RETURN = {"wallet": 4_550, "margin": 60, "write_off": 390}


class Far:
    """A provider `vt` that answers questions as it is told."""

    name = "vt"
    traits = ProviderTraits()

    def __init__(self) -> None:
        self.says: Outcome = Unknown("no answer")
        self.asked: list[str] = []

    async def requery(self, delivery: Delivery) -> Outcome:
        self.asked.append(delivery.reference)
        return self.says


class Late:
    """A desk whose provider may still be asked."""

    def __init__(self, route: Desk) -> None:
        self.route = route
        self.far = Far()
        self.worker = self.another(route.jobs)

    def another(self, jobs: PostgresFulfilmentStore) -> LateRequeries:
        return LateRequeries(self.route.database, Router([self.far], SystemClock()), jobs)  # type: ignore[list-item]

    async def decided(self, *, delivered: bool = False) -> Order:
        order = await self.route.unknown(state="review")
        await self.route.review.resolve(order.reference, delivered=delivered, text="asked them")
        return order

    async def due(self) -> list[tuple[int, float | None]]:
        """How often each row was asked about, and in how many hours it is due."""
        async with self.route.database.connection() as tx:
            found = await tx.fetch(
                "select asked, round(extract(epoch from due_at - now()) / 3600) as hours from late_requery order by id"
            )
        return [(row["asked"], None if row["hours"] is None else float(row["hours"])) for row in found]

    async def pass_time(self) -> None:
        await self.route.execute("update late_requery set due_at = now() where due_at is not null")

    async def reports(self) -> list[tuple[int, bool, int]]:
        found = await self.route.credits.late_reports(None, 10)
        return [(one.attempt, one.delivered, one.amount.minor) for one in reversed(found)]

    async def notes(self, order: Order) -> list[str]:
        async with self.route.database.connection() as tx:
            return [
                row[0]
                for row in await tx.fetch("select text from order_note where order_id = $1 order by id", order.id)
            ]

    async def reconcile(self, *lines: StatementLine, enters: bool = True) -> Comparison:
        async def each() -> AsyncIterator[StatementLine]:
            for line in lines:
                yield line

        reconciliations = Reconciliations(self.route.database, ZoneInfo("UTC"))
        day = await reconciliations.day(datetime.now(UTC).date())
        return await reconciliations.compare("vt", day, each(), self.route.jobs.settle if enters else None)

    @staticmethod
    def line(order: Order, status: LineStatus = LineStatus.DELIVERED, **facts: Any) -> StatementLine:
        return StatementLine(status, f"{order.reference}-1", **facts)


@pytest.fixture
async def late(database: Database) -> AsyncIterator[Late]:
    async with Desk.open(database) as route:
        yield Late(route)
        await route.ama.check_books()


async def test_a_decision_is_asked_about_again_on_a_schedule_and_nothing_definite_changes_nothing(late: Late) -> None:
    order = await late.decided()
    assert (await late.due(), await late.worker.work_off()) == ([(0, 1.0)], 0)
    for asked, hours in ((1, 6.0), (2, 24.0), (3, 72.0), (4, 168.0), (5, None)):
        late.far.says = NotSent("never heard of it") if asked % 2 else Unknown("no answer")
        await late.pass_time()
        assert (await late.worker.work_off(), await late.due()) == (1, [(asked, hours)])
    await late.pass_time()
    assert (await late.worker.work_off(), late.far.asked) == (0, [f"{order.reference}-1"] * 5)
    assert (await late.route.money(), await late.reports()) == (FAILED, [])


async def test_a_requery_after_a_failed_decision_finds_the_delivery_and_its_cost_is_written_off_once(
    late: Late,
) -> None:
    order = await late.decided()
    assert await late.route.money() == FAILED
    late.far.says = Delivered(cost=Money(400, GHS), text="done")
    await late.pass_time()
    assert await late.worker.work_off() == 1
    expected = {"wallet": 5_000, "provider": 400, "write_off": -400}
    assert (await late.route.money(), await late.reports(), await late.due()) == (expected, [(1, True, 400)], [])
    assert (
        "is delivered after all: done. The order was failed; a person had decided so" in (await late.notes(order))[-1]
    )
    notes = len(await late.notes(order))
    # Again: by whichever road.
    assert await late.route.hear(order, Delivered()) is Effect.NOTHING
    with pytest.raises(InvalidInput, match="is failed already"):
        await late.route.review.requery_now(order.reference)
    found = await late.reconcile(late.line(order, charged=Money(400, GHS)))
    assert (found.agrees, found.late, found.costs[GHS].difference_minor) == (True, [], 0)
    assert (await late.route.money(), len(await late.notes(order))) == (expected, notes)
    assert (await late.route.state(order))[0] == "failed"


async def test_a_requery_after_a_delivered_decision_finds_the_refusal(late: Late) -> None:
    await late.decided(delivered=True)
    assert await late.route.money() == DELIVERED
    late.far.says = Refused(Reason.REFUSED, "reversed")
    await late.pass_time()
    await late.worker.work_off()
    assert (await late.route.money(), await late.reports()) == (LATE_RETURN, [(1, False, 390)])


async def test_what_agrees_with_the_decision_ends_the_schedule(late: Late) -> None:
    await late.decided()
    late.far.says = Refused(Reason.REFUSED)
    await late.pass_time()
    await late.worker.work_off()
    assert (await late.due(), await late.route.money(), await late.reports()) == ([(1, None)], FAILED, [])


async def test_a_callback_after_the_decision_has_the_provider_asked_at_once(database: Database) -> None:
    async with Post.open(database) as post:
        late = Late(post.route)
        order = await late.decided()
        await post.call(f"{order.reference}-1")
        assert (await post.look(), await late.due()) == (1, [(0, 0.0)])
        assert await late.route.money() == FAILED, "nobody has believed it"
        late.far.says = Delivered()
        assert await late.worker.work_off() == 1
        assert await late.route.money() == LATE_COST
        await post.route.execute("update provider_callback set used_at = null")
        await post.call(f"{order.reference}-1")
        assert (await post.look(), await post.rows()) == (0, 0), "about nothing that could still be entered"
        await late.route.ama.check_books()


async def test_a_callback_long_after_the_schedule_is_found_by_their_reference(database: Database) -> None:
    async with Post.open(database) as post:
        late = Late(post.route)
        order = await post.route.unknown(state="review")
        await post.route.execute("update attempt set provider_reference = 'T-77' where order_id = $1", order.id)
        await post.route.review.resolve(order.reference, delivered=False, text="asked them")
        await post.route.execute("update late_requery set due_at = null, asked = 5")
        await post.callbacks.receive("vt", SECRET, {}, b'{"transactionId": "T-77"}')
        assert (await post.look(), await late.due()) == (1, [(4, 0.0)])


async def test_a_person_may_have_the_provider_asked_about_a_decision(late: Late) -> None:
    order = await late.decided()
    assert await late.route.review.requery_now(order.reference) is Effect.REQUERY_LATER
    late.far.says = Delivered()
    assert await late.worker.work_off() == 1
    assert await late.route.money() == LATE_COST


async def test_a_reconciliation_enters_what_the_provider_delivered_against_a_decision(late: Late) -> None:
    order = await late.decided()
    found = await late.reconcile(late.line(order, charged=Money(395, GHS)))
    assert [(one.attempt.order_id, one.delivered) for one in found.late] == [(order.id, True)]
    assert (found.agrees, found.matched, found.costs[GHS].ledger_minor) == (True, 1, 395)
    assert await late.route.money() == {"wallet": 5_000, "provider": 395, "write_off": -395}
    again = await late.reconcile(late.line(order, charged=Money(395, GHS)))
    assert (again.agrees, again.late, await late.reports()) == (True, [], [(1, True, 395)])


async def test_a_reconciliation_enters_nothing_that_is_not_certain(late: Late) -> None:
    order = await late.decided()
    by_number = StatementLine(
        LineStatus.DELIVERED, "", subscriber=order.subscriber, charged=Money(390, GHS), at=datetime.now(UTC)
    )
    twice = [late.line(order, provider_reference=f"T-{n}") for n in range(2)]
    for lines in ([by_number], twice, [late.line(order, LineStatus.PENDING)], [late.line(order, LineStatus.FAILED)]):
        found = await late.reconcile(*lines)
        assert found.late == []
    # Nor of an order that nobody has decided.
    refused = await late.route.unknown()
    await late.route.hear(refused, Refused(Reason.REFUSED))
    found = await late.reconcile(late.line(refused))
    assert ([one.attempt and one.attempt.order_id for one in found.of(Side.ONLY_THERE)], found.late) == (
        [refused.id],
        [],
    )
    assert (await late.route.money(), await late.reports()) == (FAILED, [])


async def test_a_reconciliation_enters_what_was_taken_back_of_an_order_decided_as_delivered(late: Late) -> None:
    order = await late.decided(delivered=True)
    found = await late.reconcile(late.line(order, LineStatus.FAILED))
    assert (found.agrees, [one.delivered for one in found.late]) == (True, [False])
    assert await late.route.money() == LATE_RETURN


@pytest.mark.parametrize("seed", range(3))
async def test_all_roads_at_once_enter_it_once(late: Late, seed: int) -> None:
    orders = [await late.decided() for _ in range(3 + seed)]
    late.far.says = Delivered()
    await late.pass_time()
    other = PostgresFulfilmentStore(late.route.database, late.route.ama.ledger, FulfilmentPolicy())
    await asyncio.gather(
        late.worker.work_off(),
        late.another(other).work_off(),
        late.reconcile(*(late.line(order) for order in orders)),
        late.reconcile(*(late.line(order) for order in orders)),
        *(late.route.hear(order, Delivered()) for order in orders),
    )
    await other.close()
    count = len(orders)
    assert await late.route.money() == {"wallet": 5_000, "provider": 390 * count, "write_off": -390 * count}
    assert (await late.reports(), await late.due()) == ([(1, True, 390)] * count, [])
    assert [sum("after all" in text for text in await late.notes(order)) for order in orders] == [1] * count


# Several attempts ---------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def two_deliveries(late: Late) -> AsyncIterator[Order]:
    """An order in review, of which two providers say that they have delivered it: vt takes 3.90, rl 4.10."""
    order = await late.route.unknown(state="review")
    await late.route.execute("update attempt set state = 'delivered' where order_id = $1", order.id)
    await late.route.execute(
        "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
        " values ($1, 2, 'rl', $2, 'delivered', 410, now())",
        order.id, f"{order.reference}-2",
    )  # fmt: skip
    yield order
    await late.route.ama.check_books()


async def test_a_second_delivery_is_written_off_when_the_order_is_decided_as_delivered(late: Late) -> None:
    async with two_deliveries(late) as order:
        await late.route.review.resolve(order.reference, delivered=True, text="seen")
        assert await late.route.money() == {"wallet": 4_550, "provider": 800, "margin": 40, "write_off": -390}
        assert await late.reports() == [(1, True, 390)]
        assert (await late.route.hear(order, Delivered()), await late.reports()) == (Effect.NOTHING, [(1, True, 390)])
        found = await late.reconcile(late.line(order))
        assert (found.agrees, found.costs[GHS].ledger_minor) == (True, 390)


async def test_what_was_delivered_is_owed_though_a_person_decides_failed(late: Late) -> None:
    async with two_deliveries(late) as order:
        await late.route.review.resolve(order.reference, delivered=False, text="not there")
        assert await late.route.money() == {"wallet": 5_000, "provider": 800, "write_off": -800}
        assert sorted(await late.reports()) == [(1, True, 390), (2, True, 410)]


async def test_a_cost_that_was_never_entered_is_found_by_reconciling(late: Late) -> None:
    """As an order that the version before has settled."""
    order = await late.decided()
    await late.route.execute("update attempt set state = 'delivered', by_hand = false where order_id = $1", order.id)
    await late.route.execute("delete from late_requery")
    found = await late.reconcile(late.line(order), enters=False)
    assert (len(found.of(Side.ONLY_THERE)), found.costs[GHS].ledger_minor) == (1, 0)
    found = await late.reconcile(late.line(order))
    assert ([one.delivered for one in found.late], found.costs[GHS].ledger_minor) == ([True], 390)
    assert await late.route.money() == LATE_COST


# By command, and kill -9 --------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(data_dir: Path, database_url: str) -> Shop:
    return Shop(database_url)


@pytest.mark.soak
@pytest.mark.parametrize("point", ["settle.before_commit", "settle.after_commit"])
def test_a_reconciliation_that_is_killed_enters_it_once(shop: Shop, tmp_path: Path, point: str) -> None:
    _, (order,) = unknown(shop, "mine-1")
    shop.run("order", "resolve", order.reference, "--failed", "--note", "asked")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    path = tmp_path / "vt.csv"
    path.write_text(f"Request ID,Total Amount,Status,Date\n{order.reference}-1,3.90,delivered,{today} 12:00:00+00:00\n")
    command = ("reconcile", "vt", "--date", today, "--statement", str(path), "--currency", "GHS", "--enter-late")
    found = shop.data(*command[:-1], code=1)
    assert (found["late"], "--enter-late" in found["only_there"][0]["next"]) == ([], True), "a statement is a file"
    shop.killed(point, *command)
    done = point == "settle.after_commit"
    assert len(shop.data("order", "late-reports")["reports"]) == done
    found = shop.data(*command)
    assert [one["order"] for one in found["late"]] == ([] if done else [order.reference]), found
    (report,) = shop.data("order", "late-reports")["reports"]
    assert (report["order"], report["amount"]) == (order.reference, Decimal("3.90"))
    shown = shop.data("order", "show", order.reference)
    assert (shown["state"], len(shown["late_reports"])) == ("failed", 1)
    assert shop.data("ledger", "check", "--full")["ok"]
