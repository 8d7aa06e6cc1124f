"""Plans read in parts: what is shown, what is missing, and who may see mobile money."""

import asyncio
from datetime import timedelta

import pytest

from telvend.errors import Busy, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import GHS
from telvend.operator.entitlements.model import Fault, FaultyPart
from telvend.operator.plans.model import PlanPart
from telvend.operator.plans.service import PlanReader
from telvend.operator.plans.sources import LISTED
from telvend.operator.subscribers.balances.model import BucketKind, Grant
from tests.store.subscribers import AMA, LIVE, Room, data, money

MB = 1024**2


async def test_plans_show_what_there_is_main_account_first_in_the_order_of_use(ama: Room) -> None:
    await ama.provisioning.grant(
        LIVE, AMA, [data(2 * MB, days=30), data(MB, days=1), money(550), Grant(BucketKind.SMS, 9, "SMS", "S-1", 3)], "g"
    )
    await ama.provisioning.grant(LIVE, AMA, [Grant(BucketKind.DATA, 4 * MB, "Week", "W-1", 7, first_use=True)], "g2")
    plans = await ama.plans.read(ama.wanted())
    assert plans.subscriber is not None
    assert plans.subscriber.tariff_plan == "PulsePlus"
    assert [bucket.balance for bucket in plans.buckets or ()] == [550, MB, 4 * MB, 2 * MB, 9]
    totals = plans.totals or {}
    assert {key: (total.active, total.unused, total.buckets) for key, total in totals.items()} == {
        (BucketKind.MONEY, True): (550, 0, 1),
        (BucketKind.DATA, False): (3 * MB, 4 * MB, 3),
        (BucketKind.SMS, False): (9, 0, 1),
    }
    soonest = totals[BucketKind.DATA, False].expires_at
    assert soonest is not None
    assert timedelta(hours=23) < soonest - plans.now <= timedelta(days=1)
    only = await ama.plans.read(ama.wanted(kinds=frozenset({BucketKind.SMS})))
    assert [bucket.balance for bucket in only.buckets or ()] == [9]
    of_product = await ama.plans.read(ama.wanted(product="W-1"))
    assert [bucket.name for bucket in of_product.buckets or ()] == ["Week"]
    assert (await ama.plans.read(ama.wanted(mode=Mode.TEST))).buckets == ()


async def test_of_hundreds_of_buckets_the_first_are_listed_and_all_are_counted(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(1 + n, days=1 + n) for n in range(300)], "g")
    await ama.provisioning.grant(
        LIVE, AMA, [money(5), *(Grant(BucketKind.SMS, 2, "SMS", "", None, True) for _ in range(60))], "g2"
    )
    await ama.usage.reserve(LIVE, AMA, BucketKind.DATA, 6, "s", 60)
    plans = await ama.plans.read(ama.wanted())
    buckets = plans.buckets or ()
    assert len(buckets) == 1 + LISTED + LISTED
    assert [bucket.balance for bucket in buckets[:5]] == [5, 1, 2, 3, 4]
    totals = plans.totals or {}
    found = totals[BucketKind.DATA, False]
    assert (found.active, found.reserved, found.buckets) == (sum(range(1, 301)) - 6, 6, 300)
    assert found.expires_at is not None
    assert timedelta(days=3) < found.expires_at - plans.now <= timedelta(days=4)
    assert totals[BucketKind.SMS, False].unused == 120
    few = await ama.plans.read(ama.wanted(kinds=frozenset({BucketKind.SMS})))
    assert (len(few.buckets or ()), (few.totals or {})[BucketKind.SMS, False]) == (60, totals[BucketKind.SMS, False])


async def test_a_part_that_is_down_is_missing_and_named(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(5)], "g")
    await ama.entitlements.set_fault(AMA, FaultyPart.BALANCE, Fault.DOWN)
    await ama.load()
    plans = await ama.plans.read(ama.wanted())
    assert (plans.buckets, plans.totals, plans.missing) == (None, None, frozenset({PlanPart.BALANCE}))
    assert plans.subscriber is not None
    await ama.entitlements.set_fault(AMA, FaultyPart.PLAN, Fault.DOWN)
    await ama.load()
    with pytest.raises(Busy):
        await ama.plans.read(ama.wanted())
    await ama.entitlements.set_fault(AMA, FaultyPart.BALANCE, None)
    await ama.load()
    plans = await ama.plans.read(ama.wanted())
    assert (plans.subscriber, len(plans.buckets or ()), plans.currency) == (None, 1, GHS)
    with pytest.raises(NotFound):
        await ama.entitlements.set_fault("+233241111111", FaultyPart.PLAN, Fault.DOWN)


async def test_a_part_that_is_slow_is_not_waited_for(ama: Room) -> None:
    await ama.entitlements.set_fault(AMA, FaultyPart.BALANCE, Fault.SLOW)
    await ama.load()
    reading = PlanReader(ama.database, lambda: ama.entitlements.snapshot, deadline_s=0.3)
    reading.start()
    began = asyncio.get_running_loop().time()
    plans = await reading.read(ama.wanted())
    assert 0.2 < asyncio.get_running_loop().time() - began < 2
    assert (plans.missing, plans.buckets) == (frozenset({PlanPart.BALANCE}), None)
    await reading.close()


async def test_a_source_that_really_hangs_is_not_waited_for_and_recovers(ama: Room) -> None:
    await ama.provisioning.grant(LIVE, AMA, [data(5)], "g")
    reading = PlanReader(ama.database, lambda: ama.entitlements.snapshot, deadline_s=0.3)
    reading.start()
    async with ama.database.transaction() as tx:
        await tx.execute("lock table bucket in access exclusive mode")
        plans = await reading.read(ama.wanted())
        assert plans.missing == frozenset({PlanPart.BALANCE})
    assert (await reading.read(ama.wanted())).missing == frozenset()
    await reading.close()
