"""One contract over both stores of the fulfilment: PostgreSQL, and the twin in memory that the simulation stands on.

A bench wraps each: it places orders, lets time pass, and shows what is stored. Below are the things that only
PostgreSQL has: plans, races between workers, a connection that is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest

from telvend.audit.service import findings_of
from telvend.database import batch as batch_module
from telvend.database.connections import Database
from telvend.errors import Busy, InvalidInput, InvariantBroken, NotFound
from telvend.fulfilment import store as jobs_store
from telvend.fulfilment.model import (
    Abandon,
    Abandoned,
    ClaimedOrder,
    Deliver,
    Effect,
    Escalate,
    FulfilmentPolicy,
    Item,
    ProviderReport,
    Requery,
    Reschedule,
    SentAttempt,
    Step,
)
from telvend.fulfilment.ports import FulfilmentStore
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.review import Review
from telvend.fulfilment.routing import Assignment
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders import store as orders_store
from telvend.orders.invariants import INVARIANTS
from telvend.orders.model import Order, OrderState
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind
from tests.simulation.memory_store import MemoryStore

LEASE_S = 5.0
FUNDS, PRICE, COST = Money(100_000, GHS), Money(450, GHS), Money(400, GHS)


class Named:
    """As much of a provider as a store needs."""

    name = "simulator"
    traits = ProviderTraits()


CHOSEN = Assignment(Named(), probe=False)  # type: ignore[arg-type]


class Shown:
    """What a bench shows of an order."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)


class Bench(Protocol):
    """A store with its surroundings."""

    store: FulfilmentStore

    async def place(self) -> int: ...

    async def pass_time(self, seconds: float) -> None: ...

    async def order(self, order_id: int) -> Any:
        """state, count, due_in_s (rounded), balance_after_minor, attempts (state, asked, text), notes."""

    async def money(self) -> dict[str, int]:
        """What wallet, in_flight, margin, loss and the provider have, in minor units."""

    async def problems(self) -> list[str]: ...


class MovableClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class MemoryBench:
    def __init__(self) -> None:
        self.clock = MovableClock()
        self.memory = MemoryStore(self.clock, FulfilmentPolicy(), FUNDS)
        self.store: FulfilmentStore = self.memory

    async def place(self) -> int:
        return self.memory.place(len(self.memory.orders) + 1, PRICE, COST).id

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def order(self, order_id: int) -> Any:
        row = self.memory.orders[order_id]
        return Shown(
            state=row.state,
            count=row.count,
            due_in_s=None if row.due_at is None else round((row.due_at - self.clock.now()).total_seconds()),
            balance_after_minor=row.balance_after_minor,
            attempts=[(attempt.state.value, attempt.asked, attempt.text) for attempt in row.attempts],
            notes=row.notes,
        )

    async def money(self) -> dict[str, int]:
        names = {1: "wallet", 2: "in_flight", 3: "margin", 4: "loss", 6: "write_off", 10: "provider"}
        return {names[number]: minor for number, minor in self.memory.accounts.items() if minor and number in names}

    async def problems(self) -> list[str]:
        return self.memory.problems(self.memory.orders)


class PostgresBench:
    def __init__(self, database: Database, reseller_id: UUID, wallet_id: int, in_flight: int, ledger: Ledger) -> None:
        self.database = database
        self.ledger = ledger
        self.store: FulfilmentStore = PostgresFulfilmentStore(database, ledger, FulfilmentPolicy())
        self._reseller_id = reseller_id
        self._wallet_id = wallet_id
        self._in_flight = in_flight

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> "AsyncIterator[PostgresBench]":
        reseller_id = uuid4()
        async with database.transaction() as tx:
            await tx.execute(
                "insert into reseller (id, email, name, phone) values ($1, 'ama@example.com', 'Ama', '+233241234567')",
                reseller_id,
            )
        ledger = Ledger(database)
        await Credits(database, ledger).add(reseller_id, FUNDS, Mode.LIVE, "cash")
        in_flight = await ledger.house(AccountKind.IN_FLIGHT, GHS, Mode.LIVE)
        async with database.connection() as tx:
            wallet_id = await ledger_store.wallet_of(tx, reseller_id, "GHS", Mode.LIVE)
        assert wallet_id is not None
        bench = cls(database, reseller_id, wallet_id, in_flight, ledger)
        try:
            yield bench
        finally:
            await bench.postgres.close()

    @property
    def postgres(self) -> PostgresFulfilmentStore:
        assert isinstance(self.store, PostgresFulfilmentStore)
        return self.store

    async def place(self) -> int:
        async with self.database.transaction() as tx:
            (number,) = await ledger_store.next_causes(tx, 1)
            journal = await WalletJournal.begin(tx, [self._wallet_id])
            balance = journal.hold(number, self._wallet_id, self._in_flight, PRICE)
            position = journal.enter(self._wallet_id, TransactionKind.ORDER, number, credit=False)
            await journal.write(tx)
            now = await tx.fetchval("select now()")
            order = Order(
                id=number,
                reference=f"NPAPI-{number}-abcdef",
                reseller_id=self._reseller_id,
                dialect="netpluse",
                mode=Mode.LIVE,
                client_reference=f"mine-{number}",
                fingerprint="GH/MTN/+233241234567/1GB",
                wallet_id=self._wallet_id,
                position=position,
                kind="data",
                country="GH",
                network="MTN",
                product_id=1,
                product="GH-MTN-1GB-30D",
                size="1GB",
                validity_days=30,
                subscriber="+233241234567",
                face=PRICE,
                price=PRICE,
                cost=COST,
                state=OrderState.ACCEPTED,
                balance_after=balance,
                created_at=now,
                updated_at=now,
            )
            await orders_store.insert(tx, [order], now)
        return number

    async def pass_time(self, seconds: float) -> None:
        async with self.database.transaction() as tx:
            await tx.execute("update orders set due_at = due_at - make_interval(secs => $1)", seconds)
            await tx.execute("update attempt set started_at = started_at - make_interval(secs => $1)", seconds)

    async def order(self, order_id: int) -> Any:
        async with self.database.connection() as tx:
            row = await tx.fetchrow(
                "select *, extract(epoch from due_at - now())::float8 as due_in_s from orders where id = $1", order_id
            )
            attempts = await orders_store.attempts_of(tx, order_id)
            notes = await orders_store.notes_of(tx, order_id)
        for attempt in attempts:
            assert (attempt["finished_at"] is None) == (attempt["state"] in ("started", "accepted", "unknown"))
        return Shown(
            state=OrderState(row["state"]),
            count=row["attempts"],
            due_in_s=None if row["due_in_s"] is None else round(row["due_in_s"]),
            balance_after_minor=row["balance_after_minor"],
            attempts=[(attempt["state"], attempt["asked"], attempt["text"]) for attempt in attempts],
            notes=[note["text"] for note in notes],
        )

    async def money(self) -> dict[str, int]:
        totals = {str(total.kind): total.total.minor for total in await self.ledger.totals()}
        return {name: minor for name, minor in totals.items() if minor and name != "funding"}

    async def problems(self) -> list[str]:
        async with self.database.transaction() as tx:
            found = await findings_of(tx, INVARIANTS)
        return [f"{finding.rule}: {finding.text}" for finding in found]


@pytest.fixture(params=["memory", "postgres"])
def database_if_any(request: pytest.FixtureRequest) -> Database | None:
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def bench(database_if_any: Database | None) -> AsyncIterator[Bench]:
    if database_if_any is None:
        yield MemoryBench()
        return
    async with PostgresBench.open(database_if_any) as made:
        yield made


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[PostgresBench]:
    async with PostgresBench.open(database) as made:
        yield made


Decide = Callable[[Sequence[ClaimedOrder]], Sequence[Step]]


async def claim_and(
    store: FulfilmentStore, limit: int, lease_s: float, decide: Decide
) -> list[tuple[ClaimedOrder, Step]]:
    """Claim, decide and write, as a worker does; nothing is written where nothing was due."""
    async with store.claim(limit, lease_s) as claim:
        steps = decide(claim.orders) if claim.orders else []
        if steps:
            await claim.write(steps)
    return list(zip(claim.orders, steps, strict=True))


def delivering(claims: Sequence[ClaimedOrder]) -> list[Step]:
    """The next attempt for everybody."""
    return [
        Deliver(CHOSEN, len(claim.attempts) + 1, f"{claim.reference}-{len(claim.attempts) + 1}", claim.cost)
        for claim in claims
    ]


def asking(claims: Sequence[ClaimedOrder]) -> list[Step]:
    return [Requery(claim.attempts[-1]) for claim in claims]


async def begin(bench: Bench) -> int:
    """An order with its first attempt under way."""
    order_id = await bench.place()
    assert [claim.id for claim, _ in await claim_and(bench.store, 10, LEASE_S, delivering)] == [order_id]
    return order_id


def word(order_id: int, claim_wallet: int, outcome: Outcome, number: int = 1, *, asked: bool = False) -> ProviderReport:
    return ProviderReport(order_id, claim_wallet, number, outcome, asked, 0.0, 0.0, True)


async def hear(bench: Bench, order_id: int, outcome: Outcome, number: int = 1, *, asked: bool = False) -> Effect:
    wallet_id = bench._wallet_id if isinstance(bench, PostgresBench) else 1
    (effect,) = await bench.store.settle([word(order_id, wallet_id, outcome, number, asked=asked)])
    assert isinstance(effect, Effect)
    assert await bench.problems() == []
    return effect


# Claims and leases ------------------------------------------------------------------------------------------------------


async def test_an_attempt_keeps_what_the_provider_was_sent(bench: Bench) -> None:
    await bench.place()

    def coded(claims: Sequence[ClaimedOrder]) -> list[Step]:
        return [Deliver(CHOSEN, 1, f"{claim.reference}-1", COST, "mtn-data/1", "SME") for claim in claims]

    ((first, _),) = await claim_and(bench.store, 9, LEASE_S, coded)
    await bench.store.hand_back([first.id])
    ((again, _),) = await claim_and(bench.store, 9, LEASE_S, asking)
    (attempt,) = again.attempts
    assert attempt.sent(GHS) == SentAttempt(f"{first.reference}-1", COST, first.now, "mtn-data/1", "SME")


async def test_a_claimed_order_has_its_attempt_and_belongs_to_nobody_else_until_its_lease_ends(bench: Bench) -> None:
    order_id = await begin(bench)
    seen = await bench.order(order_id)
    assert (seen.state, seen.count, seen.due_in_s, seen.attempts) == (OrderState.DELIVERING, 1, 5, [("started", 0, "")])
    assert await claim_and(bench.store, 10, LEASE_S, delivering) == []
    await bench.pass_time(6)
    ((claim, step),) = await claim_and(bench.store, 10, LEASE_S, asking)
    assert (claim.id, claim.state, claim.price, claim.cost) == (order_id, OrderState.DELIVERING, PRICE, COST)
    assert (claim.kind, claim.size, claim.validity_days, claim.face) == ("data", "1GB", 30, PRICE)
    assert isinstance(step, Requery)
    attempt = step.attempt
    assert (attempt.number, attempt.provider, attempt.reference) == (1, "simulator", f"{claim.reference}-1")
    assert (claim.now - attempt.started_at).total_seconds() == pytest.approx(6, abs=1)
    assert (await bench.order(order_id)).count == 1


async def test_the_oldest_are_claimed_first_and_no_more_than_asked_for(bench: Bench) -> None:
    ids = []
    for _ in range(3):
        ids.append(await bench.place())
        await bench.pass_time(1)
    assert [claim.id for claim, _ in await claim_and(bench.store, 2, LEASE_S, delivering)] == ids[:2]
    assert [claim.id for claim, _ in await claim_and(bench.store, 2, LEASE_S, delivering)] == ids[2:]


async def test_a_lease_is_renewed_while_it_is_held_and_not_after(bench: Bench) -> None:
    order_id = await begin(bench)
    await bench.pass_time(4)
    assert await bench.store.renew([order_id], LEASE_S) == {order_id}
    assert (await bench.order(order_id)).due_in_s == 5
    await bench.pass_time(6)
    assert await bench.store.renew([order_id], LEASE_S) == set()


async def test_an_order_that_is_handed_back_is_due_at_once(bench: Bench) -> None:
    order_id = await begin(bench)
    await bench.store.hand_back([order_id])
    assert [claim.id for claim, _ in await claim_and(bench.store, 10, LEASE_S, asking)] == [order_id]
    await hear(bench, order_id, Unknown())
    await bench.store.hand_back([order_id])
    assert (await bench.order(order_id)).due_in_s in (4, 5, 6)


async def test_each_step_leaves_the_order_as_it_says(bench: Bench) -> None:
    steps: list[Step] = [Abandon("nobody"), Reschedule(60, OrderState.ACCEPTED, "full"), Escalate("odd")]
    ids = [await bench.place() for _ in steps]
    await bench.pass_time(1)
    await claim_and(bench.store, 10, LEASE_S, lambda claims: [steps[ids.index(claim.id)] for claim in claims])
    seen = [await bench.order(order_id) for order_id in ids]
    assert [(order.state, order.count, order.due_in_s, order.notes) for order in seen] == [
        (OrderState.DELIVERING, 0, 5, []),
        (OrderState.ACCEPTED, 0, 60, []),
        (OrderState.REVIEW, 0, None, ["odd"]),
    ]
    assert await bench.problems() == []


async def test_a_claim_whose_decision_fails_changes_nothing(bench: Bench) -> None:
    order_id = await bench.place()

    def fail(_: Sequence[ClaimedOrder]) -> list[Step]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await claim_and(bench.store, 10, LEASE_S, fail)
    seen = await bench.order(order_id)
    assert (seen.state, seen.count, seen.attempts) == (OrderState.ACCEPTED, 0, [])


async def test_a_claim_for_which_no_steps_are_written_is_undone(bench: Bench) -> None:
    order_id = await bench.place()
    with pytest.raises(InvariantBroken):
        async with bench.store.claim(10, LEASE_S) as claim:
            assert [order.id for order in claim.orders] == [order_id]
    seen = await bench.order(order_id)
    assert (seen.state, seen.count, seen.attempts) == (OrderState.ACCEPTED, 0, [])
    async with bench.store.claim(0, LEASE_S) as claim:
        assert list(claim.orders) == []


async def test_steps_that_are_written_are_undone_when_the_block_raises(bench: Bench) -> None:
    order_id = await bench.place()

    async def write_and_fail() -> None:
        async with bench.store.claim(10, LEASE_S) as claim:
            await claim.write(delivering(claim.orders))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    seen = await bench.order(order_id)
    assert (seen.state, seen.count, seen.attempts) == (OrderState.ACCEPTED, 0, [])


# Outcomes and money -----------------------------------------------------------------------------------------------------


async def test_delivered_posts_the_cost_and_the_margin_once(bench: Bench) -> None:
    order_id = await begin(bench)
    assert await bench.money() == {"wallet": 99_550, "in_flight": 450}
    for effect in (Effect.DELIVERED, Effect.NOTHING):
        assert await hear(bench, order_id, Delivered("X-1", Money(390, GHS), "there")) is effect
        assert await bench.money() == {"wallet": 99_550, "provider": 390, "margin": 60}
    seen = await bench.order(order_id)
    assert (seen.state, seen.due_in_s, seen.balance_after_minor) == (OrderState.DELIVERED, None, 99_550)
    assert seen.attempts == [("delivered", 0, "there")]


async def test_a_sale_below_cost_is_paid_by_the_house(bench: Bench) -> None:
    order_id = await begin(bench)
    await hear(bench, order_id, Delivered(cost=Money(500, GHS)))
    assert await bench.money() == {"wallet": 99_550, "provider": 500, "loss": -50}


async def test_refused_gives_the_hold_back_in_the_same_transaction(bench: Bench) -> None:
    order_id, other = await begin(bench), await bench.place()
    assert await hear(bench, order_id, Refused(Reason.BARRED, "barred")) is Effect.FAILED
    seen = await bench.order(order_id)
    assert (seen.state, seen.due_in_s, seen.balance_after_minor) == (OrderState.FAILED, None, 99_550)
    assert await bench.money() == {"wallet": 99_550, "in_flight": 450}
    assert (await bench.order(other)).state is OrderState.ACCEPTED


async def test_refused_elsewhere_tries_another_and_giving_up_gives_the_hold_back(bench: Bench) -> None:
    order_id = await begin(bench)
    assert await hear(bench, order_id, Refused(Reason.NO_FLOAT)) is Effect.TRY_AGAIN
    ((claim, _),) = await claim_and(bench.store, 10, LEASE_S, delivering)
    assert (claim.attempts[0].elsewhere, claim.attempts[0].state) == (True, "refused")
    assert await hear(bench, order_id, Refused(Reason.NOT_SOLD), 2) is Effect.TRY_AGAIN
    seen = await bench.order(order_id)
    assert (seen.state, seen.count, seen.due_in_s, len(seen.attempts)) == (OrderState.DELIVERING, 2, 0, 2)
    ((claim, _),) = await claim_and(bench.store, 10, LEASE_S, lambda claims: [Abandon("nobody")] * len(claims))
    assert await bench.store.settle([Abandoned(order_id, claim.wallet_id, "nobody")]) == [Effect.FAILED]
    assert await bench.store.settle([Abandoned(order_id, claim.wallet_id, "nobody")]) == [Effect.NOTHING]
    assert (await bench.order(order_id)).notes == ["Given up: nobody"]
    assert await bench.money() == {"wallet": 100_000}
    assert await bench.problems() == []


async def test_unknown_outcome_keeps_the_hold_until_a_person_decides(bench: Bench) -> None:
    order_id = await begin(bench)
    assert await hear(bench, order_id, Unknown("timed out")) is Effect.REQUERY_LATER
    assert (await bench.order(order_id)).due_in_s in (4, 5, 6)
    for asked in range(1, 11):
        await bench.pass_time(50_000)
        await claim_and(bench.store, 10, LEASE_S, asking)
        effect = await hear(bench, order_id, Unknown("still"), asked=True)
        assert effect is (Effect.REVIEW if asked == 10 else Effect.REQUERY_LATER)
        assert await bench.money() == {"wallet": 99_550, "in_flight": 450}
    seen = await bench.order(order_id)
    assert (seen.state, seen.due_in_s, seen.attempts) == (OrderState.REVIEW, None, [("unknown", 10, "still")])
    await Review(bench.store).resolve(order_id, delivered=False, text="not on their list")
    seen = await bench.order(order_id)
    assert (seen.state, seen.balance_after_minor) == (OrderState.FAILED, 100_000)
    assert "not on their list" in seen.notes[-1]
    assert await bench.problems() == []


async def test_accepted_waits_and_is_settled_when_it_is_asked_about(bench: Bench) -> None:
    order_id = await begin(bench)
    await hear(bench, order_id, Accepted("X-1", 30.0))
    seen = await bench.order(order_id)
    assert (seen.state, seen.attempts) == (OrderState.WAITING, [("accepted", 0, "Accepted")])
    assert 27 <= seen.due_in_s <= 33
    assert await hear(bench, order_id, Delivered(), asked=True) is Effect.DELIVERED
    assert (await bench.order(order_id)).attempts == [("delivered", 1, "Delivered")]


async def test_delivered_after_the_order_has_failed_is_noted_and_moves_no_money(bench: Bench) -> None:
    order_id = await begin(bench)
    await hear(bench, order_id, Refused(Reason.REFUSED))
    assert await hear(bench, order_id, Delivered()) is Effect.CONTRADICTED
    seen = await bench.order(order_id)
    assert (seen.state, seen.attempts[0][0], len(seen.notes)) == (OrderState.FAILED, "refused", 1)
    assert await bench.money() == {"wallet": 100_000}


async def test_what_a_provider_says_against_a_person_is_a_write_off_once(bench: Bench) -> None:
    failed, delivered = await begin(bench), await begin(bench)
    for order_id, arrived in ((failed, False), (delivered, True)):
        await hear(bench, order_id, Unknown("timed out"))
        await Review(bench.store).resolve(order_id, delivered=arrived, text="asked them by phone")
    assert await bench.money() == {"wallet": 99_550, "provider": 400, "margin": 50}
    assert await hear(bench, failed, Delivered(cost=Money(430, GHS))) is Effect.CONTRADICTED
    assert await bench.money() == {"wallet": 99_550, "provider": 830, "margin": 50, "write_off": -430}
    assert await hear(bench, delivered, Refused(Reason.BARRED)) is Effect.CONTRADICTED
    after = {"wallet": 99_550, "provider": 430, "margin": 50, "write_off": -30}
    assert await bench.money() == after
    for _ in range(2):
        assert await hear(bench, failed, Delivered()) is Effect.NOTHING
        assert await hear(bench, delivered, NotSent()) is Effect.NOTHING
        assert await hear(bench, delivered, Delivered()) is Effect.NOTHING
    assert await bench.money() == after
    assert [(await bench.order(one)).state for one in (failed, delivered)] == [OrderState.FAILED, OrderState.DELIVERED]
    assert "write-off, once" in (await bench.order(failed)).notes[1]


async def test_a_provider_that_charges_nothing_against_a_person_moves_nothing(bench: Bench) -> None:
    order_id = await begin(bench)
    await hear(bench, order_id, Unknown("timed out"))
    await Review(bench.store).resolve(order_id, delivered=False, text="asked them by phone")
    assert await hear(bench, order_id, Delivered(cost=Money(0, GHS))) is Effect.CONTRADICTED
    assert await hear(bench, order_id, Delivered()) is Effect.NOTHING
    assert await bench.money() == {"wallet": 100_000}


async def test_delivered_after_the_next_attempt_has_begun_goes_to_a_person(bench: Bench) -> None:
    order_id = await begin(bench)
    await hear(bench, order_id, NotSent())
    await bench.pass_time(5)
    await claim_and(bench.store, 10, LEASE_S, delivering)
    assert await hear(bench, order_id, Delivered()) is Effect.CONTRADICTED
    seen = await bench.order(order_id)
    assert (seen.state, seen.due_in_s) == (OrderState.REVIEW, None)
    assert await hear(bench, order_id, Refused(Reason.BARRED), 2) is Effect.REVIEW
    with pytest.raises(InvalidInput):
        await Review(bench.store).requery_now(order_id)
    assert await bench.money() == {"wallet": 99_550, "in_flight": 450}
    assert await Review(bench.store).resolve(order_id, delivered=True, text="the first one") is Effect.DELIVERED
    assert await bench.money() == {"wallet": 99_550, "provider": 400, "margin": 50}
    assert await bench.problems() == []


async def test_words_of_one_batch_on_one_order_are_weighed_in_turn(bench: Bench) -> None:
    order_id = await begin(bench)
    wallet_id = bench._wallet_id if isinstance(bench, PostgresBench) else 1
    items: list[Item] = [
        word(order_id, wallet_id, outcome) for outcome in (Unknown(), Delivered(), Delivered(), Refused(Reason.REFUSED))
    ]
    assert await bench.store.settle(items) == [
        Effect.REQUERY_LATER,
        Effect.DELIVERED,
        Effect.NOTHING,
        Effect.CONTRADICTED,
    ]
    assert await bench.money() == {"wallet": 99_550, "provider": 400, "margin": 50}
    assert await bench.problems() == []


async def test_a_hostile_text_is_stored_as_far_as_it_can_be(bench: Bench) -> None:
    order_id = await begin(bench)
    await hear(bench, order_id, Unknown("a\x00\ud800\"'\\ " + "x" * 1000))
    assert (await bench.order(order_id)).attempts[0][2].startswith("a?\"'\\ xxx")


# People -----------------------------------------------------------------------------------------------------------------


async def test_a_person_names_an_order_by_number_or_reference(bench: Bench) -> None:
    order_id = await begin(bench)
    await hear(bench, order_id, Unknown())
    review = Review(bench.store)
    for wrong in ("NPAPI-1-zzzzzz", f"NPAPI-{order_id}-zzzzzz", "nonsense", "0", 10**6, 10**30, "-1"):
        with pytest.raises(NotFound):
            await review.requery_now(wrong)
    with pytest.raises(InvalidInput):
        await review.resolve(order_id, delivered=True, text="  ")
    assert await review.requery_now(f"NPAPI-{order_id}-abcdef") is Effect.REQUERY_LATER
    assert (await bench.order(order_id)).due_in_s == 0
    assert await review.resolve(str(order_id), delivered=True, text="seen it") is Effect.DELIVERED
    assert await review.resolve(order_id, delivered=True, text="seen it") is Effect.NOTHING
    with pytest.raises(InvalidInput):
        await review.resolve(order_id, delivered=False, text="no")


async def test_a_person_does_not_decide_while_a_provider_is_being_called(bench: Bench) -> None:
    order_id = await begin(bench)
    with pytest.raises(InvalidInput):
        await Review(bench.store).resolve(order_id, delivered=False, text="impatient")
    assert await bench.money() == {"wallet": 99_550, "in_flight": 450}


# PostgreSQL alone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [3600, 60])
async def test_orders_that_were_written_while_the_clock_was_ahead_come_back(
    postgres: PostgresBench, jump_s: int
) -> None:
    fresh, claimed, waiting, untouched = [await postgres.place() for _ in range(4)]
    async with postgres.database.transaction() as tx:
        # As if the clock had been set back by so much after these were written.
        ahead = "due_at = now() + make_interval(secs => $1::float8 + $2::float8), updated_at = now() + make_interval(secs => $1::float8)"
        await tx.execute(f"update orders set {ahead} where id = $3", jump_s, 0, fresh)
        await tx.execute(f"update orders set {ahead}, state = 'waiting' where id = $3", jump_s, 45, waiting)
        # A lease that was renewed then; who wrote the row did so before.
        await tx.execute(
            "update orders set state = 'delivering', due_at = now() + make_interval(secs => $1) where id = $2",
            jump_s + 5,
            claimed,
        )
        await tx.execute(
            "update orders set state = 'waiting', due_at = now() + make_interval(secs => 900) where id = $1", untouched
        )
    assert await postgres.store.correct_jumped_clock(4 * LEASE_S) == 3
    assert [(await postgres.order(number)).due_in_s for number in (fresh, claimed, waiting, untouched)] == [
        0,
        0,
        45,
        900,
    ]
    assert await postgres.store.correct_jumped_clock(4 * LEASE_S) == 0


async def test_attempts_for_the_same_recipient_are_counted_until_they_cannot_have_delivered(
    postgres: PostgresBench,
) -> None:
    first = await begin(postgres)
    assert await postgres.store.rivals(first, 1) == 0
    second = await begin(postgres)
    assert [await postgres.store.rivals(order_id, 1) for order_id in (first, second)] == [1, 1]
    await hear(postgres, second, NotSent())
    assert await postgres.store.rivals(first, 1) == 0
    assert await postgres.store.rivals(second, 1) == 1
    refused = await begin(postgres)
    await hear(postgres, refused, Refused(Reason.REFUSED))
    # Its failed purchase stands in the list as well, and would be taken for the first one's.
    assert await postgres.store.rivals(first, 1) == 1
    async with postgres.database.transaction() as tx:
        await tx.execute("update attempt set provider = 'another' where order_id = $1", refused)
    third = await begin(postgres)
    await hear(postgres, third, Delivered())
    assert await postgres.store.rivals(first, 1) == 1
    async with postgres.database.transaction() as tx:
        await tx.execute("update attempt set provider = 'another' where order_id = $1", third)
    assert await postgres.store.rivals(first, 1) == 0
    async with postgres.database.transaction() as tx:
        await tx.execute(
            "insert into provider_trial (provider, reference, kind, country, network, product, size, validity_days, type,"
            " provider_code, subscriber, currency, face_minor, cost_minor, state, by_whom, started_at)"
            " values ('simulator', 'T-1', 'data', 'GH', 'MTN', 'GH-MTN-1GB-30D', '1GB', 30, '', '', '+233241234567', 'GHS',"
            " 450, 400, 'unknown', 'ama', now())"
        )
    assert await postgres.store.rivals(first, 1) == 1  # A delivery by hand counts as well.
    async with postgres.database.transaction() as tx:
        await tx.execute("delete from provider_trial")
    fourth = await begin(postgres)
    async with postgres.database.transaction() as tx:
        await tx.execute("update attempt set started_at = started_at + interval '25 hours' where order_id = $1", fourth)
    assert await postgres.store.rivals(first, 1) == 0


async def test_any_number_of_workers_claim_each_order_once(postgres: PostgresBench) -> None:
    ids = {await postgres.place() for _ in range(30)}
    stores = [PostgresFulfilmentStore(postgres.database, postgres.ledger, FulfilmentPolicy()) for _ in range(4)]
    claimed: list[int] = []

    async def work(store: PostgresFulfilmentStore) -> None:
        while batch := await claim_and(store, 3, LEASE_S, delivering):
            claimed.extend(claim.id for claim, _ in batch)

    await asyncio.gather(*(work(store) for store in stores))
    assert sorted(claimed) == sorted(ids)
    for store in stores:
        await store.close()


async def test_the_same_and_contradicting_outcomes_racing_each_other_settle_once(postgres: PostgresBench) -> None:
    stores = [PostgresFulfilmentStore(postgres.database, postgres.ledger, FulfilmentPolicy()) for _ in range(3)]
    for _ in range(5):
        order_id = await begin(postgres)
        await asyncio.gather(
            *(
                store.settle([word(order_id, postgres._wallet_id, outcome)])
                for store, outcome in zip(stores, (Delivered(), Refused(Reason.REFUSED), Delivered()), strict=True)
            )
        )
        assert (await postgres.order(order_id)).state in (OrderState.DELIVERED, OrderState.FAILED)
    assert await postgres.problems() == []
    for store in stores:
        await store.close()


async def test_only_an_open_attempt_that_was_not_accepted_is_counted_as_sent_again(bench: Bench) -> None:
    order_id = await begin(bench)
    assert [await bench.store.resend(order_id, 1) for _ in range(2)] == [1, 2]
    # Whoever does not know of it is not believed when it says no.
    assert await hear(bench, order_id, Refused(Reason.REFUSED)) is Effect.REQUERY_LATER
    assert (await bench.order(order_id)).state is OrderState.WAITING
    assert await hear(bench, order_id, Accepted()) is Effect.REQUERY_LATER
    assert await bench.store.resend(order_id, 1) is None


async def test_a_lost_connection_is_at_most_busy_and_the_next_call_has_a_new_one(postgres: PostgresBench) -> None:
    order_id = await begin(postgres)
    async with postgres.database.connection() as tx:
        await tx.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    # Whether the loss is noticed before or by the next statement is a matter of microseconds.
    with suppress(Busy):
        await claim_and(postgres.store, 10, LEASE_S, delivering)
    assert await claim_and(postgres.store, 10, LEASE_S, delivering) == []
    assert await postgres.store.settle([word(order_id, postgres._wallet_id, Delivered())]) == [Effect.DELIVERED]


async def test_a_settlement_that_fails_before_its_commit_leaves_nothing(
    postgres: PostgresBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = await begin(postgres)

    async def fail(name: str) -> None:
        if name == "settle.before_commit":
            raise ZeroDivisionError

    monkeypatch.setattr(batch_module, "hit_async", fail)
    with pytest.raises(ZeroDivisionError):
        await postgres.store.settle([word(order_id, postgres._wallet_id, Delivered())])
    assert (await postgres.order(order_id)).state is OrderState.DELIVERING
    assert await postgres.money() == {"wallet": 99_550, "in_flight": 450}


_PLANNED = {
    "claim": (jobs_store.CLAIM, (256, 5.0)),
    "attempts": (jobs_store.READ_ATTEMPTS, ([1, 2],)),
    "locks": (jobs_store.LOCK_ORDERS, ([1, 2],)),
    "orders": (
        jobs_store.CHANGE_ORDERS,
        ('[{"id": 1, "state": "delivered", "due_in_s": null, "balance_after_minor": null}]', [1]),
    ),
    "corrections": (
        jobs_store.CORRECT_CLAIMED,
        ('[{"id": 1, "state": "delivering", "attempts": 2, "leased": true, "due_in_s": null}]', [1]),
    ),
    "outcomes": (
        jobs_store.CHANGE_ATTEMPTS,
        (
            '[{"order_id": 1, "number": 1, "state": "unknown", "asked": 0, "elsewhere": false, "again": false, "cost_minor": 1,'
            ' "text": "", "provider_reference": null}]',
            [1],
        ),
    ),
    "renewals": (jobs_store.RENEW, ([1, 2], 5.0)),
}


@pytest.mark.parametrize("name", _PLANNED)
async def test_no_statement_reads_a_whole_table(postgres: PostgresBench, name: str) -> None:
    sql, arguments = _PLANNED[name]
    connection = await postgres.database.dedicated()
    try:
        rows = await connection.fetch(f"explain {sql}", *arguments)
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    # An index that is read from end to end is a scan of the whole table in disguise.
    reads = [line for line in plan.splitlines() if "Scan using" in line and "orders_due" not in line]
    assert plan.count("Index Cond") >= len(reads), plan
