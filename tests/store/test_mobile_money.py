"""Mobile money of subscribers: given, proved, blocked."""

import pytest

from telvend.errors import InvalidInput, NotFound, NotPermitted
from telvend.kit.mode import Mode
from telvend.operator.subscribers.balances.model import BucketKind
from telvend.operator.subscribers.model import SubscriberBarred
from telvend.operator.subscribers.momo.model import MomoChange
from tests.store.subscribers import AMA, LIVE, Room


async def test_mobile_money_is_shown_to_who_proves_it(ama: Room) -> None:
    proof = await ama.mobile_money.change(LIVE, AMA, MomoChange(balance=18_400_00, positive=500_00, negative=1_200_00))
    assert proof is not None
    assert await ama.mobile_money.change(LIVE, AMA, MomoChange(overdraft_limit=5_000_00, balance=18_000_00)) is None
    await ama.usage.reserve(LIVE, AMA, BucketKind.MOMO, 100_00, "s", 60)
    plans = await ama.plans.read(ama.wanted(momo_authorization=proof.reveal()))
    momo = plans.momo
    assert momo is not None
    assert (momo.balance, momo.reserved, momo.positive, momo.negative, momo.overdraft_limit) == (
        18_000_00, 100_00, 500_00, 1_200_00, 5_000_00,
    )  # fmt: skip
    # It is none of the other balances.
    assert plans.buckets == ()
    for wrong in ("", "guess", proof.reveal() + "x"):
        with pytest.raises(NotPermitted):
            await ama.plans.read(ama.wanted(momo_authorization=wrong))
    # Who has none is not told apart.
    with pytest.raises(NotPermitted):
        await ama.plans.read(ama.wanted(mode=Mode.TEST, momo_authorization=proof.reveal()))
    assert (await ama.plans.read(ama.wanted())).momo is None
    another = await ama.mobile_money.change(LIVE, AMA, MomoChange(), renew=True)
    assert another is not None
    with pytest.raises(NotPermitted):
        await ama.plans.read(ama.wanted(momo_authorization=proof.reveal()))
    await ama.plans.read(ama.wanted(momo_authorization=another.reveal()))


async def test_mobile_money_is_blocked_and_let_go(ama: Room) -> None:
    await ama.mobile_money.change(LIVE, AMA, MomoChange())
    await ama.mobile_money.set_blocked(LIVE, AMA, True)
    state = await ama.mobile_money.find(LIVE, AMA)
    assert state is not None
    assert (state.blocked, state.balance) == (True, 0)
    await ama.mobile_money.change(LIVE, AMA, MomoChange(balance=5))
    with pytest.raises(SubscriberBarred):
        await ama.usage.consume(LIVE, AMA, BucketKind.MOMO, 5, "c")
    await ama.mobile_money.set_blocked(LIVE, AMA, False)
    await ama.usage.consume(LIVE, AMA, BucketKind.MOMO, 5, "c")
    assert await ama.mobile_money.find(Mode.TEST, AMA) is None
    with pytest.raises(NotFound):
        await ama.mobile_money.set_blocked(Mode.TEST, AMA, True)
    with pytest.raises(InvalidInput):
        await ama.mobile_money.change(LIVE, AMA, MomoChange(positive=-1))
