"""Both of the simulator's books keep the same rules; the one in PostgreSQL also over several processes and accidents."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telvend.database.connections import Database
from telvend.kit.runtime import Runtime
from telvend.providers.contract import Delivered, Reason, Unknown
from telvend.providers.simulator.book import Book, BookState, BookUnavailable, Line, MemoryBook, asking, delivering
from telvend.providers.simulator.client import Simulator
from telvend.providers.simulator.store import PostgresBook
from tests.clocks import FakeClock
from tests.contract.provider_rigs import delivery_to

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def database(simulator_database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(simulator_database_url, pool_size=2)
    await execute(opened, "truncate simulator.book restart identity")
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "PostgreSQL"])
async def book(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Book]:
    opened: Book = MemoryBook() if request.param == "memory" else PostgresBook(database)
    yield opened
    await opened.close()


async def execute(database: Database, statement: str) -> None:
    async with database.connection() as tx:
        await tx.execute(statement)


def delivered_line(reference: str, provider: str = "simulator", subscriber: str = "+233241234567") -> Line:
    return delivering(provider, delivery_to(subscriber, reference), MIDNIGHT, BookState.DELIVERED)


async def test_page_shows_the_newest_first_and_goes_on_where_it_ended(book: Book) -> None:
    for number in range(5):
        await book.write(delivered_line(f"R-{number}-1"))
    first = await book.page(limit=2)
    assert [line.reference for line in first] == ["R-4-1", "R-3-1"]
    assert [line.reference for line in await book.page(before=first[-1].id, limit=9)] == ["R-2-1", "R-1-1", "R-0-1"]


async def test_page_filters_by_order_attempt_subscriber_and_provider(book: Book) -> None:
    for reference in ("R-1-1", "R-1-2", "R-1-11", "R-11-1", "R-1", "R-1-x", "R-1-1-1"):
        await book.write(delivered_line(reference))
    await book.write(delivered_line("R-2-1", provider="backup"))
    await book.write(delivered_line("R-3-1", subscriber="+233241230000"))

    async def found(**filters: str) -> set[str]:
        return {line.reference for line in await book.page(**filters)}  # type: ignore[arg-type]

    assert await found(reference="R-1") == {"R-1", "R-1-1", "R-1-2", "R-1-11"}
    assert await found(reference="R-1-2") == {"R-1-2"}
    assert await found(provider="backup") == {"R-2-1"}
    assert await found(subscriber="+233241230000") == {"R-3-1"}
    assert await found(subscriber="+233241230000", provider="backup") == set()


async def test_delivered_twice_adds_up_attempts_and_providers(book: Book) -> None:
    await book.write(delivered_line("R-1-1"))
    await book.write(asking("simulator", delivery_to("+233241234567", "R-1-2"), MIDNIGHT))
    assert not await book.delivered_twice()
    await book.write(delivered_line("R-1-3", provider="backup"))
    await book.write(delivered_line("R-2-1"))
    await book.write(delivered_line("R-2-1"))
    assert [(twice.order, twice.deliveries) for twice in await book.delivered_twice()] == [("R-1", 2), ("R-2", 2)]
    assert await book.deliveries() == 4


writes = st.lists(
    st.tuples(
        st.sampled_from(["R-1-1", "R-1-2", "R-2-1"]),
        st.sampled_from(["simulator", "backup"]),
        st.sampled_from(["deliver", "deliver later", "refuse", "refuse later", "ask", "ask"]),
        st.integers(min_value=0, max_value=2),
    ),
    max_size=20,
)


def line_of(reference: str, provider: str, what: str, at: datetime) -> Line:
    delivery = delivery_to("+233241234567", reference)
    later = BookState.ACCEPTED
    match what:
        case "deliver":
            return delivering(provider, delivery, at, BookState.DELIVERED)
        case "deliver later":
            return delivering(provider, delivery, at, later, becomes=BookState.DELIVERED, after_s=3)
        case "refuse":
            return delivering(provider, delivery, at, BookState.REFUSED, reason=Reason.BAD_NUMBER)
        case "refuse later":
            return delivering(provider, delivery, at, later, becomes=BookState.REFUSED, after_s=3, reason=Reason.BARRED)
        case _:
            return asking(provider, delivery, at)


@given(writes, st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_both_books_answer_alike_one_by_one_and_all_at_once(
    database: Database, history: list[tuple[str, str, str, int]], at_once: bool
) -> None:
    await execute(database, "truncate simulator.book restart identity")
    memory, postgres = MemoryBook(), PostgresBook(database)
    at = MIDNIGHT
    lines = []
    for reference, provider, what, passed_s in history:
        at += timedelta(seconds=passed_s)
        lines.append(line_of(reference, provider, what, at))
    try:
        expected = [await memory.write(line) for line in lines]
        if at_once:
            answered = await asyncio.gather(*(postgres.write(line) for line in lines))
        else:
            answered = [await postgres.write(line) for line in lines]
        # Ids are only compared by order: a sequence has gaps, and a batch is written in the order of its keys.
        assert [replace(line, id=0) for line in answered] == [replace(line, id=0) for line in expected]
        assert await postgres.delivered_twice() == await memory.delivered_twice()
        assert await postgres.deliveries() == await memory.deliveries()
    finally:
        await postgres.close()


async def test_of_a_delivery_and_a_question_at_once_exactly_one_is_first(database: Database) -> None:
    books = [PostgresBook(database), PostgresBook(database)]
    clock = FakeClock()
    here, there = (Simulator("simulator", book, clock) for book in books)
    deliveries = [delivery_to("+233241230000", f"R-{number}-1") for number in range(200)]
    answers = await asyncio.gather(
        *(here.deliver(delivery) for delivery in deliveries),
        *(there.requery(delivery) for delivery in reversed(deliveries)),
    )
    for delivery, first, told in zip(deliveries, answers[:200], reversed(answers[200:]), strict=True):
        [line] = await books[0].page(reference=delivery.reference)
        assert type(first) is type(told)
        assert line.deliveries == isinstance(told, Delivered)
        assert (line.requests, line.late) == ((1, 0) if line.deliveries else (0, 1))
    for book in books:
        await book.close()


async def test_lost_connection_is_unknown_and_the_next_delivery_works(database: Database) -> None:
    book = PostgresBook(database)
    simulator = Simulator("simulator", book, FakeClock())
    assert isinstance(await simulator.deliver(delivery_to("+233241230000", "R-1-1")), Delivered)
    await execute(
        database,
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()",
    )
    assert isinstance(await simulator.deliver(delivery_to("+233241230000", "R-2-1")), Unknown | Delivered)
    assert isinstance(await simulator.deliver(delivery_to("+233241230000", "R-3-1")), Delivered)
    assert not await book.delivered_twice()
    await book.close()


async def test_book_out_of_reach_is_unknown(database: Database) -> None:
    nowhere = PostgresBook(Database("postgresql://telvend@127.0.0.1:1/nowhere", database._pool))
    closed = PostgresBook(database)
    await closed.close()
    for book in (nowhere, closed):
        with pytest.raises(BookUnavailable):
            await book.write(delivered_line("R-1-1"))
        simulator = Simulator("simulator", book, FakeClock())
        delivery = delivery_to("+233241230000", "R-1-1")
        for outcome in (await simulator.deliver(delivery), await simulator.requery(delivery)):
            assert isinstance(outcome, Unknown)
            assert outcome.ours
    await nowhere.close()


async def test_line_that_cannot_be_written_fails_alone(database: Database) -> None:
    book = PostgresBook(database)
    good, poison = delivered_line("R-1-1"), delivered_line("R-2-1", subscriber="+2332412\x00")
    results = await asyncio.gather(
        book.write(good), book.write(poison), book.write(good), book.write(good), return_exceptions=True
    )
    assert [type(result) for result in results] == [Line, asyncpg.CharacterNotInRepertoireError, Line, Line]
    assert await book.deliveries() == 3
    await book.close()


async def test_hundreds_at_once_are_written_in_few_commits(database: Database) -> None:
    book = PostgresBook(database)
    batches: list[int] = []
    book._lane._runtime = Runtime(batch=lambda _, size, __: batches.append(size))
    simulator = Simulator("simulator", book, FakeClock())
    outcomes = await asyncio.gather(
        *(simulator.deliver(delivery_to("+233241234567", f"R-{number}-1")) for number in range(600))
    )
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert sum(batches) == 600
    assert len(batches) <= 6
    assert await book.deliveries() == 600
    await book.close()
