"""Finding orders by number and reference, with the index and before it has them; and the figures of the first page."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from telvend.database.connections import Database, Tx
from telvend.errors import NotFound
from telvend.kit.money import GHS, Money
from telvend.orders.model import OrderState
from telvend.orders.overview.service import OrdersOverview
from telvend.orders.search import store
from telvend.orders.search.service import OrderSearch
from tests.store.reporting import Books, moment

ACCRA = ZoneInfo("Africa/Accra")
NUMBER = "+233241234567"


@pytest.fixture
async def books(database: Database) -> AsyncIterator[Books]:
    opened = await Books.open(database)
    await opened.fund(moment("2025-05-01 08:00"), Money(50_000, GHS))
    yield opened
    await opened.close()


async def indexed(books: Books) -> int:
    """Index until nothing is left to do. Returns how many keys there are."""
    search = OrderSearch(books.database)
    for _ in range(200):
        await search.work()
        async with books.database.connection() as tx:
            if await tx.fetchval("select placed_until > now() - interval '2 hours' from order_search_progress"):
                return int(await tx.fetchval("select count(*) from order_search"))
    raise AssertionError("the index never catches up")


async def say(books: Books, statement: str, *values: object) -> None:
    async with books.database.connection() as tx:
        await tx.execute(statement, *values)


async def test_an_order_is_found_by_every_name_before_and_after_it_is_indexed(books: Books) -> None:
    order = await books.sell(moment("2025-05-02 09:00"), GHS, client_reference="INV-7", subscriber=NUMBER)
    await books.sell(moment("2025-05-02 10:00"), GHS, client_reference="INV-8", subscriber="+233209999999")
    await say(books, "update attempt set provider_reference = 'VT-20250502-x' where order_id = $1", order.id)
    search = OrderSearch(books.database)
    names = [order.reference, order.reference.upper(), f"{order.reference}-1", str(order.id), "INV-7", "VT-20250502-x"]

    async def found() -> list[list[int]]:
        return [[one.id for one in await search.named(name)] for name in names]

    assert await found() == [[order.id]] * len(names)
    assert [one.id for one in await search.of_number(NUMBER)] == [order.id]
    assert await indexed(books) == 5
    await say(books, "update orders set created_at = '2020-01-01'")  # Only the index can find them now.
    assert await found() == [[order.id]] * len(names)
    assert [one.id for one in await search.of_number(NUMBER)] == [order.id]
    for text in ("INV-9", "", " ", "\x00", "x" * 200, "%", "INV-7' or true", f"{order.reference}x"):
        assert await search.named(text) == []
    assert (await search.find(order.reference)).id == order.id
    with pytest.raises(NotFound):
        await search.find("INV-7")


async def test_a_provider_that_answers_later_is_found_once_the_order_has_ended(books: Books) -> None:
    order = await books.place(moment("2025-05-02 09:00"), GHS)
    await indexed(books)
    await books.end(moment("2025-05-03 09:00"), order, delivered=True, provider="vt", cost_minor=390)
    await say(books, "update attempt set provider_reference = 'LATE-1' where order_id = $1", order.id)
    search = OrderSearch(books.database)
    assert [one.id for one in await search.named("LATE-1")] == [order.id]
    await search.work()
    async with books.database.connection() as tx:
        assert await tx.fetchval("select count(*) from order_search_open") == 0
    assert [one.id for one in await search.named("LATE-1")] == [order.id]


async def test_orders_of_a_number_page_without_gap_or_repeat(books: Books) -> None:
    placed = [await books.place(moment("2025-05-02 09:00"), GHS, subscriber=NUMBER) for _ in range(4)]
    await indexed(books)
    async with books.database.connection() as tx:
        await tx.execute("update order_search_progress set placed_until = '2025-01-01'")  # Both ways find each of them.
    search, seen, before = OrderSearch(books.database), list[int](), None
    while part := await search.of_number(NUMBER, before=before, limit=3):
        seen += [order.id for order in part]
        before = seen[-1]
    assert seen == [order.id for order in reversed(placed)]


async def test_orders_are_found_while_their_keys_are_packed_and_afterwards(books: Books) -> None:
    order = await books.sell(moment("2025-05-02 09:00"), GHS, client_reference="INV-7", subscriber=NUMBER)
    same = await books.place(moment("2025-05-02 10:00"), GHS, client_reference="INV-8", subscriber=NUMBER)
    keys = await indexed(books)
    await say(books, "update orders set created_at = '2020-01-01'")  # Only the index can find them now.
    await say(books, "update order_search_progress set placed_until = now()")
    search = OrderSearch(books.database)
    # Two later segments, so that the first one is old.
    await say(books, "update orders set id = 2::bigint << 18 where id = $1", same.id)
    await say(books, "update order_search set order_id = 2::bigint << 18 where order_id = $1", same.id)
    packed = 0
    async with books.database.transaction() as tx:
        while (following := await store.next_to_pack(tx)) is not None:
            packed += await store.pack(tx, *following, 1024)
            # In the same transaction as what is packed: at any moment each is found once.
            assert await store.of_number(tx, NUMBER, 2**62, 9) == [2 << 18, order.id]
            assert await store.under_reference(tx, "INV-7", 9) == [order.id]
    assert 0 < packed < keys
    assert await search.work() == 0
    assert [one.id for one in await search.of_number(NUMBER)] == [2 << 18, order.id]
    assert [one.id for one in await search.of_number(NUMBER, before=2 << 18)] == [order.id]
    assert [one.id for one in await search.named("INV-8")] == [2 << 18]


async def test_what_is_indexed_late_is_packed_to_the_rest(books: Books) -> None:
    async with books.database.transaction() as tx:
        for order_id in (7, 8):
            await tx.execute("insert into order_search values (search_key('number', 'x'), $1)", order_id)
            assert await store.pack(tx, 0, store.FIRST_BUCKET, store.BUCKETS) == 1
        row = await tx.fetchrow("select count(*) as rows, sum(length(entries)) as bytes from order_search_packed")
    assert tuple(row) == (1, 12)


async def test_a_busy_day_after_quiet_weeks_is_indexed_in_steps(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = [await books.place(moment(f"2025-05-02 09:{minute:02}"), GHS) for minute in range(12)]
    await say(books, "update order_search_progress set placed_until = '2025-05-01', step_s = 2592000")
    seen: list[int] = []
    plain = store.index

    async def counted(tx: Tx, since: datetime, until: datetime) -> int:
        seen.append(await plain(tx, since, until))
        return seen[-1]

    monkeypatch.setattr(store, "index", counted)
    search = OrderSearch(books.database, most=5)
    while sum(seen) < len(placed):
        await search.work()
    assert max(seen) <= 5
    assert [one.id for one in await search.of_number(NUMBER)] == [order.id for order in reversed(placed)]


async def test_a_shop_that_rests_is_looked_at_once_and_not_written(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    await books.place(moment("2025-05-02 09:00"), GHS)
    await indexed(books)
    search, looks, plain = OrderSearch(books.database), list[int](), store.take

    async def counted(tx: Tx) -> tuple[datetime, float] | None:
        looks.append(1)
        return await plain(tx)

    async def row() -> object:
        async with books.database.connection() as tx:
            return await tx.fetchrow("select xmin::text, placed_until from order_search_progress")

    await search.work()
    before = await row()
    monkeypatch.setattr(store, "take", counted)
    await search.work()
    assert len(looks) == 1
    assert await row() == before


async def test_two_processes_index_at_once_and_neither_waits(books: Books) -> None:
    await books.place(moment("2025-05-02 09:00"), GHS)
    async with books.database.transaction() as tx:
        assert await store.take(tx) is not None
        assert await OrderSearch(books.database).work() == 0
    assert await indexed(books) > 0
    assert await OrderSearch(books.database, pressure=lambda: 100).work() == 0


async def test_what_a_transaction_writes_late_is_not_passed_over(books: Books) -> None:
    async with books.database.connection() as open_one, open_one.transaction():
        began = await open_one.fetchval("select now()")
        async with books.database.transaction() as tx:
            assert await store.horizon(tx, 0.0) <= began
    async with books.database.transaction() as tx:
        assert await store.horizon(tx, 0.0) > began


async def test_the_day_at_a_glance_with_its_figures_after_each_step(books: Books) -> None:
    overview = OrdersOverview(books.database, ACCRA)

    async def glance() -> tuple[int, int, int, int, int, float | None]:
        today = await OrdersOverview(books.database, ACCRA).today()
        found = today.by_currency().get(GHS)
        if found is None:
            return (0, 0, 0, 0, 0, None)
        return found.delivered, found.failed, found.open, found.sold_minor, found.margin_minor, found.success_percent

    async with books.database.connection() as tx:
        now = await tx.fetchval("select clock_timestamp()")
    await books.sell(now - timedelta(days=3), GHS)
    assert await glance() == (0, 0, 0, 0, 0, None)
    order = await books.place(now, GHS)
    assert await glance() == (0, 0, 1, 0, 0, None)
    await books.end(now, order, delivered=True, provider="vt", cost_minor=400)
    assert await glance() == (1, 0, 0, 450, 50, 100.0)
    await books.sell(now, GHS, delivered=False, provider="rl")
    assert await glance() == (1, 1, 0, 450, 50, 50.0)
    today = await overview.today()
    assert {(one.day, one.delivered, one.sold.minor) for one in today.days} == {
        (today.day, 1, 450), (today.day - timedelta(days=3), 1, 450)
    }  # fmt: skip
    assert {name: one.success_percent for (name, _), one in today.by_provider().items()} == {"rl": 0.0, "vt": 100.0}
    assert [one.delivered for one in today.by_network().values()] == [1]
    await overview.close()


async def test_what_is_open_for_a_day_is_listed_oldest_first(books: Books) -> None:
    async with books.database.connection() as tx:
        now = await tx.fetchval("select clock_timestamp()")
    overview = OrdersOverview(books.database, ACCRA)
    old = await books.place(now - timedelta(hours=25), GHS)
    await books.sell(now - timedelta(hours=30), GHS)
    fresh = await books.place(now - timedelta(minutes=1), GHS)
    assert [one.id for one in await overview.open_since(timedelta(hours=24), 10)] == [old.id]
    assert [one.id for one in await overview.open_since(timedelta(seconds=1), 10)] == [old.id, fresh.id]
    (line,) = await overview.open()
    assert (line.state, line.live, line.orders, line.held) == (OrderState.ACCEPTED, True, 2, Money(900, GHS))
    assert line.oldest_s == pytest.approx(25 * 3600, abs=60)


async def test_a_glance_shows_what_was_read_last_and_reads_again_behind_it(books: Books) -> None:
    async with books.database.connection() as tx:
        now = await tx.fetchval("select clock_timestamp()")
    patient, hasty = OrdersOverview(books.database, ACCRA), OrdersOverview(books.database, ACCRA, fresh_s=0.0)
    first, second = await patient.today(), await hasty.today()
    await books.sell(now, GHS)
    assert await patient.today() is first
    assert await hasty.today() is second
    await hasty._today.renew()
    assert (await hasty.today()).by_currency()[GHS].delivered == 1
    await patient.close()
    await hasty.close()
