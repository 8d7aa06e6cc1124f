"""What subscribers have, in a real database: locked, loaded, used and written in batches; swept; read in parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telvend.audit.service import audit_books, findings_of
from telvend.database.connections import Database
from telvend.errors import AlreadyExists, Busy, InvalidInput, NotFound, NotPermitted, ReferenceReused
from telvend.kit.clock import SystemClock
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN
from telvend.operator.entitlements.model import Bonus, Fault, FaultyPart, Profile
from telvend.operator.entitlements.service import Offering
from telvend.operator.plans.model import PlanPart, PlansWanted
from telvend.operator.plans.service import LISTED, Reading
from telvend.operator.subscribers import store
from telvend.operator.subscribers.invariants import INVARIANTS
from telvend.operator.subscribers.model import (
    Billing,
    Grant,
    Kind,
    MomoChange,
    NotEnough,
    ReservationState,
    Status,
    SubscriberBarred,
)
from telvend.operator.subscribers.service import Subscribers
from tests.store.subscribing import AMA, data, give, money, subscriber

LIVE = Mode.LIVE
MB = 1024**2


class Room:
    """Subscribers of one process, with their offering."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.offering = Offering(database)
        self.subscribers = Subscribers(database, self.offering, SystemClock())

    async def load(self) -> None:
        async with self.database.connection() as tx:
            await self.offering.load(tx)

    async def execute(self, sql: str, *arguments: object) -> None:
        async with self.database.connection() as tx:
            await tx.execute(sql, *arguments)

    async def check(self) -> None:
        async with self.database.snapshot() as tx:
            assert await findings_of(tx, INVARIANTS) == []

    async def data(self, mode: Mode = LIVE) -> list[int]:
        buckets, _ = await self.subscribers.buckets(mode, AMA)
        return [bucket.balance for bucket in buckets if bucket.kind is Kind.DATA]

    def wanted(self, **facts: Any) -> PlansWanted:
        return PlansWanted(**({"mode": LIVE, "msisdn": AMA} | facts))


@asynccontextmanager
async def rooms(database: Database, count: int) -> AsyncIterator[list[Room]]:
    """As so many processes would have them; everything is checked at the end."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            one = Room(database)
            await one.load()
            one.subscribers.start()
            stack.push_async_callback(one.subscribers.close)
            made.append(one)
        yield made
        await made[0].check()


@pytest.fixture
async def room(database: Database) -> AsyncIterator[Room]:
    async with rooms(database, 1) as (made,):
        yield made


@pytest.fixture
async def ama(room: Room) -> Room:
    """The room, with one subscriber in it who has nothing."""
    await room.subscribers.add(AMA, tariff_plan="PulsePlus", currency=GHS)
    return room


# Locked, loaded, written ----------------------------------------------------------------------------------------------


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
    numbers = store.bucket_numbers()
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


# Who there is ---------------------------------------------------------------------------------------------------------


async def test_a_subscriber_is_added_once_in_both_modes_with_nothing(ama: Room) -> None:
    with pytest.raises(AlreadyExists):
        await ama.subscribers.add(AMA, tariff_plan="PulsePlus", currency=GHS)
    for mode in Mode:
        found = await ama.subscribers.find(mode, AMA)
        assert (found.country, found.currency, found.tariff_plan, found.status) == (
            "GH",
            GHS,
            "PulsePlus",
            Status.ACTIVE,
        )
    plans = await ama.subscribers.plans(ama.wanted())
    assert (plans.buckets, plans.totals, plans.momo, plans.missing, plans.currency) == ((), {}, None, frozenset(), GHS)
    with pytest.raises(NotFound):
        await ama.subscribers.plans(ama.wanted(msisdn="+233241111111"))


async def test_what_is_changed_is_changed_in_one_mode_or_in_both(ama: Room) -> None:
    await ama.subscribers.change(AMA, status=Status.SUSPENDED, language="2", billing=Billing.HYBRID)
    await ama.subscribers.change(AMA, mode=Mode.TEST, status=Status.ACTIVE)
    live, test = [await ama.subscribers.find(mode, AMA) for mode in (Mode.LIVE, Mode.TEST)]
    assert (live.status, live.language, test.status, test.billing) == ("Suspended", "2", "Active", "Hybrid")
    with pytest.raises(InvalidInput):
        await ama.subscribers.change(AMA, reachable_until=datetime.now(UTC))
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
    assert await ama.subscribers.listed(LIVE, status=Status.BLACKLISTED) == []


async def test_a_line_has_buckets_of_its_own_and_is_nobody_elses(ama: Room) -> None:
    await ama.subscribers.add("+233241111111", tariff_plan="P", currency=GHS)
    assert await ama.subscribers.add_line(AMA, "+233 30-212 3456") == "+233302123456"
    await ama.subscribers.add_line(AMA, "+233302123456")
    with pytest.raises(AlreadyExists):
        await ama.subscribers.add_line("+233241111111", "+233302123456")
    await ama.subscribers.grant(LIVE, AMA, [data(7, line="+233302123456"), data(5)], "g")
    with pytest.raises(NotFound):
        await ama.subscribers.grant(LIVE, AMA, [data(7, line="+233302000000")], "g2")
    plans = await ama.subscribers.plans(ama.wanted(line="+233302123456"))
    assert [bucket.balance for bucket in plans.buckets or ()] == [7]
    with pytest.raises(NotFound):
        await ama.subscribers.plans(ama.wanted(line="+233302000000"))
    with pytest.raises(NotFound):
        await ama.subscribers.plans(ama.wanted(msisdn="+233241111111", line="+233302123456"))
    with pytest.raises(NotEnough):
        await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 6, "c")
    await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 6, "c", line="+233302123456")


# Given and used -------------------------------------------------------------------------------------------------------


async def test_a_grant_is_given_once_for_its_reference_and_a_refused_one_leaves_it_free(ama: Room) -> None:
    await ama.subscribers.change(AMA, status=Status.SUSPENDED)
    with pytest.raises(SubscriberBarred):
        await ama.subscribers.grant(LIVE, AMA, [data(5)], "g")
    await ama.subscribers.change(AMA, status=Status.ACTIVE)
    assert await ama.subscribers.grant(LIVE, AMA, [data(5)], "g") is False
    assert await ama.subscribers.grant(LIVE, AMA, [data(5)], "g") is True
    with pytest.raises(ReferenceReused):
        await ama.subscribers.grant(LIVE, AMA, [data(6)], "g")
    assert await ama.subscribers.grant(Mode.TEST, AMA, [data(6)], "g") is False
    assert (await ama.data(), await ama.data(Mode.TEST)) == ([5], [6])


async def test_consuming_counts_once_for_its_reference(ama: Room) -> None:
    await ama.subscribers.grant(LIVE, AMA, [data(5, days=1), data(10)], "g")
    done = await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 7, "c")
    assert ([taken.amount for taken in done.taken], done.replayed) == ([5, 2], False)
    assert (await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 7, "c")).replayed
    with pytest.raises(ReferenceReused):
        await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 6, "c")
    with pytest.raises(NotEnough):
        await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 9, "c2")
    with pytest.raises(NotFound):
        await ama.subscribers.consume(LIVE, "+233241111111", Kind.DATA, 9, "c2")
    assert await ama.data() == [8]


async def test_writers_of_several_processes_never_use_more_than_there_is(database: Database) -> None:
    async with rooms(database, 3) as (one, other, third):
        await one.subscribers.add(AMA, tariff_plan="P", currency=GHS)
        await one.subscribers.grant(LIVE, AMA, [data(10 + n, days=1 + n) for n in range(10)], "g")
        requests = []
        for number in range(120):
            for room in (one, other, third):
                # Each reference from two of the three.
                if number % 3 != [one, other, third].index(room):
                    verb = room.subscribers.consume(LIVE, AMA, Kind.DATA, 1 + number % 5, f"c{number}")
                    requests.append(verb)
        answers = await asyncio.gather(*requests, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, NotEnough)]
        used = sum(
            taken.amount for answer in answers if not isinstance(answer, BaseException) for taken in answer.taken
        )
        assert len(refused) + sum(not isinstance(answer, BaseException) for answer in answers) == 240
        left = sum(await one.data())
        assert used + left == sum(range(10, 20))
        assert left < 5


async def test_two_processes_that_use_the_same_balance_wait_for_each_other(database: Database, armed: Any) -> None:
    async with rooms(database, 2) as (one, other):
        await one.subscribers.add(AMA, tariff_plan="P", currency=GHS)
        await one.subscribers.grant(LIVE, AMA, [data(10)], "g")
        armed("subscribers.before_commit=sleep:0.3")
        answers = await asyncio.gather(
            one.subscribers.consume(LIVE, AMA, Kind.DATA, 7, "c1"),
            other.subscribers.consume(LIVE, AMA, Kind.DATA, 7, "c2"),
            return_exceptions=True,
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Done", "NotEnough"]
        assert await one.data() == [3]


async def test_a_reservation_keeps_is_captured_or_goes_back(ama: Room) -> None:
    verbs = ama.subscribers
    await verbs.grant(LIVE, AMA, [data(5, days=1), data(10)], "g")
    done = await verbs.reserve(LIVE, AMA, Kind.DATA, 12, "s", 60)
    assert [(taken.amount) for taken in done.taken] == [5, 7]
    assert (await verbs.reserve(LIVE, AMA, Kind.DATA, 12, "s", 60)).replayed
    with pytest.raises(ReferenceReused):
        await verbs.reserve(LIVE, AMA, Kind.DATA, 11, "s", 60)
    with pytest.raises(NotEnough):
        await verbs.consume(LIVE, AMA, Kind.DATA, 4, "c")
    total = (await verbs.plans(ama.wanted())).totals or {}
    assert (total[Kind.DATA, False].active, total[Kind.DATA, False].reserved) == (3, 12)
    with pytest.raises(InvalidInput):
        await verbs.capture(LIVE, AMA, "s", 6, Kind.SMS)
    captured = await verbs.capture(LIVE, AMA, "s", 6)
    assert ([taken.amount for taken in captured.taken], captured.replayed) == ([5, 1], False)
    assert (await verbs.capture(LIVE, AMA, "s", 6)).replayed
    for verb in (verbs.capture(LIVE, AMA, "s", 5), verbs.release(LIVE, AMA, "s")):
        with pytest.raises(InvalidInput):
            await verb
    await verbs.reserve(LIVE, AMA, Kind.DATA, 9, "s2", 60)
    assert not (await verbs.release(LIVE, AMA, "s2")).replayed
    assert (await verbs.release(LIVE, AMA, "s2")).replayed
    with pytest.raises(NotFound):
        await verbs.release(LIVE, AMA, "s3")
    assert (await ama.data(), await verbs.reservations(LIVE, AMA)) == ([9], [])


async def test_reserved_and_captured_in_one_batch(ama: Room) -> None:
    await ama.subscribers.grant(LIVE, AMA, [data(10)], "g")
    await asyncio.gather(
        ama.subscribers.reserve(LIVE, AMA, Kind.DATA, 6, "s", 60),
        ama.subscribers.capture(LIVE, AMA, "s", 2),
        ama.subscribers.reserve(LIVE, AMA, Kind.DATA, 8, "s2", 60),
        ama.subscribers.release(LIVE, AMA, "s2"),
    )
    assert await ama.data() == [8]


async def test_a_reservation_past_its_deadline_goes_back_when_somebody_uses_the_balance(ama: Room) -> None:
    await ama.subscribers.sweeper.close()
    await ama.subscribers.grant(LIVE, AMA, [data(10)], "g")
    await ama.subscribers.reserve(LIVE, AMA, Kind.DATA, 8, "s", 60)
    await ama.subscribers.reserve(LIVE, AMA, Kind.DATA, 2, "s2", 60)
    await ama.execute("update reservation set due_at = now() where reference = 's'")
    assert [taken.amount for taken in (await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 7, "c")).taken] == [7]
    assert [held.reference for held in await ama.subscribers.reservations(LIVE, AMA)] == ["s2"]
    with pytest.raises(InvalidInput):
        await ama.subscribers.capture(LIVE, AMA, "s")
    await ama.execute("update reservation set due_at = now() where reference = 's2'")
    with pytest.raises(InvalidInput):
        await ama.subscribers.capture(LIVE, AMA, "s2")
    assert (await ama.subscribers.release(LIVE, AMA, "s2")).replayed


async def test_a_bucket_is_corrected_and_a_closed_one_opens_again(ama: Room) -> None:
    await ama.subscribers.grant(LIVE, AMA, [data(10)], "g")
    ((bucket,), _) = await ama.subscribers.buckets(LIVE, AMA)
    await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 10, "c")
    await ama.subscribers.adjust(LIVE, AMA, bucket.id, Kind.DATA, 4, "a complaint")
    assert await ama.data() == [4]
    with pytest.raises(InvalidInput):
        await ama.subscribers.adjust(LIVE, AMA, bucket.id, Kind.SMS, 4, "mistaken")
    await ama.subscribers.add("+233241111111", tariff_plan="P", currency=GHS)
    for msisdn, number in (("+233241111111", bucket.id), (AMA, bucket.id + 1)):
        with pytest.raises(NotFound):
            await ama.subscribers.adjust(LIVE, msisdn, number, Kind.DATA, 5, "mistaken")
    lines = await ama.subscribers.postings(LIVE, AMA)
    assert [(line.posting, line.change, line.balance_after) for line in lines] == [
        ("adjust", 4, 4),
        ("consume", -10, 0),
        ("grant", 10, 10),
    ]
    assert await ama.subscribers.postings_of_bucket(LIVE, AMA, bucket.id, before=3, limit=1) == [lines[1]]


@pytest.mark.parametrize("moment", ["subscribers.after_locks", "subscribers.before_commit"])
async def test_a_connection_that_breaks_is_made_up_for(ama: Room, armed: Any, moment: str) -> None:
    await ama.subscribers.grant(LIVE, AMA, [data(10)], "g")
    await ama.subscribers.consume(LIVE, AMA, Kind.DATA, 1, "before")
    armed(f"{moment}=sleep:0.2@1")
    under_way = asyncio.create_task(ama.subscribers.consume(LIVE, AMA, Kind.DATA, 3, "c"))
    await asyncio.sleep(0.1)
    pid = (await ama.subscribers._using._batch._connection.get()).get_server_pid()
    await ama.execute("select pg_terminate_backend($1)", pid)
    assert not (await under_way).replayed
    assert await ama.data() == [6]


async def test_somebody_with_more_buckets_than_are_loaded_can_use_them_all(
    ama: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_LOADED", 3)
    verbs = ama.subscribers
    await verbs.grant(LIVE, AMA, [data(10, days=9 - n) for n in range(8)], "g")
    done = await verbs.consume(LIVE, AMA, Kind.DATA, 25, "few")
    assert [taken.amount for taken in done.taken] == [10, 10, 5]
    done = await verbs.reserve(LIVE, AMA, Kind.DATA, 42, "many", 60)
    assert [taken.amount for taken in done.taken] == [5, 10, 10, 10, 7]
    with pytest.raises(NotEnough) as refused:
        await verbs.consume(LIVE, AMA, Kind.DATA, 14, "too many")
    assert refused.value.available == 13
    await verbs.release(LIVE, AMA, "many")
    done = await verbs.consume(LIVE, AMA, Kind.DATA, 6, "in order again")
    assert [taken.amount for taken in done.taken] == [5, 1]


# Swept ----------------------------------------------------------------------------------------------------------------


async def test_the_sweeper_takes_what_is_over_and_gives_back_what_is_overdue(ama: Room) -> None:
    verbs = ama.subscribers
    await verbs.sweeper.close()
    await verbs.grant(LIVE, AMA, [data(10, days=1), data(20, days=2), money(5)], "g")
    await verbs.reserve(LIVE, AMA, Kind.DATA, 12, "s", 60)
    await verbs.grant(Mode.TEST, AMA, [data(7, days=1)], "g")
    await ama.execute("update bucket set expires_at = now() where validity_days = 1")
    # The first is reserved whole, so that nothing of it can go yet.
    assert await verbs.sweeper.work_off() == 1
    assert (await ama.data(), await ama.data(Mode.TEST)) == ([10, 20], [])
    await ama.execute("update reservation set due_at = now()")
    assert await verbs.sweeper.work_off() == 2
    assert await ama.data() == [20]
    assert await verbs.sweeper.work_off() == 0
    lines = await verbs.postings(LIVE, AMA, closed=True)
    assert [line.posting for line in lines if line.posting == "expire"] == ["expire"]
    await ama.check()


async def test_a_subscriber_whose_books_are_damaged_keeps_nobody_from_being_swept(database: Database) -> None:
    room = Room(database)
    for msisdn in (AMA, "+233241111111"):
        await room.subscribers.add(msisdn, tariff_plan="P", currency=GHS)
        await room.subscribers.grant(LIVE, msisdn, [data(10, days=1)], "g")
        await room.subscribers.reserve(LIVE, msisdn, Kind.DATA, 5, "s", 60)
    await room.execute("update reservation_part set bucket_id = 999 where reservation_id = 1")
    await room.execute("update reservation set due_at = now()")
    assert await room.subscribers.sweeper.work_off() == 1
    assert await room.subscribers.reservations(LIVE, "+233241111111") == []
    assert len(await room.subscribers.reservations(LIVE, AMA)) == 1
    await room.subscribers.close()


async def test_sweepers_and_users_do_not_meet(database: Database) -> None:
    async with rooms(database, 2) as (one, other):
        for number in range(20):
            msisdn = f"+2332411111{number:02}"
            await one.subscribers.add(msisdn, tariff_plan="P", currency=GHS)
            await one.subscribers.grant(LIVE, msisdn, [data(10, days=1), data(10)], "g")
            await one.subscribers.reserve(LIVE, msisdn, Kind.DATA, 15, "s", 60)
        await one.execute("update bucket set expires_at = now() where validity_days = 1")
        await one.execute("update reservation set due_at = now()")
        await asyncio.gather(
            one.subscribers.sweeper.work_off(),
            other.subscribers.sweeper.work_off(),
            *(other.subscribers.consume(LIVE, f"+2332411111{n:02}", Kind.DATA, 3, "c") for n in range(20)),
        )
        await one.subscribers.sweeper.work_off()
        async with database.connection() as tx:
            assert await tx.fetchval("select sum(balance) from bucket") == 20 * 7


# Read in parts --------------------------------------------------------------------------------------------------------


async def test_plans_show_what_there_is_main_account_first_in_the_order_of_use(ama: Room) -> None:
    verbs = ama.subscribers
    await verbs.grant(
        LIVE, AMA, [data(2 * MB, days=30), data(MB, days=1), money(550), Grant(Kind.SMS, 9, "SMS", "S-1", 3)], "g"
    )
    await verbs.grant(LIVE, AMA, [Grant(Kind.DATA, 4 * MB, "Week", "W-1", 7, first_use=True)], "g2")
    plans = await verbs.plans(ama.wanted())
    assert plans.subscriber is not None
    assert plans.subscriber.tariff_plan == "PulsePlus"
    assert [bucket.balance for bucket in plans.buckets or ()] == [550, MB, 4 * MB, 2 * MB, 9]
    totals = plans.totals or {}
    assert {key: (total.active, total.unused, total.buckets) for key, total in totals.items()} == {
        (Kind.MONEY, True): (550, 0, 1),
        (Kind.DATA, False): (3 * MB, 4 * MB, 3),
        (Kind.SMS, False): (9, 0, 1),
    }
    soonest = totals[Kind.DATA, False].expires_at
    assert soonest is not None
    assert timedelta(hours=23) < soonest - plans.now <= timedelta(days=1)
    only = await verbs.plans(ama.wanted(kinds=frozenset({Kind.SMS})))
    assert [bucket.balance for bucket in only.buckets or ()] == [9]
    of_product = await verbs.plans(ama.wanted(product="W-1"))
    assert [bucket.name for bucket in of_product.buckets or ()] == ["Week"]
    assert (await verbs.plans(ama.wanted(mode=Mode.TEST))).buckets == ()


async def test_of_hundreds_of_buckets_the_first_are_listed_and_all_are_counted(ama: Room) -> None:
    verbs = ama.subscribers
    await verbs.grant(LIVE, AMA, [data(1 + n, days=1 + n) for n in range(300)], "g")
    await verbs.grant(LIVE, AMA, [money(5), *(Grant(Kind.SMS, 2, "SMS", "", None, True) for _ in range(60))], "g2")
    await verbs.reserve(LIVE, AMA, Kind.DATA, 6, "s", 60)
    plans = await verbs.plans(ama.wanted())
    buckets = plans.buckets or ()
    assert len(buckets) == 1 + LISTED + LISTED
    assert [bucket.balance for bucket in buckets[:5]] == [5, 1, 2, 3, 4]
    totals = plans.totals or {}
    found = totals[Kind.DATA, False]
    assert (found.active, found.reserved, found.buckets) == (sum(range(1, 301)) - 6, 6, 300)
    assert found.expires_at is not None
    assert timedelta(days=3) < found.expires_at - plans.now <= timedelta(days=4)
    assert totals[Kind.SMS, False].unused == 120
    few = await verbs.plans(ama.wanted(kinds=frozenset({Kind.SMS})))
    assert (len(few.buckets or ()), (few.totals or {})[Kind.SMS, False]) == (60, totals[Kind.SMS, False])


async def test_a_part_that_is_down_is_missing_and_named(ama: Room) -> None:
    await ama.subscribers.grant(LIVE, AMA, [data(5)], "g")
    await ama.subscribers.fault(AMA, FaultyPart.BALANCE, Fault.DOWN)
    await ama.load()
    plans = await ama.subscribers.plans(ama.wanted())
    assert (plans.buckets, plans.totals, plans.missing) == (None, None, frozenset({PlanPart.BALANCE}))
    assert plans.subscriber is not None
    await ama.subscribers.fault(AMA, FaultyPart.PLAN, Fault.DOWN)
    await ama.load()
    with pytest.raises(Busy):
        await ama.subscribers.plans(ama.wanted())
    await ama.subscribers.fault(AMA, FaultyPart.BALANCE, None)
    await ama.load()
    plans = await ama.subscribers.plans(ama.wanted())
    assert (plans.subscriber, len(plans.buckets or ()), plans.currency) == (None, 1, GHS)
    with pytest.raises(NotFound):
        await ama.subscribers.fault("+233241111111", FaultyPart.PLAN, Fault.DOWN)


async def test_a_part_that_is_slow_is_not_waited_for(ama: Room) -> None:
    await ama.subscribers.fault(AMA, FaultyPart.BALANCE, Fault.SLOW)
    await ama.load()
    reading = Reading(ama.database, lambda: ama.offering.snapshot, deadline_s=0.3)
    reading.start()
    began = asyncio.get_running_loop().time()
    plans = await reading.plans(ama.wanted())
    assert 0.2 < asyncio.get_running_loop().time() - began < 2
    assert (plans.missing, plans.buckets) == (frozenset({PlanPart.BALANCE}), None)
    await reading.close()


async def test_a_source_that_really_hangs_is_not_waited_for_and_recovers(ama: Room) -> None:
    await ama.subscribers.grant(LIVE, AMA, [data(5)], "g")
    reading = Reading(ama.database, lambda: ama.offering.snapshot, deadline_s=0.3)
    reading.start()
    async with ama.database.transaction() as tx:
        await tx.execute("lock table bucket in access exclusive mode")
        plans = await reading.plans(ama.wanted())
        assert plans.missing == frozenset({PlanPart.BALANCE})
    assert (await reading.plans(ama.wanted())).missing == frozenset()
    await reading.close()


# Mobile money ---------------------------------------------------------------------------------------------------------


async def test_mobile_money_is_shown_to_who_proves_it(ama: Room) -> None:
    verbs = ama.subscribers
    proof = await verbs.momo(LIVE, AMA, MomoChange(balance=18_400_00, positive=500_00, negative=1_200_00))
    assert proof is not None
    assert await verbs.momo(LIVE, AMA, MomoChange(overdraft_limit=5_000_00, balance=18_000_00)) is None
    await verbs.reserve(LIVE, AMA, Kind.MOMO, 100_00, "s", 60)
    plans = await verbs.plans(ama.wanted(momo_authorization=proof.reveal()))
    momo = plans.momo
    assert momo is not None
    assert (momo.balance, momo.reserved, momo.positive, momo.negative, momo.overdraft_limit) == (
        18_000_00, 100_00, 500_00, 1_200_00, 5_000_00,
    )  # fmt: skip
    # It is none of the other balances.
    assert plans.buckets == ()
    for wrong in ("", "guess", proof.reveal() + "x"):
        with pytest.raises(NotPermitted):
            await verbs.plans(ama.wanted(momo_authorization=wrong))
    # Who has none is not told apart.
    with pytest.raises(NotPermitted):
        await verbs.plans(ama.wanted(mode=Mode.TEST, momo_authorization=proof.reveal()))
    assert (await verbs.plans(ama.wanted())).momo is None
    another = await verbs.momo(LIVE, AMA, MomoChange(), renew=True)
    assert another is not None
    with pytest.raises(NotPermitted):
        await verbs.plans(ama.wanted(momo_authorization=proof.reveal()))
    await verbs.plans(ama.wanted(momo_authorization=another.reveal()))


async def test_mobile_money_is_blocked_and_let_go(ama: Room) -> None:
    await ama.subscribers.momo(LIVE, AMA, MomoChange())
    await ama.subscribers.set_momo_blocked(LIVE, AMA, True)
    state = await ama.subscribers.momo_state(LIVE, AMA)
    assert state is not None
    assert (state.blocked, state.balance) == (True, 0)
    await ama.subscribers.momo(LIVE, AMA, MomoChange(balance=5))
    with pytest.raises(SubscriberBarred):
        await ama.subscribers.consume(LIVE, AMA, Kind.MOMO, 5, "c")
    await ama.subscribers.set_momo_blocked(LIVE, AMA, False)
    await ama.subscribers.consume(LIVE, AMA, Kind.MOMO, 5, "c")
    assert await ama.subscribers.momo_state(Mode.TEST, AMA) is None
    with pytest.raises(NotFound):
        await ama.subscribers.set_momo_blocked(Mode.TEST, AMA, True)
    with pytest.raises(InvalidInput):
        await ama.subscribers.momo(LIVE, AMA, MomoChange(positive=-1))


# The offering ---------------------------------------------------------------------------------------------------------


async def test_bundles_and_profiles_are_set_and_every_process_hears_of_it(room: Room) -> None:
    offering = room.offering
    async with room.database.connection() as tx:
        before = await tx.fetchval("select number from revision where topic = 'network'")
    await offering.set_bundle("C-1", [(Kind.DATA, 5), (Kind.SMS, 3)], name="Combo", validity_days=7)
    await offering.set_profile(Profile("X1", "Half", 5000, 10, 20, True, (Bonus(Kind.DATA, 0, 5, 0, 7),)))
    async with room.database.connection() as tx:
        assert await tx.fetchval("select number from revision where topic = 'network'") == before + 2
    await room.load()
    profile = offering.snapshot.profile("X1")
    assert profile is not None
    assert profile.bonuses == (Bonus(Kind.DATA, 0, 5, 0, 7),)
    assert [p.id for p in await offering.profiles()] == ["DB00", "X1"]
    assert [b.parts for b in await offering.bundles()] == [((Kind.DATA, 5), (Kind.SMS, 3))]
    assert offering.days_of(offering.grants_of("C-1", "", None, GHS)) == (7, 7)
    assert offering.days_of(offering.grants_of("A", "5.00", None, GHS)) == (90, 180)
    await offering.remove_bundle("C-1")
    with pytest.raises(NotFound):
        await offering.remove_bundle("C-1")
    for parts in ([], [(Kind.DATA, 1), (Kind.DATA, 2)], [(Kind.MOMO, 1)], [(Kind.SMS, 0)]):
        with pytest.raises(InvalidInput):
            await offering.set_bundle("C-1", parts, name="x")


# The books ------------------------------------------------------------------------------------------------------------

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
    await room.subscribers.grant(LIVE, AMA, [money(5), data(10)], "g")
    await room.subscribers.consume(LIVE, AMA, Kind.DATA, 1, "c")
    await room.subscribers.reserve(LIVE, AMA, Kind.DATA, 2, "s", 60)
    assert (await audit_books(database)).ok
    await room.execute(damage)
    report = await audit_books(database)
    assert rule in {finding.rule for finding in report.findings}
    assert rule in report.rules
    await room.subscribers.close()


def test_every_rule_of_the_books_is_tried() -> None:
    assert [rule for rule, _ in BROKEN] == [invariant.rule for invariant in INVARIANTS]


async def test_reservations_end_in_one_of_three_ways(ama: Room) -> None:
    await ama.subscribers.grant(LIVE, AMA, [data(3)], "g")
    for reference in ("a", "b", "c"):
        await ama.subscribers.reserve(LIVE, AMA, Kind.DATA, 1, reference, 60)
    captured = (await ama.subscribers.capture(LIVE, AMA, "a")).reservation
    released = (await ama.subscribers.release(LIVE, AMA, "b")).reservation
    await ama.execute("update reservation set due_at = now() where reference = 'c'")
    await ama.subscribers.sweeper.work_off()
    expired = (await ama.subscribers.release(LIVE, AMA, "c")).reservation
    assert [found.state for found in (captured, released, expired) if found] == [
        ReservationState.CAPTURED,
        ReservationState.RELEASED,
        ReservationState.EXPIRED,
    ]
