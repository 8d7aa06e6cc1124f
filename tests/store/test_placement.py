"""The lane's transaction on a real database: races over several connections, lost ones, and items that are poison."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from telvend.database.connections import Database
from telvend.database.lane import Lane
from telvend.errors import Busy, InsufficientBalance, NotFound, ProductUnavailable, ReferenceReused
from telvend.funding.credits.service import Credits
from telvend.kit import failpoints
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.orders.model import OrderState, Placement
from telvend.orders.placement import OrderPlacement, Purchase
from tests.store.lossy_proxy import Proxy, behind_a_proxy
from tests.store.purchases import KINDS, Customer, customer
from tests.store.tally import kinds

PRICE_MINOR = 450


@pytest.fixture
async def ama(database: Database) -> Customer:
    """She can pay for exactly 50 bundles from each of two wallets."""
    return await customer(database, ghs_minor=50 * PRICE_MINOR, ngn_minor=50 * PRICE_MINOR)


@pytest.fixture
async def placement(database: Database) -> AsyncIterator[OrderPlacement]:
    opened = OrderPlacement(database, kinds=KINDS)
    yield opened
    await opened.close()


@asynccontextmanager
async def lanes(database: Database, count: int, *, batch: int = 256) -> AsyncIterator[list[Lane[Purchase, Placement]]]:
    """Lanes as so many processes would have them, each with a connection of its own."""
    async with AsyncExitStack() as stack:
        made = []
        for number in range(count):
            placement = OrderPlacement(database, kinds=KINDS)
            stack.push_async_callback(placement.close)
            lane: Lane[Purchase, Placement] = Lane(str(number), placement.place_all, maximum_batch=batch)
            lane.start()
            stack.push_async_callback(lane.close)
            made.append(lane)
        yield made


# Deciding -----------------------------------------------------------------------------------------------------------------


async def test_a_purchase_holds_its_price_and_is_due_at_once(ama: Customer, placement: OrderPlacement) -> None:
    (placed,) = await placement.place_all([ama.wants("r1")])
    assert isinstance(placed, Placement)
    order = placed.order
    assert not placed.replayed
    assert order.state is OrderState.ACCEPTED
    assert order.balance_after.minor == 49 * PRICE_MINOR == await ama.balance()
    assert await ama.value("select due_at <= now() from orders where id = $1", order.id)
    entries = await ama.ledger.entries(order.id)
    assert [(entry.debit, entry.credit, entry.amount.minor) for entry in entries] == [
        ("wallet", "in flight", PRICE_MINOR)
    ]
    await ama.check_books()


async def test_one_batch_is_decided_in_its_order(ama: Customer, placement: OrderPlacement) -> None:
    answers = await placement.place_all(
        [
            ama.wants("a"),
            ama.wants("a"),
            ama.wants("a", fingerprint="another"),
            ama.wants("gone", quote=None),
            ama.wants("a", quote=None),
            ama.wants("nowhere", wallet_id=10**9),
            ama.wants(),
            ama.wants(),
        ]
    )
    assert kinds(answers) == {
        "Placement": 3, "replayed": 2, "ReferenceReused": 1, "ProductUnavailable": 1, "NotFound": 1
    }  # fmt: skip
    assert [type(answer) for answer in answers[2:6]] == [ReferenceReused, ProductUnavailable, Placement, NotFound]
    assert {answer.order.id for answer in (answers[0], answers[1], answers[4]) if isinstance(answer, Placement)} == {
        answers[0].order.id  # type: ignore[union-attr]
    }
    assert await ama.orders() == 3
    await ama.check_books()


async def test_a_refusal_leaves_the_reference_free(database: Database, placement: OrderPlacement) -> None:
    kofi = await customer(database, ghs_minor=PRICE_MINOR - 1)
    (refused,) = await placement.place_all([kofi.wants("r")])
    assert isinstance(refused, InsufficientBalance)
    assert (refused.required.minor, refused.available.minor) == (PRICE_MINOR, PRICE_MINOR - 1)
    assert (await kofi.orders(), await kofi.balance()) == (0, PRICE_MINOR - 1)
    (gone,) = await placement.place_all([kofi.wants("r", quote=None)])
    assert isinstance(gone, ProductUnavailable)
    await Credits(kofi.database, kofi.ledger).add(kofi.reseller_id, refused.required, Mode.LIVE, "more")
    (placed,) = await placement.place_all([kofi.wants("r", fingerprint="something else")])
    assert isinstance(placed, Placement)


async def test_references_are_apart_for_each_reseller_dialect_and_mode(
    ama: Customer, placement: OrderPlacement
) -> None:
    other = await customer(ama.database, ghs_minor=PRICE_MINOR)
    answers = await placement.place_all(
        [ama.wants("r"), other.wants("r"), ama.wants("r", dialect="madapi"), ama.wants("r", mode=Mode.TEST)]
    )
    assert kinds(answers) == {"Placement": 4}


# Races --------------------------------------------------------------------------------------------------------------------


async def test_two_lanes_sell_exactly_what_one_wallet_pays_for(ama: Customer, armed: Any) -> None:
    """Notices a missing lock on the wallet: each lane would decide on a balance that the other has spent."""
    # Without it the two might take turns by chance.
    armed("lane.after_write=sleep:0.02")
    async with lanes(ama.database, 2, batch=8) as both:
        purchases = [both[number % 2].submit(ama.wants(f"r{number}")) for number in range(200)]
        answers = await asyncio.gather(*purchases, return_exceptions=True)
    assert kinds(answers) == {"Placement": 50, "InsufficientBalance": 150}
    assert await ama.balance() == 0
    left = sorted(answer.order.balance_after.minor for answer in answers if isinstance(answer, Placement))
    assert left == [PRICE_MINOR * number for number in range(50)]
    await ama.check_books()


async def test_four_lanes_place_one_reference_once(ama: Customer) -> None:
    async with lanes(ama.database, 4) as four:
        answers = await asyncio.gather(*(four[number % 4].submit(ama.wants("same")) for number in range(200)))
    assert kinds(answers) == {"Placement": 1, "replayed": 199}
    assert await ama.orders() == 1
    assert await ama.balance() == 49 * PRICE_MINOR


async def test_one_reference_through_two_wallets_at_once_is_one_order(ama: Customer, armed: Any) -> None:
    """Notices a missing unique reference: their locks are different ones, so that neither lane waits for the other."""
    armed("lane.after_write=sleep:0.05")
    async with lanes(ama.database, 2) as (first, second):
        for number in range(10):
            reference = f"both {number}"
            answers = await asyncio.gather(
                first.submit(ama.wants(reference, GHS)), second.submit(ama.wants(reference, NGN))
            )
            assert kinds(answers) == {"Placement": 1, "replayed": 1}
            assert answers[0].order.id == answers[1].order.id
    assert await ama.orders() == 10
    await ama.check_books()


async def test_different_requests_under_one_reference_through_two_wallets_conflict(ama: Customer, armed: Any) -> None:
    armed("lane.after_write=sleep:0.05")
    async with lanes(ama.database, 2) as (first, second):
        answers = await asyncio.gather(
            first.submit(ama.wants("r", GHS)),
            second.submit(ama.wants("r", NGN, fingerprint="another")),
            return_exceptions=True,
        )
    assert kinds(answers) == {"Placement": 1, "ReferenceReused": 1}
    assert await ama.orders() == 1
    await ama.check_books()


async def test_lanes_that_want_each_others_wallets_never_wait_for_each_other(ama: Customer) -> None:
    kofi = await customer(ama.database, ghs_minor=50 * PRICE_MINOR)
    async with lanes(ama.database, 2, batch=16) as both:
        # One lane meets the wallets in one order, the other one in the other; both lock in id order.
        wanted = [
            lane.submit((one if number % 2 else other).wants())
            for lane, one, other in ((both[0], ama, kofi), (both[1], kofi, ama))
            for number in range(50)
        ]
        assert kinds(await asyncio.gather(*wanted, return_exceptions=True)) == {"Placement": 100}
    await ama.check_books()


# Accidents ----------------------------------------------------------------------------------------------------------------


async def test_a_poison_row_fails_alone(ama: Customer) -> None:
    async with lanes(ama.database, 1) as (lane,):
        wanted = [lane.submit(ama.wants(f"r{number}\x00" if number == 7 else f"r{number}")) for number in range(20)]
        answers = await asyncio.gather(*wanted, return_exceptions=True)
    assert isinstance(answers[7], asyncpg.PostgresError)
    assert kinds(answers[:7] + answers[8:]) == {"Placement": 19}
    assert await ama.orders() == 19
    await ama.check_books()


@pytest.mark.parametrize("moment", ["lane.before_begin", "lane.after_locks", "lane.after_write"])
async def test_a_connection_lost_before_commit_places_nothing_and_the_next_purchase_gets_a_new_one(
    ama: Customer, placement: OrderPlacement, armed: Any, moment: str
) -> None:
    await placement.place_all([ama.wants("before")])
    armed(f"{moment}=sleep:0.2")
    under_way = asyncio.create_task(placement.place_all([ama.wants("r")]))
    await asyncio.sleep(0.1)
    await terminate_backend(ama, placement)
    with pytest.raises(Busy):
        await under_way
    armed("")
    assert await ama.orders() == 1
    answers = await placement.place_all([ama.wants("r"), ama.wants("before")])
    assert kinds(answers) == {"Placement": 1, "replayed": 1}
    await ama.check_books()


async def terminate_backend(ama: Customer, placement: OrderPlacement) -> None:
    pid = (await placement._batch._connection.get()).get_server_pid()
    assert await ama.value("select pg_terminate_backend($1)", pid)


async def test_an_error_at_any_moment_places_nothing(ama: Customer, placement: OrderPlacement, armed: Any) -> None:
    for moment in ("lane.before_begin", "lane.after_locks", "lane.after_write"):
        armed(f"{moment}=error")
        with pytest.raises(failpoints.FailpointError):
            await placement.place_all([ama.wants("r")])
    armed("")
    assert (await ama.orders(), await ama.balance()) == (0, 50 * PRICE_MINOR)
    assert kinds(await placement.place_all([ama.wants("r")])) == {"Placement": 1}


async def test_what_fails_after_commit_sells_nothing_a_second_time(
    database: Database, ama: Customer, armed: Any
) -> None:
    """Without references nothing would find the orders that are there."""

    def forget(_: object) -> None:
        raise RuntimeError("no room to remember it")

    wanted = [ama.wants(), ama.wants()]
    async with lanes(ama.database, 1) as (lane,):
        armed("lane.after_commit=error")
        answers = await asyncio.gather(*map(lane.submit, wanted), return_exceptions=True)
        assert kinds(answers) == {"FailpointError": 2}
        assert await ama.orders() == 2
        armed("")
        database.on_commit = forget
        answers = await asyncio.gather(*map(lane.submit, wanted), return_exceptions=True)
        assert kinds(answers) == {"Placement": 2}
    assert await ama.orders() == 4
    await ama.check_books()


@pytest.fixture
async def cut_off(database_url: str) -> AsyncIterator[tuple[Proxy, OrderPlacement]]:
    """A lane's transaction behind a proxy."""
    async with behind_a_proxy(database_url) as (proxy, url):
        behind = await Database.open(url, pool_size=1)
        placement = OrderPlacement(behind, kinds=KINDS)
        yield proxy, placement
        await placement.close()
        await behind.close()


async def test_an_answer_lost_after_commit_is_looked_up_and_given(
    ama: Customer, cut_off: tuple[Proxy, OrderPlacement]
) -> None:
    proxy, placement = cut_off
    await placement.place_all([ama.wants("before")])
    proxy.cut = "after"
    answers = await placement.place_all([ama.wants("r1"), ama.wants("r2"), ama.wants("r1"), ama.wants("before")])
    assert kinds(answers) == {"Placement": 2, "replayed": 2}
    assert await ama.orders() == 3
    await ama.check_books()


async def test_a_commit_that_never_arrived_is_busy_for_everybody_and_takes_nothing(
    ama: Customer, cut_off: tuple[Proxy, OrderPlacement]
) -> None:
    proxy, placement = cut_off
    await placement.place_all([ama.wants("before")])
    proxy.cut = "before"
    with pytest.raises(Busy):
        await placement.place_all([ama.wants("r1"), ama.wants("r1", fingerprint="another")])
    assert (await ama.orders(), await ama.balance()) == (1, 49 * PRICE_MINOR)
    assert proxy.cut is None
    assert kinds(await placement.place_all([ama.wants("r1")])) == {"Placement": 1}
    await ama.check_books()


# What the database itself refuses -------------------------------------------------------------------------------------------


FORBIDDEN = [
    "update transfer set amount_minor = 1",
    "update transfer set created_at = now() where false",
    "delete from transfer",
    "truncate transfer",
    "update wallet set balance_minor = -1",
    "insert into transfer (cause, kind, debit, credit, amount_minor) values (1000, 3, 1, 1, 5)",
    "insert into transfer (cause, kind, debit, credit, amount_minor) values (1000, 3, 1, 2, 0)",
    "insert into transfer (cause, kind, debit, credit, amount_minor) values (1000, 3, 1, 2, -5)",
    "insert into transfer select * from transfer",
    "update orders set price_minor = 0",
    "update orders set state = 'delivered'",
]


async def test_the_database_refuses_what_must_not_happen_to_money(ama: Customer, placement: OrderPlacement) -> None:
    await placement.place_all([ama.wants("r")])
    async with ama.database.connection() as tx:
        for statement in FORBIDDEN:
            with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.RaiseError)):
                await tx.execute(statement)
    await ama.check_books()


async def test_the_same_credit_at_once_is_one(ama: Customer) -> None:
    money = Money(1000, GHS)
    await asyncio.gather(
        *(Credits(ama.database, ama.ledger).add(ama.reseller_id, money, Mode.LIVE, "again") for _ in range(20))
    )
    assert await ama.balance() == 50 * PRICE_MINOR + 1000
    with pytest.raises(ReferenceReused):
        await Credits(ama.database, ama.ledger).add(ama.reseller_id, Money(1001, GHS), Mode.LIVE, "again")
    await ama.check_books()
