"""Provisional credits on a real database: stories with the balances between the steps, races, kill -9, random sequences.

Also what providers say after a person has decided, which is the other thing that the house writes off.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.dialects.netpluse import wire as netpluse
from telvend.dialects.networkdatasub import wire as networkdatasub
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.model import Effect, FulfilmentPolicy, ProviderReport
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.provisional.model import CreditState
from telvend.fulfilment.provisional.service import BY_RULE, ProvisionalCredits, ProvisionalRule
from telvend.fulfilment.review import Review
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.orders import store as order_store
from telvend.orders.model import Order, Placement
from telvend.orders.placement import OrderPlacement
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Reason, Refused, Unknown
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Level
from telvend.upkeep.write_offs import write_offs
from telvend.wallets.model import Filter
from telvend.wallets.service import Transactions
from tests.clocks import FakeClock
from tests.store.purchases import Customer, customer
from tests.store.test_cli import Shop, sheet

HOUR = 3600.0
WHY = {"reason": "customer waits", "by_whom": "Esi"}


class Desk:
    """A shop with one customer of GHS 50.00, whose orders cost 4.50, of which the provider takes 3.90."""

    def __init__(self, database: Database, ama: Customer) -> None:
        self.database = database
        self.ama = ama
        self.jobs = PostgresFulfilmentStore(database, ama.ledger, FulfilmentPolicy())
        self.review = Review(self.jobs)
        self.credits = ProvisionalCredits(database, ama.ledger)
        self.placement = OrderPlacement(database)

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> "AsyncIterator[Desk]":
        route = cls(database, await customer(database, ghs_minor=5_000, ngn_minor=5_000))
        try:
            yield route
        finally:
            await route.jobs.close()
            await route.placement.close()

    async def execute(self, statement: str, *values: Any) -> None:
        async with self.database.connection() as tx:
            await tx.execute(statement, *values)

    async def unknown(self, age_s: float = 0, state: str = "waiting", **changes: Any) -> Order:
        """An order whose only attempt has an unknown outcome for `age_s`."""
        answer = (await self.placement.place_all([self.ama.wants(None, **changes)]))[0]
        assert isinstance(answer, Placement), answer
        order = answer.order
        await self.execute(
            "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
            " values ($1, 1, 'vt', $2, 'unknown', 390, now() - make_interval(secs => $3))",
            order.id, f"{order.reference}-1", age_s,
        )  # fmt: skip
        await self.execute(
            "update orders set state = $2, attempts = 1, due_at = case when $2 = 'waiting' then now() end,"
            " created_at = now() - make_interval(secs => $3) where id = $1",
            order.id, state, age_s,
        )  # fmt: skip
        return order

    async def hear(self, order: Order, outcome: Outcome) -> Effect:
        word = ProviderReport(order.id, order.wallet_id, 1, outcome, True, 1e6, 0.0, True)
        (effect,) = await self.jobs.settle([word])
        assert isinstance(effect, Effect), effect
        return effect

    async def state(self, order: Order) -> tuple[str, str | None]:
        async with self.database.connection() as tx:
            row = await tx.fetchrow("select state, provisional from orders where id = $1", order.id)
        return row["state"], row["provisional"]

    async def attempt(self, order: Order) -> str:
        async with self.database.connection() as tx:
            return str(await tx.fetchval("select state from attempt where order_id = $1", order.id))

    async def creditable(self, order: Order) -> bool:
        """Whether the order gets a credit now, as the guide says it."""
        (state, credit), attempt = await self.state(order), await self.attempt(order)
        is_open = attempt in ("started", "accepted", "unknown")
        return credit is None and ((state == "waiting" and is_open) or (state == "review" and attempt != "delivered"))

    async def money(self) -> dict[str, int]:
        """What every account holds, in minor units of GHS; `total` is the sum of all of them."""
        totals = [one for one in await self.ama.ledger.totals() if one.total.currency is GHS]
        assert sum(one.total.minor for one in totals) == 0
        found: dict[str, int] = {}
        for one in totals:
            if one.total.minor and one.kind != "funding":
                found[str(one.kind)] = found.get(str(one.kind), 0) + one.total.minor
        return found

    async def give(self, order: Order) -> Any:
        return await self.credits.give(order.id, **WHY)


@pytest.fixture
async def route(database: Database) -> AsyncIterator[Desk]:
    async with Desk.open(database) as made:
        yield made
        await made.ama.check_books()


# Stories --------------------------------------------------------------------------------------------------------------


async def test_a_credited_order_that_was_delivered_is_written_off_and_the_wallet_keeps_both(route: Desk) -> None:
    order = await route.unknown()
    assert await route.money() == {"wallet": 4_550, "in_flight": 450}
    given = await route.give(order)
    assert (given.balance, given.again, given.credit.state) == (Money(5_000, GHS), False, CreditState.OPEN)
    assert await route.money() == {"wallet": 5_000, "in_flight": 450, "provisional_credit": -450}
    assert await route.state(order) == ("waiting", "open")
    assert await route.hear(order, Unknown("still nothing")) is Effect.REQUERY_LATER
    await route.ama.check_books()
    with capture_logs() as logs:
        assert await route.hear(order, Delivered()) is Effect.DELIVERED
    assert await route.money() == {"wallet": 5_000, "provider": 390, "margin": 60, "write_off": -450}
    assert await route.state(order) == ("delivered", "written_off")
    (told,) = (line for line in logs if line["event"] == "provisional_credit_written_off")
    assert (told["log_level"], told["order"], told["amount"]) == ("error", order.id, 450)
    again = await route.give(order)
    assert (again.again, again.credit.state) == (True, CreditState.WRITTEN_OFF)
    assert await route.hear(order, Delivered()) is Effect.NOTHING
    assert await route.money() == {"wallet": 5_000, "provider": 390, "margin": 60, "write_off": -450}


async def test_a_credited_order_that_has_failed_makes_the_credit_good_and_pays_nobody_twice(route: Desk) -> None:
    order = await route.unknown()
    await route.give(order)
    assert await route.hear(order, Refused(Reason.REFUSED)) is Effect.FAILED
    assert await route.money() == {"wallet": 5_000}
    assert await route.state(order) == ("failed", "reversed")
    assert await route.hear(order, Refused(Reason.REFUSED)) is Effect.NOTHING
    assert (await route.give(order)).again
    assert await route.money() == {"wallet": 5_000}
    async with route.database.connection() as tx:
        found = (await order_store.find_by_id(tx, [order.id]))[order.id]
    assert found.balance_after == Money(5_000, GHS)


async def test_a_credit_that_was_spent_is_made_good_all_the_same(route: Desk) -> None:
    order = await route.unknown()
    await route.give(order)
    await Corrections(route.database, route.ama.ledger).debit(
        route.ama.reseller_id, Money(5_000, GHS), Mode.LIVE, "cash out", reason="closes", by_whom="Esi"
    )
    assert await route.ama.balance() == 0
    await route.review.resolve(order.reference, delivered=False, text="not on their list")
    assert await route.ama.balance() == 0
    assert await route.money() == {}


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_person_decides_an_order_with_a_credit(route: Desk, delivered: bool) -> None:
    order = await route.unknown(state="review")
    await route.give(order)
    await route.review.resolve(order.reference, delivered=delivered, text="asked them")
    expected = {"provider": 390, "margin": 60, "write_off": -450} if delivered else {}
    assert await route.money() == {"wallet": 5_000, **expected}
    assert await route.review.resolve(order.reference, delivered=delivered, text="asked them") is Effect.NOTHING
    with pytest.raises(InvalidInput):
        await route.review.resolve(order.reference, delivered=not delivered, text="no")
    assert await route.money() == {"wallet": 5_000, **expected}


async def test_a_refund_after_a_credit_would_pay_twice_and_is_refused(route: Desk) -> None:
    order = await route.unknown()
    credit = (await route.give(order)).credit
    corrections = Corrections(route.database, route.ama.ledger)
    with pytest.raises(InvalidInput, match="its money is held"):
        await corrections.refund(order.id, **WHY)
    await route.hear(order, Delivered())
    with pytest.raises(InvalidInput, match=credit.our_reference):
        await corrections.refund(order.id, **WHY)
    assert await route.ama.balance() == 5_000


async def test_orders_of_one_batch_end_each_in_its_own_way(route: Desk) -> None:
    first, second, third = [await route.unknown() for _ in range(3)]
    for order in (first, second):
        await route.give(order)
    outcomes: list[Outcome] = [Refused(Reason.REFUSED), Delivered(), Refused(Reason.REFUSED)]
    effects = await route.jobs.settle(
        [
            ProviderReport(order.id, order.wallet_id, 1, outcome, True, 1e6, 0.0, True)
            for order, outcome in zip((first, second, third), outcomes, strict=True)
        ]
    )
    assert list(effects) == [Effect.FAILED, Effect.DELIVERED, Effect.FAILED]
    assert await route.money() == {"wallet": 5_000, "provider": 390, "margin": 60, "write_off": -450}
    assert [await route.state(order) for order in (first, second, third)] == [
        ("failed", "reversed"), ("delivered", "written_off"), ("failed", None),
    ]  # fmt: skip


async def test_only_live_orders_with_an_unknown_outcome_get_a_credit(route: Desk) -> None:
    order = await route.unknown()
    with pytest.raises(NotFound):
        await route.credits.give(order.id + 1_000_000, **WHY)
    with pytest.raises(InvalidInput, match="reason"):
        await route.credits.give(order.id, reason=" ", by_whom="Esi")
    await route.hear(order, Refused(Reason.REFUSED))
    with pytest.raises(InvalidInput, match="money back already"):
        await route.give(order)
    test = await route.unknown()
    await route.execute("update orders set mode = 'test' where id = $1", test.id)
    with pytest.raises(InvalidInput, match="play money"):
        await route.give(test)
    await route.execute("update orders set mode = 'live' where id = $1", test.id)


async def test_a_wallet_with_play_money_gets_no_credit(route: Desk) -> None:
    order = await route.unknown(48 * HOUR)
    await route.execute(
        "insert into funding (id, reference, reseller_id, mode, wallet_id, gateway, amount_minor, currency, state, method, bank,"
        " gateway_reference, due_at, balance_before_minor, balance_after_minor, position, expires_at, created_at, updated_at,"
        " completed_at, pretended)"
        " select nextval('cause'), 'FUND-1', reseller_id, 'live', account_id, 'sandbox', 100, 'GHS', 'completed', 'card', '',"
        " 'x', null, 0, 100, 99, now(), now(), now(), now(), true from wallet where account_id = $1",
        order.wallet_id,
    )  # fmt: skip
    try:
        with pytest.raises(InvalidInput, match="play money"):
            await route.give(order)
        assert await route.credits.unknown(0, HOUR) == []
    finally:
        await route.execute("delete from funding")
    assert [one.id for one in await route.credits.unknown(0, HOUR)] == [order.id]


async def test_a_program_that_does_not_know_of_credits_cannot_end_a_credited_order(route: Desk) -> None:
    order = await route.unknown()
    await route.give(order)
    for state in ("failed", "delivered"):
        with pytest.raises(asyncpg.CheckViolationError, match="orders_provisional_check"):
            await route.execute("update orders set state = $2, due_at = null where id = $1", order.id, state)


# What APIs show -------------------------------------------------------------------------------------------------------


async def test_every_api_shows_the_order_as_it_did_and_the_credit_as_a_line_of_its_own(route: Desk) -> None:
    order = await route.unknown()
    transactions = Transactions(route.database)

    async def seen() -> tuple[Order, Any]:
        async with route.database.connection() as tx:
            found = (await order_store.find_by_id(tx, [order.id]))[order.id]
        return found, await transactions.find(order.wallet_id, GHS, order.reference)

    async def listed() -> list[tuple[str, str, str, str]]:
        page = await transactions.page(order.wallet_id, GHS, Filter(), limit=10, offset=0)
        for one in page.transactions:
            assert await transactions.find(order.wallet_id, GHS, one.reference) == one
        rows = [networkdatasub.transaction_row(one, 1) for one in page.transactions]
        assert "Esi" not in str(rows)
        return [(row["type"], row["amount"], row["status"], row["description"]) for row in rows]

    before = await seen()
    await route.give(order)
    assert await seen() == before
    assert networkdatasub.transaction_row(before[1], 1)["status"] == "pending"
    assert netpluse.order_status(before[0]).status == "processing"
    sold = ("debit", "4.50", "pending", "MTN Data Purchase - 1GB")
    lent = ("credit", "4.50", "completed", f"Provisional credit - {order.reference}")
    funded = ("credit", "50.00", "completed", "Wallet funding via Bank Transfer")
    assert await listed() == [lent, sold, funded]
    await route.hear(order, Refused(Reason.REFUSED))
    back = ("debit", "4.50", "completed", f"Provisional credit taken back - {order.reference}")
    assert await listed() == [back, lent, ("debit", "4.50", "failed", "MTN Data Purchase - 1GB"), funded]
    summary = await transactions.summary(order.wallet_id, GHS)
    assert (summary.inflow.minor, summary.outflow.minor) == (5_000, 0)


# The rule -------------------------------------------------------------------------------------------------------------


async def test_the_rule_gives_each_order_that_is_unknown_for_long_enough_one_credit(route: Desk) -> None:
    old, review, ngn = await route.unknown(25 * HOUR), await route.unknown(30 * HOUR, "review"), None
    ngn = await route.unknown(26 * HOUR, currency=NGN)
    await route.unknown(23 * HOUR)
    refused = await route.unknown(40 * HOUR)
    await route.execute("update attempt set state = 'not_sent' where order_id = $1", refused.id)
    delivered = await route.unknown(40 * HOUR, "review")
    await route.execute("update attempt set state = 'delivered' where order_id = $1", delivered.id)
    clock = FakeClock()
    rules = [ProvisionalRule(route.credits, clock, 24 * HOUR, watch_s=600) for _ in range(2)]
    assert [await rule.work() for rule in rules] == [0, 0]
    clock.pass_time(600)
    assert sum(await asyncio.gather(*(rule.work() for rule in rules))) == 3
    assert [await rule.work() for rule in rules] == [0, 0]
    found = await route.credits.listed(limit=10)
    assert {one.order_id for one in found} == {old.id, review.id, ngn.id}
    assert {(one.by_whom, one.reason) for one in found} == {(BY_RULE, "The outcome has been unknown for 24 hours.")}
    await route.execute("update attempt set state = 'unknown' where order_id = $1", delivered.id)


async def test_the_rule_gives_nothing_while_sales_are_held(route: Desk) -> None:
    await route.unknown(48 * HOUR)
    assert await ProvisionalRule(route.credits, FakeClock(), HOUR, held=lambda: True, watch_s=0).work() == 0
    assert await ProvisionalRule(route.credits, FakeClock(), HOUR, watch_s=0).work() == 1


async def test_the_rule_believes_no_jump_of_the_databases_clock(route: Desk) -> None:
    order, clock = await route.unknown(2 * HOUR), FakeClock()
    rule = ProvisionalRule(route.credits, clock, 24 * HOUR, watch_s=600)

    async def jump(hours: int) -> None:
        moved = "update attempt set started_at = started_at - make_interval(hours => $2) where order_id = $1"
        await route.execute(moved, order.id, hours)

    async def look(after_s: float) -> int:
        clock.pass_time(after_s)
        return await rule.work()

    assert await look(0) == 0
    await jump(30)
    assert [await look(60) for _ in range(20)] == [0] * 20
    assert await look(21 * HOUR) == 0
    assert await look(1 * HOUR) == 1, "22 hours here, and the 2 before"


async def test_the_rule_forgets_a_clock_that_was_ahead_when_it_began(route: Desk) -> None:
    order, clock = await route.unknown(25 * HOUR), FakeClock()
    rule = ProvisionalRule(route.credits, clock, 24 * HOUR, watch_s=600)
    assert await rule.work() == 0
    await route.execute("update attempt set started_at = now() - interval '1 hour' where order_id = $1", order.id)
    for _ in range(20):
        clock.pass_time(60)
        assert await rule.work() == 0


async def test_more_orders_than_a_page_all_get_theirs(route: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telvend.fulfilment.provisional.service._PAGE", 4)
    monkeypatch.setattr("telvend.fulfilment.provisional.service._BATCH", 3)
    for _ in range(5):
        await route.unknown(2 * HOUR)
    assert await ProvisionalRule(route.credits, FakeClock(), HOUR, watch_s=0).work() == 5
    (lent,) = await route.credits.open_totals()
    assert (lent.count, lent.amount) == (5, Money(2_250, GHS))


# Races ----------------------------------------------------------------------------------------------------------------


async def test_credits_at_once_lend_once(route: Desk) -> None:
    order = await route.unknown()
    given = await asyncio.gather(*(route.give(order) for _ in range(8)))
    assert sorted(one.again for one in given) == [False] + [True] * 7
    assert await route.ama.balance() == 5_000


@pytest.mark.parametrize("seed", range(6))
async def test_a_credit_and_the_end_of_its_order_at_once(route: Desk, seed: int) -> None:
    dice = random.Random(seed)
    # The accounts of the house are there: one that is opened needs a second connection, which those have who wait.
    await route.hear(await route.unknown(), Delivered())
    orders = [await route.unknown(48 * HOUR) for _ in range(8)]
    other = PostgresFulfilmentStore(route.database, route.ama.ledger, FulfilmentPolicy())
    rule = ProvisionalRule(route.credits, FakeClock(), HOUR, watch_s=0)

    async def decide(order: Order) -> None:
        await asyncio.sleep(dice.random() / 50)
        delivered = dice.random() < 0.5
        if dice.random() < 0.5:
            await route.hear(order, Delivered() if delivered else Refused(Reason.REFUSED))
        else:
            await Review(other).resolve(order.reference, delivered=delivered, text="asked them")

    async def give(order: Order) -> None:
        await asyncio.sleep(dice.random() / 50)
        try:
            await route.give(order)
        except InvalidInput:
            assert (await route.state(order))[0] in ("delivered", "failed")

    await asyncio.gather(*(decide(order) for order in orders), *(give(order) for order in orders), rule.work())
    await other.close()
    delivered = written_off = 0
    for order in orders:
        state, credit = await route.state(order)
        assert credit in (None, "written_off" if state == "delivered" else "reversed")
        delivered += state == "delivered"
        written_off += credit == "written_off"
    money = await route.money()
    assert money["wallet"] == 5_000 - 450 * (1 + delivered - written_off)
    assert money.get("write_off", 0) == -450 * written_off
    assert "provisional_credit" not in money


# kill -9 --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(data_dir: Path, database_url: str) -> Shop:
    return Shop(database_url)


def unknown(shop: Shop, *references: str | None) -> tuple[str, list[Order]]:
    """A reseller with GHS 100.00, and orders under these references whose outcome is unknown."""
    email, orders = shop.sell(*references)
    for order in orders:
        shop.execute(
            "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
            f" values ({order.id}, 1, 'vt', '{order.reference}-1', 'unknown', 390, now())"
        )
        shop.execute(f"update orders set state = 'review', due_at = null, attempts = 1 where id = {order.id}")
    return email, orders


CREDIT = ("--reason", "customer waits", "--by", "Esi")


@pytest.mark.parametrize("point", ["provisional.before_commit", "provisional.after_commit"])
def test_a_credit_killed_in_the_middle_is_given_once_when_it_is_given_again(shop: Shop, point: str) -> None:
    _, (order,) = unknown(shop, "mine-1")
    shop.killed(point, "order", "credit", order.reference, *CREDIT)
    done = shop.data("order", "credit", order.reference, *CREDIT)
    assert (done["again"], done["balance"]) == (point == "provisional.after_commit", 100)
    assert shop.data("ledger", "check", "--full")["ok"]


@pytest.mark.parametrize("point", ["settle.before_commit", "settle.after_commit"])
@pytest.mark.parametrize("word", ["--delivered", "--failed"])
def test_an_end_killed_in_the_middle_ends_the_credit_once(shop: Shop, point: str, word: str) -> None:
    email, (order,) = unknown(shop, "mine-1")
    shop.run("order", "credit", order.reference, *CREDIT)
    shop.killed(point, "order", "resolve", order.reference, word, "--note", "asked")
    shop.run("order", "resolve", order.reference, word, "--note", "asked")
    shown = shop.data("order", "show", order.reference)
    assert shown["provisional_credit"]["state"] == ("written_off" if word == "--delivered" else "reversed")
    assert shop.data("wallet", "statement", email, "GHS")["statement"][0]["balance"] == 100
    assert shop.data("ledger", "check", "--full")["ok"]


# By command -----------------------------------------------------------------------------------------------------------


def test_credits_by_command(shop: Shop) -> None:
    email, (first, second, third) = unknown(shop, "mine-1", "mine-2", "mine-3")
    done = shop.data("order", "credit", "mine-1", *CREDIT)
    assert (done["balance"], done["credit"]["state"], done["credit"]["amount"]) == (91, "open", Decimal("4.50"))
    assert done["credit"]["reference"].startswith("PROV-")
    assert "had a provisional credit before" in shop.run("order", "credit", first.reference, *CREDIT).stdout
    assert f"is lent to {email}" in shop.run("order", "credit", str(second.id), *CREDIT).stdout
    shop.run("order", "credit", third.reference, *CREDIT)
    assert shop.data("order", "ask", "mine-1", "--email", email)["reference"] == first.reference
    shop.run("order", "resolve", "mine-1", "--failed", "--note", "asked", "--email", email)
    shop.run("order", "resolve", second.reference, "--delivered", "--note", "asked")
    shown = shop.data("order", "show", first.reference)
    assert [(e["kind"], e["debit"], e["credit"]) for e in shown["entries"]] == [
        ("hold", "wallet", "in flight"), ("release", "in flight", "wallet"),
        ("provisional_credit", "provisional credit", "wallet"), ("reversal", "wallet", "provisional credit"),
    ]  # fmt: skip
    printed = shop.run("order", "show", second.reference).stdout
    assert "provisional credit by Esi: customer waits (PROV-" in printed
    assert "written off)" in printed
    listed = shop.data("order", "credits")
    assert [one["state"] for one in listed["credits"]] == ["open", "written_off", "reversed"]
    assert listed["next"] is None
    page = shop.data("order", "credits", "--limit", "1")
    assert (page["credits"], page["more"]) == (listed["credits"][:1], 2)
    following = shop.data("order", "credits", "--before", str(page["next"]), "--limit", "2")
    assert following["credits"] == listed["credits"][1:]
    assert [one["order"] for one in shop.data("order", "credits", "--state", "open")["credits"]] == [third.reference]
    rows = sheet(shop.run("order", "credits", "--csv").stdout)
    assert [row["order"] for row in rows] == [third.reference, second.reference, first.reference]
    assert "written off" in shop.run("order", "credits").stdout
    lines = shop.data("wallet", "statement", email, "GHS")["statement"]
    assert [(line["what"], line["change"], line["about"], line["reason"], line["by"]) for line in lines[:3]] == [
        ("provisional credit taken back", Decimal("-4.50"), first.reference, "The order has failed.", ""),
        ("order failed, money back", Decimal("4.50"), "", "", ""),
        ("provisional credit", Decimal("4.50"), third.reference, "customer waits", "Esi"),
    ]
    assert "customer waits (by Esi)" in shop.run("wallet", "statement", email, "GHS").stdout
    margin = shop.data("report", "margin")
    assert margin["total"]["GHS"]["written_off"] == Decimal("4.50")
    assert margin["provisional_credits_open"] == {"GHS": {"orders": 1, "amount": Decimal("4.50")}}
    assert "Provisional credits open now: GHS 4.50 for 1 order\n" in shop.run("report", "outcomes").stdout
    assert shop.data("report", "provisional")["rows"] == [
        {"currency": "GHS", "opening": 0, "given": Decimal("13.50"), "reversed": Decimal("4.50"),
         "written_off": Decimal("4.50"), "closing": Decimal("4.50")}
    ]  # fmt: skip
    wallets = shop.data("report", "wallets")["rows"][0]
    assert (wallets["refunds"], wallets["closing"]) == (9, 100)
    assert shop.data("ledger", "check")["ok"]


def test_what_gets_no_credit_is_said_in_one_sentence(shop: Shop) -> None:
    _, (order,) = shop.sell("mine-1")
    assert "is with a provider right now" in shop.refused("order", "credit", order.reference, *CREDIT)
    assert shop.refused("order", "credit", "nobody", *CREDIT) == "Order not found."
    assert shop.refused("order", "credit", order.reference, "--reason", "", "--by", "Esi").startswith("reason: ")
    assert shop.run("order", "credits").stdout == "There are no such provisional credits.\n"
    assert shop.run("order", "late-reports").stdout == "No provider has said so.\n"


def test_late_reports_by_command(shop: Shop) -> None:
    _, (failed, delivered) = unknown(shop, "mine-1", "mine-2")
    shop.run("order", "resolve", failed.reference, "--failed", "--note", "asked")
    shop.run("order", "resolve", delivered.reference, "--delivered", "--note", "asked")

    async def say(database: Database) -> None:
        from telvend.ledger.service import Ledger

        jobs = PostgresFulfilmentStore(database, Ledger(database), FulfilmentPolicy())
        for order, outcome in ((failed, Delivered("late")), (delivered, Refused(Reason.BARRED, "never"))):
            await jobs.settle([ProviderReport(order.id, order.wallet_id, 1, outcome, True, 1e6, 0.0, True)])
        await jobs.close()

    shop.work(say)
    listed = shop.data("order", "late-reports")["reports"]
    assert [(one["order"], one["delivered"], one["amount"], one["provider"]) for one in listed] == [
        (delivered.reference, False, Decimal("3.90"), "vt"), (failed.reference, True, Decimal("3.90"), "vt"),
    ]  # fmt: skip
    page = shop.data("order", "late-reports", "--limit", "1")
    assert shop.data("order", "late-reports", "--before", str(page["next"]))["reports"] == listed[1:]
    assert len(sheet(shop.run("order", "late-reports", "--csv").stdout)) == 2
    assert "not delivered" in shop.run("order", "late-reports").stdout
    shown = shop.data("order", "show", failed.reference)
    assert [(e["kind"], e["debit"], e["credit"]) for e in shown["entries"]][-1] == (
        "late_cost",
        "write off",
        "provider vt",
    )
    assert (
        "says vt after a person had decided; GHS 3.90 is a write-off"
        in shop.run("order", "show", failed.reference).stdout
    )
    floats = shop.data("report", "floats")["total"]["GHS"]
    assert floats == {"opening": 0, "cost": Decimal("3.90"), "closing": Decimal("3.90")}
    assert shop.data("ledger", "check")["ok"]


# Whether the books hold -----------------------------------------------------------------------------------------------

DAMAGES = {
    "a provisional credit says more than the ledger": "update provisional_credit set amount_minor = amount_minor + 1",
    "a provisional credit is gone": "delete from provisional_credit where id = (select min(id) from provisional_credit)",
    "a provisional credit's transfer is gone": "delete from transfer where kind = 11",
    "a provisional credit came from another account": "update account set kind = 'margin', owner = 'x'"
    " where kind = 'provisional_credit'",
    "a provisional credit stands elsewhere in the list": "update wallet_transaction set kind = 'c' where kind = 'p'",
    "a provisional credit is of play money": "update orders set mode = 'test' where provisional = 'open'",
    "an open provisional credit counts as reversed": "update orders set provisional = 'reversed' where provisional = 'open'",
    "a provisional credit is forgotten by its order": "update orders set provisional = null where provisional = 'written_off'",
    "an order has two provisional credits": "alter table provisional_credit drop constraint provisional_credit_order_id_key;"
    " insert into provisional_credit select id + 1000, our_reference, order_id, wallet_id, amount_minor, position, reason, by_whom"
    " from provisional_credit",
    "a reversal is gone": "delete from provisional_reversal",
    "a reversal's transfer is gone": "delete from transfer where kind = 12",
    "a reversal says more": "update provisional_reversal set amount_minor = amount_minor + 1",
    "a reversal stands elsewhere in the list": "update wallet_transaction set credit = true where kind = 'q'",
    "a write-off is gone": "delete from transfer where kind = 13",
    "a write-off says less": "update transfer set amount_minor = amount_minor - 1 where kind = 13",
    "a write-off was borne by another account": "update account set kind = 'margin', owner = 'x' where kind = 'write_off'",
    "a late report is gone": "delete from late_report where delivered",
    "a late report says more": "update late_report set amount_minor = amount_minor + 1 where not delivered",
    "a late report's transfer is gone": "delete from transfer where kind = 14",
    "a late report is of a provider's own word": "update attempt set by_hand = false where by_hand",
    "a late report came to the order's own decision": "update late_report set delivered = not delivered",
    "an attempt has two late reports": "alter table late_report drop constraint late_report_order_id_attempt_key;"
    " insert into late_report select id + 1000, order_id, attempt, provider, delivered, amount_minor, text from late_report",
    "something else was written off": "insert into transfer (cause, kind, debit, credit, amount_minor) select 7777, 8, min(id), max(id), 5"
    " from account where kind in ('write_off', 'margin') and currency = 'GHS' and mode = 'live'",
}


async def furnished(database: Database) -> None:
    """A shop with an open, a reversed and a written off provisional credit, and a late report of each kind."""
    async with Desk.open(database) as route:
        for outcome in (Unknown("still nothing"), Refused(Reason.REFUSED), Delivered()):
            order = await route.unknown()
            await route.give(order)
            await route.hear(order, outcome)
        for delivered, outcome in ((False, Delivered()), (True, Refused(Reason.BARRED))):
            order = await route.unknown()
            await route.review.resolve(order.reference, delivered=delivered, text="asked")
            await route.hear(order, outcome)


async def test_credits_reversals_and_late_reports_are_never_changed(route: Desk) -> None:
    for statement in (
        "update provisional_credit set reason = ''",
        "delete from provisional_reversal",
        "truncate late_report",
    ):
        with pytest.raises(asyncpg.RaiseError, match="never changed or removed"):
            await route.execute(statement)


async def test_the_doctor_warns_of_write_offs(route: Desk) -> None:
    async def found() -> list[tuple[str, Level]]:
        shop = Examined(None, route.database, None)  # type: ignore[arg-type]
        return [(one.check, one.level) for one in await write_offs(shop)]

    order, decided = await route.unknown(), await route.unknown()
    await route.give(order)
    assert await found() == [("write-offs", Level.OK)]
    await route.hear(order, Delivered())
    await route.review.resolve(decided.reference, delivered=False, text="asked")
    with capture_logs() as logs:
        await route.hear(decided, Delivered())
    assert await found() == [("provisional credits", Level.WARNING), ("late reports", Level.WARNING)]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["provider_contradicts_person"]


# Anything, in any order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
async def test_no_sequence_makes_or_loses_money(route: Desk, seed: int) -> None:
    """Credits, ends, decisions, refunds and contradictions at random; every account is computed beside the ledger."""
    dice = random.Random(seed)
    corrections = Corrections(route.database, route.ama.ledger)
    rule = ProvisionalRule(route.credits, FakeClock(), HOUR, watch_s=0)
    orders = [await route.unknown(48 * HOUR, dice.choice(("waiting", "review"))) for _ in range(5)]
    wallet = 5_000 - 450 * len(orders)
    book: dict[int, dict[str, Any]] = {
        order.id: {"state": None, "credit": False, "refund": False, "late": None, "by_hand": False} for order in orders
    }
    for _ in range(40):
        order = dice.choice(orders)
        known = book[order.id]
        step = dice.choice(("give", "rule", "word", "word", "resolve", "refund"))
        if step == "give":
            creditable = await route.creditable(order)
            try:
                await route.give(order)
            except InvalidInput:
                assert not creditable
            known["credit"] |= creditable
        elif step == "rule":
            creditable_ids = {one.id for one in orders if await route.creditable(one)}
            assert await rule.work() == len(creditable_ids)
            for order_id in creditable_ids:
                book[order_id]["credit"] = True
        elif step == "word":
            outcome = dice.choice(
                (Delivered(), Refused(Reason.REFUSED), NotSent("never heard of it"), Unknown("x"), Accepted("r"))
            )
            await route.hear(order, outcome)
            if known["state"] is not None and known["late"] is None and known["by_hand"]:
                if known["state"] == "failed" and isinstance(outcome, Delivered):
                    known["late"] = 390
                elif known["state"] == "delivered" and isinstance(outcome, Refused | NotSent):
                    known["late"] = -390
        elif step == "resolve":
            before = await route.attempt(order)
            try:
                await route.review.resolve(order.reference, delivered=(arrived := dice.random() < 0.5), text="asked")
            except InvalidInput:
                assert known["state"] is not None
            else:
                if known["state"] is None:
                    known["by_hand"] = before in ("unknown", "accepted", "started") or (
                        arrived and before != "delivered"
                    )
                    if before == "delivered" and not arrived:
                        known["late"] = 390
        else:
            try:
                await corrections.refund(order.id, **WHY)
                known["refund"] = True
                assert (known["state"], known["credit"]) == ("delivered", False)
            except InvalidInput:
                assert known["state"] != "delivered" or known["credit"]
        state, credit = await route.state(order)
        if known["state"] is None and state in ("delivered", "failed"):
            known["state"] = state
        assert known["state"] in (None, state)
        assert (credit is not None) == known["credit"]
    expected = {
        "wallet": wallet,
        "in_flight": 0,
        "provider": 0,
        "margin": 0,
        "loss": 0,
        "provisional_credit": 0,
        "write_off": 0,
    }
    for known in book.values():
        match known["state"]:
            case None:
                expected["in_flight"] += 450
                expected["provisional_credit"] -= 450 * known["credit"]
                expected["wallet"] += 450 * known["credit"]
            case "failed":
                expected["wallet"] += 450
            case _:
                expected["provider"] += 390
                expected["margin"] += 60
                expected["wallet"] += 450 * (known["credit"] + known["refund"])
                expected["write_off"] -= 450 * known["credit"]
                expected["loss"] -= 450 * known["refund"]
        late = known["late"] or 0
        expected["provider"] += late
        expected["write_off"] -= late
    assert await route.money() == {name: minor for name, minor in expected.items() if minor}
