"""What products and refills turn into, as the operator sets it."""

import pytest

from telvend.errors import InvalidInput, NotFound
from telvend.kit.money import GHS
from telvend.operator.entitlements.model import Bonus, RefillProfile
from telvend.operator.subscribers.balances.model import BucketKind
from tests.store.subscribers import Room


async def test_bundles_and_profiles_are_set_and_every_process_hears_of_it(room: Room) -> None:
    entitlements = room.entitlements
    async with room.database.connection() as tx:
        before = await tx.fetchval("select number from revision where topic = 'network'")
    await entitlements.set_bundle("C-1", [(BucketKind.DATA, 5), (BucketKind.SMS, 3)], name="Combo", validity_days=7)
    await entitlements.set_profile(
        RefillProfile("X1", "Half", 5000, 10, 20, True, (Bonus(BucketKind.DATA, 0, 5, 0, 7),))
    )
    async with room.database.connection() as tx:
        assert await tx.fetchval("select number from revision where topic = 'network'") == before + 2
    await room.load()
    profile = entitlements.snapshot.profile("X1")
    assert profile is not None
    assert profile.bonuses == (Bonus(BucketKind.DATA, 0, 5, 0, 7),)
    assert [p.id for p in await entitlements.profiles()] == ["DB00", "X1"]
    assert [b.parts for b in await entitlements.bundles()] == [((BucketKind.DATA, 5), (BucketKind.SMS, 3))]
    assert entitlements.days_of(entitlements.grants_of("C-1", "", None, GHS)) == (7, 7)
    assert entitlements.days_of(entitlements.grants_of("A", "5.00", None, GHS)) == (90, 180)
    await entitlements.remove_bundle("C-1")
    with pytest.raises(NotFound):
        await entitlements.remove_bundle("C-1")
    for parts in ([], [(BucketKind.DATA, 1), (BucketKind.DATA, 2)], [(BucketKind.MOMO, 1)], [(BucketKind.SMS, 0)]):
        with pytest.raises(InvalidInput):
            await entitlements.set_bundle("C-1", parts, name="x")
