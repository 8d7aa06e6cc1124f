"""What subscribers have, in a real database: locked, loaded, changed and written in batches."""

import pytest

from telvend.kit.db import Database
from telvend.subscribers import store
from telvend.subscribers.model import Kind, NotEnough
from tests.store.subscribing import AMA, data, give, money, subscriber

pytestmark = pytest.mark.usefixtures("database")


async def test_what_is_given_is_there_and_its_postings_add_up(database: Database) -> None:
    ama = await subscriber(database)
    await give(database, ama, money(500), data(1024))
    await give(database, ama, money(250))
    async with database.connection() as tx:
        found = await tx.fetch(
            "select b.main, b.balance, b.postings, sum(p.change)::bigint as posted, count(*) from bucket b"
            " join bucket_posting p on p.bucket_id = b.id group by b.id order by b.id"
        )
    assert [tuple(row) for row in found] == [(True, 750, 2, 750, 2), (False, 1024, 1, 1024, 1)]


async def test_buckets_are_loaded_in_the_order_in_which_python_uses_them(database: Database) -> None:
    ama = await subscriber(database)
    await give(database, ama, data(1, days=None), data(2, days=30), data(3, days=7, first_use=True), data(4, days=5))
    await give(database, ama, data(5, days=5), data(6, days=1, line="router"), data(7, priority=10), money(8))
    numbers = store.BucketNumbers()
    async with database.transaction() as tx:
        subscribers, now = await store.lock_subscribers(tx, [ama])
        assert now is not None
        loaded = []
        for most in range(1, 8):
            accounts = await store.load_accounts(
                tx, subscribers, now, numbers, uses=[store.Use(ama, Kind.DATA)], most=most
            )
            loaded.append([bucket.balance for bucket in accounts[ama].eligible(Kind.DATA)])
        assert loaded[-1] == [7, 4, 5, 3, 2, 1]
        assert loaded[:6] == [loaded[-1][: most + 1] for most in range(6)]
        with pytest.raises(NotEnough):
            accounts[ama].consume(Kind.DATA, 23, "more than there is")
        accounts[ama].consume(Kind.DATA, 19, "some")
        await store.write_accounts(tx, accounts.values())
    async with database.connection() as tx:
        left = await tx.fetch("select balance, open from bucket where kind = 'data' and line = '' order by id")
    assert [tuple(row) for row in left] == [(1, True), (2, True), (0, False), (0, False), (0, False), (0, False)]


async def test_the_id_of_a_subscriber_is_found_by_mode_and_number(database: Database) -> None:
    ama = await subscriber(database)
    async with database.connection() as tx:
        assert await store.find_ids(tx, [("live", AMA), ("test", AMA)]) == {("live", AMA): ama}  # type: ignore[list-item]
