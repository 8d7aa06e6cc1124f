"""The table is what the simulator does: each row is played, over a book in memory."""

import pytest

from telvend.kit.money import GHS, Money
from telvend.providers.contract import Accepted, Delivered, NotSent, Unknown
from telvend.providers.simulator.book import BookState, MemoryBook
from telvend.providers.simulator.client import Simulator
from telvend.providers.simulator.table import ORDINARY, TABLE, Behaviour, behaviour_of, markdown
from tests.clocks import FakeClock
from tests.contract.provider_rigs import SimulatorRig, delivery_to

ROWS = pytest.mark.parametrize("behaviour", TABLE, ids=lambda behaviour: behaviour.ending)


@pytest.fixture
def rig() -> SimulatorRig:
    return SimulatorRig(MemoryBook())


def test_endings_are_0000_to_0019_in_order() -> None:
    assert [behaviour.ending for behaviour in TABLE] == [f"{number:04}" for number in range(20)]


@ROWS
async def test_row_does_what_it_says(rig: SimulatorRig, behaviour: Behaviour) -> None:
    delivery = rig.numbered(behaviour.ending)
    started_s = rig.clock.monotonic()
    outcome = await rig.provider.deliver(delivery)
    assert type(outcome) is behaviour.first
    took_s = rig.clock.monotonic() - started_s
    assert took_s == behaviour.delay_s + behaviour.drip_s + (3 if outcome == Unknown("timed out") else 0)
    assert took_s < rig.provider.traits.timeout_s
    if behaviour.later_s:
        rig.clock.pass_time(behaviour.later_s - 1)
        assert isinstance(await rig.provider.requery(delivery), Accepted)
        rig.clock.pass_time(1)
    for _ in range(2):
        assert type(await rig.provider.requery(delivery)) is behaviour.settled
    assert await rig.delivered(delivery) == behaviour.delivers


async def test_every_other_number_is_delivered_after_about_a_second(rig: SimulatorRig) -> None:
    durations = set()
    for _ in range(50):
        started_s = rig.clock.monotonic()
        assert isinstance(await rig.provider.deliver(rig.numbered("4567")), Delivered)
        durations.add(round(rig.clock.monotonic() - started_s, 3))
    assert 0.8 <= min(durations) < 0.9
    assert 1.1 < max(durations) <= 1.2


async def test_unsteered_simulator_delivers_at_once_whatever_the_number() -> None:
    clock = FakeClock()
    backup = Simulator("backup", MemoryBook(), clock, steered=False)
    for number in range(20):
        outcome = await backup.deliver(delivery_to(f"+23324123{number:04}", f"R-{number}-1"))
        assert outcome == Delivered(f"SIM-{number + 1}", Money(390, GHS))
    assert clock.monotonic() == 0


async def test_second_delivery_under_a_reference_delivers_again_and_is_seen(rig: SimulatorRig) -> None:
    delivery = rig.numbered("0000")
    await rig.provider.deliver(delivery)
    assert not await rig.book.delivered_twice()
    await rig.provider.deliver(delivery)
    [twice] = await rig.book.delivered_twice()
    assert (twice.order, twice.deliveries) == (delivery.reference.removesuffix("-1"), 2)


async def test_question_closes_an_unknown_reference_for_good(rig: SimulatorRig) -> None:
    delivery = rig.numbered("0000")
    assert isinstance(await rig.provider.requery(delivery), NotSent)
    assert isinstance(await rig.provider.deliver(delivery), NotSent)
    [line] = await rig.book.page(reference=delivery.reference)
    assert (line.state, line.requests, line.late, line.deliveries) == (BookState.CLOSED, 0, 1, 0)


def test_spelling_of_the_number_does_not_matter() -> None:
    for number in ("+233241230006", "233241230006", "0241230006"):
        assert behaviour_of(number).ending == "0006"
    assert behaviour_of("+233241234567") is ORDINARY


def test_markdown_has_one_line_for_each_behaviour() -> None:
    lines = markdown().splitlines()
    assert len(lines) == 2 + len(TABLE) + 1
    assert lines[8] == "| `0006` | Delivers and then times out. | `Unknown` | `Delivered` | yes |"
    assert all(line.count("|") == 6 for line in lines)
