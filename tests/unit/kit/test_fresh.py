"""An answer that is made once for all who ask together."""

import asyncio

import pytest

from telvend.errors import Busy
from telvend.kit.fresh import Fresh


class Source:
    def __init__(self) -> None:
        self.now = 0.0
        self.made = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def make(self) -> int:
        self.made += 1
        number = self.made
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return number

    def fresh(self) -> Fresh[int]:
        return Fresh(self.make, 1.0, lambda: self.now)


async def test_it_is_made_once_for_all_who_ask_together_and_kept_for_a_moment() -> None:
    source = Source()
    source.gate.clear()
    fresh = source.fresh()
    asking = [asyncio.create_task(fresh()) for _ in range(100)]
    await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*asking) == [1] * 100
    source.now = 0.9
    assert await fresh() == 1
    source.now = 1.0
    assert await fresh() == 2
    assert source.made == 2


async def test_whoever_gives_up_does_not_take_it_from_the_others() -> None:
    source = Source()
    source.gate.clear()
    fresh = source.fresh()
    impatient, patient = asyncio.create_task(fresh()), asyncio.create_task(fresh())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    source.gate.set()
    assert await patient == 1


async def test_a_failure_is_kept_as_long_and_then_tried_again() -> None:
    source = Source()
    source.error = Busy()
    fresh = source.fresh()
    for _ in range(5):
        with pytest.raises(Busy):
            await fresh()
    assert source.made == 1
    source.error = None
    source.now = 1.0
    assert await fresh() == 2
