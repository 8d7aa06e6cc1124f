"""Subscribers in a real database: locked, loaded and written in batches; added, changed, listed; their books."""

from datetime import UTC, datetime

import pytest

from telvend.audit.service import audit_books
from telvend.database.connections import Database
from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN
from telvend.operator.subscribers import store
from telvend.operator.subscribers.balances import store as balances
from telvend.operator.subscribers.balances.model import BucketKind, NotEnough
from telvend.operator.subscribers.model import Billing, SubscriberBarred, SubscriberStatus
from tests.store.subscribers import AMA, INVARIANTS, LIVE, Room, data, give, money, subscriber


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
    numbers = balances.bucket_numbers()
    async with database.transaction() as tx:
        subscribers, now = await store.lock_subscribers(tx, [ama])
        assert now is not None
        loaded = []
        for most in range(1, 8):
            accounts = await balances.load_accounts(
                tx, subscribers, now, numbers, uses=[balances.BucketUse(ama, BucketKind.DATA)], most=most
            )
            loaded.append([bucket.balance for bucket in accounts[ama].eligible(BucketKind.DATA)])
        assert loaded[-1] == [7, 4, 5, 3, 2, 1]
        assert loaded[:6] == [loaded[-1][: most + 1] for most in range(6)]
        with pytest.raises(NotEnough):
            accounts[ama].consume(BucketKind.DATA, 23, "more than there is")
        accounts[ama].consume(BucketKind.DATA, 19, "some")
        await balances.write_accounts(tx, accounts.values())
    async with database.connection() as tx:
        left = await tx.fetch("select balance, open from bucket where kind = 'data' and line = '' order by id")
    assert [tuple(row) for row in left] == [(1, True), (2, True), (0, False), (0, False), (0, False), (0, False)]


async def test_a_subscriber_is_added_once_in_both_modes_with_nothing(ama: Room) -> None:
    with pytest.raises(AlreadyExists):
        await ama.subscribers.add(AMA, tariff_plan="PulsePlus", currency=GHS)
    for mode in Mode:
        found = await ama.subscribers.find(mode, AMA)
        assert (found.country, found.currency, found.tariff_plan, found.status) == (
            "GH",
            GHS,
            "PulsePlus",
            SubscriberStatus.ACTIVE,
        )
    plans = await ama.plans.read(ama.wanted())
    assert (plans.buckets, plans.totals, plans.momo, plans.missing, plans.currency) == ((), {}, None, frozenset(), GHS)
    with pytest.raises(NotFound):
        await ama.plans.read(ama.wanted(msisdn="+233241111111"))


async def test_what_is_changed_is_changed_in_one_mode_or_in_both(ama: Room) -> None:
    await ama.subscribers.change(AMA, status=SubscriberStatus.SUSPENDED, language="2", billing=Billing.HYBRID)
    await ama.subscribers.change(AMA, mode=Mode.TEST, status=SubscriberStatus.ACTIVE)
    live, test = [await ama.subscribers.find(mode, AMA) for mode in (Mode.LIVE, Mode.TEST)]
    assert (live.status, live.language, test.status, test.billing) == ("Suspended", "2", "Active", "Hybrid")
    with pytest.raises(InvalidInput):
        await ama.subscribers.change(AMA, grace_until=datetime.now(UTC))
    with pytest.raises(SubscriberBarred):
        await ama.subscribers.migrate(LIVE, AMA, "Other")
    assert (await ama.subscribers.migrate(Mode.TEST, AMA, "Other")).tariff_plan == "Other"


async def test_subscribers_are_listed_page_by_page(ama: Room) -> None:
    for number in range(5):
        await ama.subscribers.add(f"+23324111111{number}", tariff_plan="P", currency=GHS)
    first = await ama.subscribers.listed(LIVE, limit=4)
    rest = await ama.subscribers.listed(LIVE, limit=4, after=first[-1].id)
    assert [len(first), len(rest)] == [4, 2]
    assert await ama.subscribers.listed(LIVE, currency=NGN) == []
    assert await ama.subscribers.listed(LIVE, status=SubscriberStatus.BLACKLISTED) == []


async def test_a_line_has_buckets_of_its_own_and_is_nobody_elses(ama: Room) -> None:
    await ama.subscribers.add("+233241111111", tariff_plan="P", currency=GHS)
    assert await ama.subscribers.add_line(AMA, "+233 30-212 3456") == "+233302123456"
    await ama.subscribers.add_line(AMA, "+233302123456")
    with pytest.raises(AlreadyExists):
        await ama.subscribers.add_line("+233241111111", "+233302123456")
    await ama.provisioning.grant(LIVE, AMA, [data(7, line="+233302123456"), data(5)], "g")
    with pytest.raises(NotFound):
        await ama.provisioning.grant(LIVE, AMA, [data(7, line="+233302000000")], "g2")
    plans = await ama.plans.read(ama.wanted(line="+233302123456"))
    assert [bucket.balance for bucket in plans.buckets or ()] == [7]
    with pytest.raises(NotFound):
        await ama.plans.read(ama.wanted(line="+233302000000"))
    with pytest.raises(NotFound):
        await ama.plans.read(ama.wanted(msisdn="+233241111111", line="+233302123456"))
    with pytest.raises(NotEnough):
        await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 6, "c")
    await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 6, "c", line="+233302123456")


# The books ----------------------------------------------------------------------------------------------------------

BROKEN = [
    ("what a bucket holds is the sum of its postings", "update bucket set balance = balance + 1 where not main"),
    ("postings of a bucket have no gaps", "update bucket set postings = postings + 1 where main"),
    (
        "what a bucket holds after each posting follows from the one before",
        "insert into bucket_posting select bucket_id, number + 1, 'adjust', 1, 7, 'x' from bucket_posting"
        " where bucket_id = (select min(id) from bucket)",
    ),
    ("what is reserved of a bucket is what reservations keep of it", "update bucket set reserved = 0"),
    ("a closed bucket holds nothing, an open one something", "update bucket set open = false where main"),
    ("every bucket is a subscriber's", "update bucket set subscriber_id = 999 where main"),
    (
        "a delivery gave each of its parts once, and nothing was given without one",
        "update network_delivery set parts = parts + 1",
    ),
    ("what was consumed under a reference was taken once", "update consumption set amount = amount + 1"),
    (
        "a reservation keeps what it says, and what was captured was taken once",
        "update reservation set captured = 1 where reference = 's'",
    ),
]


@pytest.mark.parametrize(("rule", "damage"), BROKEN, ids=[rule for rule, _ in BROKEN])
async def test_the_check_of_the_books_sees_what_is_damaged(database: Database, rule: str, damage: str) -> None:
    room = Room(database)
    await room.subscribers.add(AMA, tariff_plan="P", currency=GHS)
    await room.provisioning.grant(LIVE, AMA, [money(5), data(10)], "g")
    await room.usage.consume(LIVE, AMA, BucketKind.DATA, 1, "c")
    await room.usage.reserve(LIVE, AMA, BucketKind.DATA, 2, "s", 60)
    assert (await audit_books(database)).ok
    await room.execute(damage)
    report = await audit_books(database)
    assert rule in {finding.rule for finding in report.findings}
    assert rule in report.rules
    await room.close()


def test_every_rule_of_the_books_is_tried() -> None:
    assert [rule for rule, _ in BROKEN] == [invariant.rule for invariant in INVARIANTS]
