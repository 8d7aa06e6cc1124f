"""A step through rows by time holds no more than it may, or is as short as a step can be."""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from telvend.kit.steps import narrowed

SINCE = datetime(2026, 11, 29, tzinfo=UTC)


@given(
    rows=st.lists(st.integers(0, 5000), max_size=60).map(sorted),
    horizon_s=st.integers(1, 5000),
    step_s=st.sampled_from([1.0, 7.0, 300.0, 86_400.0]),
    most=st.integers(1, 20),
)
async def test_a_step_holds_no_more_than_it_may(rows: list[int], horizon_s: int, step_s: float, most: int) -> None:
    async def count(since: datetime, until: datetime) -> int:
        first, last = ((moment - SINCE).total_seconds() for moment in (since, until))
        return min(bisect_left(rows, last) - bisect_left(rows, first), most + 1)

    horizon = SINCE + timedelta(seconds=horizon_s)
    until, took_s, found = await narrowed(SINCE, horizon, step_s, count, most=most, shortest_s=1.0)
    assert SINCE < until <= horizon
    assert until == min(horizon, SINCE + timedelta(seconds=took_s))
    assert found == await count(SINCE, until)
    assert found <= most or took_s == 1.0
    # No shorter than it has to be.
    if took_s < step_s:
        longer = min(horizon, SINCE + timedelta(seconds=min(step_s, 4 * took_s)))
        assert took_s == 1.0 or await count(SINCE, longer) > most
