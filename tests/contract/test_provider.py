"""One suite over every provider: what each must do whatever its vendor is like. The registry is `provider_rigs.py`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection

import pytest

from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Refused, Unknown
from tests.contract.provider_rigs import CANNOT, PLAYED, RIGS, Rig
from tests.contract.situations import Situation

FIRST_ANSWER: dict[Situation, type[Outcome]] = {
    Situation.DELIVERS: Delivered,
    Situation.DELIVERS_LATER: Accepted,
    Situation.REFUSES_LATER: Accepted,
    Situation.REFUSES: Refused,
    Situation.REFUSES_ELSEWHERE: Refused,
    Situation.DELIVERS_THEN_SILENCE: Unknown,
    Situation.SILENCE: Unknown,
    Situation.DELIVERS_THEN_GARBAGE: Unknown,
    Situation.GARBAGE: Unknown,
    Situation.DELIVERS_THEN_SERVER_ERROR: Unknown,
    Situation.SERVER_ERROR: Unknown,
    Situation.UNDOCUMENTED: Unknown,
    Situation.NO_CONNECTION: NotSent,
}
HAS_IT = frozenset(
    {
        Situation.DELIVERS,
        Situation.DELIVERS_LATER,
        Situation.DELIVERS_THEN_SILENCE,
        Situation.DELIVERS_THEN_GARBAGE,
        Situation.DELIVERS_THEN_SERVER_ERROR,
        Situation.UNDOCUMENTED,
    }
)
REFUSED = frozenset({Situation.REFUSES_LATER, Situation.REFUSES, Situation.REFUSES_ELSEWHERE})
FOR_EVERYBODY = frozenset({Situation.DELIVERS, Situation.REFUSES, Situation.DELIVERS_THEN_SILENCE, Situation.SILENCE})
"""What money is lost by, and what every far side can be in: it says yes, it says no, its answer or its request is lost."""


def over(situations: Collection[Situation]) -> pytest.MarkDecorator:
    """Run a test over every rig, and with it over those of the situations that its far side can be in."""
    pairs = [
        pytest.param(name, situation, id=f"{name}-{situation}") for name, situation in PLAYED if situation in situations
    ]
    return pytest.mark.parametrize(("rig", "situation"), pairs, indirect=["rig"])


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest, simulator_database_url: str) -> AsyncIterator[Rig]:
    opened = await RIGS[request.param](simulator_database_url)
    yield opened
    await opened.close()


def never_heard(rig: Rig) -> tuple[type[Outcome], ...]:
    """What may be said of a reference that did not arrive; with a settling time, `NotSent` only when that is over."""
    return (NotSent,) if rig.provider.traits.settles_after_s == 0 else (NotSent, Unknown)


@pytest.mark.parametrize("name", RIGS)
def test_a_situation_is_played_unless_the_rig_says_why_not(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    cannot = CANNOT.get(name, {})
    assert not cannot.keys() & FOR_EVERYBODY
    for situation, why in cannot.items():
        assert why
        record_property(f"cannot be: {situation}", why)


@over(Situation)
async def test_every_situation_is_answered_with_its_outcome(rig: Rig, situation: Situation) -> None:
    assert isinstance(await rig.provider.deliver(rig.delivery(situation)), FIRST_ANSWER[situation])


@over(Situation)
async def test_asking_in_the_end_tells_what_the_far_side_did(rig: Rig, situation: Situation) -> None:
    delivery = rig.delivery(situation)
    await rig.provider.deliver(delivery)
    await rig.let_settle()
    told = await rig.provider.requery(delivery)
    if situation in HAS_IT:
        assert isinstance(told, Delivered)
        assert await rig.delivered(delivery) == 1
    elif situation in REFUSED:
        forgotten = rig.forgets_refusals and situation is not Situation.REFUSES_LATER
        assert isinstance(told, never_heard(rig) if forgotten else Refused)
        assert await rig.delivered(delivery) == 0
    else:
        assert isinstance(told, never_heard(rig))
        assert await rig.delivered(delivery) == 0


@over(Situation)
async def test_asking_before_anything_was_sent_delivers_nothing(rig: Rig, situation: Situation) -> None:
    delivery = rig.delivery(situation)
    for _ in range(3):
        assert isinstance(await rig.provider.requery(delivery), never_heard(rig))
        await rig.let_settle()
    assert await rig.delivered(delivery) == 0


@over(HAS_IT)
async def test_asking_again_delivers_nothing_again(rig: Rig, situation: Situation) -> None:
    delivery = rig.delivery(situation)
    await rig.provider.deliver(delivery)
    await rig.let_settle()
    for _ in range(3):
        assert isinstance(await rig.provider.requery(delivery), Delivered)
    assert await rig.delivered(delivery) == 1


@over([Situation.DELIVERS_LATER, Situation.REFUSES_LATER])
async def test_accepted_stays_accepted_until_it_is_settled(rig: Rig, situation: Situation) -> None:
    delivery = rig.delivery(situation)
    await rig.provider.deliver(delivery)
    assert isinstance(await rig.provider.requery(delivery), Accepted)
    assert await rig.delivered(delivery) == 0


@over([Situation.REFUSES, Situation.REFUSES_ELSEWHERE])
async def test_only_a_refusal_of_this_provider_alone_may_be_tried_elsewhere(rig: Rig, situation: Situation) -> None:
    refused = await rig.provider.deliver(rig.delivery(situation))
    assert isinstance(refused, Refused)
    assert refused.elsewhere == (situation is Situation.REFUSES_ELSEWHERE)


async def test_what_was_said_not_to_have_arrived_is_not_delivered_afterwards(rig: Rig) -> None:
    delivery = rig.delivery(Situation.DELIVERS)
    go_on = await rig.hold()
    under_way = asyncio.create_task(rig.provider.deliver(delivery))
    await asyncio.sleep(0.01)
    told = await rig.provider.requery(delivery)
    await go_on()
    outcome = await under_way
    if isinstance(told, NotSent):
        assert not isinstance(outcome, Delivered | Accepted)
        assert await rig.delivered(delivery) == 0
        assert isinstance(await rig.provider.requery(delivery), NotSent)


async def test_a_question_that_races_its_delivery_is_told_what_stays_true(rig: Rig) -> None:
    for _ in range(20):
        delivery = rig.delivery(Situation.DELIVERS)
        outcome, told = await asyncio.gather(rig.provider.deliver(delivery), rig.provider.requery(delivery))
        if isinstance(told, NotSent) and rig.provider.traits.settles_after_s == 0:
            assert not isinstance(outcome, Delivered | Accepted)
        await rig.let_settle()
        again = await rig.provider.requery(delivery)
        if isinstance(told, Delivered) or isinstance(outcome, Delivered):
            assert isinstance(again, Delivered)
        if not isinstance(again, Unknown):
            assert await rig.delivered(delivery) == isinstance(again, Delivered)


async def test_a_cancelled_delivery_has_either_taken_place_or_not(rig: Rig) -> None:
    for patience in range(6):
        delivery = rig.delivery(Situation.DELIVERS)
        under_way = asyncio.create_task(rig.provider.deliver(delivery))
        for _ in range(patience):
            await asyncio.sleep(0)
        under_way.cancel()
        await asyncio.wait([under_way])
        told = await rig.provider.requery(delivery)
        assert isinstance(told, Delivered | NotSent | Unknown)
        if not isinstance(told, Unknown):
            assert await rig.delivered(delivery) == isinstance(told, Delivered)
        await rig.let_settle()
        if not isinstance(told, Unknown):
            assert type(await rig.provider.requery(delivery)) is type(told)


async def test_deliveries_at_once_do_not_mix_up_their_answers(rig: Rig, request: pytest.FixtureRequest) -> None:
    played = [situation for name, situation in PLAYED if name == request.node.callspec.params["rig"]]
    situations = [situation for situation in played for _ in range(8)]
    deliveries = [rig.delivery(situation) for situation in situations]
    outcomes = await asyncio.gather(*(rig.provider.deliver(delivery) for delivery in deliveries))
    assert [type(outcome) for outcome in outcomes] == [FIRST_ANSWER[situation] for situation in situations]


async def test_traits_are_usable(rig: Rig) -> None:
    traits = rig.provider.traits
    assert rig.provider.name
    assert traits.timeout_s > 0
    assert traits.settles_after_s >= 0
    assert traits.concurrency > 0
    assert traits.live_mode or traits.test_mode


async def test_closing_twice_is_harmless_and_asking_after_it_does_not_raise(rig: Rig) -> None:
    delivery = rig.delivery(Situation.DELIVERS)
    assert isinstance(await rig.provider.deliver(delivery), Delivered)
    await rig.provider.close()
    await rig.provider.close()
    assert isinstance(await rig.provider.requery(delivery), Delivered | Unknown)
