"""Deliveries to subscribers: exactly once for each reference, whoever races whom, whatever breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from telvend.audit.service import findings_of
from telvend.database.connections import Database
from telvend.errors import Busy, ReferenceReused
from telvend.kit import failpoints
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN
from telvend.operator.provisioning.model import DeliveryAnswer, DeliveryState, NetworkDelivery, Refusal
from telvend.operator.provisioning.service import Provisioning
from telvend.operator.subscribers.balances.account import MAXIMUM
from telvend.operator.subscribers.balances.model import Grant
from telvend.operator.subscribers.model import SubscriberBarred, SubscriberStatus
from tests.store.lossy_proxy import behind_a_proxy
from tests.store.subscribers import AMA, INVARIANTS, LIVE, Room, data, money, subscriber

DELIVERED = DeliveryAnswer(DeliveryState.DELIVERED)
CLOSED = DeliveryAnswer(DeliveryState.CLOSED)


@asynccontextmanager
async def delivering(database: Database, count: int = 1, *, started: bool = True) -> AsyncIterator[list[Provisioning]]:
    """Lanes as so many processes would have them."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            one = Provisioning(database)
            if started:
                one.start()
            stack.push_async_callback(one.close)
            made.append(one)
        yield made


def sold(reference: str, *grants: Grant, msisdn: str = AMA, **facts: Any) -> NetworkDelivery:
    return NetworkDelivery(reference, msisdn, "GH", GHS, grants or (data(1024),), **facts)


async def rows(database: Database, sql: str) -> list[Any]:
    async with database.connection() as tx:
        return [tuple(row) for row in await tx.fetch(sql)]


async def balances(database: Database) -> list[Any]:
    return await rows(
        database,
        "select s.msisdn, s.mode, b.kind, sum(b.balance)::bigint, count(*) from bucket b"
        " join subscriber s on s.id = b.subscriber_id group by 1, 2, 3 order by 1, 2, 3",
    )


async def check(database: Database) -> None:
    async with database.snapshot() as tx:
        assert await findings_of(tx, INVARIANTS) == []


async def test_an_unknown_subscriber_is_made_in_both_modes_and_gets_it_in_one(database: Database) -> None:
    async with delivering(database) as (lane,):
        assert await lane.deliver(sold("r1", data(1024), money(500))) == DELIVERED
    assert await rows(
        database, "select mode, country, currency, tariff_plan, status from subscriber order by mode"
    ) == [
        ("live", "GH", "GHS", "Prepaid", "Active"),
        ("test", "GH", "GHS", "Prepaid", "Active"),
    ]
    assert await balances(database) == [(AMA, "live", "data", 1024, 1), (AMA, "live", "money", 500, 1)]
    await check(database)


async def test_the_same_reference_gives_once_in_one_batch_and_later(database: Database) -> None:
    async with delivering(database) as (lane,):
        answers = await asyncio.gather(*(lane.deliver(sold("r1")) for _ in range(5)))
        assert sorted(answer.replayed for answer in answers) == [False, True, True, True, True]
        assert await lane.deliver(sold("r1")) == DeliveryAnswer(DeliveryState.DELIVERED, replayed=True)
        assert await lane.requery("r1") == DeliveryAnswer(DeliveryState.DELIVERED, replayed=True)
    assert await balances(database) == [(AMA, "live", "data", 1024, 1)]
    await check(database)


async def test_asking_about_an_unknown_reference_closes_it(database: Database) -> None:
    async with delivering(database) as (lane,):
        assert await lane.requery("r1") == CLOSED
        assert await lane.deliver(sold("r1")) == DeliveryAnswer(DeliveryState.CLOSED, replayed=True)
        asked, delivered = await asyncio.gather(lane.requery("r2"), lane.deliver(sold("r2")))
        assert (asked.state, delivered.state) == (DeliveryState.CLOSED, DeliveryState.CLOSED)
    assert await balances(database) == []
    await check(database)


async def test_a_refusal_stays_one_and_gives_nothing(database: Database) -> None:
    async with delivering(database) as (lane,):
        await lane.deliver(sold("first", money(MAXIMUM)))
        refused = await asyncio.gather(
            lane.deliver(sold("full", data(1), money(1))),
            lane.deliver(sold("unknown", msisdn="+233241111111", creates=False)),
            lane.deliver(NetworkDelivery("naira", AMA, "NG", NGN, (money(1),))),
            lane.deliver(sold("fine")),
        )
        assert [answer.reason for answer in refused] == [
            Refusal.FULL,
            Refusal.UNKNOWN_SUBSCRIBER,
            Refusal.OTHER_CURRENCY,
            None,
        ]
        async with database.connection() as tx:
            await tx.execute("update subscriber set status = 'Suspended'")
        assert (await lane.deliver(sold("barred"))).reason is Refusal.BARRED
        async with database.connection() as tx:
            await tx.execute("update subscriber set status = 'Active'")
        assert await lane.deliver(sold("barred")) == DeliveryAnswer(
            DeliveryState.REFUSED, Refusal.BARRED, replayed=True
        )
    assert await balances(database) == [(AMA, "live", "data", 1024, 1), (AMA, "live", "money", MAXIMUM, 1)]
    await check(database)


async def test_a_refusal_that_is_to_be_forgotten_leaves_the_reference_free(database: Database) -> None:
    async with delivering(database) as (lane,):
        refused = await lane.deliver(sold("r1", creates=False, forgets=True))
        assert refused.reason is Refusal.UNKNOWN_SUBSCRIBER
        assert await lane.deliver(sold("r1", fingerprint="a")) == DELIVERED
        with pytest.raises(ReferenceReused):
            await lane.deliver(sold("r1", fingerprint="b"))


async def test_the_clocks_move_with_a_delivery(database: Database) -> None:
    ama = await subscriber(database, usable=False)
    async with delivering(database) as (lane,):
        await lane.deliver(sold("r1", active_days=30, grace_days=30))
    (moved,) = await rows(
        database, f"select usable_until > now() + interval '29 days' from subscriber where id = {ama}"
    )
    assert moved == (True,)


async def test_processes_that_race_for_references_and_new_subscribers_give_each_once(database: Database) -> None:
    references = [f"r{number}" for number in range(60)]
    numbers = [f"+23324100{number % 7:04}" for number in range(60)]
    async with delivering(database, 4) as lanes:
        answers = await asyncio.gather(
            *(
                lane.deliver(sold(reference, money(5), data(7), msisdn=msisdn))
                for place, lane in enumerate(lanes)
                # Each in an order of its own, so that they meet crosswise.
                for reference, msisdn in sorted(zip(references, numbers, strict=True), key=lambda it: hash((place, it)))
            )
        )
    assert len(answers) == 240
    assert sum(not answer.replayed for answer in answers) == 60
    assert sum(row[3] for row in await balances(database)) == 60 * 12
    assert await rows(database, "select count(*) from subscriber") == [(14,)]
    await check(database)


async def test_a_question_and_a_delivery_that_race_agree(database: Database) -> None:
    async with delivering(database, 2) as (one, other):
        answers = await asyncio.gather(
            *(answer for n in range(50) for answer in (one.deliver(sold(f"r{n}")), other.requery(f"r{n}")))
        )
    for delivered, asked in zip(answers[::2], answers[1::2], strict=True):
        assert delivered.state is asked.state
    given = sum(answer.state is DeliveryState.DELIVERED for answer in answers[::2])
    assert await rows(database, "select count(*) from bucket") == [(given,)]
    await check(database)


@pytest.mark.parametrize("moment", ["subscribers.after_locks", "subscribers.before_commit"])
async def test_a_connection_that_breaks_before_the_commit_is_made_up_for(
    database: Database, armed: Any, moment: str
) -> None:
    async with delivering(database) as (lane,):
        await lane.deliver(sold("before"))
        armed(f"{moment}=sleep:0.2@1")
        under_way = asyncio.create_task(lane.deliver(sold("r1")))
        await asyncio.sleep(0.1)
        pid = (await lane._batch._connection.get()).get_server_pid()
        async with database.connection() as tx:
            assert await tx.fetchval("select pg_terminate_backend($1)", pid)
        assert await under_way == DELIVERED
    assert await rows(database, "select count(*) from bucket") == [(2,)]
    await check(database)


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_connection_that_breaks_during_the_commit_gives_once(
    database: Database, database_url: str, cut: str
) -> None:
    async with behind_a_proxy(database_url) as (proxy, url):
        behind = await Database.open(url, pool_size=1)
        async with delivering(behind) as (lane,):
            await lane.deliver(sold("before"))
            proxy.cut = cut
            answers = await asyncio.gather(*(lane.deliver(sold(f"r{n}")) for n in range(3)))
            assert [answer.state for answer in answers] == [DeliveryState.DELIVERED] * 3
            assert [answer.replayed for answer in answers] == [cut == "after"] * 3
        await behind.close()
    assert await rows(database, "select count(*) from bucket") == [(4,)]
    await check(database)


async def test_without_a_database_it_is_busy(database: Database, armed: Any) -> None:
    async with delivering(database, started=False) as (lane,):
        armed("subscribers.after_locks=error")
        with pytest.raises(failpoints.FailpointError):
            await lane.deliver(sold("r1"))
        armed("")
        lane._batch._connection._database = Database("postgresql://127.0.0.1:1/nowhere", None)
        lane._batch._connection.drop()
        with pytest.raises(Busy):
            await lane.deliver(sold("r1"))
    assert await rows(database, "select count(*) from network_delivery") == [(0,)]


async def test_play_money_makes_nothing_live(database: Database) -> None:
    async with delivering(database) as (lane,):
        await lane.deliver(sold("r1", mode=Mode.TEST))
    assert await balances(database) == [(AMA, "test", "data", 1024, 1)]


async def test_a_grant_is_given_once_for_its_reference_and_a_refused_one_leaves_it_free(ama: Room) -> None:
    await ama.subscribers.change(AMA, status=SubscriberStatus.SUSPENDED)
    with pytest.raises(SubscriberBarred):
        await ama.provisioning.grant(LIVE, AMA, [data(5)], "g")
    await ama.subscribers.change(AMA, status=SubscriberStatus.ACTIVE)
    assert await ama.provisioning.grant(LIVE, AMA, [data(5)], "g") is False
    assert await ama.provisioning.grant(LIVE, AMA, [data(5)], "g") is True
    with pytest.raises(ReferenceReused):
        await ama.provisioning.grant(LIVE, AMA, [data(6)], "g")
    assert await ama.provisioning.grant(Mode.TEST, AMA, [data(6)], "g") is False
    assert (await ama.data(), await ama.data(Mode.TEST)) == ([5], [6])
