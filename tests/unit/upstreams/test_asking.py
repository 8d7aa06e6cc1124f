"""Asking a provider about each attempt of a day."""

import asyncio
from typing import Any

import pytest

from telvend.orders.model import AttemptState
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)
from telvend.providers.upstream import LineStatus, StatementLine
from telvend.upstreams.reconciliation.asking import asked
from telvend.upstreams.reconciliation.model import KnownAttempt
from tests.clocks import FakeClock
from tests.unit.upstreams.test_matching import attempt_of


class Told:
    """A provider that says what a test sets, and notes what it was asked."""

    name = "vt"

    def __init__(self, said: Outcome | Exception, **traits: Any) -> None:
        self.said = said
        self.traits = ProviderTraits(**{"timeout_s": 5.0, "settles_after_s": 60.0} | traits)
        self.asked: list[Delivery] = []
        self.at_once = self.most = 0

    async def requery(self, delivery: Delivery) -> Outcome:
        self.asked.append(delivery)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


async def lines_of(provider: Told, *attempts: KnownAttempt, clock: FakeClock | None = None) -> list[StatementLine]:
    async def rivals(order_id: int, number: int) -> int:
        return order_id * 10 + number

    told = asked(provider, attempts, clock or FakeClock(), rivals)  # type: ignore[arg-type]
    return [line async for line in told]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (Delivered("T1"), LineStatus.DELIVERED),
        (Accepted("T1"), LineStatus.PENDING),
        (Refused(Reason.REFUSED), LineStatus.FAILED),
        (NotSent(), None),
        (Unknown(), LineStatus.UNKNOWN),
        (RuntimeError("a bug"), LineStatus.UNKNOWN),
    ],
)
async def test_each_answer_is_a_line_and_never_heard_of_it_is_none(
    said: Outcome | Exception, status: LineStatus | None
) -> None:
    attempt = attempt_of()
    found = await lines_of(Told(said), attempt)
    assert [line.status for line in found] == ([] if status is None else [status])
    assert all(line.reference == attempt.reference for line in found)


@pytest.mark.parametrize(
    ("state", "lines"),
    [(AttemptState.UNKNOWN, 1), (AttemptState.DELIVERED, 1), (AttemptState.REFUSED, 0), (AttemptState.NOT_SENT, 0)],
)
async def test_never_heard_of_it_counts_once_nothing_can_arrive_any_more(state: AttemptState, lines: int) -> None:
    assert len(await lines_of(Told(NotSent()), attempt_of(state=state, age_s=59.0))) == lines
    assert await lines_of(Told(NotSent()), attempt_of(state=state, age_s=61.0)) == []


async def test_what_is_being_sent_just_now_is_not_asked_about() -> None:
    provider = Told(NotSent(), settles_after_s=0)
    (line,) = await lines_of(provider, attempt_of(state=AttemptState.STARTED, age_s=4.9))
    assert (line.status, provider.asked) == (LineStatus.PENDING, [])
    assert await lines_of(provider, attempt_of(state=AttemptState.STARTED, age_s=5.1)) == []
    assert len(provider.asked) == 1


async def test_it_is_asked_as_the_order_was_with_its_rivals_where_that_matters() -> None:
    provider = Told(Unknown(), requery_needs_rivals=True)
    await lines_of(provider, attempt_of(7), attempt_of(8, order_id=None))
    first, second = provider.asked
    assert (first.reference, first.rivals, first.face_value.minor) == ("AT-7-abcdef-1", 71, 10_000)
    assert second.rivals is None


async def test_questions_keep_to_the_rate_and_leave_places_for_orders() -> None:
    clock = FakeClock()
    provider = Told(Delivered("T"), rate_per_s=2.0, concurrency=64)
    assert len(await lines_of(provider, *(attempt_of(n) for n in range(1, 41)), clock=clock)) == 40
    assert clock.monotonic() >= 19
    assert provider.most <= 8


async def test_a_provider_that_is_silent_leaves_a_line_that_says_so() -> None:
    class Silent(Told):
        async def requery(self, delivery: Delivery) -> Outcome:
            await asyncio.sleep(60)
            raise AssertionError(delivery)

    (line,) = await lines_of(Silent(Unknown(), timeout_s=0.01), attempt_of())
    assert (line.status, line.word) == (LineStatus.UNKNOWN, "no answer in time")
