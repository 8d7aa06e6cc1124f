"""A result that is shown as it was made last."""

import asyncio

import pytest

from telvend.errors import Busy
from telvend.kit.stale import Stale


async def test_only_the_first_one_waits_and_the_rest_see_the_last_result() -> None:
    made = 0
    gate = asyncio.Event()
    now = 0.0

    async def make() -> int:
        nonlocal made
        await gate.wait()
        made += 1
        return made

    stale = Stale(make, 10.0, clock=lambda: now)
    first, second = asyncio.create_task(stale()), asyncio.create_task(stale())
    await asyncio.sleep(0)
    gate.set()
    assert (await first, await second) == (1, 1)
    now = 9.9
    assert await stale() == 1
    now = 10.0
    gate.clear()
    assert await stale() == 1
    gate.set()
    assert await stale.renew() == 2
    assert await stale() == 2


async def test_a_failure_leaves_the_last_result_and_raises_where_there_is_none() -> None:
    answers: list[int | Exception] = [Busy(), 1, Busy(), 2]

    async def make() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    stale = Stale(make, 0.0)
    with pytest.raises(Busy):
        await stale()
    assert await stale() == 1
    assert await stale() == 1
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await stale() == 1
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await stale() == 2
    await stale.close()


async def test_what_counts_no_more_is_not_shown() -> None:
    days = ["monday", "tuesday"]
    today = "monday"

    async def make() -> str:
        return days.pop(0)

    stale = Stale(make, 3600.0, counts=lambda day: day == today)
    assert await stale() == "monday"
    today = "tuesday"
    assert await stale() == "tuesday"
