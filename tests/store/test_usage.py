"""Usage of balances in a real database: used, reserved, corrected and swept, by several processes at once."""

import asyncio
from typing import Any

import pytest

from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound, ReferenceReused
from telvend.kit.mode import Mode
from telvend.kit.money import GHS
from telvend.operator.subscribers.balances.model import BucketKind, NotEnough, ReservationState
from telvend.operator.usage import service as usage_service
from tests.store.subscribers import AMA, LIVE, Room, data, money, rooms


async def test_consuming_counts_once_for_its_reference(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(5, days=1), data(10)], "g")
    done = await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 7, "c")
    assert ([taken.amount for taken in done.taken], done.replayed) == ([5, 2], False)
    assert (await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 7, "c")).replayed
    with pytest.raises(ReferenceReused):
        await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 6, "c")
    with pytest.raises(NotEnough):
        await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 9, "c2")
    with pytest.raises(NotFound):
        await ama.usage.consume(LIVE, "+233241111111", BucketKind.DATA, 9, "c2")
    assert await ama.data() == [8]


async def test_writers_of_several_processes_never_use_more_than_there_is(database: Database) -> None:
    async with rooms(database, 3) as (one, other, third):
        await one.subscribers.add(AMA, tariff_plan="P", currency=GHS)
        await one.provisioning.grant(LIVE, AMA, [data(10 + n, days=1 + n) for n in range(10)], "g")
        requests = []
        for number in range(120):
            for room in (one, other, third):
                # Each reference from two of the three.
                if number % 3 != [one, other, third].index(room):
                    verb = room.usage.consume(LIVE, AMA, BucketKind.DATA, 1 + number % 5, f"c{number}")
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
        await one.provisioning.grant(LIVE, AMA, [data(10)], "g")
        armed("subscribers.before_commit=sleep:0.3")
        answers = await asyncio.gather(
            one.usage.consume(LIVE, AMA, BucketKind.DATA, 7, "c1"),
            other.usage.consume(LIVE, AMA, BucketKind.DATA, 7, "c2"),
            return_exceptions=True,
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Done", "NotEnough"]
        assert await one.data() == [3]


async def test_a_reservation_keeps_is_captured_or_goes_back(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(5, days=1), data(10)], "g")
    done = await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 12, "s", 60)
    assert [(taken.amount) for taken in done.taken] == [5, 7]
    assert (await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 12, "s", 60)).replayed
    with pytest.raises(ReferenceReused):
        await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 11, "s", 60)
    with pytest.raises(NotEnough):
        await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 4, "c")
    total = (await ama.plans.read(ama.wanted())).totals or {}
    assert (total[BucketKind.DATA, False].active, total[BucketKind.DATA, False].reserved) == (3, 12)
    with pytest.raises(InvalidInput):
        await ama.usage.capture(LIVE, AMA, "s", 6, BucketKind.SMS)
    captured = await ama.usage.capture(LIVE, AMA, "s", 6)
    assert ([taken.amount for taken in captured.taken], captured.replayed) == ([5, 1], False)
    assert (await ama.usage.capture(LIVE, AMA, "s", 6)).replayed
    for verb in (ama.usage.capture(LIVE, AMA, "s", 5), ama.usage.release(LIVE, AMA, "s")):
        with pytest.raises(InvalidInput):
            await verb
    await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 9, "s2", 60)
    assert not (await ama.usage.release(LIVE, AMA, "s2")).replayed
    assert (await ama.usage.release(LIVE, AMA, "s2")).replayed
    with pytest.raises(NotFound):
        await ama.usage.release(LIVE, AMA, "s3")
    assert (await ama.data(), await ama.usage.reservations(LIVE, AMA)) == ([9], [])


async def test_reserved_and_captured_in_one_batch(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(10)], "g")
    await asyncio.gather(
        ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 6, "s", 60),
        ama.usage.capture(LIVE, AMA, "s", 2),
        ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 8, "s2", 60),
        ama.usage.release(LIVE, AMA, "s2"),
    )
    assert await ama.data() == [8]


async def test_a_reservation_past_its_deadline_goes_back_when_somebody_uses_the_balance(ama: Room) -> None:
    await ama.usage.sweeper.close()
    await ama.provisioning.grant(LIVE, AMA, [data(10)], "g")
    await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 8, "s", 60)
    await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 2, "s2", 60)
    await ama.execute("update reservation set due_at = now() where reference = 's'")
    assert [taken.amount for taken in (await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 7, "c")).taken] == [7]
    assert [held.reference for held in await ama.usage.reservations(LIVE, AMA)] == ["s2"]
    with pytest.raises(InvalidInput):
        await ama.usage.capture(LIVE, AMA, "s")
    await ama.execute("update reservation set due_at = now() where reference = 's2'")
    with pytest.raises(InvalidInput):
        await ama.usage.capture(LIVE, AMA, "s2")
    assert (await ama.usage.release(LIVE, AMA, "s2")).replayed


async def test_a_bucket_is_corrected_and_a_closed_one_opens_again(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(10)], "g")
    ((bucket,), _) = await ama.subscribers.buckets(LIVE, AMA)
    await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 10, "c")
    await ama.usage.adjust(LIVE, AMA, bucket.id, BucketKind.DATA, 4, "a complaint")
    assert await ama.data() == [4]
    with pytest.raises(InvalidInput):
        await ama.usage.adjust(LIVE, AMA, bucket.id, BucketKind.SMS, 4, "mistaken")
    await ama.subscribers.add("+233241111111", tariff_plan="P", currency=GHS)
    for msisdn, number in (("+233241111111", bucket.id), (AMA, bucket.id + 1)):
        with pytest.raises(NotFound):
            await ama.usage.adjust(LIVE, msisdn, number, BucketKind.DATA, 5, "mistaken")
    lines = await ama.subscribers.postings(LIVE, AMA)
    assert [(line.posting, line.change, line.balance_after) for line in lines] == [
        ("adjust", 4, 4),
        ("consume", -10, 0),
        ("grant", 10, 10),
    ]
    assert await ama.subscribers.postings_of_bucket(LIVE, AMA, bucket.id, before=3, limit=1) == [lines[1]]


@pytest.mark.parametrize("moment", ["subscribers.after_locks", "subscribers.before_commit"])
async def test_a_connection_that_breaks_is_made_up_for(ama: Room, armed: Any, moment: str) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(10)], "g")
    await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 1, "before")
    armed(f"{moment}=sleep:0.2@1")
    under_way = asyncio.create_task(ama.usage.consume(LIVE, AMA, BucketKind.DATA, 3, "c"))
    await asyncio.sleep(0.1)
    pid = (await ama.usage._batch._connection.get()).get_server_pid()
    await ama.execute("select pg_terminate_backend($1)", pid)
    assert not (await under_way).replayed
    assert await ama.data() == [6]


async def test_somebody_with_more_buckets_than_are_loaded_can_use_them_all(
    ama: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_service, "MOST_LOADED", 3)
    await ama.provisioning.grant(LIVE, AMA, [data(10, days=9 - n) for n in range(8)], "g")
    done = await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 25, "few")
    assert [taken.amount for taken in done.taken] == [10, 10, 5]
    done = await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 42, "many", 60)
    assert [taken.amount for taken in done.taken] == [5, 10, 10, 10, 7]
    with pytest.raises(NotEnough) as refused:
        await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 14, "too many")
    assert refused.value.available == 13
    await ama.usage.release(LIVE, AMA, "many")
    done = await ama.usage.consume(LIVE, AMA, BucketKind.DATA, 6, "in order again")
    assert [taken.amount for taken in done.taken] == [5, 1]


async def test_the_sweeper_takes_what_is_over_and_gives_back_what_is_overdue(ama: Room) -> None:
    await ama.usage.sweeper.close()
    await ama.provisioning.grant(LIVE, AMA, [data(10, days=1), data(20, days=2), money(5)], "g")
    await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 12, "s", 60)
    await ama.provisioning.grant(Mode.TEST, AMA, [data(7, days=1)], "g")
    await ama.execute("update bucket set expires_at = now() where validity_days = 1")
    # The first is reserved whole, so that nothing of it can go yet.
    assert await ama.usage.sweeper.work_off() == 1
    assert (await ama.data(), await ama.data(Mode.TEST)) == ([10, 20], [])
    await ama.execute("update reservation set due_at = now()")
    assert await ama.usage.sweeper.work_off() == 2
    assert await ama.data() == [20]
    assert await ama.usage.sweeper.work_off() == 0
    lines = await ama.subscribers.postings(LIVE, AMA, closed=True)
    assert [line.posting for line in lines if line.posting == "expire"] == ["expire"]
    await ama.check()


async def test_a_subscriber_whose_books_are_damaged_keeps_nobody_from_being_swept(database: Database) -> None:
    room = Room(database)
    for msisdn in (AMA, "+233241111111"):
        await room.subscribers.add(msisdn, tariff_plan="P", currency=GHS)
        await room.provisioning.grant(LIVE, msisdn, [data(10, days=1)], "g")
        await room.usage.reserve(LIVE, msisdn, BucketKind.DATA, 5, "s", 60)
    await room.execute("update reservation_part set bucket_id = 999 where reservation_id = 1")
    await room.execute("update reservation set due_at = now()")
    assert await room.usage.sweeper.work_off() == 1
    assert await room.usage.reservations(LIVE, "+233241111111") == []
    assert len(await room.usage.reservations(LIVE, AMA)) == 1
    await room.close()


async def test_sweepers_and_users_do_not_meet(database: Database) -> None:
    async with rooms(database, 2) as (one, other):
        for number in range(20):
            msisdn = f"+2332411111{number:02}"
            await one.subscribers.add(msisdn, tariff_plan="P", currency=GHS)
            await one.provisioning.grant(LIVE, msisdn, [data(10, days=1), data(10)], "g")
            await one.usage.reserve(LIVE, msisdn, BucketKind.DATA, 15, "s", 60)
        await one.execute("update bucket set expires_at = now() where validity_days = 1")
        await one.execute("update reservation set due_at = now()")
        await asyncio.gather(
            one.usage.sweeper.work_off(),
            other.usage.sweeper.work_off(),
            *(other.usage.consume(LIVE, f"+2332411111{n:02}", BucketKind.DATA, 3, "c") for n in range(20)),
        )
        await one.usage.sweeper.work_off()
        async with database.connection() as tx:
            assert await tx.fetchval("select sum(balance) from bucket") == 20 * 7


async def test_reservations_end_in_one_of_three_ways(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(3)], "g")
    for reference in ("a", "b", "c"):
        await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 1, reference, 60)
    captured = (await ama.usage.capture(LIVE, AMA, "a")).reservation
    released = (await ama.usage.release(LIVE, AMA, "b")).reservation
    await ama.execute("update reservation set due_at = now() where reference = 'c'")
    await ama.usage.sweeper.work_off()
    expired = (await ama.usage.release(LIVE, AMA, "c")).reservation
    assert [found.state for found in (captured, released, expired) if found] == [
        ReservationState.CAPTURED,
        ReservationState.RELEASED,
        ReservationState.EXPIRED,
    ]
